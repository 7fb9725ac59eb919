//! `bootstrap down`: of the stack it needs only name and namespace.

use tokio_util::sync::CancellationToken;

use crate::cli::{Common, Down};
use crate::commands::consent::{self, Deed};
use crate::commands::{on_cluster, session};
use crate::delete;
use crate::engine::Summary;
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::report::Printer;
use crate::stack::Head;

pub(super) async fn run(common: &Common, options: &Down, printer: &Printer) -> Exit {
    session::conduct(common, printer, None, async |events, cancel| {
        down(common, options, printer, &events, &cancel).await
    })
    .await
}

async fn down(
    common: &Common,
    options: &Down,
    printer: &Printer,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let stack = common.stack.as_deref().map_or_else(Head::embedded, Head::load)?;
    on_cluster(common, async |cluster, identity| {
        if !options.dry_run {
            let purges_data = options.purge_data;
            let deed = Deed { command: "down", stack: &stack.name, namespace: &stack.namespace, purges_data };
            consent::obtain(common, identity, deed, printer, cancel).await?;
        }
        events.send(Kind::RunStarted {
            command: "down",
            stack: stack.name.clone(),
            cluster: identity.to_string(),
            namespace: stack.namespace.clone(),
            steps: Vec::new(),
        });
        let options = delete::Options {
            timeout: options.timeout,
            purge_data: options.purge_data,
            wait_lock: options.wait_lock,
            dry_run: options.dry_run,
        };
        delete::down(cluster, &stack.name, &stack.namespace, &options, events, cancel).await?;
        Ok(Summary::default())
    })
    .await
}
