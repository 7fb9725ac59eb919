//! Whether `up` could do its work: what it needs is looked at without changing anything, one finding a check.
//!
//! What does not depend on each other is asked side by side. What may not be read is skipped, and the right is named.

use std::path::PathBuf;

use crate::check::survey::Survey;
use crate::cluster::{RequestError, Target};
use crate::engine;
use crate::error::Error;
use crate::finding::Finding;
use crate::plan::Plan;

mod charts;
mod grounds;
mod place;
mod rights;
mod roles;
mod storage;
mod survey;

/// What `up` would be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// The storage class, or [`crate::storage::AUTO`].
    pub storage_class: String,
    /// A folder of charts that are used in place of the stack's references.
    pub charts: Option<PathBuf>,
    /// Whether the context was named on purpose.
    pub is_named: bool,
    /// Whether leave was given to change a cluster that is not local.
    pub is_confirmed: bool,
}

/// Looks at all that `up` needs, and tells of it as soon as it is known, whole categories at a time.
pub async fn run(
    target: &Target,
    plan: Result<Plan, Error>,
    options: &Options,
    tell: &mut dyn FnMut(&[Finding]),
) -> Vec<Finding> {
    let mut report = Report { found: Vec::new(), target: target.clone(), tell };
    report.add([stack(&plan)]);
    let mut plan = plan.ok();
    let (reached, found) = place::reach(target, options).await;
    let (cluster, identity) = reached.unzip();
    if let Some(cluster) = &cluster {
        report.target = cluster.target().clone();
    }
    report.add(found);
    if let (Some(cluster), Some(plan)) = (&cluster, &mut plan)
        && let Err(error) = engine::place(cluster, plan).await
    {
        report.add([Finding::failed("cluster", "kinds", &error)]);
    }

    let surveyed = plan.clone();
    let (grounds, storage, lease, helm) = tokio::join!(
        grounds::look(cluster.as_ref(), surveyed.as_ref()),
        storage::choose(cluster.as_ref(), plan.as_mut(), options),
        grounds::lease(cluster.as_ref(), surveyed.as_ref()),
        charts::find_helm(target),
    );
    let (installs_storage, storage) = storage;
    report.add([grounds, vec![storage, lease]].concat());
    let Some(plan) = &plan else {
        let unknown = |(category, id)| Finding::skipped(category, id, "needs stack/valid");
        report.add([(charts::CATEGORY, charts::VERSION), (rights::CATEGORY, rights::ALL)].map(unknown));
        return report.found;
    };

    let asked = charts::Asked { plan, installs_storage, folder: options.charts.as_deref() };
    let kubernetes = identity.as_ref().map(|identity| identity.version.as_str());
    let (charts, found) = charts::render_all(helm, &asked, kubernetes).await;
    report.add(found);
    report.add(match &cluster {
        Some(cluster) => {
            let survey = Survey::read(cluster, plan, installs_storage, charts).await;
            rights::look(cluster, &survey).await
        }
        None => vec![Finding::skipped(rights::CATEGORY, rights::ALL, "needs cluster/answers")],
    });
    report.found
}

/// What was found, and whom it is told to.
struct Report<'a> {
    found: Vec<Finding>,
    /// What hints are to name: what was asked for, and once it is known the context in use.
    target: Target,
    tell: &'a mut dyn FnMut(&[Finding]),
}

impl Report<'_> {
    fn add(&mut self, found: impl IntoIterator<Item = Finding>) {
        let found: Vec<_> = found.into_iter().map(|finding| finding.naming(&self.target)).collect();
        (self.tell)(&found);
        self.found.extend(found);
    }
}

fn stack(plan: &Result<Plan, Error>) -> Finding {
    match plan {
        Ok(plan) => {
            let message = format!("{} is valid and has {} steps", plan.stack, plan.steps.len());
            Finding::passed("stack", "valid", message)
        }
        Err(error) => Finding::failed("stack", "valid", error),
    }
}

/// What a request that was refused, or not answered, means for a check.
fn unanswered(category: &'static str, id: &'static str, error: RequestError) -> Finding {
    match error.forbidden() {
        Some(right) => Finding::skipped(category, id, format!("no right to {right}")),
        None => Finding::failed(category, id, &error.into_preflight()),
    }
}
