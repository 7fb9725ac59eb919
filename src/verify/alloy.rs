//! Alloy: that it may do what its configuration makes it do, runs once on every node, shares none with a second agent, and
//! delivers.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use k8s_openapi::api::core::v1::Pod;
use tokio::sync::OnceCell;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::components::Workload;
use super::counters::Counters;
use super::program::{Program, UP};
use super::prometheus::{self, Prometheus, Sample};
use super::{loki, pods};
use crate::object::{self, Object, ObjectRef};

pub(super) mod delivery;

const RIGHTS: Name = name("rights");
const READY: Name = name("ready");
/// No node is read by two agents.
pub(super) const ALONE: Name = name("alone");
/// What it reads of the nodes arrives in Prometheus.
pub(super) const REMOTE_WRITE: Name = name("remote-write");
/// The logs that it reads arrive in Loki.
pub(super) const LOG_PUSH: Name = name("log-push");

const fn name(id: &'static str) -> Name {
    Name { category: "alloy", id }
}

/// What its configuration has in it, and which rights that takes: verbs and the resource.
const RIGHTS_FOR: [(&str, &[&str], &str); 4] = [
    (r#"role = "pod""#, &["get", "list", "watch"], "pods"),
    (r#"role = "node""#, &["get", "list", "watch"], "nodes"),
    ("loki.source.kubernetes", &["get", "list", "watch"], "pods/log"),
    ("/metrics/cadvisor", &["get"], "nodes/metrics"),
];

/// The job under which it sends what it reads of its node.
pub(super) const HOST_JOB: &str = "integrations/unix";

/// Shows which agents there are.
const AGENTS: &str = "kubectl get daemonsets,pods --all-namespaces -o wide";

/// Alloy as the stack wants it.
pub(super) struct Alloy {
    pub(super) program: Program,
    workload: ObjectRef,
    account: String,
    /// The cluster roles that the stack gives the account.
    roles: Vec<String>,
    /// The container, for its log.
    container: String,
    /// Its configuration, one blank between words.
    config: String,
    pub(super) prometheus: Option<Rc<Prometheus>>,
    counters: Counters,
    picks_nodes: bool,
    /// The nodes that are to have an agent, as they were when first asked for.
    nodes: OnceCell<BTreeSet<String>>,
}

/// The checks of this category.
pub(super) fn checks(alloy: &Rc<Alloy>, has_loki: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    if !alloy.rights().is_empty() {
        checks.push(Check::new(RIGHTS, alloy, Alloy::has_rights));
    }
    checks.push(Check::new(READY, alloy, Alloy::is_ready).hint(AGENTS));
    // Before the others: what a second agent sends is refused, and so not delivered.
    if alloy.prometheus.is_some() && alloy.reads_host() {
        checks.push(Check::new(ALONE, alloy, Alloy::is_alone).needs([prometheus::READY, READY]).hint(AGENTS));
    }
    if alloy.prometheus.is_some() {
        let needs = [prometheus::READY, prometheus::WRITES, RIGHTS, READY];
        checks.push(Check::new(REMOTE_WRITE, alloy, Alloy::writes_metrics).needs(needs));
    }
    if has_loki {
        let needs = [loki::READY, loki::WRITES, RIGHTS, READY];
        checks.push(Check::new(LOG_PUSH, alloy, Alloy::pushes_logs).needs(needs));
    }
    checks
}

impl Subject for Alloy {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl Alloy {
    pub(super) fn new(
        program: Program,
        workload: &Workload,
        roles: Vec<String>,
        prometheus: Option<&Rc<Prometheus>>,
    ) -> Self {
        let texts: Vec<_> = workload.files().flat_map(|(_, text)| text.split_whitespace()).collect();
        Self {
            program,
            workload: workload.name.clone(),
            account: workload.account.clone(),
            roles,
            container: workload.container().to_owned(),
            config: texts.join(" "),
            prometheus: prometheus.cloned(),
            counters: Counters::default(),
            picks_nodes: workload.picks_nodes,
            nodes: OnceCell::new(),
        }
    }

    /// Tells whether it reads its node's CPU, memory and the like.
    pub(super) fn reads_host(&self) -> bool {
        self.config.contains("prometheus.exporter.unix")
    }

    /// The job under which it sends what the kubelet says of containers, if it does.
    pub(super) fn cadvisor_job(&self) -> Option<&str> {
        self.config.contains("/metrics/cadvisor").then(|| {
            let jobs = self.config.split(r#"job_name = ""#).skip(1).filter_map(|rest| rest.split('"').next());
            jobs.into_iter()
                .find(|job| job.contains("cadvisor"))
                .unwrap_or("integrations/kubernetes/cadvisor")
        })
    }

    /// How many samples of one series it sends in a minute.
    fn samples_a_minute(&self) -> f64 {
        let interval =
            self.config.split(r#"scrape_interval = ""#).nth(1).and_then(|rest| rest.split('"').next());
        let interval = interval.and_then(|text| humantime::parse_duration(text).ok());
        // Without one it is Alloy's default, once a minute.
        interval.map_or(1.0, |interval| 60.0 / interval.as_secs_f64())
    }

    fn rights(&self) -> Vec<(&'static str, &'static str)> {
        let wanted = RIGHTS_FOR.iter().filter(|(mark, ..)| self.config.contains(mark));
        wanted.flat_map(|(_, verbs, resource)| verbs.iter().map(move |verb| (*verb, *resource))).collect()
    }

    async fn has_rights(&self) -> Verdict {
        let mut missing = Vec::new();
        for (verb, resource) in self.rights() {
            let cluster = &self.program.cluster;
            if !cluster.may(&self.program.namespace, &self.account, verb, resource).await? {
                missing.push(format!("{verb} {resource}"));
            }
        }
        let account = &self.account;
        if missing.is_empty() {
            return Ok(format!("serviceaccount/{account} may read pods, logs and nodes as configured"));
        }
        let roles: Vec<_> =
            self.roles.iter().map(|role| format!("; see clusterrole/{role} and its binding")).collect();
        let message = format!("serviceaccount/{account} may not {}{}", missing.join(", "), roles.concat());
        Err(failed(message).hint(UP))
    }

    async fn is_ready(&self) -> Verdict {
        let Some(set) = self.program.cluster.get(&self.workload).await? else {
            return Err(failed(format!("{} is not there", self.workload)).hint(UP));
        };
        let desired = set.data["status"]["desiredNumberScheduled"].as_u64().unwrap_or_default();
        runs_on_every_node(&self.program.name, desired, self.nodes().await?, &self.program.all()?)
    }

    /// The nodes that are to have an agent: all of the cluster, unless the stack picks some. Those that have one where the
    /// nodes may not be listed.
    pub(super) async fn nodes(&self) -> Result<&BTreeSet<String>, Trouble> {
        let ask = || async {
            let have_one =
                || Ok(self.program.all()?.iter().map(|pod| pods::node_of(pod).to_owned()).collect());
            if self.picks_nodes {
                return have_one();
            }
            match self.program.cluster.list_cached(&object::NODE.gvk(), None, None).await {
                Ok(nodes) => Ok(nodes
                    .iter()
                    .filter(|node| lets_agents_stay(node))
                    .filter_map(|node| node.metadata.name.clone())
                    .collect()),
                Err(error) if error.forbidden().is_some() => have_one(),
                Err(error) => Err(error.into()),
            }
        };
        self.nodes.get_or_try_init(ask).await
    }

    async fn is_alone(&self) -> Verdict {
        let Some(prometheus) = &self.prometheus else { return Ok("nothing is sent".to_owned()) };
        let agents = self.program.pods.pick(&self.program.namespace, |pod| {
            let account = pod.spec.as_ref().and_then(|spec| spec.service_account_name.as_ref());
            account == Some(&self.account) && pods::is_ready(pod)
        })?;
        share_no_node(&agents)?;
        let query = format!("sum by (node, instance) (count_over_time(up{{job=\"{HOST_JOB}\"}}[1m]))");
        let minute = by_node(&prometheus.query(&query).await?);
        let query = format!("min by (node, instance) (time() - timestamp(up{{job=\"{HOST_JOB}\"}}))");
        let ages = by_node(&prometheus.query(&query).await?);
        let samples = minute.into_iter().map(|(node, in_minute)| {
            let age = ages.get(&node).copied().unwrap_or(f64::INFINITY);
            (node, Samples { in_minute, age })
        });
        let samples = samples.collect();
        read_once(self.nodes().await?, &samples, self.samples_a_minute())
    }
}

/// One value a node, summed; a series that names no node names it as its instance.
pub(super) fn by_node(samples: &[Sample]) -> BTreeMap<String, f64> {
    let mut nodes = BTreeMap::new();
    for sample in samples {
        let node = [sample.label("node"), sample.label("instance")].into_iter().find(|name| !name.is_empty());
        *nodes.entry(node.unwrap_or_default().to_owned()).or_default() += sample.value;
    }
    nodes
}

/// Tells whether a node does not drive agents away, by a taint that is not one of Kubernetes' own for its troubles.
fn lets_agents_stay(node: &Object) -> bool {
    let taints = node.data["spec"]["taints"].as_array().into_iter().flatten();
    let mut foreign = taints.filter(|taint| {
        taint["effect"] == "NoExecute"
            && !taint["key"].as_str().is_some_and(|key| key.starts_with("node.kubernetes.io/"))
    });
    foreign.next().is_none()
}

/// Passes when each node that is to have an agent has one ready one.
fn runs_on_every_node(name: &str, desired: u64, wanted: &BTreeSet<String>, pods: &[Pod]) -> Verdict {
    let mut nodes: BTreeMap<&str, (u64, Option<String>)> = BTreeMap::new();
    for pod in pods {
        let (ready, why) = nodes.entry(pods::node_of(pod)).or_default();
        if pods::is_ready(pod) {
            *ready += 1;
        } else {
            *why = Some(format!("{}: {}", pods::name_of(pod), pods::why_unready(pod)));
        }
    }
    for (node, (ready, why)) in &nodes {
        match (ready, why) {
            (1, _) => {}
            (0, why) => {
                let why = why.clone().unwrap_or_default();
                return Err(pending(format!("{name} has no ready pod on node {node}: {why}")).hint(UP));
            }
            (ready, _) => return Err(pending(format!("{name} has {ready} ready pods on node {node}"))),
        }
    }
    if desired == 0 {
        return Err(failed(format!("{name} matches no node")).hint(UP));
    }
    if let Some(node) = wanted.iter().find(|node| !nodes.contains_key(node.as_str())) {
        return Err(pending(format!("{name} has no pod on node {node}")).hint(UP));
    }
    let there = nodes.len() as u64;
    if there < desired {
        return Err(pending(format!("{name} has pods on {there} of {desired} nodes")).hint(UP));
    }
    let one = if there == 1 { "the one node" } else { &format!("each of {there} nodes") };
    Ok(format!("one ready pod on {one}"))
}

/// What Prometheus has of one node.
#[derive(Clone, Copy, Debug)]
struct Samples {
    /// How many there are of the last minute.
    in_minute: f64,
    /// How old the newest is, in seconds.
    age: f64,
}

/// Passes when no two of these agents are on one node. On its host network they may well read at the same moments, and then
/// what one of them sends is refused as a duplicate instead of being counted.
fn share_no_node(agents: &[Pod]) -> Result<(), Trouble> {
    let mut nodes = BTreeMap::new();
    for agent in agents {
        if let Some(other) = nodes.insert(pods::node_of(agent), agent) {
            let (node, one, two) = (pods::node_of(agent), pods::name_of(other), pods::name_of(agent));
            let message = format!("node {node} is read by more than one agent: {one} and {two}");
            return Err(failed(message).hint(AGENTS));
        }
    }
    Ok(())
}

/// Passes when what each node sends in a minute is no more than what one agent sends.
fn read_once(nodes: &BTreeSet<String>, samples: &BTreeMap<String, Samples>, expected: f64) -> Verdict {
    for (node, found) in samples.iter().filter(|(node, _)| nodes.contains(*node)) {
        let in_minute = found.in_minute;
        if in_minute > expected * 1.5 {
            // A pod that was replaced within the last minute has the same effect, for a minute.
            let message = format!(
                "node {node} is read by more than one agent: {in_minute} samples a minute where {expected} are expected"
            );
            return Err(pending(message).hint(AGENTS));
        }
        // Where nothing arrives any more, whether it should is another check's to tell.
        let arrives = found.age < 2.0 * 60.0 / expected;
        if arrives && in_minute < expected - 1.0 {
            return Err(pending(format!("node {node} has not sent a whole minute of samples yet")));
        }
    }
    Ok(format!("no more than {expected} samples a minute from each node, as one agent sends them"))
}

#[cfg(test)]
mod tests;
