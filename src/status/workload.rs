//! What runs pods: Deployment, `StatefulSet`, `DaemonSet`, `ReplicaSet`, Job, Pod.
//!
//! Counts, never the `Available` condition alone: with `maxUnavailable: 1` (k3s's CoreDNS has it) that is True with no pod
//! ready.

use jiff::Timestamp;
use serde_json::Value;

use super::{Assessment, Surroundings, condition, count, text};
use crate::object::{Object, ObjectRef};

pub(super) fn deployment(name: &ObjectRef, object: &Object, around: &Surroundings<'_>) -> Assessment {
    let wanted = replicas(object);
    let Some(missing) = missing_replicas(object, wanted) else { return ready(wanted) };
    let late = condition(object, "Progressing")
        .filter(|progress| progress.is("False") && progress.reason == "ProgressDeadlineExceeded");
    match late {
        Some(progress) if !is_over(progress.updated, object, around) => {
            if around.pulling.contains(name) {
                Assessment::in_progress(format!("{missing}; an image is still being pulled"))
            } else {
                Assessment::failed(format!("{missing}; the progress deadline has passed"))
            }
        }
        _ if object.data.pointer("/spec/paused") == Some(&Value::Bool(true)) => {
            Assessment::in_progress(format!("{missing}; the rollout is paused"))
        }
        _ => Assessment::in_progress(missing),
    }
}

pub(super) fn stateful_set(object: &Object) -> Assessment {
    let wanted = replicas(object);
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let partition = count(object, "/spec/updateStrategy/rollingUpdate/partition");
    // What is ready becomes available after minReadySeconds.
    let missing = fewer(count(object, "/status/readyReplicas"), wanted, "replicas ready")
        .or_else(|| fewer(count(object, "/status/availableReplicas"), wanted, "replicas available"));
    if let Some(missing) = missing {
        return Assessment::in_progress(missing);
    }
    if let Some(surplus) = surplus(count(object, "/status/replicas"), wanted) {
        return Assessment::in_progress(surplus);
    }
    // With OnDelete a person decides when the pods become new ones.
    if !on_delete {
        let to_update = (wanted - partition).max(0);
        if let Some(missing) = fewer(count(object, "/status/updatedReplicas"), to_update, "pods updated") {
            return Assessment::in_progress(missing);
        }
        let (now, update) = (text(object, "/status/currentRevision"), text(object, "/status/updateRevision"));
        if partition == 0 && now != update {
            return Assessment::in_progress(format!("at revision {now}, want {update}"));
        }
    }
    ready(wanted)
}

pub(super) fn daemon_set(object: &Object) -> Assessment {
    let wanted = count(object, "/status/desiredNumberScheduled");
    let on_delete = text(object, "/spec/updateStrategy/type") == "OnDelete";
    let updated = if on_delete { wanted } else { count(object, "/status/updatedNumberScheduled") };
    let missing = fewer(count(object, "/status/currentNumberScheduled"), wanted, "pods scheduled")
        .or_else(|| fewer(count(object, "/status/numberReady"), wanted, "pods ready"))
        .or_else(|| fewer(updated, wanted, "pods updated"))
        .or_else(|| fewer(count(object, "/status/numberAvailable"), wanted, "pods available"));
    match missing {
        Some(missing) => Assessment::in_progress(missing),
        None if wanted == 0 => Assessment::current("matches no node"),
        None => Assessment::current(format!("{wanted} of {wanted} pods ready")),
    }
}

pub(super) fn daemon_set_warnings(object: &Object) -> Vec<String> {
    let observed = object.data.pointer("/status/observedGeneration").is_some();
    if observed && count(object, "/status/desiredNumberScheduled") == 0 {
        vec!["matches no node".to_owned()]
    } else {
        Vec::new()
    }
}

pub(super) fn replica_set(object: &Object) -> Assessment {
    let wanted = replicas(object);
    match fewer(count(object, "/status/readyReplicas"), wanted, "replicas ready")
        .or_else(|| surplus(count(object, "/status/replicas"), wanted))
        .or_else(|| fewer(count(object, "/status/availableReplicas"), wanted, "replicas available"))
    {
        Some(missing) => Assessment::in_progress(missing),
        None => ready(wanted),
    }
}

pub(super) fn job(object: &Object) -> Assessment {
    if let Some(failure) = condition(object, "Failed").filter(|it| it.is("True")) {
        return Assessment::failed(failure.said());
    }
    if condition(object, "Complete").is_some_and(|it| it.is("True")) {
        return Assessment::current("Complete");
    }
    if condition(object, "Suspended").is_some_and(|it| it.is("True")) {
        return Assessment::in_progress("suspended");
    }
    let wanted = object.data.pointer("/spec/completions").and_then(Value::as_i64).unwrap_or(1);
    Assessment::in_progress(format!("{} of {wanted} completions", count(object, "/status/succeeded")))
}

/// How a Job that its time-to-live removes has ended; `None` for any other Job.
pub(super) fn ended_and_expiring(object: &Object) -> Option<Assessment> {
    let ended =
        ["Complete", "Failed"].iter().any(|kind| condition(object, kind).is_some_and(|it| it.is("True")));
    (ended && expires(object)).then(|| job(object))
}

/// Tells whether a Job has a time-to-live.
pub(super) fn expires(object: &Object) -> bool {
    object.data.pointer("/spec/ttlSecondsAfterFinished").is_some_and(Value::is_number)
}

pub(super) fn pod(object: &Object) -> Assessment {
    match text(object, "/status/phase") {
        "Succeeded" => Assessment::current("Succeeded"),
        "Failed" => Assessment::failed(match text(object, "/status/message") {
            "" => "its containers ended with an error",
            message => message,
        }),
        phase => match condition(object, "Ready") {
            Some(it) if it.is("True") => Assessment::current("Ready"),
            Some(it) => Assessment::in_progress(it.said()),
            None => Assessment::in_progress(phase),
        },
    }
}

/// Tells whether a workload wants any pods at all: a Service need not wait for one that does not.
pub(super) fn wants_pods(name: &ObjectRef, object: &Object) -> bool {
    if name.kind == "DaemonSet" {
        count(object, "/status/desiredNumberScheduled") > 0
    } else {
        replicas(object) > 0
    }
}

fn missing_replicas(object: &Object, wanted: i64) -> Option<String> {
    fewer(count(object, "/status/readyReplicas"), wanted, "replicas ready")
        .or_else(|| fewer(count(object, "/status/updatedReplicas"), wanted, "pods updated"))
        .or_else(|| surplus(count(object, "/status/replicas"), wanted))
        .or_else(|| fewer(count(object, "/status/availableReplicas"), wanted, "replicas available"))
}

fn replicas(object: &Object) -> i64 {
    object.data.pointer("/spec/replicas").and_then(Value::as_i64).unwrap_or(1)
}

fn ready(wanted: i64) -> Assessment {
    Assessment::current(format!("{wanted} of {wanted} replicas ready"))
}

fn fewer(have: i64, wanted: i64, what: &str) -> Option<String> {
    (have < wanted).then(|| format!("{have} of {wanted} {what}"))
}

fn surplus(have: i64, wanted: i64) -> Option<String> {
    match have - wanted {
        ..=0 => None,
        1 => Some("1 old pod not yet gone".to_owned()),
        many => Some(format!("{many} old pods not yet gone")),
    }
}

/// A rollout that once missed its deadline keeps that condition until the controller sees progress, also when its manifest is
/// mended, or what its pods lacked: then the condition speaks of the time before. Times have whole seconds, as has the
/// deadline.
fn is_over(condition_updated: &str, object: &Object, around: &Surroundings<'_>) -> bool {
    let entries = object.metadata.managed_fields.iter().flatten();
    let spec_written =
        entries.filter(|entry| entry.subresource.is_none()).filter_map(|entry| entry.time.as_ref()).max();
    let since = spec_written.map(|written| written.0).max(around.began);
    match (condition_updated.parse::<Timestamp>(), since) {
        (Ok(updated), Some(since)) => updated <= since,
        _ => false,
    }
}
