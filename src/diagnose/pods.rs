//! What the pods of an object wait for, told from pods, replica sets and events as they were found. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod, PodStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;

use super::Findings;
use crate::event::PodReason;
use crate::object::{self, Object, ObjectRef};

/// How many reasons are enough: with more, many pods fail alike.
const MOST: usize = 10;

/// What a container waits for while nothing is wrong with it.
const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What keeps a pod from starting its containers; a pull says so at the container itself.
const PREPARATION: [&str; 4] =
    ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedBinding"];

/// Why an object is not ready: what could not be made for it, then what its newest pods wait for.
pub(super) fn reasons(name: &ObjectRef, live: &Object, found: &Findings) -> Vec<PodReason> {
    let mut reasons = Vec::new();
    if name.is(&object::CLAIM) {
        reasons.extend(refusal(name, &live.metadata, "ProvisioningFailed", found));
    } else {
        let pods = newest_pods(name, live, found);
        if pods.len() < wanted_pods(live) {
            reasons.extend(not_made(name, live, found));
        }
        let unready = pods.into_iter().filter(|pod| !is_done(pod));
        reasons.extend(unready.flat_map(|pod| pod_reasons(pod, &found.events)));
    }
    reasons.truncate(MOST);
    reasons
}

/// Tells whether any of the newest pods still pulls an image.
pub(super) fn is_pulling(live: &Object, found: &Findings) -> bool {
    let Some(name) = ObjectRef::of(live) else { return false };
    newest_pods(&name, live, found).into_iter().any(|pod| {
        let Some(status) = &pod.status else { return false };
        containers(status).any(|container| pull_of(pod, container, &found.events).is_some())
    })
}

/// The pods that carry the object's newest template; all of its pods when there is none yet, for an old one that is stuck
/// is then in the way.
fn newest_pods<'a>(name: &ObjectRef, live: &Object, found: &'a Findings) -> Vec<&'a Pod> {
    if name.is(&object::DEPLOYMENT) {
        return newest_replica_set(live, found).map_or_else(Vec::new, |set| owned(&set.metadata, found));
    }
    if name.is(&object::POD) {
        let is_it = |pod: &&Pod| pod.metadata.name == live.metadata.name;
        return found.pods.iter().filter(is_it).collect();
    }
    let all = owned(&live.metadata, found);
    let newest = match text(live, "/status/updateRevision") {
        "" => {
            all.iter().max_by_key(|pod| pod.metadata.creation_timestamp.clone()).and_then(|pod| revision(pod))
        }
        revision => Some(revision),
    };
    let of_newest: Vec<_> = all.iter().copied().filter(|pod| revision(pod) == newest).collect();
    if of_newest.is_empty() { all } else { of_newest }
}

fn newest_replica_set<'a>(deployment: &Object, found: &'a Findings) -> Option<&'a Object> {
    let revision = |set: &&Object| {
        let annotations = set.metadata.annotations.as_ref();
        annotations
            .and_then(|all| all.get("deployment.kubernetes.io/revision"))
            .and_then(|revision| revision.parse::<u64>().ok())
    };
    let sets = found.replica_sets.iter();
    sets.filter(|set| is_owned(&set.metadata, &deployment.metadata)).max_by_key(revision)
}

fn owned<'a>(owner: &ObjectMeta, found: &'a Findings) -> Vec<&'a Pod> {
    let leaving = |pod: &&Pod| pod.metadata.deletion_timestamp.is_some();
    found.pods.iter().filter(|pod| is_owned(&pod.metadata, owner) && !leaving(pod)).collect()
}

fn is_owned(metadata: &ObjectMeta, owner: &ObjectMeta) -> bool {
    let mut owners = metadata.owner_references.iter().flatten();
    owners.any(|reference| owner.uid.as_ref() == Some(&reference.uid))
}

fn revision(pod: &Pod) -> Option<&str> {
    let labels = pod.metadata.labels.as_ref()?;
    labels.get("controller-revision-hash").map(String::as_str)
}

/// How many pods there should be, for the kinds that make pods one by one.
fn wanted_pods(live: &Object) -> usize {
    let number = |pointer: &str| live.data.pointer(pointer).and_then(Value::as_u64);
    let wanted = number("/status/desiredNumberScheduled").or_else(|| number("/spec/replicas")).unwrap_or(1);
    usize::try_from(wanted).unwrap_or(usize::MAX)
}

/// Why pods could not be made: a ReplicaSet has a condition for it, of others only events tell.
fn not_made(name: &ObjectRef, live: &Object, found: &Findings) -> Option<PodReason> {
    let set = if name.is(&object::DEPLOYMENT) { newest_replica_set(live, found)? } else { live };
    let name = ObjectRef::of(set)?;
    let conditions = set.data.pointer("/status/conditions").and_then(Value::as_array);
    let failure = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "ReplicaFailure" && condition["status"] == "True");
    match failure {
        Some(failure) => Some(PodReason {
            pod: short(&name),
            container: None,
            reason: failure["reason"].as_str().unwrap_or("FailedCreate").to_owned(),
            message: failure["message"].as_str().unwrap_or_default().to_owned(),
        }),
        None => refusal(&name, &set.metadata, "FailedCreate", found),
    }
}

/// What the last Warning event with this reason says about an object that is no pod.
fn refusal(name: &ObjectRef, metadata: &ObjectMeta, reason: &str, found: &Findings) -> Option<PodReason> {
    let event = newest(about(metadata, &found.events).filter(|event| {
        event.type_.as_deref() == Some("Warning") && event.reason.as_deref() == Some(reason)
    }))?;
    Some(PodReason {
        pod: short(name),
        container: None,
        reason: reason.to_owned(),
        message: event.message.clone().unwrap_or_default(),
    })
}

/// Where there is no pod to name, what should have made it is named.
fn short(name: &ObjectRef) -> String {
    format!("{}/{}", name.kind.to_lowercase(), name.name)
}

/// Ready, or ended well.
fn is_done(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    status.phase.as_deref() == Some("Succeeded")
        || status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The pod as a whole first: one that has no node or no volume has no container to blame.
fn pod_reasons(pod: &Pod, events: &[Event]) -> Vec<PodReason> {
    let Some(status) = &pod.status else { return Vec::new() };
    let unscheduled = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(unscheduled) = unscheduled {
        let reason = unscheduled.reason.as_deref().unwrap_or("Unschedulable");
        return vec![of_pod(pod, reason, unscheduled.message.as_deref())];
    }
    if let Some(reason) = &status.reason {
        return vec![of_pod(pod, reason, status.message.as_deref())];
    }
    let mut reasons: Vec<_> =
        containers(status).filter_map(|container| container_reason(pod, container, events)).collect();
    if reasons.is_empty() {
        let hindered = newest(
            about(&pod.metadata, events)
                .filter(|event| event.reason.as_deref().is_some_and(|reason| PREPARATION.contains(&reason))),
        );
        reasons.push(match hindered {
            Some(event) => of_pod(pod, event.reason.as_deref().unwrap_or_default(), event.message.as_deref()),
            None => of_pod(pod, status.phase.as_deref().unwrap_or("Pending"), None),
        });
    }
    reasons
}

/// Init containers first, as they run.
fn containers(status: &PodStatus) -> impl Iterator<Item = &ContainerStatus> {
    let init = status.init_container_statuses.iter().flatten();
    init.chain(status.container_statuses.iter().flatten())
}

/// `None` for a container that is as it should be, or has only to wait for its turn.
fn container_reason(pod: &Pod, container: &ContainerStatus, events: &[Event]) -> Option<PodReason> {
    let state = container.state.as_ref()?;
    let (reason, message) = if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        if ORDINARY.contains(&reason) {
            let pull = pull_of(pod, container, events)?;
            ("Pulling".to_owned(), pull.message.clone().unwrap_or_default())
        } else {
            (reason.to_owned(), with_last_exit(waiting.message.as_deref().unwrap_or_default(), container))
        }
    } else if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
        (ended.reason.clone().unwrap_or_else(|| "Error".to_owned()), format!("exit code {}", ended.exit_code))
    } else if state.running.is_some() && !container.ready {
        match newest(of_container(pod, container, events).filter(|event| is(event, "Unhealthy"))) {
            Some(probe) => ("Unhealthy".to_owned(), probe.message.clone().unwrap_or_default()),
            None => ("NotReady".to_owned(), "running, but not ready".to_owned()),
        }
    } else {
        return None;
    };
    Some(PodReason { pod: name_of(pod), container: Some(container.name.clone()), reason, message })
}

/// A container that is started again and again tells by its last end why.
fn with_last_exit(message: &str, container: &ContainerStatus) -> String {
    let Some(ended) = container.last_state.as_ref().and_then(|state| state.terminated.as_ref()) else {
        return message.to_owned();
    };
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let last = format!("last exit code {} ({reason})", ended.exit_code);
    if message.is_empty() { last } else { format!("{message}; {last}") }
}

/// The pull of a container's image that has begun and not ended.
fn pull_of<'a>(pod: &'a Pod, container: &'a ContainerStatus, events: &'a [Event]) -> Option<&'a Event> {
    let waits_for_it = container
        .state
        .as_ref()
        .and_then(|state| state.waiting.as_ref())
        .is_some_and(|waiting| waiting.reason.as_deref().is_none_or(|reason| ORDINARY.contains(&reason)));
    let of_pulls = of_container(pod, container, events)
        .filter(|event| ["Pulling", "Pulled", "Failed"].iter().any(|reason| is(event, reason)));
    newest(of_pulls).filter(|event| waits_for_it && is(event, "Pulling"))
}

fn is(event: &Event, reason: &str) -> bool {
    event.reason.as_deref() == Some(reason)
}

fn about<'a>(metadata: &'a ObjectMeta, events: &'a [Event]) -> impl Iterator<Item = &'a Event> {
    events.iter().filter(|event| metadata.uid.is_some() && event.involved_object.uid == metadata.uid)
}

fn of_container<'a>(
    pod: &'a Pod,
    container: &'a ContainerStatus,
    events: &'a [Event],
) -> impl Iterator<Item = &'a Event> {
    // Such as `spec.containers{grafana}`.
    let ending = format!("{{{}}}", container.name);
    about(&pod.metadata, events).filter(move |event| {
        event.involved_object.field_path.as_deref().is_some_and(|path| path.ends_with(&ending))
    })
}

fn newest<'a>(events: impl Iterator<Item = &'a Event>) -> Option<&'a Event> {
    events.max_by_key(|event| last_seen(event))
}

/// When an event happened last: old and new recorders note it in different fields.
fn last_seen(event: &Event) -> Option<Timestamp> {
    let in_series =
        event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    in_series.max(last).max(first).or(event.metadata.creation_timestamp.as_ref().map(|time| time.0))
}

fn of_pod(pod: &Pod, reason: &str, message: Option<&str>) -> PodReason {
    PodReason {
        pod: name_of(pod),
        container: None,
        reason: reason.to_owned(),
        message: message.unwrap_or_default().to_owned(),
    }
}

fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}

fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
