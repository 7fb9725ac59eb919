//! What the pods of an object wait for.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Event, Node, Pod, PodCondition, PodStatus};
use serde_json::Value;

use super::{Circumstances, Crashes, Reason, claim, containers, fit, volumes, words};
use crate::event::PodReason;
use crate::evidence::{self, Evidence, newest, unscheduled, waits_for_a_node};
use crate::object::{self, Object, ObjectRef};
use crate::status::{self, text};

/// What keeps a pod from starting its containers; a pull says so at the container itself.
const PREPARATION: [&str; 4] =
    ["FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox", "FailedBinding"];

/// What a node is in when it puts pods out or starts none.
const PRESSURES: [&str; 3] = ["MemoryPressure", "DiskPressure", "PIDPressure"];

/// A pod that is not ready since its kubelet first spoke of it never was; times have whole seconds.
const AT_ONCE: SignedDuration = SignedDuration::from_secs(2);

/// How long a pod may take to become ready until nobody expects it to any more who brings the next revision.
const LONG_ENOUGH: SignedDuration = SignedDuration::from_mins(1);

/// What the newest pods wait for; the old ones while there are no new ones, for then they are in the way.
pub(super) fn reasons(evidence: &Evidence, crashes: Option<&Crashes>, around: &Circumstances) -> Vec<Reason> {
    let is_stuck = evidence.pods.is_empty();
    let pods = if is_stuck { &evidence.old_pods } else { &evidence.pods };
    let unready = pods.iter().filter(|pod| !is_done(pod));
    let mut reasons: Vec<_> = unready.flat_map(|pod| of_one(pod, evidence, crashes, around)).collect();
    if is_stuck {
        // They are not of the manifest that is waited for.
        for reason in &mut reasons {
            reason.is_permanent = false;
        }
    }
    reasons
}

/// The pod by which a `StatefulSet` is stuck at an older revision, and its uid: it waits for that pod to become ready before it
/// makes the next, and that never happens (kubernetes/kubernetes#67250).
pub(crate) fn stuck(
    name: &ObjectRef,
    live: &Object,
    evidence: &Evidence,
    around: &Circumstances,
) -> Option<(ObjectRef, String)> {
    let partition = live.data.pointer("/spec/updateStrategy/rollingUpdate/partition").and_then(Value::as_i64);
    let is_on_delete = text(live, "/spec/updateStrategy/type") == "OnDelete";
    if !name.is(&object::STATEFUL_SET) || !status::is_observed(name, live) || is_on_delete {
        return None;
    }
    let is_due = |pod: &&Pod| {
        let ordinal = name_of(pod).rsplit('-').next().and_then(|ordinal| ordinal.parse::<i64>().ok());
        ordinal.is_some_and(|ordinal| ordinal >= partition.unwrap_or_default())
    };
    let pod = evidence.old_pods.iter().filter(is_due).find(|pod| {
        is_broken(pod, evidence, around) || evidence.began.is_some_and(|began| was_never_ready(pod, began))
    })?;
    let name = ObjectRef::new(&object::POD, pod.metadata.namespace.as_deref(), &name_of(pod));
    Some((name, pod.metadata.uid.clone()?))
}

/// Tells whether a pod will not become ready as it is.
fn is_broken(pod: &Pod, evidence: &Evidence, around: &Circumstances) -> bool {
    const BROKEN: [&str; 7] = [
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    ];
    !is_done(pod)
        && of_one(pod, evidence, None, around)
            .iter()
            .any(|reason| reason.is_permanent || BROKEN.contains(&reason.what.reason.as_str()))
}

/// Tells whether a pod has not once become ready, though it had time for that before this run.
fn was_never_ready(pod: &Pod, began: Timestamp) -> bool {
    let Some(status) = &pod.status else { return false };
    let unready = status
        .conditions
        .iter()
        .flatten()
        .find(|condition| condition.type_ == "Ready" && condition.status == "False");
    let since = unready.and_then(|unready| unready.last_transition_time.as_ref());
    let (Some(since), Some(started)) = (since, &status.start_time) else { return false };
    since.0.duration_since(started.0) <= AT_ONCE && began.duration_since(started.0) >= LONG_ENOUGH
}

/// The pod as a whole first: one that has no node or no volume has no container to blame.
pub(super) fn of_one(
    pod: &Pod,
    evidence: &Evidence,
    crashes: Option<&Crashes>,
    around: &Circumstances,
) -> Vec<Reason> {
    let Some(status) = &pod.status else { return Vec::new() };
    if let Some(unscheduled) = unscheduled(status) {
        return without_a_node(pod, unscheduled, evidence, around);
    }
    if let Some(reason) = &status.reason {
        let message = status.message.as_deref().unwrap_or_default().trim().to_owned();
        let message = with_node(pod, evidence, message);
        return vec![Reason::passing(of_pod(pod, reason, message))];
    }
    let mut reasons: Vec<_> = evidence::containers(status)
        .filter_map(|container| containers::reason(pod, container, evidence, crashes, around))
        .collect();
    if reasons.is_empty() && waits_for_a_node(pod) {
        // The scheduler has chosen one, and waits for the volumes there.
        reasons = claim::of_pod(pod, evidence, around);
    }
    if reasons.is_empty() {
        reasons.push(hindrance(pod, status, evidence, around));
    }
    reasons
}

/// Why the scheduler has put a pod nowhere. It tells how many nodes there are of each kind, but not which.
fn without_a_node(
    pod: &Pod,
    condition: &PodCondition,
    evidence: &Evidence,
    around: &Circumstances,
) -> Vec<Reason> {
    let never = if around.is_local { fit::why_never(pod, &evidence.nodes) } else { None };
    let reason = condition.reason.as_deref().unwrap_or("Unschedulable");
    let is_permanent = never.is_some();
    let mut message = volumes::whereabouts(pod, evidence);
    message.extend(never);
    message.extend(condition.message.clone());
    let scheduler = Reason::trouble(of_pod(pod, reason, message.join("; ")), is_permanent);
    let claims = claim::of_pod(pod, evidence, around);
    claims.into_iter().chain([scheduler]).collect()
}

/// What an event says that keeps a pod from starting its containers.
fn hindrance(pod: &Pod, status: &PodStatus, evidence: &Evidence, around: &Circumstances) -> Reason {
    let hindered = newest(
        evidence
            .about(&pod.metadata)
            .filter(|event| event.reason.as_deref().is_some_and(|reason| PREPARATION.contains(&reason))),
    );
    let Some(event) = hindered else {
        let phase = status.phase.as_deref().unwrap_or("Pending");
        let message = with_node(pod, evidence, String::new());
        let what = of_pod(pod, phase, message);
        return if what.message.is_empty() { Reason::ordinary(what) } else { Reason::passing(what) };
    };
    let message = event.message.clone().unwrap_or_default();
    let is_missing = words::missing(&message).is_some_and(|mut missing| {
        missing.name = missing.name.or_else(|| volumes::source(pod, words::volume(&message)?));
        !containers::comes_yet(&missing, pod, around)
    });
    let is_permanent = is_missing && evidence.is_of_this_run(event);
    Reason::trouble(of_pod(pod, event.reason.as_deref().unwrap_or_default(), message), is_permanent)
}

/// Adds what is wrong with the pod's node, if that is known.
fn with_node(pod: &Pod, evidence: &Evidence, message: String) -> String {
    let ill = evidence.node_of(pod).and_then(|node| Some((node.metadata.name.as_ref()?, illness(node)?)));
    match ill {
        Some((node, illness)) if message.is_empty() => format!("node {node} {illness}"),
        Some((node, illness)) => format!("{message}; node {node} {illness}"),
        None => message,
    }
}

/// What a node has that keeps pods from running there.
fn illness(node: &Node) -> Option<String> {
    let conditions = node.status.as_ref()?.conditions.as_ref()?;
    let mut pressures =
        conditions.iter().filter(|it| PRESSURES.contains(&it.type_.as_str()) && it.status == "True");
    if let Some(pressure) = pressures.next() {
        return Some(format!("is under {}", pressure.type_));
    }
    let ready = conditions.iter().find(|it| it.type_ == "Ready").filter(|it| it.status != "True")?;
    Some(format!("is not ready: {}", ready.message.as_deref().unwrap_or_default()))
}

/// Ready, or ended well.
fn is_done(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let mut conditions = status.conditions.iter().flatten();
    status.phase.as_deref() == Some("Succeeded")
        || conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

pub(super) fn is(event: &Event, reason: &str) -> bool {
    event.reason.as_deref() == Some(reason)
}

fn of_pod(pod: &Pod, reason: &str, message: String) -> PodReason {
    PodReason { pod: name_of(pod), container: None, reason: reason.to_owned(), message }
}

pub(super) fn name_of(pod: &Pod) -> String {
    pod.metadata.name.clone().unwrap_or_default()
}
