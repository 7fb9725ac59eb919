//! Object → status, per kind, as readiness.md's table says. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use crate::object::{self, Object, ObjectRef};

pub use extension::{Served, discovery};
pub use network::must_reach;

mod claim;
mod extension;
mod network;
#[cfg(test)]
mod tests;
mod workload;

/// The status of an object, in kstatus' words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Status {
    /// On its way.
    InProgress,
    /// As its manifest says, and working.
    Current,
    /// Will not get there by itself.
    Failed,
    /// Being deleted.
    Terminating,
    /// Not there.
    NotFound,
    /// Cannot be told.
    Unknown,
}

/// How an object stands, and what is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    /// Its status.
    pub status: Status,
    /// What is missing, or what is reached, such as `0 of 1 replicas ready`; empty where there is nothing to tell.
    pub message: String,
}

impl Assessment {
    fn current(message: impl Into<String>) -> Self {
        Self { status: Status::Current, message: message.into() }
    }

    fn in_progress(message: impl Into<String>) -> Self {
        Self { status: Status::InProgress, message: message.into() }
    }

    fn failed(message: impl Into<String>) -> Self {
        Self { status: Status::Failed, message: message.into() }
    }

    fn terminating(message: impl Into<String>) -> Self {
        Self { status: Status::Terminating, message: message.into() }
    }

    /// That of an object that is not there, by how it was last seen, if it was. A Job whose time-to-live has removed it
    /// counts as it last stood.
    #[must_use]
    pub fn gone(last: Option<&Object>) -> Self {
        let is_job = |object: &&Object| ObjectRef::of(object).is_some_and(|name| name.is(&object::JOB));
        match last.filter(is_job) {
            Some(job) if workload::expires(job) => workload::ended_and_expiring(job)
                .unwrap_or_else(|| Self::failed("removed by its time-to-live before its end was seen")),
            _ => Self { status: Status::NotFound, message: "not there".to_owned() },
        }
    }
}

/// What else in the cluster bears on an object's status. What is not known is `None` or empty; nothing is Current for
/// want of knowledge.
#[derive(Clone, Debug, Default)]
pub struct Surroundings<'a> {
    /// The storage classes, which say whether a claim is bound before a pod uses it.
    pub storage_classes: Option<Vec<&'a Object>>,
    /// The ingress classes.
    pub ingress_classes: Option<Vec<&'a Object>>,
    /// The endpoint slices, those of the Services in question at least.
    pub endpoint_slices: Option<Vec<&'a Object>>,
    /// The objects that are waited for together: a Service among them must reach its workload.
    pub together: Vec<&'a Object>,
    /// What discovery has answered for.
    pub served: BTreeSet<Served>,
    /// Workloads with an image that is still being pulled.
    pub pulling: BTreeSet<ObjectRef>,
    /// When the run began that waits for the object: a rollout that was given up before may go on since.
    pub began: Option<Timestamp>,
}

/// Tells how an object stands.
#[must_use]
pub fn assess(object: &Object, around: &Surroundings<'_>) -> Assessment {
    let Some(name) = ObjectRef::of(object) else {
        return Assessment { status: Status::Unknown, message: "the object has no kind or name".to_owned() };
    };
    // A finished Job that its time-to-live takes away has done its work: deletion does not undo that.
    if name.is(&object::JOB)
        && let Some(ended) = workload::ended_and_expiring(object)
    {
        return ended;
    }
    if object.metadata.deletion_timestamp.is_some() {
        return Assessment::terminating(what_holds_it(object));
    }
    if let Some(stale) = not_yet_observed(&name, object) {
        return stale;
    }
    if name.is(&object::DEPLOYMENT) {
        workload::deployment(&name, object, around)
    } else if name.is(&object::STATEFUL_SET) {
        workload::stateful_set(object)
    } else if name.is(&object::DAEMON_SET) {
        workload::daemon_set(object)
    } else if name.is(&object::REPLICA_SET) {
        workload::replica_set(object)
    } else if name.is(&object::JOB) {
        workload::job(object)
    } else if name.is(&object::POD) {
        workload::pod(object)
    } else if name.is(&object::CLAIM) {
        claim::claim(object, around)
    } else if name.is(&object::CUSTOM_RESOURCE_DEFINITION) {
        extension::definition(object, around)
    } else if name.is(&object::API_SERVICE) {
        extension::api_service(object, around)
    } else if name.is(&object::SERVICE) {
        network::service(object, around)
    } else if name.is(&object::INGRESS) {
        // Its controller may come later, or never: the end of the run warns.
        Assessment::current("")
    } else if name.is(&object::NAMESPACE) {
        namespace(object)
    } else {
        by_conditions(object)
    }
}

/// What the user should know of an object at the end of a run, though it is no reason to fail: fragments that name it.
#[must_use]
pub fn warnings(object: &Object, around: &Surroundings<'_>) -> Vec<String> {
    let Some(name) = ObjectRef::of(object) else { return Vec::new() };
    let found = if name.is(&object::SERVICE) {
        network::service_warnings(object, around)
    } else if name.is(&object::INGRESS) {
        network::ingress_warnings(object, around)
    } else if name.is(&object::DAEMON_SET) {
        workload::daemon_set_warnings(object)
    } else {
        Vec::new()
    };
    found.into_iter().map(|what| format!("{name} {what}")).collect()
}

/// Tells whether an object's status is about the manifest that it has now.
pub(crate) fn is_observed(name: &ObjectRef, object: &Object) -> bool {
    not_yet_observed(name, object).is_none()
}

/// The status is about an older manifest. Controllers of workloads always say which one they saw; of other kinds, those
/// that say it are believed.
fn not_yet_observed(name: &ObjectRef, object: &Object) -> Option<Assessment> {
    const SAY_IT: [object::Kind; 4] =
        [object::DEPLOYMENT, object::STATEFUL_SET, object::DAEMON_SET, object::REPLICA_SET];
    let wanted = object.metadata.generation?;
    let observed = object.data.pointer("/status/observedGeneration").and_then(Value::as_i64);
    let observed = match observed {
        None if SAY_IT.iter().any(|kind| name.is(kind)) => 0,
        observed => observed?,
    };
    (observed != wanted)
        .then(|| Assessment::in_progress(format!("observed generation {observed}, want {wanted}")))
}

/// Says why a deletion takes its time: a namespace knows what is left in it, of others the finalizers tell.
fn what_holds_it(object: &Object) -> String {
    let told: Vec<_> = conditions(object)
        .filter(|condition| condition.kind.starts_with("Namespace") && condition.is("True"))
        .map(|condition| condition.message)
        .collect();
    let finalizers = object.metadata.finalizers.as_deref().unwrap_or_default();
    if !told.is_empty() {
        told.join("; ")
    } else if finalizers.is_empty() {
        "being deleted".to_owned()
    } else {
        format!("being deleted, held by {}", finalizers.join(", "))
    }
}

fn namespace(object: &Object) -> Assessment {
    match text(object, "/status/phase") {
        "Active" => Assessment::current("Active"),
        "" => Assessment::in_progress("no phase yet"),
        phase => Assessment::in_progress(phase),
    }
}

/// The common conventions for conditions; an object without any is as it should be.
fn by_conditions(object: &Object) -> Assessment {
    if let Some(stalled) = condition(object, "Stalled").filter(|stalled| stalled.is("True")) {
        return Assessment::failed(stalled.said());
    }
    if let Some(reconciling) = condition(object, "Reconciling").filter(|it| it.is("True")) {
        return Assessment::in_progress(reconciling.said());
    }
    match condition(object, "Ready").or_else(|| condition(object, "Available")) {
        Some(met) if met.is("True") => Assessment::current(met.kind),
        Some(unmet) => Assessment::in_progress(unmet.said()),
        None => Assessment::current(""),
    }
}

/// One entry of an object's `status.conditions`.
pub(crate) struct Condition<'a> {
    pub(crate) kind: &'a str,
    pub(crate) status: &'a str,
    pub(crate) reason: &'a str,
    pub(crate) message: &'a str,
    pub(crate) updated: &'a str,
}

impl Condition<'_> {
    pub(crate) fn is(&self, status: &str) -> bool {
        self.status == status
    }

    /// The condition in the cluster's words, or what it is about where it has none.
    fn said(&self) -> String {
        match (self.message, self.reason) {
            ("", "") => format!("{} is {}", self.kind, self.status),
            ("", reason) => format!("{} is {}: {reason}", self.kind, self.status),
            (message, _) => message.to_owned(),
        }
    }
}

/// The conditions of an object.
pub(crate) fn conditions(object: &Object) -> impl Iterator<Item = Condition<'_>> {
    let all = object.data.pointer("/status/conditions").and_then(Value::as_array);
    all.into_iter().flatten().map(|condition| {
        let field = |name: &str| condition.get(name).and_then(Value::as_str).unwrap_or_default();
        Condition {
            kind: field("type"),
            status: field("status"),
            reason: field("reason"),
            message: field("message"),
            updated: field("lastUpdateTime"),
        }
    })
}

/// The condition of a kind, if the object has it.
pub(crate) fn condition<'a>(object: &'a Object, kind: &str) -> Option<Condition<'a>> {
    conditions(object).find(|condition| condition.kind == kind)
}

/// A text of the object by JSON pointer; empty when it is not there.
pub(crate) fn text<'a>(object: &'a Object, pointer: &str) -> &'a str {
    object.data.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// A count of the object by JSON pointer. Servers leave out what is zero.
pub(crate) fn count(object: &Object, pointer: &str) -> i64 {
    object.data.pointer(pointer).and_then(Value::as_i64).unwrap_or_default()
}
