//! `bootstrap render`: the final manifests, without a cluster.

use crate::apply::mark;
use crate::cli::{Common, Render};
use crate::commands::stack;
use crate::error::Exit;
use crate::inventory::Inventory;
use crate::object;
use crate::plan::Plan;
use crate::report::Printer;
use crate::storage;

pub(super) fn run(common: &Common, options: &Render, printer: &Printer) -> anyhow::Result<Exit> {
    let mut plan = Plan::new(&stack(common)?, &options.steps.selection())?;
    let inventory = Inventory::new(&plan.stack, &plan.namespace);
    if options.storage_class != storage::AUTO {
        plan.set_storage_class(&options.storage_class);
    }
    let mut text = String::new();
    for step in &mut plan.steps {
        text += &format!("# step {}\n", step.name);
        if let Some(secret) = &step.secret {
            let keys = secret.data.keys().cloned().collect::<Vec<_>>().join(", ");
            text += &format!("# secret {} ({keys}) is made by up\n", secret.name);
        }
        if let Some(planned) = &step.release {
            let spec = &planned.spec;
            let place = spec.repo.as_ref().map(|repo| format!(" from {repo}")).unwrap_or_default();
            text += &format!(
                "# release {}: chart {}{place}, version {}\n",
                spec.release, spec.chart, spec.version
            );
        }
        for manifest in step.waves.iter_mut().flatten() {
            if !manifest.name.is(&object::NAMESPACE) {
                mark(&mut manifest.object, &inventory);
            }
            text += "---\n";
            text += &serde_yaml::to_string(&manifest.object)?;
        }
    }
    printer.data(&text)?;
    Ok(Exit::Success)
}
