//! Object → status, per kind, as readiness.md's table says. Pure: no I/O, no clock.

use serde::Serialize;

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
