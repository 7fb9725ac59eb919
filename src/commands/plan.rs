//! `bootstrap plan`: what `up` would do, object by object; changes nothing.

use crate::cli::{Common, Output, Plan as Options};
use crate::cluster::Cluster;
use crate::commands::{stack, target};
use crate::engine;
use crate::error::Exit;
use crate::plan::Plan;
use crate::preflight;
use crate::report::Printer;
use crate::report::changeset::{self, Extent, Whereabouts};

pub(super) async fn run(common: &Common, options: &Options, printer: &Printer) -> anyhow::Result<Exit> {
    let plan = Plan::new(&stack(common)?, &options.wanted.steps.selection())?;
    let (stack, namespace) = (plan.stack.clone(), plan.namespace.clone());
    let cluster = Cluster::connect(&target(common)).await?;
    let identity = preflight::reach(&cluster).await?;
    let how = options.wanted.engine_options(&identity);
    let foreseen = engine::foresee(&cluster, plan, &how).await;
    let changeset = foreseen.map_err(|error| error.in_context(cluster.context()))?;
    let at = Whereabouts { cluster: &identity.to_string(), stack: &stack, namespace: &namespace };
    if common.output == Output::Json {
        printer.data(&changeset::json(&changeset, &at)?)?;
    } else {
        let extent = match (common.quiet, common.verbose) {
            (true, _) => Extent::Counts,
            (_, true) => Extent::All,
            _ => Extent::Changes,
        };
        printer.data(&changeset::text(&changeset, &at, extent, printer.data_paint()))?;
    }
    let has_changes = changeset.has_changes();
    match changeset.refused {
        Some(refused) => Err(refused.in_context(cluster.context()).into()),
        None if options.exit_code && has_changes => Ok(Exit::Changes),
        None => Ok(Exit::Success),
    }
}
