//! Why pods of an object could not be made. Events tell; the condition that a `ReplicaSet` has for it is left as it was first
//! said, and counts only where there are none.

use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::Value;

use super::words::{self, Refusal};
use super::{Reason, pods};
use crate::event::PodReason;
use crate::evidence::{self, Evidence, newest};
use crate::object::{self, Object, ObjectRef};
use crate::status::condition;

/// `None` when there are as many pods as there should be, or nothing is said.
pub(super) fn reason(name: &ObjectRef, live: &Object, evidence: &Evidence) -> Option<Reason> {
    // A Job makes no other in the place of one that has failed, or not at once.
    let counts = |pod: &&Pod| name.is(&object::JOB) || !evidence::has_failed(pod);
    if evidence.pods.iter().filter(counts).count() >= wanted_pods(live) || name.is(&object::POD) {
        return None;
    }
    let maker = evidence.maker.as_ref()?;
    let of = |reason: &str, message: &str| PodReason {
        pod: ObjectRef::of(maker).map(|name| short(&name)).unwrap_or_default(),
        container: None,
        reason: reason.to_owned(),
        message: words::creation(message).to_owned(),
    };
    let failures = || evidence.about(&maker.metadata).filter(|event| is_failure(event));
    if let Some(event) = newest(failures().filter(|event| evidence.is_of_this_run(event))) {
        let message = event.message.as_deref().unwrap_or_default();
        let is_permanent = match words::refusal(message) {
            Refusal::Final => true,
            // What was said before others had gone says nothing of the room that they have made.
            Refusal::Quota => !evidence.pods_are_leaving,
            Refusal::Passing => false,
        };
        return Some(Reason::trouble(of("FailedCreate", message), is_permanent));
    }
    // What was said before this run may be mended, and the condition keeps the first failure of all.
    if let Some(event) = newest(failures()) {
        return Some(Reason::passing(of("FailedCreate", event.message.as_deref().unwrap_or_default())));
    }
    let failure = condition(maker, "ReplicaFailure").filter(|failure| failure.status == "True")?;
    Some(Reason::passing(of(failure.reason, failure.message)))
}

fn is_failure(event: &Event) -> bool {
    event.type_.as_deref() == Some("Warning") && pods::is(event, "FailedCreate")
}

/// How many pods there should be, for the kinds that make pods one by one.
fn wanted_pods(live: &Object) -> usize {
    let number = |pointer: &str| live.data.pointer(pointer).and_then(Value::as_u64);
    let wanted = number("/status/desiredNumberScheduled").or_else(|| number("/spec/replicas")).unwrap_or(1);
    usize::try_from(wanted).unwrap_or(usize::MAX)
}

/// Where there is no pod to name, what should have made it is named.
pub(super) fn short(name: &ObjectRef) -> String {
    format!("{}/{}", name.kind.to_lowercase(), name.name)
}
