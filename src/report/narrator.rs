//! Tells a run in lines, for the displays that people read; where a line goes and how it is set is up to them.
//!
//! The first line, which names the cluster, is held back until there is a second: a run that changes nothing is one line.

use super::ledger::Ledger;
use super::line::{Detail, Line, Mark, Weight};
use super::paint::Paint;
use super::running::Activity;
use super::{closing, failure, phrases};
use crate::event::{Change, Event, Kind, ReleaseAction};
use crate::status::Status;

/// The widest step name that others are aligned with.
const WIDEST: usize = 24;

/// A pull of so many milliseconds is told of.
const SLOW_PULL: u64 = 2_000;

/// Tells a run, and remembers what its last line needs.
#[derive(Debug)]
pub(super) struct Narrator {
    least: Weight,
    paint: Paint,
    /// The lines that wait for one that is worth telling.
    held: Vec<Line>,
    /// The cluster and the namespace, until they have been named.
    whereabouts: Option<String>,
    namespace: String,
    column: usize,
    ledger: Ledger,
    causes_told: Vec<String>,
    /// The hint of the first object that failed, which is told at the end of the run, where people look.
    first_hint: Option<String>,
}

impl Narrator {
    /// Tells what weighs at least so much.
    pub(super) fn new(least: Weight, paint: Paint) -> Self {
        Self {
            least,
            paint,
            held: Vec::new(),
            whereabouts: None,
            namespace: String::new(),
            column: 0,
            ledger: Ledger::default(),
            causes_told: Vec::new(),
            first_hint: None,
        }
    }

    /// How wide the names of the steps are.
    pub(super) fn column(&self) -> usize {
        self.column
    }

    /// The cluster and namespace, while they have not been told.
    pub(super) fn untold(&self) -> Option<&str> {
        self.whereabouts.as_deref()
    }

    /// What is to be told after this event.
    pub(super) fn lines(&mut self, event: &Event) -> Vec<Line> {
        self.ledger.observe(event);
        let Some(line) = self.line(event) else { return Vec::new() };
        let line = Line { at_ms: event.elapsed_ms, ..line };
        if matches!(event.kind, Kind::RunStarted { .. } | Kind::StorageClassChosen { .. })
            && (self.whereabouts.is_some() || self.least == Weight::Always)
        {
            self.held.push(line);
            return Vec::new();
        }
        if line.weight < self.least {
            return Vec::new();
        }
        if matches!(event.kind, Kind::RunFinished { .. }) {
            return vec![self.folded(line)];
        }
        let mut lines = self.opening();
        lines.push(line);
        lines
    }

    /// Says what is waited for after a silence.
    pub(super) fn heartbeat(&mut self, now_ms: u64, activities: Vec<Activity>) -> Vec<Line> {
        if activities.is_empty() {
            return Vec::new();
        }
        let mut lines = self.opening();
        lines.extend(activities.into_iter().map(|Activity { step, began_ms, what }| {
            let what = if what.is_empty() { "still running".to_owned() } else { format!("still: {what}") };
            let line = if step.is_empty() { Line::new(what) } else { Line::of(&step, what) };
            Line { at_ms: now_ms, took_ms: Some(now_ms.saturating_sub(began_ms)), ..line }
        }));
        lines
    }

    /// The error that ended the run, without the causes that have been told already.
    pub(super) fn error(&self, event: &Event) -> Option<Vec<Detail>> {
        let Kind::RunFinished { error: Some(message), causes, hint, .. } = &event.kind else { return None };
        let untold: Vec<String> =
            causes.iter().filter(|cause| !self.causes_told.contains(*cause)).cloned().collect();
        let first = self.first_hint.as_deref().filter(|first| hint.as_deref() != Some(first));
        let hints: Vec<&str> = hint.as_deref().into_iter().chain(first).collect();
        Some(phrases::error(message, &untold, &hints, self.paint))
    }

    fn line(&mut self, event: &Event) -> Option<Line> {
        Some(match &event.kind {
            Kind::RunStarted { cluster, namespace, steps, .. } => {
                let whereabouts = format!("{cluster} → {namespace}");
                self.whereabouts = Some(whereabouts.clone());
                self.namespace.clone_from(namespace);
                self.column = steps.iter().map(|step| step.chars().count()).max().unwrap_or(0).min(WIDEST);
                Line::new(self.paint.strong(&whereabouts))
            }
            Kind::Waiting { what } => Line::new(format!("waiting for {what}")).weighing(Weight::Change),
            Kind::StorageClassChosen { class, why } => Line::new(format!("storage class {class}: {why}")),
            Kind::StepStarted { step } => Line::of(step, "started".to_owned()).weighing(Weight::Detail),
            Kind::ObjectChanged { step, object, change, why } => {
                let name = match change {
                    Change::Kept => object.to_string(),
                    _ => phrases::short(object, &self.namespace),
                };
                let why = why.as_ref().map(|why| format!(" ({why})"));
                let text = format!("{name} {}{}", phrases::change(*change), why.as_deref().unwrap_or(""));
                let weight = match change {
                    Change::Unchanged => Weight::Detail,
                    Change::Kept | Change::Replaced | Change::Pruned => Weight::Notable,
                    Change::Created | Change::Configured | Change::Deleted if why.is_some() => {
                        Weight::Notable
                    }
                    Change::Created | Change::Configured | Change::Deleted => Weight::Change,
                };
                Line::maybe_of(step.as_deref(), text).weighing(weight)
            }
            Kind::DriftReverted { step, object, change, manager, age } => {
                let who = age.as_ref().map_or_else(|| manager.clone(), |age| format!("{manager}, {age}"));
                Line::of(step, format!("{object}: {change} ({who}), taken back")).marked(Mark::Attention)
            }
            Kind::ReleaseStarted { step, release, action, why } => {
                let weight = match action {
                    ReleaseAction::Install | ReleaseAction::Uninstall => Weight::Change,
                    ReleaseAction::Upgrade | ReleaseAction::Rollback => Weight::Notable,
                };
                let what = phrases::release_starts(*action, release, step.as_deref());
                Line::maybe_of(step.as_deref(), format!("{what} ({why})")).weighing(weight)
            }
            Kind::ReleaseChanged { step, release, change, revision, .. } => {
                let unchanged = *change == Change::Unchanged;
                let revision = revision.map(|revision| format!(", revision {revision}"));
                let text = phrases::release_changed(*change, release, step.as_deref());
                Line::maybe_of(step.as_deref(), text + revision.as_deref().unwrap_or(""))
                    .weighing(if unchanged { Weight::Detail } else { Weight::Change })
            }
            Kind::Foreseen { what, change, why } => {
                let would = if *change == Change::Kept { "keep" } else { "delete" };
                let why = why.as_ref().map(|why| format!(" ({why})"));
                Line::new(format!("would {would} {what}{}", why.as_deref().unwrap_or("")))
                    .weighing(Weight::Notable)
            }
            Kind::ObjectStatus { step, object, status, message, trouble } => {
                let said = phrases::status(*status, message);
                let line = Line::of(step, format!("{}: {said}", phrases::short(object, &self.namespace)));
                if *status == Status::Failed || *trouble {
                    line.weighing(Weight::Change).marked(Mark::Attention)
                } else {
                    line.weighing(Weight::Detail)
                }
            }
            Kind::StepFinished { step, tally, took_ms } => {
                let weight = if tally.changed() { Weight::Notable } else { Weight::Detail };
                let line = Line::of(step, phrases::tally(*tally)).weighing(weight).marked(Mark::Good);
                Line { took_ms: Some(*took_ms), ..line }
            }
            Kind::ImagePull { step, image, took_ms, .. } => pull(step, image, *took_ms),
            Kind::StepFailed { step, message, causes, took_ms } => {
                self.failure(step, message, causes, *took_ms)
            }
            Kind::Diagnosed { .. } | Kind::StepsLeft { .. } => return None,
            Kind::Warning { message } => {
                Line::new(format!("{} {message}", self.paint.attention("warning:"))).marked(Mark::Attention)
            }
            Kind::Stopping { signal } => Line::new(format!(
                "{signal}: stopping once what has begun is at a clean end; again stops at once"
            ))
            .marked(Mark::Attention),
            kind @ Kind::RunFinished { .. } => return closing::line(kind, &self.ledger, self.paint),
        })
    }

    fn failure(&mut self, step: &str, message: &str, causes: &[String], took_ms: u64) -> Line {
        let diagnoses = &self.ledger.entry(step).diagnoses;
        self.causes_told.extend(causes.iter().cloned());
        if self.first_hint.is_none() {
            self.first_hint = diagnoses.first().and_then(|first| first.hint.clone());
        }
        let head = self.paint.bad(&failure::head(message, diagnoses));
        let details = failure::details(causes, diagnoses, self.first_hint.as_deref(), self.paint);
        let line = Line::of(step, head).weighing(Weight::Always).marked(Mark::Bad);
        Line { took_ms: Some(took_ms), details, ..line }
    }

    /// The lines that were held back, unless they are not wanted at all.
    fn opening(&mut self) -> Vec<Line> {
        if self.least == Weight::Always {
            return Vec::new();
        }
        self.whereabouts = None;
        self.held.drain(..).collect()
    }

    /// The last line, which names the cluster if no line has.
    fn folded(&mut self, line: Line) -> Line {
        match self.whereabouts.take() {
            Some(whereabouts) => {
                Line { text: format!("{}: {}", self.paint.strong(&whereabouts), line.text), ..line }
            }
            None => line,
        }
    }
}

/// That an image is being pulled is news while nothing else is; that it was, when it took a while.
fn pull(step: &str, image: &str, took_ms: Option<u64>) -> Line {
    let Some(took_ms) = took_ms else {
        return Line::of(step, phrases::pulling(image)).weighing(Weight::Detail);
    };
    let weight = if took_ms < SLOW_PULL { Weight::Detail } else { Weight::Change };
    Line { took_ms: Some(took_ms), ..Line::of(step, format!("pulled {image}")).weighing(weight) }
}
