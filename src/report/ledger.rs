//! How each step of a run stands: what the end of a run, a report and a summary say of it.

use crate::event::{Change, Diagnosis, Event, Kind, Tally};

/// The steps of a run, in the order in which they may start.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) steps: Vec<Entry>,
    pub(super) releases_unchanged: u32,
    /// What a run that changes nothing would do.
    pub(super) foreseen: Tally,
}

/// One step.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    began_ms: Option<u64>,
    /// How long it took, or ran until it was left.
    pub(super) took_ms: Option<u64>,
    pub(super) end: End,
    /// What was found out about its objects.
    pub(super) diagnoses: Vec<Diagnosis>,
}

/// How a step ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Not at all: it never began, or the run ended before it.
    Open,
    Ready(Tally),
    Failed {
        message: String,
        causes: Vec<String>,
    },
    /// The run ended before it could be judged, for this reason.
    NotJudged(String),
}

impl Ledger {
    /// Takes in one event.
    pub(super) fn observe(&mut self, event: &Event) {
        match &event.kind {
            Kind::RunStarted { steps, .. } => {
                self.steps = steps.iter().map(|step| Entry::new(step)).collect();
            }
            Kind::StepStarted { step } => self.entry(step).began_ms = Some(event.elapsed_ms),
            Kind::StepFinished { step, tally, took_ms } => {
                let entry = self.entry(step);
                (entry.end, entry.took_ms) = (End::Ready(*tally), Some(*took_ms));
            }
            Kind::Diagnosed { step, diagnosis } => self.entry(step).diagnoses.push(diagnosis.clone()),
            Kind::StepFailed { step, message, causes, took_ms } => {
                let entry = self.entry(step);
                entry.end = End::Failed { message: message.clone(), causes: causes.clone() };
                entry.took_ms = Some(*took_ms);
            }
            Kind::StepsLeft { steps, why } => {
                for step in steps {
                    let entry = self.entry(step);
                    entry.end = End::NotJudged(why.clone());
                    entry.took_ms = entry.began_ms.map(|began_ms| event.elapsed_ms.saturating_sub(began_ms));
                }
            }
            Kind::ReleaseChanged { change: Change::Unchanged, .. } => self.releases_unchanged += 1,
            Kind::Foreseen { change, .. } => self.foreseen.count(*change),
            _ => {}
        }
    }

    /// The step of this name.
    pub(super) fn entry(&mut self, name: &str) -> &mut Entry {
        let known = self.steps.iter().position(|entry| entry.name == name);
        let place = known.unwrap_or_else(|| {
            self.steps.push(Entry::new(name));
            self.steps.len() - 1
        });
        &mut self.steps[place]
    }

    /// The names of the steps that are ready.
    pub(super) fn ready(&self) -> Vec<&str> {
        self.names(|entry| matches!(entry.end, End::Ready(_)))
    }

    /// The names of the steps that failed.
    pub(super) fn failed(&self) -> Vec<&str> {
        self.names(|entry| matches!(entry.end, End::Failed { .. }))
    }

    /// The names of the steps that were not judged, by the reason that was given; it is empty where none was.
    pub(super) fn not_judged(&self) -> Vec<(&str, Vec<&str>)> {
        let mut reasons: Vec<(&str, Vec<&str>)> = Vec::new();
        for entry in &self.steps {
            let Some(why) = entry.not_judged() else { continue };
            match reasons.iter_mut().find(|(known, _)| *known == why) {
                Some((_, names)) => names.push(&entry.name),
                None => reasons.push((why, vec![&entry.name])),
            }
        }
        reasons
    }

    fn names(&self, is_wanted: impl Fn(&Entry) -> bool) -> Vec<&str> {
        self.steps.iter().filter(|entry| is_wanted(entry)).map(|entry| entry.name.as_str()).collect()
    }
}

impl Entry {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), began_ms: None, took_ms: None, end: End::Open, diagnoses: Vec::new() }
    }

    /// Why it was not judged, once the run is over. A step that never began may have been left out of the run.
    pub(super) fn not_judged(&self) -> Option<&str> {
        match &self.end {
            End::NotJudged(why) => Some(why),
            End::Open if self.began_ms.is_some() => Some(""),
            _ => None,
        }
    }
}
