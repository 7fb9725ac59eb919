//! Object → status, per kind, as readiness.md's table says. Pure: no I/O, no clock.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::object::{Object, ObjectRef};

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

/// What else in the cluster bears on an object's status. What is not known is `None` or empty, and then nothing is
/// called Current because of it.
#[derive(Clone, Debug, Default)]
pub struct Surroundings<'a> {
    /// The storage classes, which say whether a claim is bound before a pod uses it.
    pub storage_classes: Option<Vec<&'a Object>>,
    /// The ingress classes.
    pub ingress_classes: Option<Vec<&'a Object>>,
    /// The endpoint slices of the Services in question.
    pub endpoint_slices: Option<Vec<&'a Object>>,
    /// The objects that are waited for together: a Service among them must reach its workload.
    pub together: Vec<&'a Object>,
    /// What discovery has answered for.
    pub served: BTreeSet<Served>,
    /// Workloads with an image that is still being pulled.
    pub pulling: BTreeSet<ObjectRef>,
}

/// Something that discovery can answer for: an API's group and version, or one resource in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// API group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// The resource's name in the plural; `None` for the group and version as such.
    pub resource: Option<String>,
}

/// Tells how an object stands.
#[must_use]
pub fn assess(object: &Object, around: &Surroundings<'_>) -> Assessment {
    let _ = (object, around);
    Assessment { status: Status::Unknown, message: String::new() }
}

/// What the user should know of an object at the end of a run, though it is no reason to fail; fragments.
#[must_use]
pub fn warnings(object: &Object, around: &Surroundings<'_>) -> Vec<String> {
    let _ = (object, around);
    Vec::new()
}
