//! Carries out one step: its Secret, its objects wave by wave, its release, and the wait until all is Current.

use futures::stream::{FuturesUnordered, StreamExt as _};
use tokio::time::Instant;

use crate::apply::{self, Action, Applied, Means};
use crate::engine::run::Run;
use crate::engine::{release, since};
use crate::error::{Error, Exit};
use crate::event::{self, Change, Diagnosis, Kind, Tally};
use crate::helm::Record;
use crate::manifest::{self, Manifest};
use crate::object::{self, ObjectRef};
use crate::plan::{PlannedRelease, PlannedStep};
use crate::secret;
use crate::wait::{Awaited, Deadline, WaitError};

/// What a step did.
pub(super) struct Done {
    pub(super) tally: Tally,
    /// Its objects.
    pub(super) awaited: Vec<Awaited>,
}

/// How a step did not end well.
pub(super) enum StepError {
    /// It was stopped before it could be judged.
    Cut,
    /// It failed, for some of them because these objects are not ready.
    Failed(Error, Vec<Diagnosis>),
}

impl From<Error> for StepError {
    fn from(error: Error) -> Self {
        match error.exit() {
            Exit::Interrupted => Self::Cut,
            _ => Self::Failed(error, Vec::new()),
        }
    }
}

impl From<WaitError> for StepError {
    fn from(error: WaitError) -> Self {
        if matches!(error, WaitError::Cancelled) {
            return Self::Cut;
        }
        let mut unready = error.unready().to_vec();
        event::sort_by_evidence(&mut unready);
        let Some(first) = unready.first() else {
            return Self::Failed(Error::new(error.exit(), error.to_string()), unready);
        };
        let names = match unready.len() {
            1 => first.object.to_string(),
            2 => format!("{} and 1 other", first.object),
            all => format!("{} and {} others", first.object, all - 1),
        };
        let message = match error {
            WaitError::TimedOut(_) => format!("timed out waiting for {names}"),
            _ => format!("{names} cannot become ready"),
        };
        let failure = Error::new(error.exit(), message);
        let failure = first.hint.iter().fold(failure, Error::hint);
        let reason = first.reason();
        let failure = if reason.is_empty() { failure } else { failure.because(reason) };
        Self::Failed(failure, unready)
    }
}

/// Carries out a step.
pub(super) async fn carry_out(run: &Run, step: PlannedStep) -> Result<Done, StepError> {
    let began = Instant::now();
    let deadline = step.timeout.map_or(run.deadline, |timeout| run.deadline.min(began + timeout));
    run.events.send(Kind::StepStarted { step: step.name.clone() });
    let mut done = Done { tally: Tally::default(), awaited: Vec::new() };
    await_departure(run, &step, deadline).await?;
    if step.secret.is_some() {
        ensure_secret(run, &step, &mut done).await?;
    }
    for wave in &step.waves {
        if run.stop.is_cancelled() {
            return Err(StepError::Cut);
        }
        apply_wave(run, &step.name, wave, deadline, &mut done).await?;
    }
    if let Some(planned) = &step.release {
        release::carry_out(run, &step, planned, deadline, &mut done).await?;
    }
    run.waiter.until_current(&step.name, done.awaited.clone(), until(run, deadline), &run.stop).await?;
    run.events.send(Kind::StepFinished { step: step.name, tally: done.tally, took_ms: since(began) });
    Ok(done)
}

/// Waits until what is being deleted is gone, so that it can be made anew.
async fn await_departure(run: &Run, step: &PlannedStep, deadline: Instant) -> Result<(), StepError> {
    let release = step.release.as_ref().map(PlannedRelease::release);
    let record = run.records.iter().find(|record| Some(&record.release) == release.as_ref());
    let secret =
        step.secret.as_ref().map(|spec| ObjectRef::new(&object::SECRET, Some(&run.namespace), &spec.name));
    let names = step.waves.iter().flatten().map(|manifest| manifest.name.clone());
    let names = names.chain(secret).chain(record.into_iter().flat_map(Record::objects));
    let leaving: Vec<_> = names
        .filter_map(|object| Some(Awaited { seen: Some(run.live.leaving(&object)?.clone()), object }))
        .collect();
    if leaving.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = leaving.iter().map(|leaving| leaving.object.to_string()).collect();
    run.events
        .send(Kind::Waiting { what: format!("what is being deleted to be gone: {}", names.join(", ")) });
    Ok(run.waiter.until_gone(leaving, deadline, &run.stop).await?)
}

/// Waits until objects of a step that was ready are still Current, or are so again.
pub(super) async fn look_again(run: &Run, step: &str, awaited: &[Awaited]) -> Result<(), StepError> {
    Ok(run.waiter.until_current(step, awaited.to_vec(), until(run, run.deadline), &run.stop).await?)
}

fn until(run: &Run, end: Instant) -> Deadline {
    Deadline { end, last: run.deadline }
}

async fn ensure_secret(run: &Run, step: &PlannedStep, done: &mut Done) -> Result<(), Error> {
    let Some(spec) = &step.secret else { return Ok(()) };
    let inventory = run.inventory.lock().await.clone();
    let name = ObjectRef::new(&object::SECRET, Some(&run.namespace), &spec.name);
    let seen = run.live.get(&name);
    let revision = run.revisions.lock().await[&spec.name].clone();
    let ensured = secret::ensure(&run.cluster, &inventory, &name, spec, seen, run.values, &revision).await?;
    run.revisions.lock().await.insert(spec.name.clone(), ensured.revision);
    done.tally.count(ensured.change);
    run.events.send(Kind::ObjectChanged {
        step: Some(step.name.clone()),
        object: name,
        change: ensured.change,
        why: ensured.why,
    });
    Ok(())
}

/// Applies the objects of a wave side by side, and waits for those that later waves cannot be applied without.
async fn apply_wave(
    run: &Run,
    step: &str,
    wave: &[Manifest],
    deadline: Instant,
    done: &mut Done,
) -> Result<(), StepError> {
    let mut applying: FuturesUnordered<_> =
        wave.iter().map(|manifest| apply_one(run, manifest, deadline)).collect();
    let mut definitions = Vec::new();
    let mut failure = None;
    while let Some((manifest, result)) = applying.next().await {
        let applied = match result {
            Ok(applied) => applied,
            // The writes beside it end; then the step does.
            Err(error) => {
                failure.get_or_insert(error);
                continue;
            }
        };
        report(run, step, manifest, &applied);
        done.tally.count(applied.change);
        let awaited = Awaited { object: manifest.name.clone(), seen: Some(applied.live) };
        if manifest.name.is(&object::CUSTOM_RESOURCE_DEFINITION) {
            definitions.push(awaited.clone());
        }
        done.awaited.push(awaited);
    }
    drop(applying);
    if let Some(error) = failure {
        return Err(error.into());
    }
    if !definitions.is_empty() {
        run.waiter.until_current(step, definitions, until(run, deadline), &run.stop).await?;
    }
    Ok(())
}

async fn apply_one<'a>(
    run: &Run,
    manifest: &'a Manifest,
    deadline: Instant,
) -> (&'a Manifest, Result<Applied, Error>) {
    let result = if manifest.name.is(&object::NAMESPACE) {
        apply_namespace(run, manifest, deadline).await
    } else {
        apply_judged(run, manifest, deadline).await
    };
    (manifest, result)
}

async fn apply_judged(run: &Run, manifest: &Manifest, deadline: Instant) -> Result<Applied, Error> {
    let (mut manifest, mut judged) = (manifest.clone(), run.objects[&manifest.name].clone());
    let before = judged.wanted.clone();
    let inventory = run.inventory.lock().await.clone();
    let namespace = inventory.name.namespace.as_deref().unwrap_or_default();
    for object in [&mut manifest.object, &mut judged.wanted] {
        manifest::add_secret_revisions(object, namespace, &*run.revisions.lock().await);
    }
    // Its Secret is another than was foreseen.
    if judged.action == Action::Nothing && judged.wanted != before {
        judged.action = Action::Configure { force: false };
    }
    let means = Means {
        cluster: &run.cluster,
        inventory: &inventory,
        waiter: &run.waiter,
        leave: run.leave,
        deadline,
        cancel: &run.stop,
    };
    apply::carry_out(&means, &manifest, &judged, &run.live).await
}

/// The stack's own namespace was made before its step, for the inventory to live in.
async fn apply_namespace(run: &Run, manifest: &Manifest, deadline: Instant) -> Result<Applied, Error> {
    let change = if run.namespace == manifest.name.name {
        run.namespace_change
    } else {
        apply::ensure_namespace(
            &run.cluster,
            &run.waiter,
            &run.events,
            &manifest.object,
            &run.stack,
            deadline,
            &run.stop,
        )
        .await
        .map_err(|error| error.written_in(&manifest.place()))?
    };
    let live = run.live.get(&manifest.name).filter(|_| change == Change::Unchanged).cloned();
    let live = match live {
        Some(live) => live,
        None => run
            .cluster
            .get(&manifest.name)
            .await
            .map_err(crate::cluster::RequestError::into_error)?
            .ok_or_else(|| {
                Error::new(Exit::Unexpected, format!("{} was deleted while it was worked in", manifest.name))
            })?,
    };
    Ok(Applied { change, live, drift: Vec::new(), why: None })
}

fn report(run: &Run, step: &str, manifest: &Manifest, applied: &Applied) {
    for drift in &applied.drift {
        run.events.send(Kind::DriftReverted {
            step: step.to_owned(),
            object: manifest.name.clone(),
            change: drift.change.clone(),
            manager: drift.manager.clone(),
            age: drift.age.clone(),
        });
    }
    run.events.send(Kind::ObjectChanged {
        step: Some(step.to_owned()),
        object: manifest.name.clone(),
        change: applied.change,
        why: applied.why.clone(),
    });
}
