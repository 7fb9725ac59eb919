//! The pods of the stack's namespaces as one watch for each brings them, so that no check has to ask for them again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::pin::pin;
use std::sync::Arc;

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::runtime::watcher::Event;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::check::{Trouble, pending};
use crate::cluster::{Cluster, RequestError};
use crate::object::{self, Object, ObjectRef};

/// Labels by which pods are told.
pub(super) type Labels = BTreeMap<String, String>;

/// The pods of some namespaces. Watching ends when it is dropped.
pub(super) struct Pods {
    seen: HashMap<String, Arc<watch::Sender<Seen>>>,
    _watches: JoinSet<()>,
}

/// What one watch has brought.
#[derive(Default)]
struct Seen {
    pods: BTreeMap<String, Pod>,
    listing: BTreeMap<String, Pod>,
    is_whole: bool,
    trouble: Option<Trouble>,
}

impl Pods {
    /// Begins to watch these namespaces.
    pub(super) fn watch(cluster: &Cluster, namespaces: BTreeSet<String>) -> Self {
        let mut watches = JoinSet::new();
        let mut seen = HashMap::new();
        for namespace in namespaces {
            let (shared, _) = watch::channel(Seen::default());
            let shared = Arc::new(shared);
            watches.spawn(follow(cluster.clone(), namespace.clone(), Arc::clone(&shared)));
            seen.insert(namespace, shared);
        }
        Self { seen, _watches: watches }
    }

    /// Waits until there is a list of each namespace, or it is known why there is none.
    pub(super) async fn listed(&self) {
        for shared in self.seen.values() {
            // The sender is held right here.
            let _ = shared.subscribe().wait_for(|seen| seen.is_whole || seen.trouble.is_some()).await;
        }
    }

    /// The pods of a namespace that `wanted` picks.
    pub(super) fn pick(&self, namespace: &str, wanted: impl Fn(&Pod) -> bool) -> Result<Vec<Pod>, Trouble> {
        let unseen = || pending(format!("no list of the pods in {namespace} yet"));
        let seen = self.seen.get(namespace).ok_or_else(unseen)?.borrow();
        if seen.is_whole {
            return Ok(seen.pods.values().filter(|pod| wanted(pod)).cloned().collect());
        }
        Err(seen.trouble.clone().unwrap_or_else(unseen))
    }
}

impl Seen {
    fn record(&mut self, event: Result<Event<Object>, RequestError>) {
        let named = |object: Object| {
            let pod = serde_json::to_value(object).and_then(serde_json::from_value::<Pod>).ok()?;
            Some((pod.metadata.name.clone()?, pod))
        };
        match event {
            Ok(Event::Init) => self.listing.clear(),
            Ok(Event::InitApply(object)) => self.listing.extend(named(object)),
            Ok(Event::InitDone) => {
                self.pods = std::mem::take(&mut self.listing);
                self.is_whole = true;
            }
            Ok(Event::Apply(object)) => self.pods.extend(named(object)),
            Ok(Event::Delete(object)) => {
                self.pods.remove(object.metadata.name.as_deref().unwrap_or_default());
            }
            Err(error) => self.trouble = Some(error.into()),
        }
    }
}

async fn follow(cluster: Cluster, namespace: String, seen: Arc<watch::Sender<Seen>>) {
    let record = |event| seen.send_modify(|seen| seen.record(event));
    match cluster.watch(&object::POD.gvk(), Some(&namespace)).await {
        Err(error) => record(Err(error)),
        Ok(changes) => {
            let mut changes = pin!(changes);
            while let Some(event) = changes.next().await {
                record(event);
            }
        }
    }
}

/// The pod's name, as errors write it.
pub(super) fn name_of(pod: &Pod) -> ObjectRef {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    ObjectRef::new(&object::POD, pod.metadata.namespace.as_deref(), name)
}

/// The node that the pod is on; empty before it is on one.
pub(super) fn node_of(pod: &Pod) -> &str {
    pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default()
}

/// Tells whether the pod is Ready and stays.
pub(super) fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    pod.metadata.deletion_timestamp.is_none()
        && conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// Tells whether the pod has all of these labels.
pub(super) fn has_labels(pod: &Pod, labels: &Labels) -> bool {
    let there = pod.metadata.labels.as_ref();
    labels.iter().all(|(key, value)| there.and_then(|there| there.get(key)) == Some(value))
}

/// The pod's containers.
pub(super) fn containers(pod: &Pod) -> impl Iterator<Item = &Container> {
    pod.spec.iter().flat_map(|spec| &spec.containers)
}

/// Seconds for which a pod's first container has been running.
pub(super) fn running_for(pod: &Pod) -> Option<i64> {
    let state = pod.status.as_ref()?.container_statuses.as_ref()?.first()?.state.as_ref()?;
    let started = state.running.as_ref()?.started_at.as_ref()?;
    Some(Timestamp::now().as_second() - started.0.as_second())
}

/// The port that the pod answers HTTP on: the first that is called so, else the first of all.
pub(super) fn http_port(pod: &Pod) -> Option<u16> {
    let ports = || containers(pod).flat_map(|container| container.ports.iter().flatten());
    let named = ports().find(|port| port.name.as_deref().is_some_and(|name| name.starts_with("http")));
    named.or_else(|| ports().next()).and_then(|port| u16::try_from(port.container_port).ok())
}

/// Why a pod is not ready, in the cluster's words where it has any.
pub(super) fn why_unready(pod: &Pod) -> String {
    let status = pod.status.as_ref();
    if pod.metadata.deletion_timestamp.is_some() {
        return "on its way out".to_owned();
    }
    let containers = status.iter().flat_map(|status| status.container_statuses.iter().flatten());
    for container in containers {
        let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
        if let Some(reason) = waiting.and_then(|waiting| waiting.reason.as_deref()) {
            return reason.to_owned();
        }
    }
    let conditions = status.iter().flat_map(|status| status.conditions.iter().flatten());
    let mut scheduled = conditions.filter(|condition| condition.type_ == "PodScheduled");
    match scheduled.next().and_then(|condition| condition.message.as_deref()) {
        Some(message) => message.to_owned(),
        None => "not ready".to_owned(),
    }
}
