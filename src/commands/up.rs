//! `bootstrap up`.

use tokio_util::sync::CancellationToken;

use crate::cli::{Common, Up};
use crate::commands::consent::{self, Deed};
use crate::commands::{on_cluster, session, stack};
use crate::engine::{self, Patience, Summary};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::plan::Plan;
use crate::report::Printer;

pub(super) async fn run(common: &Common, options: &Up, printer: &Printer) -> Exit {
    session::conduct(common, printer, options.junit.as_deref(), async |events, cancel| {
        up(common, options, printer, &events, &cancel).await
    })
    .await
}

async fn up(
    common: &Common,
    options: &Up,
    printer: &Printer,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let plan = Plan::new(&stack(common)?, &options.wanted.steps.selection())?;
    on_cluster(common, async |cluster, identity| {
        let deed = Deed { command: "up", stack: &plan.stack, namespace: &plan.namespace, purges_data: false };
        consent::obtain(common, identity, deed, printer, cancel).await?;
        events.send(Kind::RunStarted {
            command: "up",
            stack: plan.stack.clone(),
            cluster: identity.to_string(),
            namespace: plan.namespace.clone(),
            steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
        });
        let how = options.wanted.engine_options(identity);
        let patience = Patience { timeout: options.timeout, wait_lock: options.wait_lock };
        engine::up(cluster, plan, &how, patience, events, cancel).await
    })
    .await
}
