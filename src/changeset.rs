//! What `up` would change, as data: what `plan` shows, and how it is shown is decided in `report/changeset.rs`.

use serde::Serialize;

use crate::error::Error;
use crate::fields::FieldChange;
use crate::object::ObjectRef;

/// All that one `up` would do.
#[derive(Debug)]
pub struct Changeset {
    /// The storage class of claims that name none; `None` where there is no such claim.
    pub storage: Option<StorageClass>,
    /// The steps, in an order in which they may be carried out.
    pub steps: Vec<StepChanges>,
    /// What goes after all steps are ready, because the stack has it no more.
    pub pruned: Vec<Entry>,
    /// Why `up` would do none of it.
    pub refused: Option<Error>,
}

/// The storage class, and why this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StorageClass {
    /// Its name.
    pub class: String,
    /// Why.
    pub why: String,
}

/// What becomes of the objects and the release of one step.
#[derive(Debug, Serialize)]
pub struct StepChanges {
    /// The step.
    pub step: String,
    /// Each object and release.
    pub entries: Vec<Entry>,
}

/// What becomes of one object or release.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
    /// What becomes of it.
    pub outcome: Outcome,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// The fields that would change.
    pub fields: Vec<FieldChange>,
    /// What a person has changed and would be taken back: each change, who made it, and how long ago.
    pub drift: Vec<String>,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// An object.
    Object(ObjectRef),
    /// A Helm release, by its name and namespace.
    Release {
        /// Its name.
        name: String,
        /// The namespace that it lives in.
        namespace: String,
    },
}

/// What becomes of an object or release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is not there yet.
    Created,
    /// It is changed.
    Configured,
    /// It is made anew, and what it holds is kept.
    Replaced,
    /// It is as it should be.
    Unchanged,
    /// It goes, because the stack has it no more.
    Pruned,
    /// It is left on purpose.
    Kept,
    /// Other programs own fields of it.
    Conflict,
    /// It is there, and not the stack's.
    Foreign,
    /// It would have to be another, and cannot be changed.
    Immutable,
}

impl Outcome {
    /// Tells whether `up` would change something for it.
    #[must_use]
    pub fn is_change(self) -> bool {
        matches!(self, Self::Created | Self::Configured | Self::Replaced | Self::Pruned)
    }

    /// Tells whether `up` would not begin because of it.
    #[must_use]
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Conflict | Self::Foreign | Self::Immutable)
    }
}

impl Changeset {
    /// Everything, whatever step it belongs to.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.steps.iter().flat_map(|step| &step.entries).chain(&self.pruned)
    }

    /// Tells whether `up` would change anything.
    #[must_use]
    pub fn has_changes(&self) -> bool {
        self.entries().any(|entry| entry.outcome.is_change())
    }

    /// How many there are of each outcome that there is, in the order of [`Outcome`].
    #[must_use]
    pub fn counts(&self) -> Vec<(Outcome, usize)> {
        let mut outcomes: Vec<_> = self.entries().map(|entry| entry.outcome).collect();
        outcomes.sort_unstable();
        outcomes.chunk_by(|one, other| one == other).map(|same| (same[0], same.len())).collect()
    }
}
