//! Tells a run in lines, for the displays that people read; where a line goes and how it is set is up to them.
//!
//! The first line, which names the cluster, is held back until there is a second: a run that changes nothing is one line.

use std::fmt::Write;

use super::paint::Paint;
use super::phrases;
use super::running::Activity;
use crate::error::Exit;
use crate::event::{Change, Event, Kind, ReleaseAction, Tally};
use crate::status::Status;

/// The widest step name that others are aligned with.
const WIDEST: usize = 24;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Nothing changed, or not yet.
    Detail,
    /// A change that a live display sums up.
    Change,
    /// Stays in sight.
    Notable,
    /// Said even to those who want quiet.
    Always,
}

/// What kind of news a line is, at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// News as any other.
    None,
    /// Something is done.
    Good,
    /// Something is to be looked at.
    Attention,
    /// Something went wrong.
    Bad,
}

/// One line, and what belongs below it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) weight: Weight,
    pub(super) mark: Mark,
    /// Milliseconds since the run began.
    pub(super) at_ms: u64,
    pub(super) step: Option<String>,
    pub(super) text: String,
    pub(super) took_ms: Option<u64>,
    pub(super) details: Vec<String>,
}

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
    releases_unchanged: u32,
    done: Vec<String>,
    left: Vec<String>,
    causes_told: Vec<String>,
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
            releases_unchanged: 0,
            done: Vec::new(),
            left: Vec::new(),
            causes_told: Vec::new(),
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
    pub(super) fn error(&self, event: &Event) -> Option<String> {
        let Kind::RunFinished { error: Some(message), causes, hint, .. } = &event.kind else { return None };
        let untold: Vec<String> =
            causes.iter().filter(|cause| !self.causes_told.contains(*cause)).cloned().collect();
        Some(phrases::error(message, &untold, hint.as_deref(), self.paint))
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
                    Change::Kept => Weight::Notable,
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
                self.releases_unchanged += u32::from(unchanged);
                let revision = revision.map(|revision| format!(", revision {revision}"));
                let text = phrases::release_changed(*change, release, step.as_deref());
                Line::maybe_of(step.as_deref(), text + revision.as_deref().unwrap_or(""))
                    .weighing(if unchanged { Weight::Detail } else { Weight::Change })
            }
            Kind::ObjectStatus { step, object, status, message } => {
                let said = phrases::status(*status, message);
                let line = Line::of(step, format!("{}: {said}", phrases::short(object, &self.namespace)));
                if *status == Status::Failed {
                    line.weighing(Weight::Change).marked(Mark::Attention)
                } else {
                    line.weighing(Weight::Detail)
                }
            }
            Kind::StepFinished { step, tally, took_ms } => {
                self.done.push(step.clone());
                let weight = if tally.changed() { Weight::Notable } else { Weight::Detail };
                let line = Line::of(step, phrases::tally(*tally)).weighing(weight).marked(Mark::Good);
                Line { took_ms: Some(*took_ms), ..line }
            }
            Kind::StepFailed { step, message, causes, unready } => {
                self.causes_told.extend(causes.iter().cloned());
                let mut details: Vec<String> =
                    causes.iter().map(|cause| format!("caused by: {cause}")).collect();
                details.extend(phrases::unready(unready, self.paint));
                let text = format!("{} {message}", self.paint.bad("failed:"));
                let line = Line::of(step, text).weighing(Weight::Always).marked(Mark::Bad);
                Line { details, ..line }
            }
            Kind::StepsLeft { steps, why } => {
                self.left.push(format!("left: {} ({why})", steps.join(", ")));
                return None;
            }
            Kind::Warning { message } => {
                Line::new(format!("{} {message}", self.paint.attention("warning:"))).marked(Mark::Attention)
            }
            Kind::Stopping { signal } => Line::new(format!(
                "{signal}: stopping once what has begun is at a clean end; again stops at once"
            ))
            .marked(Mark::Attention),
            Kind::RunFinished { exit_code, tally, took_ms, notes, .. } => {
                self.closing(*exit_code, *tally, *took_ms, notes)
            }
        })
    }

    /// The last line of a run.
    fn closing(&self, exit_code: u8, tally: Tally, took_ms: u64, notes: &[String]) -> Line {
        let took = phrases::duration(took_ms);
        let changes = phrases::tally(tally);
        if exit_code == Exit::Success.code() {
            if !tally.changed() {
                let text = format!("nothing to do{} ({took})", self.nothing_changed(tally));
                return Line::new(self.paint.good(&text)).weighing(Weight::Always);
            }
            let text = format!("{} in {took}: {changes}", self.paint.good("done"));
            return Line { details: notes.to_vec(), ..Line::new(text).weighing(Weight::Always) };
        }
        let how = if exit_code == Exit::Interrupted.code() {
            "interrupted after"
        } else if exit_code == Exit::Timeout.code() {
            "out of time after"
        } else {
            "failed after"
        };
        let changes = if tally.changed() { changes } else { "nothing was changed".to_owned() };
        let mut details = Vec::new();
        if !self.done.is_empty() {
            details.push(format!("done: {}", self.done.join(", ")));
        }
        details.extend(self.left.iter().cloned());
        let text = format!("{} {took}: {changes}", self.paint.bad(how));
        Line { details, ..Line::new(text).weighing(Weight::Always) }
    }

    /// What a run that changed nothing has found: `, 31 objects and 2 releases unchanged`.
    fn nothing_changed(&self, tally: Tally) -> String {
        let releases = self.releases_unchanged.min(tally.unchanged);
        let objects = tally.unchanged - releases;
        let mut text = match (objects, releases) {
            (0, 0) => String::new(),
            (objects, 0) => format!(", {} unchanged", phrases::count(objects, "object")),
            (0, releases) => format!(", {} unchanged", phrases::count(releases, "release")),
            (objects, releases) => format!(
                ", {} and {} unchanged",
                phrases::count(objects, "object"),
                phrases::count(releases, "release")
            ),
        };
        if tally.kept > 0 {
            let _ = write!(text, ", {} kept", tally.kept);
        }
        text
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

impl Line {
    fn new(text: String) -> Self {
        Self {
            weight: Weight::Notable,
            mark: Mark::None,
            at_ms: 0,
            step: None,
            text,
            took_ms: None,
            details: Vec::new(),
        }
    }

    fn of(step: &str, text: String) -> Self {
        Self::maybe_of(Some(step), text)
    }

    fn maybe_of(step: Option<&str>, text: String) -> Self {
        Self { step: step.map(str::to_owned), ..Self::new(text) }
    }

    fn weighing(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    fn marked(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }
}
