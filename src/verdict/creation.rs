//! Why pods of an object could not be made: a `ReplicaSet` has a condition for it, of others only events tell.

use k8s_openapi::api::core::v1::Event;
use serde_json::Value;

use super::words::{self, Refusal};
use super::{Reason, pods};
use crate::event::PodReason;
use crate::evidence::{Evidence, newest};
use crate::object::{self, Object, ObjectRef};
use crate::status::condition;

/// `None` when there are as many pods as there should be, or nothing is said.
pub(super) fn reason(name: &ObjectRef, live: &Object, evidence: &Evidence) -> Option<Reason> {
    if evidence.pods.len() >= wanted_pods(live) || name.is(&object::POD) {
        return None;
    }
    let maker = evidence.maker.as_ref()?;
    let maker_name = ObjectRef::of(maker)?;
    let failure = condition(maker, "ReplicaFailure").filter(|failure| failure.status == "True");
    let (reason, message, is_of_this_run) = if let Some(failure) = failure {
        (failure.reason.to_owned(), failure.message.to_owned(), true)
    } else {
        let event = newest(evidence.about(&maker.metadata).filter(|event| is_failure(event)))?;
        let message = event.message.clone().unwrap_or_default();
        ("FailedCreate".to_owned(), message, evidence.is_of_this_run(event))
    };
    let is_final = match words::refusal(&message) {
        Refusal::Final => true,
        // What was said before others had gone says nothing of the room that they have made.
        Refusal::Quota => {
            let mut said = evidence.about(&maker.metadata).filter(|event| is_failure(event));
            !evidence.pods_are_leaving && said.any(|event| evidence.is_of_this_run(event))
        }
        Refusal::Passing => false,
    };
    let what = PodReason { pod: short(&maker_name), container: None, reason, message };
    Some(Reason::trouble(what, is_final && is_of_this_run))
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
