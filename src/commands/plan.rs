//! `bootstrap plan`: what `up` would do, object by object; changes nothing.

use crate::cli::{Common, Output, Plan as Options};
use crate::commands::{on_cluster, stack};
use crate::engine;
use crate::error::Exit;
use crate::plan::Plan;
use crate::report::Printer;
use crate::report::changeset::{self, Extent, Whereabouts};

pub(super) async fn run(common: &Common, options: &Options, printer: &Printer) -> anyhow::Result<Exit> {
    let plan = Plan::new(&stack(common)?, &options.wanted.steps.selection())?;
    let (stack, namespace) = (plan.stack.clone(), plan.namespace.clone());
    on_cluster(common, async |cluster, identity| {
        let how = options.wanted.engine_options(identity);
        let changeset = engine::foresee(cluster, plan, &how).await?;
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
            Some(refused) => Err(refused.into()),
            None if options.exit_code && has_changes => Ok(Exit::Changes),
            None => Ok(Exit::Success),
        }
    })
    .await
}
