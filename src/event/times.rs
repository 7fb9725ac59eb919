//! When the steps of a run began, were applied and ended, and when their images were pulled, as the events say it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::Kind;

/// The times of all steps that have begun.
#[derive(Clone, Debug, Default)]
pub struct Times {
    steps: BTreeMap<String, StepTimes>,
}

/// The times of a step, in milliseconds since the run began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// When it began.
    pub began_ms: u64,
    /// When the last of its objects and releases was applied.
    pub applied_ms: u64,
    /// When it was done; `None` before, and for one that failed.
    pub ended_ms: Option<u64>,
    /// When an image was being pulled for it; they may overlap.
    pub pulls: Vec<Range<u64>>,
}

impl Times {
    /// Takes in what happened at a moment.
    pub fn observe(&mut self, at_ms: u64, kind: &Kind) {
        match kind {
            Kind::StepStarted { step } => {
                let began = StepTimes { began_ms: at_ms, applied_ms: at_ms, ..StepTimes::default() };
                self.steps.insert(step.clone(), began);
            }
            Kind::ObjectChanged { step: Some(step), .. } | Kind::ReleaseChanged { step: Some(step), .. } => {
                self.change(step, |times| times.applied_ms = at_ms);
            }
            Kind::ImagePull { step, took_ms: Some(took_ms), .. } => {
                self.change(step, |times| times.pulls.push(at_ms.saturating_sub(*took_ms)..at_ms));
            }
            Kind::StepFinished { step, .. } => self.change(step, |times| times.ended_ms = Some(at_ms)),
            _ => {}
        }
    }

    /// The times of a step, if it has begun.
    #[must_use]
    pub fn of(&self, step: &str) -> Option<&StepTimes> {
        self.steps.get(step)
    }

    fn change(&mut self, step: &str, change: impl FnOnce(&mut StepTimes)) {
        if let Some(times) = self.steps.get_mut(step) {
            change(times);
        }
    }
}
