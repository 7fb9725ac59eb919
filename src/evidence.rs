//! What the cluster holds around one object that tells why it waits: its pods, what should make them, their events, volumes
//! and nodes. Knows what belongs to what; judges nothing. Pure.

use std::collections::HashSet;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerStatus, Event, Node, PersistentVolume, PersistentVolumeClaim, Pod, PodCondition, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;

use crate::object::{self, Kind, Object, ObjectRef};
use crate::status::{self, count, text};

pub(crate) use standing::{ORDINARY, Standing};

mod standing;

/// The kinds whose pods, or whose events, tell more than their own status.
const EXPLAINED: [Kind; 7] = [
    object::DEPLOYMENT,
    object::STATEFUL_SET,
    object::DAEMON_SET,
    object::REPLICA_SET,
    object::JOB,
    object::POD,
    object::CLAIM,
];

/// Tells whether there can be evidence around an object of this kind.
pub(crate) fn is_explained(name: &ObjectRef) -> bool {
    EXPLAINED.iter().any(|kind| name.is(kind))
}

/// Tells whether an object of this kind runs something.
pub(crate) fn has_pods(name: &ObjectRef) -> bool {
    is_explained(name) && !name.is(&object::CLAIM)
}

/// Everything that was seen of the kinds in question, in the namespace of the object or without one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sights<'a> {
    pub(crate) pods: Vec<&'a Object>,
    /// The pods of all namespaces: a provisioner has its own elsewhere.
    pub(crate) all_pods: Vec<&'a Object>,
    pub(crate) replica_sets: Vec<&'a Object>,
    pub(crate) events: Vec<&'a Object>,
    pub(crate) claims: Vec<&'a Object>,
    pub(crate) volumes: Vec<&'a Object>,
    pub(crate) nodes: Vec<&'a Object>,
    /// `None` while they are not known.
    pub(crate) storage_classes: Option<Vec<&'a Object>>,
    /// When the run began, if it is one.
    pub(crate) began: Option<Timestamp>,
    /// The events, by uid, that only tell of the time before this run, or before other pods of the namespace had gone.
    pub(crate) bygone: HashSet<String>,
}

/// What of it bears on one object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Evidence {
    /// Its pods that carry its newest template.
    pub(crate) pods: Vec<Pod>,
    /// Its pods of older templates, those on their way out left aside.
    pub(crate) old_pods: Vec<Pod>,
    /// Whether any pod of the namespace is on its way out.
    pub(crate) pods_are_leaving: bool,
    /// What makes its pods: its newest `ReplicaSet`, or the object itself.
    pub(crate) maker: Option<Object>,
    pub(crate) events: Vec<Event>,
    pub(crate) claims: Vec<PersistentVolumeClaim>,
    /// The pods that a provisioner has started to make volumes for these.
    pub(crate) provisioning_pods: Vec<Pod>,
    pub(crate) volumes: Vec<PersistentVolume>,
    pub(crate) nodes: Vec<Node>,
    /// `None` while they are not known.
    pub(crate) storage_classes: Option<Vec<String>>,
    /// When the run began, if it is one.
    pub(crate) began: Option<Timestamp>,
    /// The containers of these pods that wait as they did before this run.
    pub(crate) standing: Standing,
    bygone: HashSet<String>,
}

impl Evidence {
    /// Picks what bears on an object.
    pub(crate) fn of(name: &ObjectRef, live: &Object, seen: &Sights<'_>) -> Self {
        // What a controller has made before it saw the manifest is of an older one.
        let maker = match status::is_observed(name, live) {
            true if name.is(&object::DEPLOYMENT) => newest_replica_set(live, &seen.replica_sets).cloned(),
            true => Some(live.clone()),
            false => None,
        };
        let (pods, old_pods) = pods_of(name, live, maker.as_ref(), seen);
        let (pods, old_pods) = (without_past(pods, seen), without_past(old_pods, seen));
        let subjects = maker.iter().map(|maker| &maker.metadata).chain([&live.metadata]);
        let mut uids: HashSet<&str> = subjects.filter_map(|metadata| metadata.uid.as_deref()).collect();
        let all_pods = pods.iter().chain(&old_pods);
        uids.extend(all_pods.clone().filter_map(|pod| pod.metadata.uid.as_deref()));
        let claimed: HashSet<&str> = all_pods.clone().flat_map(claims_of).collect();
        let is_claimed = |claim: &&Object| {
            claim.metadata.uid == live.metadata.uid
                || claim.metadata.name.as_deref().is_some_and(|name| claimed.contains(name))
        };
        let claims: Vec<_> = seen.claims.iter().copied().filter(is_claimed).collect();
        let claim_uids: Vec<_> = claims.iter().filter_map(|claim| claim.metadata.uid.as_deref()).collect();
        let provisions = |pod: &&Object| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            // local-path and OpenEBS name such a pod by the volume, and Kubernetes names that by the claim.
            claim_uids.iter().any(|uid| name.contains(&format!("pvc-{uid}")))
        };
        uids.extend(&claim_uids);
        let bears = |event: &&Object| {
            event.data["involvedObject"]["uid"].as_str().is_some_and(|uid| uids.contains(uid))
        };
        // There may be many nodes, and each is large.
        let on: HashSet<_> = all_pods.map(node_name).collect();
        let is_of_use = |node: &&Object| on.contains(&None) || on.contains(&node.metadata.name.as_deref());
        let classes = seen.storage_classes.as_ref();
        Self {
            pods_are_leaving: seen.pods.iter().any(|pod| pod.metadata.deletion_timestamp.is_some()),
            events: typed(seen.events.iter().copied().filter(bears)),
            provisioning_pods: typed(seen.all_pods.iter().copied().filter(provisions)),
            claims: typed(claims.iter().copied()),
            volumes: typed(seen.volumes.iter().copied().filter(|_| !claims.is_empty())),
            nodes: typed(seen.nodes.iter().copied().filter(is_of_use)),
            storage_classes: classes
                .map(|classes| classes.iter().filter_map(|class| class.metadata.name.clone()).collect()),
            began: seen.began,
            standing: Standing::default(),
            bygone: seen.bygone.clone(),
            pods,
            old_pods,
            maker,
        }
    }

    /// The events about an object.
    pub(crate) fn about<'a>(&'a self, metadata: &'a ObjectMeta) -> impl Iterator<Item = &'a Event> {
        self.events.iter().filter(|event| metadata.uid.is_some() && event.involved_object.uid == metadata.uid)
    }

    /// The events about a container of a pod.
    pub(crate) fn of_container<'a>(
        &'a self,
        pod: &'a Pod,
        container: &str,
    ) -> impl Iterator<Item = &'a Event> + use<'a> {
        // Such as `spec.containers{grafana}`.
        let ending = format!("{{{container}}}");
        self.about(&pod.metadata).filter(move |event| {
            event.involved_object.field_path.as_deref().is_some_and(|path| path.ends_with(&ending))
        })
    }

    /// Tells whether an event tells of the present, and not only of the time before this run.
    pub(crate) fn is_of_this_run(&self, event: &Event) -> bool {
        !event.metadata.uid.as_ref().is_some_and(|uid| self.bygone.contains(uid))
    }

    /// Tells whether a container's state is of this run: its pod is, or the kubelet has failed with it again since.
    pub(crate) fn was_tried(&self, pod: &Pod, container: &str) -> bool {
        // During a back-off a kubelet repeats with each look that there is one.
        let is_try = |event: &&Event| {
            let message = event.message.as_deref().unwrap_or_default();
            event.reason.as_deref() == Some("Failed") && !message.ends_with("ImagePullBackOff")
        };
        !self.standing.holds(pod, container)
            || self.of_container(pod, container).filter(is_try).any(|event| self.is_of_this_run(event))
    }

    /// The node of a pod, if it has one that is known.
    pub(crate) fn node_of(&self, pod: &Pod) -> Option<&Node> {
        let name = node_name(pod)?;
        self.nodes.iter().find(|node| node.metadata.name.as_deref() == Some(name))
    }
}

/// The containers of a pod, init containers first, as they run.
pub(crate) fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

/// Tells whether a pod was put out, or has ended with an error: what makes pods makes another in its place.
pub(crate) fn has_failed(pod: &Pod) -> bool {
    pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Failed"))
}

/// The names of the claims that a pod mounts.
pub(crate) fn claims_of(pod: &Pod) -> impl Iterator<Item = &str> {
    let volumes = pod.spec.iter().filter_map(|spec| spec.volumes.as_ref()).flatten();
    volumes.filter_map(|volume| Some(volume.persistent_volume_claim.as_ref()?.claim_name.as_str()))
}

fn node_name(pod: &Pod) -> Option<&str> {
    pod.spec.as_ref()?.node_name.as_deref()
}

/// Tells whether a pod is on no node, and nodes or volumes tell why.
pub(crate) fn waits_for_a_node(pod: &Pod) -> bool {
    node_name(pod).is_none()
        && (pod.status.as_ref().and_then(unscheduled).is_some() || claims_of(pod).next().is_some())
}

/// What the scheduler says of a pod that it has put on no node.
pub(crate) fn unscheduled(status: &PodStatus) -> Option<&PodCondition> {
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")
}

/// Tells whether a provisioner has begun to make a volume for a claim.
pub(crate) fn is_being_provisioned(evidence: &Evidence) -> bool {
    let says_so = |event: &Event| {
        matches!(
            event.reason.as_deref(),
            Some("Provisioning" | "ExternalProvisioning" | "ProvisioningFailed")
        )
    };
    evidence.claims.iter().any(|claim| evidence.about(&claim.metadata).any(says_so))
}

/// The event that happened last.
pub(crate) fn newest<'a>(events: impl Iterator<Item = &'a Event>) -> Option<&'a Event> {
    events.max_by_key(|event| last_seen(event))
}

/// When an event happened last: old and new recorders note it in different fields.
pub(crate) fn last_seen(event: &Event) -> Option<Timestamp> {
    let in_series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    in_series.max(last).max(first).or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

/// Tells whether an event happened last before a time.
pub(crate) fn is_older(event: &Object, time: Timestamp) -> bool {
    let event = typed::<Event>([event]).pop();
    event.and_then(|event| last_seen(&event)).is_some_and(|seen| seen < time)
}

/// How often an event happened.
pub(crate) fn times(event: &Event) -> u32 {
    let series = event.series.as_ref().and_then(|series| series.count);
    series.or(event.count).and_then(|count| u32::try_from(count).ok()).unwrap_or(1).max(1)
}

/// The pods that carry the object's newest template, and the others. With no pod of the newest yet, an old one that is
/// stuck is in the way: then the others are all there are.
fn pods_of(
    name: &ObjectRef,
    live: &Object,
    maker: Option<&Object>,
    seen: &Sights<'_>,
) -> (Vec<Pod>, Vec<Pod>) {
    if name.is(&object::POD) {
        return (typed([live]), Vec::new());
    }
    let owner = maker.unwrap_or(live);
    let is_staying =
        |pod: &&Object| is_owned(&pod.metadata, &owner.metadata) && pod.metadata.deletion_timestamp.is_none();
    let all: Vec<_> = seen.pods.iter().copied().filter(is_staying).collect();
    let has_none = name.is(&object::DAEMON_SET) && count(live, "/status/updatedNumberScheduled") == 0;
    if maker.is_none() || has_none {
        return (Vec::new(), typed(all));
    }
    let newest = match text(live, "/status/updateRevision") {
        "" => all
            .iter()
            .max_by_key(|pod| pod.metadata.creation_timestamp.clone())
            .and_then(|pod| revision(&pod.metadata)),
        revision => Some(revision),
    };
    let (new, old): (Vec<_>, Vec<_>) = all.into_iter().partition(|pod| revision(&pod.metadata) == newest);
    (typed(new), typed(old))
}

/// Leaves out the pods that were put out, or ended, before the run, where there are others in their place.
fn without_past(pods: Vec<Pod>, seen: &Sights<'_>) -> Vec<Pod> {
    let is_past = |pod: &Pod| {
        let created = pod.metadata.creation_timestamp.as_ref().map(|created| created.0);
        has_failed(pod) && seen.began.is_some() && created < seen.began
    };
    let (past, present): (Vec<_>, Vec<_>) = pods.into_iter().partition(is_past);
    if present.is_empty() { past } else { present }
}

/// The one of the revision that the Deployment is at: its own watch may be ahead of that of the others.
fn newest_replica_set<'a>(deployment: &Object, sets: &[&'a Object]) -> Option<&'a Object> {
    const REVISION: &str = "deployment.kubernetes.io/revision";
    let revision = |object: &Object| object.metadata.annotations.as_ref()?.get(REVISION).cloned();
    let at = revision(deployment)?;
    let mut owned = sets.iter().copied().filter(|set| is_owned(&set.metadata, &deployment.metadata));
    owned.find(|set| revision(set).as_ref() == Some(&at))
}

fn is_owned(metadata: &ObjectMeta, owner: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|reference| owner.uid.as_ref() == Some(&reference.uid))
}

fn revision(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get("controller-revision-hash").map(String::as_str)
}

fn typed<'a, T: DeserializeOwned>(objects: impl IntoIterator<Item = &'a Object>) -> Vec<T> {
    let values = objects.into_iter().filter_map(|object| serde_json::to_value(object).ok());
    values.filter_map(|value| serde_json::from_value(value).ok()).collect()
}
