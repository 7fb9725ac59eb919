//! Why an object waits, and whether waiting can help, as readiness.md's table says. Pure: evidence in, reasons out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::event::PodReason;
use crate::evidence::Evidence;
use crate::object::{self, Kind, Object, ObjectRef};
use crate::plan::Plan;

pub(crate) use crashes::Crashes;
pub(crate) use pods::stuck;
pub(crate) use pulls::{Pull, pulls};

mod claim;
mod containers;
mod crashes;
mod creation;
mod fit;
mod pods;
mod pulls;
#[cfg(test)]
mod tests;
mod volumes;
mod words;

/// How many reasons are enough: with more, many pods fail alike.
const MOST: usize = 10;

/// One reason why an object waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// What it is, in the cluster's words.
    pub(crate) what: PodReason,
    /// Whether it will not go away by itself.
    pub(crate) is_permanent: bool,
    /// Whether it is worth a word before the end: nothing ordinary, such as a container that is being made.
    pub(crate) is_trouble: bool,
}

impl Reason {
    /// Tells whether it says more than what its object's own status does.
    pub(crate) fn tells_more(&self) -> bool {
        self.is_trouble || self.what.reason == "Unhealthy"
    }

    /// What every pod goes through.
    fn ordinary(what: PodReason) -> Self {
        Self { what, is_permanent: false, is_trouble: false }
    }

    /// Something wrong that may go away.
    fn passing(what: PodReason) -> Self {
        Self { what, is_permanent: false, is_trouble: true }
    }

    /// Something wrong, which is there to stay if `is_permanent`.
    fn trouble(what: PodReason, is_permanent: bool) -> Self {
        Self { is_permanent, ..Self::passing(what) }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}

/// What bears on a verdict besides what the cluster holds.
#[derive(Debug, Default)]
pub struct Circumstances {
    /// What this run brings.
    pub promised: Promised,
    /// Whether the cluster is one on this machine, which gets no nodes by itself.
    pub is_local: bool,
}

/// What a run brings, now or later, so that nobody gives up for want of it.
#[derive(Debug, Default)]
pub struct Promised {
    /// The objects that others refer to, with their keys where they have any.
    objects: BTreeMap<ObjectRef, BTreeSet<String>>,
    /// How many releases are not done yet: nobody knows what they bring.
    releases: AtomicUsize,
}

impl Promised {
    /// What a plan brings.
    #[must_use]
    pub fn by(plan: &Plan) -> Self {
        let mut objects: BTreeMap<ObjectRef, BTreeSet<String>> = BTreeMap::new();
        for manifest in plan.manifests() {
            let fields = ["data", "binaryData", "stringData"].map(|field| &manifest.object.data[field]);
            let keys = fields.into_iter().filter_map(|field| field.as_object()).flat_map(|map| map.keys());
            objects.insert(manifest.name.clone(), keys.cloned().collect());
        }
        for secret in plan.steps.iter().filter_map(|step| step.secret.as_ref()) {
            let name = ObjectRef::new(&object::SECRET, Some(&plan.namespace), &secret.name);
            objects.insert(name, secret.data.keys().cloned().collect());
        }
        Self { objects, releases: AtomicUsize::new(plan.releases().count()) }
    }

    /// Takes in that a release has brought what it brings.
    pub fn release_is_done(&self) {
        // More are never done than there are.
        self.releases.fetch_sub(1, Ordering::Relaxed);
    }

    /// Tells whether an object comes yet, with a key if one is asked for.
    fn brings(&self, kind: &Kind, namespace: Option<&str>, name: &str, key: Option<&str>) -> bool {
        let object = self.objects.get(&ObjectRef::new(kind, namespace, name));
        self.releases.load(Ordering::Relaxed) > 0
            || object.is_some_and(|keys| key.is_none_or(|key| keys.contains(key)))
    }
}

/// Why an object is not ready: what could not be made for it, then what its newest pods wait for; what is permanent first,
/// and what is ordinary last.
pub(crate) fn reasons(
    name: &ObjectRef,
    live: &Object,
    evidence: &Evidence,
    crashes: &Crashes,
    around: &Circumstances,
) -> Vec<Reason> {
    let mut reasons = if name.is(&object::CLAIM) {
        claim::reasons(name, live, evidence, around)
    } else {
        let mut reasons = Vec::new();
        reasons.extend(creation::reason(name, live, evidence));
        // A Job counts its own failures, and ends by itself.
        let crashes = (!name.is(&object::JOB)).then_some(crashes);
        reasons.extend(pods::reasons(evidence, crashes, around));
        reasons
    };
    reasons.sort_by_key(|reason| (!reason.is_permanent, !reason.is_trouble));
    reasons.truncate(MOST);
    reasons
}
