//! The table at the end: what came of each case.

use std::time::Duration;

use crate::case::Case;

/// How much of a cause is shown.
const WIDTH: usize = 100;

/// One run of a case.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) case: &'static Case,
    /// The exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// Seconds to the verdict: from the sign, or from the last Deployment's becoming ready.
    pub(crate) to_verdict: Option<f64>,
    pub(crate) took: Duration,
    /// The cause's words.
    pub(crate) cause: String,
    pub(crate) failed: bool,
}

/// A line for each case, in their order, and a sum. Of several runs of a case the line shows the worst.
pub(crate) fn render<'a>(rows: &[Row], cases: impl Iterator<Item = &'a Case>) -> String {
    let mut text =
        format!("{:<26} {:>4} {:>6} {:>8} {:>8}  cause\n", "case", "runs", "exit", "verdict", "took");
    for case in cases {
        let runs: Vec<_> = rows.iter().filter(|row| row.case.name == case.name).collect();
        let by_how_bad = |one: &&&Row, other: &&&Row| {
            let seconds = |row: &Row| row.to_verdict.unwrap_or_default();
            let by_verdict = seconds(one).total_cmp(&seconds(other));
            one.failed.cmp(&other.failed).then(by_verdict).then(one.took.cmp(&other.took))
        };
        let Some(worst) = runs.iter().max_by(by_how_bad) else { continue };
        let code = worst.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
        let verdict = worst.to_verdict.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"));
        let took = format!("{:.1} s", worst.took.as_secs_f32());
        let cause: String = worst.cause.chars().take(WIDTH).collect();
        let failures = runs.iter().filter(|row| row.failed).count();
        let mark = if failures > 0 { format!(" [FAILED {failures} times]") } else { String::new() };
        let (name, count) = (case.name, runs.len());
        text += &format!("{name:<26} {count:>4} {code:>6} {verdict:>8} {took:>8}  {cause}{mark}\n");
    }
    let failures = rows.iter().filter(|row| row.failed).count();
    text + &format!("{} runs, {failures} of them not as they have to be\n", rows.len())
}
