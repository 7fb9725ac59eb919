//! Functional proof that the stack works: not that pods run, but that metrics, logs and dashboards are there. Asks the programs
//! themselves, by port-forward, and changes nothing.
//!
//! What should be there is read from the stack's own files, so a stack that was changed is verified as it was changed. The
//! order of the categories is that of the data: whatever one takes from another comes after it. So the first check that
//! fails is the one that owns the fault; those that need it are skipped.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use crate::cluster::Cluster;
use crate::error::{Error, Exit};
use crate::finding::{Finding, Outcome};
use crate::object;
use crate::plan::{Plan, PlannedRelease};
use crate::yaml;

pub use self::run::News;

use self::adapter::Adapter;
use self::alloy::Alloy;
use self::check::Check;
use self::components::Workload;
use self::grafana::Grafana;
use self::ingress::Ingress;
use self::loki::Loki;
use self::pods::{Labels, Pods};
use self::program::Program;
use self::prometheus::Prometheus;
use self::state_metrics::StateMetrics;

mod adapter;
mod alloy;
mod check;
mod components;
mod counters;
mod exposition;
mod grafana;
mod ingress;
mod log_lines;
mod logs;
mod loki;
mod node_metrics;
mod pods;
mod program;
mod prometheus;
mod retention;
mod run;
mod state_metrics;
#[cfg(test)]
mod tests;

/// Checks what a plan has brought to a cluster, at the latest until the deadline; tells of each check in a fixed order as soon
/// as it and all before it are decided.
///
/// # Errors
/// Exit 2 when the plan brings nothing that can be verified.
pub async fn run(
    cluster: &Cluster,
    plan: &Plan,
    deadline: Instant,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Vec<Finding>, Error> {
    let (checks, pods) = checks(cluster, plan);
    if checks.is_empty() {
        let message = format!("the stack {} has nothing that can be verified", plan.stack);
        let hint = "verify knows Prometheus, Loki, Alloy, Grafana, kube-state-metrics and prometheus-adapter, by the names of their images and charts";
        return Err(Error::new(Exit::Usage, message).hint(hint));
    }
    // It may well come later, and then the first tries only say so.
    let _ = timeout_at(deadline, pods.listed()).await;
    Ok(run::run(&checks, deadline, tell).await)
}

/// The images whose workloads are verified.
const WORKLOADS: [&str; 4] = ["prometheus", "loki", "alloy", "grafana"];

/// The charts whose releases are.
const CHARTS: [&str; 2] = ["kube-state-metrics", "prometheus-adapter"];

/// The namespaces of all that can be verified of a plan.
#[must_use]
pub fn namespaces(plan: &Plan) -> BTreeSet<String> {
    let workloads = WORKLOADS.iter().filter_map(|image| components::workload(plan, image));
    let releases = CHARTS.iter().filter_map(|chart| components::release(plan, chart));
    let of_releases = releases.map(|release| release.namespace.clone());
    workloads.map(|workload| namespace_of(&workload)).chain(of_releases).collect()
}

/// Checks only that Grafana lets the credentials of the stack in, and returns what was seen; `None` where the plan brings no
/// Grafana that is given any.
///
/// # Errors
/// Exit 7 when it does not, or when that cannot be told.
pub async fn login(
    cluster: &Cluster,
    plan: &Plan,
    deadline: Instant,
    tell: &mut dyn FnMut(News<'_>),
) -> Result<Option<String>, Error> {
    let (mut checks, pods) = checks(cluster, plan);
    checks.retain(|check| [grafana::READY, grafana::LOGIN].contains(&check.name));
    if !checks.iter().any(|check| check.name == grafana::LOGIN) {
        return Ok(None);
    }
    let _ = timeout_at(deadline, pods.listed()).await;
    let mut found = run::run(&checks, deadline, tell).await;
    match found.iter().position(|finding| finding.outcome != Outcome::Passed) {
        None => Ok(found.pop().map(|finding| finding.message)),
        Some(first) => {
            let Finding { message, hint, .. } = found.swap_remove(first);
            let error = Error::new(Exit::Verification, message);
            Err(hint.into_iter().fold(error, Error::hint))
        }
    }
}

/// The checks of everything that the plan brings, each after all that it needs, and the pods that they look at.
fn checks(cluster: &Cluster, plan: &Plan) -> (Vec<Check>, Rc<Pods>) {
    let [prometheus, loki, alloy, grafana] = WORKLOADS.map(|image| components::workload(plan, image));
    let [metrics, adapter] = CHARTS.map(|chart| components::release(plan, chart));
    let pods = Rc::new(Pods::watch(cluster, namespaces(plan)));
    let maker = Maker { cluster, pods: Rc::clone(&pods) };

    let prometheus = prometheus
        .map(|found| Rc::new(Prometheus::new(maker.of(&found), found.config().unwrap_or_default())));
    let loki = loki.map(|found| Rc::new(Loki::new(maker.of(&found), found.config().unwrap_or_default())));
    let alloy = alloy.map(|found| {
        let roles = components::roles_of(plan, found.name.namespace.as_deref(), &found.account);
        Rc::new(Alloy::new(maker.of(&found), &found, roles, prometheus.as_ref()))
    });

    let mut checks = Vec::new();
    checks.extend(prometheus.iter().flat_map(prometheus::checks));
    checks.extend(loki.iter().flat_map(loki::checks));
    checks.extend(metrics.iter().flat_map(|found| {
        let metrics = StateMetrics::new(maker.of_release(found), &found.spec.release, prometheus.as_ref());
        state_metrics::checks(&Rc::new(metrics))
    }));
    checks.extend(alloy.iter().flat_map(|alloy| alloy::checks(alloy, loki.is_some())));
    checks.extend(alloy.iter().flat_map(node_metrics::checks));
    checks.extend(alloy.iter().zip(&loki).flat_map(|(alloy, loki)| logs::checks(alloy, loki)));
    checks.extend(grafana.iter().flat_map(|found| {
        grafana::checks(&Rc::new(Grafana::new(maker.of(found), found, prometheus.as_ref())))
    }));
    checks.extend(adapter.iter().flat_map(|found| {
        let values = found.values.iter().filter_map(|(file, text)| yaml::document::<Value>(file, text).ok());
        let values: Vec<_> = values.collect();
        adapter::checks(&Rc::new(Adapter::new(maker.of_release(found), &values, prometheus.as_ref())))
    }));
    if !checks.is_empty() {
        checks.extend(ingresses(cluster, plan).iter().flat_map(ingress::checks));
    }
    (checks, pods)
}

/// Makes programs, which share the watches of their pods.
struct Maker<'a> {
    cluster: &'a Cluster,
    pods: Rc<Pods>,
}

impl Maker<'_> {
    fn of(&self, workload: &Workload) -> Program {
        self.program(workload.name.to_string(), namespace_of(workload), workload.labels.clone())
    }

    fn of_release(&self, release: &PlannedRelease) -> Program {
        let name = format!("release {} -n {}", release.spec.release, release.namespace);
        self.program(name, release.namespace.clone(), components::labels_of(release))
    }

    fn program(&self, name: String, namespace: String, labels: Labels) -> Program {
        Program { cluster: self.cluster.clone(), pods: Rc::clone(&self.pods), name, namespace, labels }
    }
}

fn namespace_of(workload: &Workload) -> String {
    workload.name.namespace.clone().unwrap_or_default()
}

fn ingresses(cluster: &Cluster, plan: &Plan) -> Vec<Rc<Ingress>> {
    let manifests = plan.manifests().filter(|manifest| manifest.name.is(&object::INGRESS));
    let rules = manifests.flat_map(|manifest| {
        let rules = manifest.object.data["spec"]["rules"].as_array().into_iter().flatten();
        rules.map(move |rule| (&manifest.name, rule))
    });
    let mut hosts = BTreeSet::new();
    rules
        .filter_map(|(name, rule)| {
            let host = rule["host"].as_str().filter(|host| hosts.insert((*host).to_owned()))?;
            Some(Rc::new(Ingress { cluster: cluster.clone(), name: name.clone(), host: host.to_owned() }))
        })
        .collect()
}
