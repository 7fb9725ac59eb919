//! What a failure shows of an object that was not ready: the words of the cluster, in the order of what tells most.

use std::fmt;

use serde::Serialize;

use crate::object::{self, ObjectRef};
use crate::status::Status;

/// What a failure shows of an object that was not ready when the waiting ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// The object.
    pub object: ObjectRef,
    /// Where it is written, such as `loki/statefulset.yaml:1`; `None` for what a release brings.
    pub source: Option<String>,
    /// Its status.
    pub status: Status,
    /// What is missing, in the cluster's words.
    pub message: String,
    /// Whether more time would have helped.
    pub verdict: Verdict,
    /// Why its pods wait; what dooms it comes first.
    pub pods: Vec<PodReason>,
    /// The end of the log that tells most.
    pub log: Option<LogExcerpt>,
    /// The Warning events that bear on it, oldest first.
    pub warnings: Vec<WarningEvent>,
    /// One thing that can be run.
    pub hint: Option<String>,
}

impl Diagnosis {
    /// One of which no more is known than how it stands.
    #[must_use]
    pub fn new(object: ObjectRef, status: Status, message: String) -> Self {
        let verdict = if status == Status::Failed { Verdict::Doomed } else { Verdict::OutOfTime };
        Self {
            object,
            source: None,
            status,
            message,
            verdict,
            pods: Vec::new(),
            log: None,
            warnings: Vec::new(),
            hint: None,
        }
    }

    /// Why it is not ready, in one sentence: what its first pod waits for, else what is missing.
    #[must_use]
    pub fn reason(&self) -> String {
        self.pods.first().map_or_else(|| self.message.clone(), ToString::to_string)
    }
}

/// Orders what was found out about the objects of a step: what cannot become ready first, then what gives a reason; last a
/// Service, which waits for the others.
pub fn sort_by_evidence(diagnoses: &mut [Diagnosis]) {
    diagnoses.sort_by_key(|one| {
        let waits_for_others = one.object.is(&object::SERVICE);
        (one.verdict != Verdict::Doomed, one.pods.is_empty(), one.warnings.is_empty(), waits_for_others)
    });
}

/// Whether more time would have helped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It cannot become ready by itself.
    Doomed,
    /// It may have become ready yet.
    OutOfTime,
}

/// The last lines of a container's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogExcerpt {
    /// The pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Whether they are of the container that ran before, which crashed.
    pub previous: bool,
    /// The lines, oldest first; 20 at most.
    pub lines: Vec<String>,
}

/// A Warning event of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WarningEvent {
    /// What it is about, such as `pod/loki-0`.
    pub about: String,
    /// The cluster's word for it.
    pub reason: String,
    /// The cluster's sentence about it.
    pub message: String,
    /// How often it happened.
    pub count: u32,
}

/// Why a pod, or one of its containers, is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PodReason {
    /// The pod; where there is none, what stands in its way, with its kind: `replicaset/web-7d9f8c`.
    pub pod: String,
    /// The container; `None` where it is the pod as a whole (not scheduled, say).
    pub container: Option<String>,
    /// The cluster's word for it, such as `ImagePullBackOff` or `Unschedulable`.
    pub reason: String,
    /// The cluster's sentence about it; may be empty.
    pub message: String,
}

impl PodReason {
    /// What it is about: `pod/loki-0`.
    #[must_use]
    pub fn about(&self) -> String {
        if self.pod.contains('/') { self.pod.clone() } else { format!("pod/{}", self.pod) }
    }
}

impl fmt::Display for PodReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.about())?;
        if let Some(container) = &self.container {
            write!(f, ", container {container}")?;
        }
        write!(f, ": {}", self.reason)?;
        if self.message.is_empty() { Ok(()) } else { write!(f, ": {}", self.message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_become_ready_comes_first_then_what_gives_a_reason() {
        let plain = |name| {
            let object = ObjectRef::new(&object::DEPLOYMENT, Some("n"), name);
            Diagnosis::new(object, Status::InProgress, "0 of 1 replicas ready".to_owned())
        };
        let reason = PodReason {
            pod: "p".to_owned(),
            container: Some("c".to_owned()),
            reason: "ErrImagePull".to_owned(),
            message: String::new(),
        };
        let service = ObjectRef::new(&object::SERVICE, Some("n"), "service");
        let mut diagnoses = [
            Diagnosis { object: service, ..plain("") },
            plain("silent"),
            Diagnosis { pods: vec![reason], ..plain("explained") },
            Diagnosis { verdict: Verdict::Doomed, ..plain("doomed") },
        ];
        sort_by_evidence(&mut diagnoses);
        assert_eq!(
            diagnoses.clone().map(|one| one.object.name),
            ["doomed", "explained", "silent", "service"]
        );
        assert_eq!(diagnoses[1].reason(), "pod/p, container c: ErrImagePull");
        assert_eq!(diagnoses[2].reason(), "0 of 1 replicas ready");
    }
}
