//! What happens in a run, as the engine says it and reporters show it: the one seam between the two.
//!
//! An [`Event`] is serializable and versioned; a secret value never enters one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::object::ObjectRef;
use crate::status::Status;

pub use self::diagnosis::{Diagnosis, LogExcerpt, PodReason, Verdict, WarningEvent, sort_by_evidence};
pub use self::times::{StepTimes, Times};

mod diagnosis;
mod times;

/// The version of the JSON form; a field that goes or changes its meaning raises it.
pub const VERSION: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Event {
    /// [`VERSION`] of the form.
    pub version: u32,
    /// When it happened, UTC.
    pub at: Timestamp,
    /// Milliseconds since the run began.
    pub elapsed_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// What happened; in JSON the field `event` holds the variant's name.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Kind {
    /// A command that changes the cluster began. Always the first event of a run.
    RunStarted {
        /// The verb, such as `up`.
        command: &'static str,
        /// The stack's name.
        stack: String,
        /// The cluster, as in `k3d-blog (k3d, v1.36.4, 3 nodes)`.
        cluster: String,
        /// The stack's namespace.
        namespace: String,
        /// The steps in the order in which they may start.
        steps: Vec<String>,
    },
    /// Something outside the stack must happen first, such as a node becoming Ready.
    Waiting {
        /// What is waited for, a fragment such as `a node to be Ready`.
        what: String,
    },
    /// The storage class was chosen.
    StorageClassChosen {
        /// Its name.
        class: String,
        /// Why this one.
        why: String,
    },
    /// A step began: everything that it needs is Current.
    StepStarted {
        /// The step.
        step: String,
    },
    /// An object was applied, deleted or deliberately kept.
    ObjectChanged {
        /// The step that it belongs to; `None` in `down`, and for what no step has any more.
        step: Option<String>,
        /// The object.
        object: ObjectRef,
        /// What became of it.
        change: Change,
        /// Why, where that is not plain: `was missing`, `made before bootstrap`.
        why: Option<String>,
    },
    /// A field that a person had changed by hand was taken back.
    DriftReverted {
        /// The step.
        step: String,
        /// The object.
        object: ObjectRef,
        /// The field and its values, such as `spec.replicas 0 → 1`.
        change: String,
        /// Who had changed it: the field manager.
        manager: String,
        /// How long ago, in words, where the server knows.
        age: Option<String>,
    },
    /// `helm` was started for a release.
    ReleaseStarted {
        /// The step; `None` in `down`.
        step: Option<String>,
        /// The release.
        release: String,
        /// What helm does with it.
        action: ReleaseAction,
        /// Why helm has something to do, such as `not installed` or `deployment.apps/x was missing`.
        why: String,
    },
    /// A release was installed, upgraded, left alone or uninstalled.
    ReleaseChanged {
        /// The step; `None` in `down`.
        step: Option<String>,
        /// The release.
        release: String,
        /// The namespace that it lives in.
        namespace: String,
        /// What became of it.
        change: Change,
        /// Its revision now; `None` when it is gone.
        revision: Option<u32>,
    },
    /// What would become of an object or release, in a run that changes nothing.
    Foreseen {
        /// The object or release.
        what: String,
        /// What would become of it.
        change: Change,
        /// Why, or under which condition, where that is not plain.
        why: Option<String>,
    },
    /// An object that is waited for has another status or message than before.
    ObjectStatus {
        /// The step.
        step: String,
        /// The object.
        object: ObjectRef,
        /// Its status.
        status: Status,
        /// What is missing, in the cluster's words.
        message: String,
        /// Whether this is news of something wrong, though it may go away.
        trouble: bool,
    },
    /// An image of an object's pods is being pulled, or is there.
    ImagePull {
        /// The step.
        step: String,
        /// The object whose pod needs it.
        object: ObjectRef,
        /// The image.
        image: String,
        /// How long the pull took, in milliseconds; `None` when it has just begun.
        took_ms: Option<u64>,
    },
    /// A step is done: all its objects are Current.
    StepFinished {
        /// The step.
        step: String,
        /// How many of its objects and releases were created, configured, and so on.
        tally: Tally,
        /// How long the step took, in milliseconds.
        took_ms: u64,
    },
    /// Why an object of a step that fails is not ready; one for each such object, what tells most first, before the
    /// step's own event.
    Diagnosed {
        /// The step.
        step: String,
        /// The object, and what was found out about it.
        #[serde(flatten)]
        diagnosis: Diagnosis,
    },
    /// A step failed.
    StepFailed {
        /// The step.
        step: String,
        /// The error, without hint.
        message: String,
        /// The causes of the error, outermost first.
        causes: Vec<String>,
        /// How long the step took until then, in milliseconds.
        took_ms: u64,
    },
    /// Steps that were not judged, because the run ended before.
    StepsLeft {
        /// The steps.
        steps: Vec<String>,
        /// Why, such as `interrupted` or `prometheus failed`.
        why: String,
    },
    /// Something that does not end the run and that the user should know of.
    Warning {
        /// The message, a fragment.
        message: String,
    },
    /// The signal to stop was received; what has begun is being brought to a clean end.
    Stopping {
        /// The signal's name.
        signal: &'static str,
    },
    /// The run is over. Always the last event of a run that was not killed.
    RunFinished {
        /// The exit code.
        exit_code: u8,
        /// The error's message, if there is one.
        error: Option<String>,
        /// The causes of the error, outermost first.
        causes: Vec<String>,
        /// What can be run to get further.
        hint: Option<String>,
        /// The sum over all steps.
        tally: Tally,
        /// How long the run took, in milliseconds.
        took_ms: u64,
        /// Where the stack can be reached and the like, one line each, when all is well.
        notes: Vec<String>,
        /// Where the time went, when all is well and steps were carried out.
        longest: Option<Chain>,
    },
}

/// What became of an object or release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// It was not there before.
    Created,
    /// It was there and was changed.
    Configured,
    /// It was made anew, because a field cannot be changed; what it held was kept.
    Replaced,
    /// It already was as it should be.
    Unchanged,
    /// It was taken away, because the stack has it no more.
    Pruned,
    /// It was taken away.
    Deleted,
    /// It could have been taken away, and was left on purpose.
    Kept,
}

/// What helm is started for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseAction {
    /// To install it.
    Install,
    /// To upgrade it, or to mend what someone changed.
    Upgrade,
    /// To undo what a dead run left half done.
    Rollback,
    /// To take it away.
    Uninstall,
}

/// How many objects and releases were changed in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Not there before.
    pub created: u32,
    /// Changed.
    pub configured: u32,
    /// Made anew.
    pub replaced: u32,
    /// As they should be already.
    pub unchanged: u32,
    /// Taken away, because the stack has them no more.
    pub pruned: u32,
    /// Taken away.
    pub deleted: u32,
    /// Left on purpose.
    pub kept: u32,
}

impl Tally {
    /// Counts one change.
    pub fn count(&mut self, change: Change) {
        *match change {
            Change::Created => &mut self.created,
            Change::Configured => &mut self.configured,
            Change::Replaced => &mut self.replaced,
            Change::Unchanged => &mut self.unchanged,
            Change::Pruned => &mut self.pruned,
            Change::Deleted => &mut self.deleted,
            Change::Kept => &mut self.kept,
        } += 1;
    }

    /// Tells whether anything in the cluster was changed.
    #[must_use]
    pub fn changed(self) -> bool {
        self.created + self.configured + self.replaced + self.pruned + self.deleted > 0
    }
}

/// The steps that the end of a run waited for, each because the next one needs it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Chain {
    /// The steps, the first one first.
    pub steps: Vec<String>,
    /// From the first one's beginning to the last one's end, in milliseconds.
    pub took_ms: u64,
    /// How much of it images were being pulled, in milliseconds.
    pub pulls_ms: u64,
    /// How much of it all was applied and no image was being pulled, in milliseconds: pods started.
    pub starts_ms: u64,
}

/// The end of the seam that the engine holds: sends events, never prints, never blocks.
#[derive(Clone, Debug)]
pub struct Events {
    sender: mpsc::UnboundedSender<Event>,
    began: Instant,
    sums: Arc<Mutex<Sums>>,
}

#[derive(Debug, Default)]
struct Sums {
    tally: Tally,
    times: Times,
}

impl Events {
    /// Makes the two ends of the seam; the run's clock starts now.
    #[must_use]
    pub fn channel() -> (Self, mpsc::UnboundedReceiver<Event>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        (Self { sender, began: Instant::now(), sums: Arc::default() }, receiver)
    }

    /// Sends one event. A reporter that has gone away is no reason to stop the run.
    pub fn send(&self, kind: Kind) {
        let elapsed_ms = milliseconds(self.elapsed());
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).add(elapsed_ms, &kind);
        let event = Event { version: VERSION, at: Timestamp::now(), elapsed_ms, kind };
        let _ = self.sender.send(event);
    }

    /// What has been changed so far, as the events said.
    #[must_use]
    pub fn tally(&self) -> Tally {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).tally
    }

    /// When each step began, was applied and ended so far, as the events said.
    #[must_use]
    pub fn times(&self) -> Times {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).times.clone()
    }

    /// The time since the run began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }
}

impl Sums {
    fn add(&mut self, elapsed_ms: u64, kind: &Kind) {
        if let Kind::ObjectChanged { change, .. } | Kind::ReleaseChanged { change, .. } = kind {
            self.tally.count(*change);
        }
        self.times.observe(elapsed_ms, kind);
    }
}

/// Whole milliseconds of a duration.
#[must_use]
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
