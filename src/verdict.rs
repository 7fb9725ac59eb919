//! Why an object waits, and whether waiting can help, as readiness.md's table says. Pure: evidence in, reasons out.

use std::fmt;

use crate::event::PodReason;
use crate::evidence::Evidence;
use crate::object::{self, Object, ObjectRef};

pub(crate) use crashes::Crashes;
pub(crate) use pods::stuck;
pub use promised::Promised;
pub(crate) use pulls::{Pull, pulls};

mod claim;
mod containers;
mod crashes;
mod creation;
mod fit;
mod pods;
mod promised;
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
    /// Whether it is a crash again and again, which may end when what the program needs is there.
    pub(crate) is_crash: bool,
}

impl Reason {
    /// Tells whether it says more than what its object's own status does.
    pub(crate) fn tells_more(&self) -> bool {
        self.is_trouble || self.what.reason == "Unhealthy"
    }

    /// What every pod goes through.
    fn ordinary(what: PodReason) -> Self {
        Self { what, is_permanent: false, is_trouble: false, is_crash: false }
    }

    /// Something wrong that may go away.
    fn passing(what: PodReason) -> Self {
        Self { is_trouble: true, ..Self::ordinary(what) }
    }

    /// A crash, which is one of many alike if `is_hopeless`.
    fn crash(what: PodReason, is_hopeless: bool) -> Self {
        Self { is_crash: true, ..Self::trouble(what, is_hopeless) }
    }

    /// Takes a crash for what passes as long as this is not ready.
    pub(crate) fn excuse(&mut self, unready: &ObjectRef) {
        if self.is_crash && self.is_permanent {
            self.is_permanent = false;
            self.what.message += &format!("; {unready} is not ready either");
        }
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
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// What this run brings.
    pub promised: Promised,
    /// Whether the cluster is one on this machine, which gets no nodes by itself.
    pub is_local: bool,
}

impl Circumstances {
    /// Those under which a step waits.
    pub(crate) fn within(&self, step: &str) -> Self {
        Self { promised: self.promised.within(step), ..*self }
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
