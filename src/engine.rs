//! Carries a plan out against one cluster: independent steps side by side, each when all that it needs is Current. Sends
//! events, prints nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::cluster::Cluster;
use crate::engine::run::Run;
use crate::engine::step::{Done, StepError};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind, milliseconds};
use crate::lease::{self, Wish};
use crate::plan::{Plan, PlannedStep};

pub use crate::engine::run::read_records;

mod release;
mod run;
mod step;

/// How long the waits of other steps go on after one has failed: long enough for what is almost there.
const GRACE: Duration = Duration::from_secs(5);

/// What the user may choose about a run.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the run may take.
    pub timeout: Duration,
    /// The storage class, or [`crate::storage::AUTO`].
    pub storage_class: String,
    /// A folder of charts that are used in place of the stack's references.
    pub charts: Option<PathBuf>,
    /// Whether to wait for another run to end.
    pub wait_lock: bool,
}

/// Makes the cluster what the plan says; returns what the user may want to know now, a line each.
///
/// # Errors
/// One error for the run, with the exit code of the worst that happened; what happened to each step is in the events.
pub async fn up(
    cluster: &Cluster,
    plan: Plan,
    options: &Options,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Vec<String>, Error> {
    let deadline = Instant::now() + options.timeout;
    let wish = Wish { command: "up", wait: options.wait_lock, deadline };
    let held = lease::acquire(cluster, &plan.stack, &wish, events, cancel).await?;
    let outcome = async {
        let (run, plan) = Box::pin(Run::prepare(cluster, plan, options, deadline, events, cancel)).await?;
        carry_out(Arc::new(run), &plan, cancel).await
    };
    let result = tokio::select! {
        result = outcome => result,
        () = held.lost.cancelled() => Err(Error::new(Exit::Refused, "another run has taken the lease of this stack")
            .hint("look who works on it: kubectl -n kube-system get leases")),
    };
    held.release().await;
    result
}

async fn carry_out(run: Arc<Run>, plan: &Plan, cancel: &CancellationToken) -> Result<Vec<String>, Error> {
    let mut waiting: Vec<PlannedStep> = plan.steps.clone();
    let mut running: JoinSet<(String, Result<Done, StepError>)> = JoinSet::new();
    let mut ready = BTreeSet::new();
    let mut failures: Vec<(String, Error)> = Vec::new();
    let mut left: Vec<String> = Vec::new();
    let mut awaited = Vec::new();
    loop {
        if failures.is_empty() && !cancel.is_cancelled() {
            let startable = |step: &mut PlannedStep| step.needs.is_subset(&ready);
            for step in waiting.extract_if(.., startable) {
                let run = Arc::clone(&run);
                running.spawn(async move { (step.name.clone(), step::carry_out(&run, step).await) });
            }
        }
        let Some(ended) = running.join_next().await else { break };
        let (name, result) =
            ended.map_err(|panic| Error::new(Exit::Unexpected, "a step panicked").because(panic))?;
        match result {
            Ok(done) => {
                awaited.extend(done.awaited);
                ready.insert(name);
            }
            Err(StepError::Cut) => left.push(name),
            Err(StepError::Failed(error, unready)) => {
                run.events.send(Kind::StepFailed {
                    step: name.clone(),
                    message: error.to_string(),
                    causes: error.causes(),
                    unready,
                });
                if failures.is_empty() {
                    let waits = run.stop.clone();
                    // The others get a moment for what is almost there; then their waits are cut.
                    tokio::spawn(async move {
                        sleep(GRACE).await;
                        waits.cancel();
                    });
                }
                failures.push((name, error));
            }
        }
    }
    left.extend(waiting.into_iter().map(|step| step.name));
    if cancel.is_cancelled() || !failures.is_empty() {
        return Err(unfinished(&run, &ready, left, failures, cancel));
    }
    // Of what was there before and stays as it is, nobody needs to hear again.
    if run.events.tally().changed() {
        for message in run.waiter.warnings(&awaited).await {
            run.events.send(Kind::Warning { message });
        }
    }
    Ok(notes(plan, &run))
}

/// Says what is left and makes the one error of the run.
fn unfinished(
    run: &Run,
    ready: &BTreeSet<String>,
    left: Vec<String>,
    failures: Vec<(String, Error)>,
    cancel: &CancellationToken,
) -> Error {
    let interrupted = cancel.is_cancelled();
    let names = failures.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let why = if interrupted { "interrupted".to_owned() } else { format!("{names} failed") };
    if !left.is_empty() {
        run.events.send(Kind::StepsLeft { steps: left, why });
    }
    if interrupted {
        let done = if ready.is_empty() {
            "nothing".to_owned()
        } else {
            ready.iter().cloned().collect::<Vec<_>>().join(", ")
        };
        return Error::new(Exit::Interrupted, format!("interrupted; done: {done}"))
            .hint("the next run goes on from here: bootstrap up");
    }
    // What waiting cannot mend is the news; that others ran out of time is not.
    let weight = |error: &Error| match error.exit() {
        Exit::Doomed => 0,
        Exit::Refused => 1,
        Exit::Timeout => 3,
        _ => 2,
    };
    let (name, error) = failures
        .into_iter()
        .min_by_key(|(_, error)| weight(error))
        .expect("a run that was not interrupted is unfinished because a step failed");
    error.within(&format!("step {name}"))
}

/// Where the stack can be reached, and how to log in.
fn notes(plan: &Plan, run: &Run) -> Vec<String> {
    let mut notes: Vec<_> =
        plan.hosts().map(|host| format!("http://{host}/ through the cluster's ingress")).collect();
    for step in &plan.steps {
        if let Some(secret) = &step.secret {
            let context = run.cluster.context();
            notes.push(format!("{}: bootstrap credentials --show --context {context}", secret.name));
        }
    }
    notes
}

/// The milliseconds since a moment.
fn since(moment: Instant) -> u64 {
    milliseconds(moment.elapsed())
}
