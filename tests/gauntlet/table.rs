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
    /// The cause's words, after what was wrong with the time.
    pub(crate) cause: String,
    pub(crate) ending: Ending,
}

/// Whether a run was as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Right,
    /// In all but time.
    Slow,
    Wrong,
}

/// A line for each case, in their order, and a sum. Of several runs of a case the line shows the worst; one that was slow and
/// then run again has a line of its own.
pub(crate) fn render<'a>(rows: &[Row], cases: impl Iterator<Item = &'a Case>) -> String {
    let mut text =
        format!("{:<26} {:>4} {:>6} {:>8} {:>8}  cause\n", "case", "runs", "exit", "verdict", "took");
    for case in cases {
        let runs = rows.iter().filter(|row| row.case.name == case.name);
        let (slow, others): (Vec<_>, Vec<_>) = runs.partition(|row| row.ending == Ending::Slow);
        for row in slow {
            text += &line(row, 1, " [SLOW, so once more alone]");
        }
        let by_how_bad = |one: &&&Row, other: &&&Row| {
            let seconds = |row: &Row| row.to_verdict.unwrap_or_default();
            let by_verdict = seconds(one).total_cmp(&seconds(other));
            one.ending.cmp(&other.ending).then(by_verdict).then(one.took.cmp(&other.took))
        };
        let Some(worst) = others.iter().max_by(by_how_bad) else { continue };
        let failures = others.iter().filter(|row| row.ending == Ending::Wrong).count();
        let mark = if failures > 0 { format!(" [FAILED {failures} times]") } else { String::new() };
        text += &line(worst, others.len(), &mark);
    }
    let count = |ending| rows.iter().filter(|row| row.ending == ending).count();
    let (wrong, slow) = (count(Ending::Wrong), count(Ending::Slow));
    text + &format!(
        "{} runs, {wrong} of them not as they have to be, and {slow} but for their time\n",
        rows.len()
    )
}

fn line(row: &Row, count: usize, mark: &str) -> String {
    let code = row.code.map_or_else(|| "killed".to_owned(), |code| code.to_string());
    let verdict = row.to_verdict.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s"));
    let took = format!("{:.1} s", row.took.as_secs_f32());
    let cause: String = row.cause.chars().take(WIDTH).collect();
    let name = row.case.name;
    format!("{name:<26} {count:>4} {code:>6} {verdict:>8} {took:>8}  {cause}{mark}\n")
}
