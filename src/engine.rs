//! Carries a plan out against one cluster: independent steps side by side, each when all that it needs is Current. Sends
//! events, prints nothing.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, Leave};
use crate::changeset::Changeset;
use crate::cluster::Cluster;
use crate::engine::course::Course;
use crate::engine::prepare::Prepared;
use crate::engine::run::Run;
use crate::engine::survey::Survey;
use crate::error::{Error, Exit};
use crate::event::{Chain, Events, Kind, milliseconds};
use crate::helm::{self, Until};
use crate::lease::{self, Wish};
use crate::object::Object;
use crate::plan::{Plan, PlannedStep};
use crate::preflight;
use crate::secret::Values;
use crate::wait::Waiter;

pub use crate::engine::survey::{place, read_records};

mod chain;
mod course;
mod foresee;
pub(crate) mod outage;
mod prepare;
mod release;
mod run;
mod step;
mod survey;

/// How long the waits of other steps go on after one has failed: long enough for what is almost there.
const GRACE: Duration = Duration::from_secs(5);

/// What the user may choose about what a run does.
#[derive(Clone, Debug)]
pub struct Options {
    /// The storage class, or [`crate::storage::AUTO`].
    pub storage_class: String,
    /// A folder of charts that are used in place of the stack's references.
    pub charts: Option<PathBuf>,
    /// Whether the cluster is one on this machine, which gets no nodes by itself.
    pub is_local: bool,
    /// What the user gives leave to.
    pub leave: Leave,
    /// Whether what the stack has no more is taken away; a run of some steps leaves it.
    pub prune: bool,
    /// What becomes of the random values of the stack's Secrets.
    pub values: Values,
}

impl Options {
    /// The verb, as other runs are told of it.
    fn command(&self) -> &'static str {
        match self.values {
            Values::Kept => "up",
            Values::Rotated => "credentials --rotate",
        }
    }
}

/// How long a run may take, and for whom it waits.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// How long the run may take.
    pub timeout: Duration,
    /// Whether to wait for another run to end.
    pub wait_lock: bool,
}

/// What the user may want to know of a run that went well.
#[derive(Debug, Default)]
pub struct Summary {
    /// Where the stack can be reached and the like, a line each.
    pub notes: Vec<String>,
    /// Where the time went.
    pub longest: Option<Chain>,
}

/// Makes the cluster what the plan says; returns what the user may want to know now.
///
/// # Errors
/// One error for the run, with the exit code of the worst that happened; what happened to each step is in the events.
pub async fn up(
    cluster: &Cluster,
    plan: Plan,
    options: &Options,
    patience: Patience,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let deadline = Instant::now() + patience.timeout;
    let wish = Wish { command: options.command(), wait: patience.wait_lock, deadline };
    let mut held = lease::acquire(cluster, &plan.stack, &wish, events, cancel).await?;
    let outcome = async {
        let cluster = &cluster.until(deadline, cancel);
        let prepared = Box::pin(prepare(cluster, plan, options, deadline, events, cancel)).await?;
        if let Some(choice) = &prepared.storage {
            let (class, why) = (choice.class.clone(), choice.why.clone());
            events.send(Kind::StorageClassChosen { class, why });
        }
        if let Some(refused) = prepared.refused() {
            return Err(refused);
        }
        let (run, plan) = Run::begin(cluster, prepared, options, deadline, events, cancel).await?;
        carry_out(Arc::new(run), &plan, options.prune, cancel).await
    };
    let result = tokio::select! {
        result = outcome => result,
        never = outage::tell(cluster, events) => match never {},
        lost = held.lost() => Err(lost),
    };
    held.release().await;
    result
}

/// Finds out what [`up`] would do, by the same way, and changes nothing.
///
/// # Errors
/// The server's refusal, or what the stack asks for and the cluster cannot give.
pub async fn foresee(cluster: &Cluster, mut plan: Plan, options: &Options) -> Result<Changeset, Error> {
    place(cluster, &mut plan).await?;
    let survey = Survey::read(cluster, &plan).await?;
    let leaving = survey.leaving_namespaces(&plan);
    let prepared = Prepared::decide(cluster, plan, survey.without(&leaving), options).await?;
    Ok(foresee::changeset(&prepared))
}

/// Looks at what there is, waits for the cluster to be up, and decides what to do.
async fn prepare(
    cluster: &Cluster,
    mut plan: Plan,
    options: &Options,
    deadline: Instant,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Prepared, Error> {
    place(cluster, &mut plan).await?;
    let until = Until { deadline, cancelled: cancel.clone() };
    // An aggregated API that this plan or one of its releases brings is not waited for: this run may have to mend it.
    let is_ours = |service: &Object| plan.brings(service);
    let (survey, has_waited) = tokio::try_join!(
        async {
            for planned in plan.releases() {
                helm::settle(cluster, &planned.release(), &until).await?;
            }
            Survey::read(cluster, &plan).await
        },
        preflight::gate(cluster, is_ours, deadline, events, cancel),
    )?;
    // A cluster that was still coming up has more by now, its storage class above all.
    let survey = if has_waited { Survey::read(cluster, &plan).await? } else { survey };
    let leaving = survey.leaving_namespaces(&plan);
    if !leaving.is_empty() {
        let waiter = Waiter::new(cluster.clone(), events.clone(), Arc::default());
        apply::await_namespaces(&waiter, events, leaving.clone(), deadline, cancel).await?;
    }
    Prepared::decide(cluster, plan, survey.without(&leaving), options).await
}

async fn carry_out(
    run: Arc<Run>,
    plan: &Plan,
    prunes: bool,
    cancel: &CancellationToken,
) -> Result<Summary, Error> {
    let mut waiting: Vec<PlannedStep> = plan.steps.clone();
    let mut course = Course::new(Arc::clone(&run), plan);
    loop {
        if course.failures.is_empty() && !cancel.is_cancelled() {
            let startable = |step: &mut PlannedStep| step.needs.is_subset(&course.ready);
            for step in waiting.extract_if(.., startable).collect::<Vec<_>>() {
                course.start(step);
            }
        }
        if !course.take_next().await? {
            break;
        }
    }
    course.left.extend(waiting.into_iter().map(|step| step.name));
    let is_changed = run.events.tally().changed();
    // What became ready first may have crashed while the rest was on its way.
    if is_changed && course.failures.is_empty() && !cancel.is_cancelled() {
        course.look_again();
        while course.take_next().await? {}
    }
    if cancel.is_cancelled() || !course.failures.is_empty() {
        return Err(unfinished(&run, &course.ready, course.left, course.failures, cancel));
    }
    if prunes {
        run.prune(plan).await?;
    }
    // Of what was there before and stays as it is, nobody needs to hear again.
    if is_changed {
        let awaited: Vec<_> = course.done.into_values().flatten().collect();
        for message in run.waiter.warnings(&awaited).await {
            run.events.send(Kind::Warning { message });
        }
    }
    let needs = plan.steps.iter().map(|step| (step.name.as_str(), &step.needs)).collect();
    Ok(Summary { notes: notes(plan, &run), longest: chain::longest(&needs, &run.events.times()) })
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
            let show = run.cluster.target().name_in("bootstrap credentials --show");
            notes.push(format!("{}: {show}", secret.name));
        }
    }
    notes
}

/// The milliseconds since a moment.
fn since(moment: Instant) -> u64 {
    milliseconds(moment.elapsed())
}
