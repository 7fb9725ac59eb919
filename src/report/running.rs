//! What is going on at this moment: the steps that run, and what each of them still waits for.

use super::phrases;
use crate::event::{Event, Kind};
use crate::object::ObjectRef;
use crate::status::Status;

/// The steps that run, in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Running {
    namespace: String,
    steps: Vec<Step>,
    aside: Option<Activity>,
}

/// Something that goes on, for a display: since when, and what.
#[derive(Debug)]
pub(super) struct Activity {
    /// The step; empty for what no step does.
    pub(super) step: String,
    /// Milliseconds between the beginning of the run and its own.
    pub(super) began_ms: u64,
    /// What is done or waited for; may be empty.
    pub(super) what: String,
}

#[derive(Debug)]
struct Step {
    name: String,
    began_ms: u64,
    doing: String,
    pending: Vec<Pending>,
    pulls: Vec<Pull>,
}

#[derive(Debug)]
struct Pull {
    object: ObjectRef,
    image: String,
    began_ms: u64,
}

#[derive(Debug)]
struct Pending {
    object: ObjectRef,
    status: Status,
    message: String,
}

impl Running {
    /// Takes in one event.
    pub(super) fn observe(&mut self, event: &Event) {
        match &event.kind {
            Kind::RunStarted { namespace, .. } => self.namespace.clone_from(namespace),
            Kind::Waiting { what } => self.aside(event, format!("waiting for {what}")),
            Kind::StepStarted { step } => {
                self.aside = None;
                self.steps.push(Step {
                    name: step.clone(),
                    began_ms: event.elapsed_ms,
                    doing: String::new(),
                    pending: Vec::new(),
                    pulls: Vec::new(),
                });
            }
            Kind::ObjectChanged { step, object, change, .. } => {
                let what =
                    format!("{} {}", phrases::short(object, &self.namespace), phrases::change(*change));
                self.doing(event, step.as_deref(), what);
            }
            Kind::ReleaseStarted { step, release, action, .. } => {
                let what = phrases::release_starts(*action, release, step.as_deref());
                self.doing(event, step.as_deref(), what);
            }
            Kind::ReleaseChanged { step, release, change, .. } => {
                let what = phrases::release_changed(*change, release, step.as_deref());
                self.doing(event, step.as_deref(), what);
            }
            Kind::ObjectStatus { step, object, status, message, .. } => {
                if let Some(step) = self.step(step) {
                    step.status(object, *status, message);
                }
            }
            Kind::ImagePull { step, object, image, took_ms } => {
                if let Some(step) = self.step(step) {
                    step.pulls.retain(|pull| pull.object != *object || pull.image != *image);
                    if took_ms.is_none() {
                        let (object, image) = (object.clone(), image.clone());
                        step.pulls.push(Pull { object, image, began_ms: event.elapsed_ms });
                    }
                }
            }
            Kind::StepFinished { step, .. } | Kind::StepFailed { step, .. } => {
                self.steps.retain(|running| running.name != *step);
            }
            Kind::RunFinished { .. } => {
                self.steps.clear();
                self.aside = None;
            }
            Kind::StorageClassChosen { .. }
            | Kind::DriftReverted { .. }
            | Kind::Foreseen { .. }
            | Kind::Diagnosed { .. }
            | Kind::StepsLeft { .. }
            | Kind::Warning { .. }
            | Kind::Stopping { .. } => {}
        }
    }

    /// What goes on at this moment.
    pub(super) fn activities(&self, now_ms: u64) -> Vec<Activity> {
        if self.steps.is_empty() {
            return self.aside.iter().map(Activity::again).collect();
        }
        self.steps.iter().map(|step| step.activity(&self.namespace, now_ms)).collect()
    }

    fn step(&mut self, name: &str) -> Option<&mut Step> {
        self.steps.iter_mut().find(|step| step.name == name)
    }

    fn doing(&mut self, event: &Event, step: Option<&str>, what: String) {
        match step {
            None => self.aside(event, what),
            Some(name) => {
                if let Some(step) = self.step(name) {
                    step.doing = what;
                }
            }
        }
    }

    fn aside(&mut self, event: &Event, what: String) {
        let began_ms = self.aside.as_ref().map_or(event.elapsed_ms, |aside| aside.began_ms);
        self.aside = Some(Activity { step: String::new(), began_ms, what });
    }
}

impl Activity {
    fn again(&self) -> Self {
        Self { step: self.step.clone(), began_ms: self.began_ms, what: self.what.clone() }
    }
}

impl Step {
    fn status(&mut self, object: &ObjectRef, status: Status, message: &str) {
        let known = self.pending.iter().position(|pending| pending.object == *object);
        let now = Pending { object: object.clone(), status, message: message.to_owned() };
        match (known, status) {
            (Some(place), Status::Current) => {
                self.pending.remove(place);
            }
            (Some(place), _) => self.pending[place] = now,
            (None, Status::Current) => {}
            (None, _) => self.pending.push(now),
        }
    }

    /// Shows what is waited for: what has failed, else the image that has been pulled for longest, else what is on its way.
    fn activity(&self, namespace: &str, now_ms: u64) -> Activity {
        let failed = self.pending.iter().find(|pending| pending.status == Status::Failed);
        let what = match (failed, self.pulls.first(), self.pending.first()) {
            (Some(pending), _, _) | (None, None, Some(pending)) => {
                let said = phrases::clean(&phrases::status(pending.status, &pending.message));
                let object = phrases::short(&pending.object, namespace);
                format!("{object}: {}{}", said.replace('\n', " "), more(self.pending.len()))
            }
            (None, Some(pull), _) => {
                let took = phrases::growing(now_ms.saturating_sub(pull.began_ms));
                format!("{} {took}{}", phrases::pulling(&pull.image), more(self.pulls.len()))
            }
            (None, None, None) => self.doing.clone(),
        };
        Activity { step: self.name.clone(), began_ms: self.began_ms, what }
    }
}

/// That there are others beside the one that is shown.
fn more(all: usize) -> String {
    if all > 1 { format!(" (+{} more)", all - 1) } else { String::new() }
}
