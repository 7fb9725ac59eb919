//! `bootstrap verify`: whether the stack does what it is for, one line a check.

use tokio::time::Instant;

use crate::cli::{Common, Output, Verify};
use crate::cluster::{Cluster, Identity};
use crate::commands::{on_cluster, stack};
use crate::error::{Error, Exit};
use crate::finding::{Finding, Outcome};
use crate::inventory::Inventory;
use crate::plan::{Plan, Selection};
use crate::report::{GitHub, Printer, ReportFile, findings};
use crate::verify::{self, News};

pub(super) async fn run(common: &Common, options: &Verify, printer: &Printer) -> anyhow::Result<Exit> {
    let mut reports = Reports {
        junit: options.junit.as_deref().map(ReportFile::create).transpose()?,
        github: GitHub::from_env(printer, None),
    };
    let result = verify(common, options, printer, &mut reports).await;
    // Where the checks could not even begin, that is the finding.
    if let Some(error) = result.as_ref().err().and_then(|error| error.downcast_ref::<Error>()) {
        reports.write(None, &[Finding::failed("verify", "run", error)])?;
    }
    result
}

/// The reports that are written besides.
struct Reports {
    junit: Option<ReportFile>,
    github: Option<GitHub>,
}

impl Reports {
    fn write(&mut self, whereabouts: Option<&str>, found: &[Finding]) -> anyhow::Result<()> {
        if let Some(github) = &self.github {
            github.findings(whereabouts, found);
        }
        if let Some(file) = &mut self.junit {
            file.write(&findings::junit("bootstrap verify", found)?)?;
        }
        Ok(())
    }
}

async fn verify(
    common: &Common,
    options: &Verify,
    printer: &Printer,
    reports: &mut Reports,
) -> anyhow::Result<Exit> {
    let deadline = Instant::now() + options.timeout;
    let plan = Plan::new(&stack(common)?, &Selection::default())?;
    on_cluster(common, async |cluster, identity| {
        check(common, cluster, identity, plan, deadline, printer, reports).await
    })
    .await
}

async fn check(
    common: &Common,
    cluster: &Cluster,
    identity: &Identity,
    mut plan: Plan,
    deadline: Instant,
    printer: &Printer,
    reports: &mut Reports,
) -> anyhow::Result<Exit> {
    let head = format!("{identity} → {}", plan.namespace);
    let inventory = Inventory::load(cluster, &plan.stack, &plan.namespace).await?;
    if !inventory.is_installed() {
        let message = format!("the stack {} is not installed on {head}", plan.stack);
        return Err(Error::new(Exit::Preflight, message).hint("bootstrap up").into());
    }
    let is_text = common.output != Output::Json;
    if is_text {
        printer.data(&format!("{head}\n"))?;
    } else {
        printer.say(&head);
    }
    let missing = plan.steps.iter().filter(|step| !inventory.content.steps.contains(&step.name));
    for step in missing.map(|step| step.name.clone()).collect::<Vec<_>>() {
        plan.leave_out(&step);
    }
    let mut text = findings::Text::new(printer.data_paint());
    let began = Instant::now();
    let mut tell = |news: News<'_>| match news {
        // Whoever does not read stdout any more has stopped the process, or reads the exit code.
        News::Found(finding) if is_text => {
            let _ = printer.data(&text.lines(&finding.naming(cluster.target())));
        }
        News::Waiting { check, reason } if !common.quiet => {
            printer.say(&format!("{:>6.1}s  {check} waits: {reason}", began.elapsed().as_secs_f64()));
        }
        _ => {}
    };
    let found = verify::run(cluster, &plan, deadline, &mut tell).await?;
    let found: Vec<_> = found.iter().map(|finding| finding.naming(cluster.target())).collect();
    if is_text {
        let took = began.elapsed().as_secs_f64();
        printer.data(&format!("{} in {took:.1} s\n", findings::summary(&found)))?;
    } else {
        printer.data(&findings::json(&found)?)?;
    }
    reports.write(Some(&head), &found)?;
    let any = |outcome| found.iter().any(|finding| finding.outcome == outcome);
    // Where nothing passed nothing is proven, though nothing failed either.
    Ok(if any(Outcome::Failed) || !any(Outcome::Passed) { Exit::Verification } else { Exit::Success })
}
