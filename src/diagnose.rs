//! Why an object is not ready, in the cluster's words: what its newest pods wait for, and what could not be made for it.
//!
//! Fetches; what the findings mean is said in `diagnose/pods.rs`. Neither a pod's environment nor its logs are looked at.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::future::join_all;
use futures::join;
use k8s_openapi::api::core::v1::{Event, Pod};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::cluster::Cluster;
use crate::event::Unready;
use crate::object::{self, Kind, Object, ObjectRef};
use crate::status::{Assessment, Status};

mod pods;
#[cfg(test)]
mod tests;

/// How long the search for reasons may take: a user already waits for the failure itself.
const TIMEOUT: Duration = Duration::from_secs(5);

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

/// An object that is to be explained.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its name.
    pub object: ObjectRef,
    /// How it stands.
    pub assessment: Assessment,
    /// The object as it was last seen; `None` when it is not there.
    pub live: Option<Object>,
}

/// Why an object stands as it does.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The object, and what its pods wait for.
    pub unready: Unready,
    /// Whether it only needs time: one of its pods still pulls an image, and its rollout counts as failed for that.
    pub pulling: bool,
}

/// What was found in one namespace.
#[derive(Debug, Default)]
struct Findings {
    pods: Vec<Pod>,
    replica_sets: Vec<Object>,
    events: Vec<Event>,
}

/// Explains objects. What cannot be found out, for want of time or of rights, is left out.
pub async fn explain(cluster: &Cluster, subjects: Vec<Subject>) -> Vec<Explanation> {
    let namespaces: BTreeSet<_> = subjects
        .iter()
        .filter(|subject| subject.live.is_some() && EXPLAINED.iter().any(|kind| subject.object.is(kind)))
        .filter_map(|subject| subject.object.namespace.clone())
        .collect();
    let found = join_all(namespaces.iter().map(|namespace| find(cluster, namespace))).await;
    let found: HashMap<_, _> = namespaces.iter().zip(found).collect();
    subjects
        .into_iter()
        .map(|subject| {
            let findings = subject.object.namespace.as_ref().and_then(|namespace| found.get(namespace));
            explanation(subject, findings)
        })
        .collect()
}

fn explanation(subject: Subject, findings: Option<&Findings>) -> Explanation {
    let Subject { object, assessment: Assessment { status, message }, live } = subject;
    let (pods, pulling) = match (&live, findings) {
        (Some(live), Some(findings)) => (
            pods::reasons(&object, live, findings),
            // Only of a rollout is it known that nothing but the deadline has failed.
            status == Status::Failed && object.is(&object::DEPLOYMENT) && pods::is_pulling(live, findings),
        ),
        _ => (Vec::new(), false),
    };
    Explanation { unready: Unready { object, status, message, pods }, pulling }
}

async fn find(cluster: &Cluster, namespace: &str) -> Findings {
    let (pods, replica_sets, events) = join!(
        list(cluster, &object::POD, namespace),
        list(cluster, &object::REPLICA_SET, namespace),
        list(cluster, &object::EVENT, namespace),
    );
    Findings { pods: parsed(pods), replica_sets, events: parsed(events) }
}

async fn list(cluster: &Cluster, kind: &Kind, namespace: &str) -> Vec<Object> {
    let listing = timeout(TIMEOUT, cluster.list(&kind.gvk(), Some(namespace), None)).await;
    listing.ok().and_then(Result::ok).unwrap_or_default()
}

fn parsed<T: DeserializeOwned>(objects: Vec<Object>) -> Vec<T> {
    objects
        .into_iter()
        .filter_map(|object| serde_json::to_value(object).and_then(serde_json::from_value).ok())
        .collect()
}
