//! How the steps of a run stand: which go on, which are ready, and which have failed. Starts them, and takes in how they end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::run::Run;
use super::step::{self, Done, StepError};
use super::{GRACE, since};
use crate::error::{Error, Exit};
use crate::event::{Diagnosis, Kind};
use crate::manifest::Manifest;
use crate::plan::{Plan, PlannedStep};
use crate::wait::Awaited;

/// The course of a run.
pub(super) struct Course<'a> {
    run: Arc<Run>,
    plan: &'a Plan,
    running: JoinSet<Ended>,
    /// The steps whose objects are Current.
    pub(super) ready: BTreeSet<String>,
    /// Their objects.
    pub(super) done: BTreeMap<String, Vec<Awaited>>,
    pub(super) failures: Vec<(String, Error)>,
    /// The steps that were not judged.
    pub(super) left: Vec<String>,
}

/// How a step ended.
struct Ended {
    name: String,
    took_ms: u64,
    result: Result<Vec<Awaited>, StepError>,
}

impl<'a> Course<'a> {
    pub(super) fn new(run: Arc<Run>, plan: &'a Plan) -> Self {
        Self {
            run,
            plan,
            running: JoinSet::new(),
            ready: BTreeSet::new(),
            done: BTreeMap::new(),
            failures: Vec::new(),
            left: Vec::new(),
        }
    }

    /// Starts a step.
    pub(super) fn start(&mut self, step: PlannedStep) {
        let run = Arc::clone(&self.run);
        self.running.spawn(async move {
            let (name, began) = (step.name.clone(), Instant::now());
            let result = step::carry_out(&run, step).await.map(|Done { awaited, .. }| awaited);
            Ended { name, took_ms: since(began), result }
        });
    }

    /// Waits once more until the objects of all steps that were ready are Current.
    pub(super) fn look_again(&mut self) {
        for (name, awaited) in std::mem::take(&mut self.done) {
            let run = Arc::clone(&self.run);
            self.ready.remove(&name);
            self.running.spawn(async move {
                let began = Instant::now();
                let result = step::look_again(&run, &name, &awaited).await.map(|()| awaited);
                Ended { name, took_ms: since(began), result }
            });
        }
    }

    /// Takes in how the next step ends; tells whether there was one.
    ///
    /// # Errors
    /// When a step panicked.
    pub(super) async fn take_next(&mut self) -> Result<bool, Error> {
        let Some(ended) = self.running.join_next().await else { return Ok(false) };
        let Ended { name, took_ms, result } =
            ended.map_err(|panic| Error::new(Exit::Unexpected, "a step panicked").because(panic))?;
        match result {
            Ok(awaited) => {
                self.done.insert(name.clone(), awaited);
                self.ready.insert(name);
            }
            Err(StepError::Cut) => self.left.push(name),
            Err(StepError::Failed(error, unready)) => self.fail(name, took_ms, error, unready),
        }
        Ok(true)
    }

    fn fail(&mut self, step: String, took_ms: u64, error: Error, unready: Vec<Diagnosis>) {
        let events = &self.run.events;
        for diagnosis in unready {
            let diagnosis = placed(diagnosis, self.plan);
            events.send(Kind::Diagnosed { step: step.clone(), diagnosis });
        }
        let (message, causes) = (error.to_string(), error.causes());
        events.send(Kind::StepFailed { step: step.clone(), message, causes, took_ms });
        if self.failures.is_empty() {
            let waits = self.run.stop.clone();
            // The others get a moment for what is almost there; then their waits are cut.
            tokio::spawn(async move {
                sleep(GRACE).await;
                waits.cancel();
            });
        }
        self.failures.push((step, error));
    }
}

/// Adds to a diagnosis where its object is written.
fn placed(diagnosis: Diagnosis, plan: &Plan) -> Diagnosis {
    let written = plan.manifests().find(|manifest| manifest.name == diagnosis.object);
    Diagnosis { source: written.map(Manifest::place), ..diagnosis }
}
