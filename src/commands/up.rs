//! `bootstrap up`.

use tokio_util::sync::CancellationToken;

use crate::cli::{Common, Up};
use crate::cluster::Cluster;
use crate::commands::{session, stack, target};
use crate::engine::{self, Summary};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::plan::{Plan, Selection};
use crate::preflight;
use crate::report::Printer;

pub(super) async fn run(common: &Common, options: &Up, printer: &Printer) -> Exit {
    session::conduct(common, printer, options.junit.as_deref(), async |events, cancel| {
        up(common, options, &events, &cancel).await
    })
    .await
}

async fn up(
    common: &Common,
    options: &Up,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let selection = Selection { only: options.steps.only.clone(), skip: options.steps.skip.clone() };
    let plan = Plan::new(&stack(common)?, &selection)?;
    let cluster = Cluster::connect(&target(common)).await?;
    let identity = preflight::reach(&cluster).await?;
    events.send(Kind::RunStarted {
        command: "up",
        stack: plan.stack.clone(),
        cluster: identity.to_string(),
        namespace: plan.namespace.clone(),
        steps: plan.steps.iter().map(|step| step.name.clone()).collect(),
    });
    let options = engine::Options {
        timeout: options.timeout,
        storage_class: options.storage_class.clone(),
        charts: options.charts.clone(),
        wait_lock: options.wait_lock,
        is_local: identity.is_local(),
    };
    let result = engine::up(&cluster, plan, &options, events, cancel).await;
    result.map_err(|error| error.in_context(cluster.context()))
}
