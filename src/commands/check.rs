//! `bootstrap check`: whether `up` could do its work, one line a check; changes nothing.

use std::time::Instant;

use crate::check;
use crate::cli::{Check, Common, Output};
use crate::commands::{stack, target};
use crate::error::Exit;
use crate::finding::{Finding, Outcome};
use crate::plan::Plan;
use crate::report::{Printer, findings};

pub(super) async fn run(common: &Common, options: &Check, printer: &Printer) -> anyhow::Result<Exit> {
    let began = Instant::now();
    let plan = stack(common).and_then(|stack| Plan::new(&stack, &options.steps.selection()));
    let how = check::Options {
        storage_class: options.storage_class.clone(),
        charts: options.charts.clone(),
        is_named: common.context.is_some(),
        is_confirmed: common.yes,
    };
    let is_text = common.output != Output::Json;
    let mut text = findings::Text::new(printer.data_paint());
    let mut tell = |found: &[Finding]| {
        if is_text {
            // Whoever does not read stdout any more has stopped the process, or reads the exit code.
            let _ = printer.data(&text.block(found));
        }
    };
    let found = check::run(&target(common), plan, &how, &mut tell).await;
    if is_text {
        let took = began.elapsed().as_secs_f64();
        printer.data(&format!("{} in {took:.1} s\n", findings::summary(&found)))?;
    } else {
        printer.data(&findings::json(&found)?)?;
    }
    let any_failed = found.iter().any(|finding| finding.outcome == Outcome::Failed);
    Ok(if any_failed { Exit::Preflight } else { Exit::Success })
}
