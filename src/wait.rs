//! Waits until objects are Current or gone, on one watch per kind and namespace that all steps of a run share.
//!
//! Decides nothing about an object (`status.rs` and `verdict.rs` do). Writes nothing to the cluster, but that it deletes the
//! pod by which a `StatefulSet` is stuck.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use tokio::select;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, RequestError};
use crate::diagnose::{self, Subject};
use crate::error::{Error, Exit};
use crate::event::{Change, Diagnosis, Events, Kind, milliseconds};
use crate::object::{self, Object, ObjectRef};
use crate::status::{self, Served, Surroundings};
use crate::verdict::Circumstances;

use board::Source;
use departure::Departure;
use pulls::Pulls;
use reasons::Reasons;
use vigil::{Judgement, News, Vigil};
use watches::Watches;

mod board;
mod departure;
mod holds;
mod look;
mod pulls;
mod reasons;
#[cfg(test)]
mod tests;
mod vigil;
mod watches;

/// The pause before discovery is asked a second time; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How long a failure is held back until it can be explained.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long what is to go may take before it is looked what holds it: a namespace takes five seconds in any case.
const UNREMARKABLE: Duration = Duration::from_secs(8);

/// The pause before that is looked at again, while nothing is known to hold it, and when that has been told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
const LOOK_LATER: Duration = Duration::from_secs(15);

/// An object that is waited for.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Its name.
    pub object: ObjectRef,
    /// The object as the last apply or list returned it: the first evidence. Nothing older counts.
    pub seen: Option<Object>,
}

/// Until when to wait.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The time that was given.
    pub end: Instant,
    /// The end of the run, to which pulls of images may put it off.
    pub last: Instant,
}

/// Why the waiting ended before all was as it should be.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Objects that will not become ready by themselves.
    #[error("{} cannot become ready", names(.0))]
    Failed(Vec<Diagnosis>),
    /// The deadline passed; all objects that were not ready, each with its reason.
    #[error("timed out waiting for {}", names(.0))]
    TimedOut(Vec<Diagnosis>),
    /// A kind cannot be watched: it is not served, or the user has no right to it.
    #[error(transparent)]
    Refused(Arc<RequestError>),
    /// The run was interrupted.
    #[error("interrupted")]
    Cancelled,
}

impl WaitError {
    /// The exit code that it asks for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) | Self::Refused(_) => Exit::Doomed,
            Self::TimedOut(_) => Exit::Timeout,
            Self::Cancelled => Exit::Interrupted,
        }
    }

    /// The error of a run that has waited for objects to go: what is left of them, and what holds each.
    #[must_use]
    pub fn into_error(self) -> Error {
        let message = match self.unready() {
            [] => return Error::new(self.exit(), self.to_string()),
            [only] => format!("timed out waiting for {} to go", only.object),
            all => format!("timed out waiting for {} objects to go", all.len()),
        };
        let what = |held: &Diagnosis| {
            let why = if held.message.is_empty() { "being deleted" } else { &held.message };
            format!("{}: {why}", held.object)
        };
        let held = self.unready().iter().map(what).collect::<Vec<_>>().join("\n");
        let hint = self.unready().iter().find_map(|held| held.hint.clone());
        let hint = hint.or_else(|| Some(format!("kubectl get {} -o yaml", self.unready().first()?.object)));
        let error = Error::new(self.exit(), message).because(held);
        hint.into_iter().fold(error, Error::hint)
    }

    /// The objects that were not ready.
    #[must_use]
    pub fn unready(&self) -> &[Diagnosis] {
        match self {
            Self::Failed(unready) | Self::TimedOut(unready) => unready,
            Self::Refused(_) | Self::Cancelled => &[],
        }
    }
}

fn names(unready: &[Diagnosis]) -> String {
    unready.iter().map(|unready| unready.object.to_string()).collect::<Vec<_>>().join(", ")
}

/// Waits for objects. Cheap to clone; the watches end with the last clone.
#[derive(Clone)]
pub struct Waiter {
    cluster: Cluster,
    events: Events,
    watches: Arc<Watches>,
    circumstances: Arc<Circumstances>,
    began: Timestamp,
}

impl Waiter {
    /// Waits on this cluster, and says as events how the objects stand. Nothing is watched yet.
    #[must_use]
    pub fn new(cluster: Cluster, events: Events, circumstances: Arc<Circumstances>) -> Self {
        let watches = Arc::new(Watches::new(cluster.clone()));
        Self { cluster, events, watches, circumstances, began: Timestamp::now() }
    }

    /// Waits until all objects are Current; makes no request when what was seen of them already says so. Give it all
    /// objects of a step at once: a Service is held against the workloads beside it.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn until_current(
        &self,
        step: &str,
        awaited: Vec<Awaited>,
        deadline: Deadline,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError> {
        let mut board = self.watches.subscribe();
        let reasons = Reasons::new(&self.circumstances, step, self.began);
        let mut vigil = Vigil::new(awaited, &board.borrow(), reasons);
        let mut pulls = Pulls::default();
        let mut asking = JoinSet::new();
        let mut asked = BTreeSet::new();
        let mut freed = HashSet::new();
        let mut failing: Option<Instant> = None;
        loop {
            let judgement = vigil.judge(&board.borrow_and_update());
            let failed = judgement.failed();
            failing = (!failed.is_empty()).then(|| failing.unwrap_or_else(Instant::now));
            let held_back = failing.map(|since| since + PATIENCE);
            let is_settled = judgement.is_settled || held_back.is_some_and(|end| Instant::now() >= end);
            // A failure is told once, by its diagnosis, and one that is held back may be none.
            if failed.is_empty() {
                self.say(step, &mut vigil, &mut pulls, &judgement);
            }
            if judgement.all_current() {
                return Ok(());
            }
            vigil.watch(&judgement, &self.watches);
            if let Some(refusal) = vigil.refused(&board.borrow()) {
                return Err(WaitError::Refused(refusal));
            }
            // The one place where waiting is given up before the deadline.
            if is_settled && !failed.is_empty() {
                return Err(WaitError::Failed(self.diagnose(failed, cancel).await?));
            }
            for (pod, uid, object) in &judgement.stuck {
                if freed.insert(uid.clone()) {
                    self.free(step, pod, uid, object).await;
                }
            }
            let end = pulls.put_off(deadline.end, deadline.last);
            let end_of_patience = held_back.unwrap_or(end).min(end);
            for wanted in judgement.unserved {
                if asked.insert(wanted.clone()) {
                    asking.spawn(served(self.cluster.clone(), wanted));
                }
            }
            select! {
                biased;
                () = cancel.cancelled() => return Err(WaitError::Cancelled),
                () = sleep_until(end_of_patience) => if Instant::now() >= end {
                    let judgement = vigil.judge(&board.borrow_and_update());
                    return Err(WaitError::TimedOut(self.diagnose(judgement.unready(), cancel).await?));
                },
                Some(Ok(answered)) = asking.join_next() => vigil.is_served(answered),
                // The waiter itself holds the other end.
                _ = board.changed() => {}
            }
        }
    }

    /// Waits until all objects are really gone, and tells what holds them where that takes a while. One that was made anew
    /// under the same name is another: its uid differs.
    ///
    /// # Errors
    /// See [`WaitError`].
    pub async fn until_gone(
        &self,
        leaving: Vec<Awaited>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError> {
        let mut board = self.watches.subscribe();
        let mut departure = Departure::new(leaving);
        let mut next_look = Instant::now() + UNREMARKABLE;
        let mut told = HashSet::new();
        while departure.judge(&board.borrow_and_update()) {
            departure.watch(&self.watches);
            if let Some(refusal) = departure.refused(&board.borrow()) {
                return Err(WaitError::Refused(refusal));
            }
            select! {
                biased;
                () = cancel.cancelled() => return Err(WaitError::Cancelled),
                () = sleep_until(next_look.min(deadline)) => {
                    let is_over = Instant::now() >= deadline;
                    let mut held = self.look(departure.left(), cancel).await?;
                    if is_over && departure.judge(&board.borrow_and_update()) {
                        held.retain(|held| departure.left().iter().any(|left| left.object == held.object));
                        return Err(WaitError::TimedOut(held));
                    }
                    self.tell_of(&held, &mut told);
                    next_look = Instant::now() + if told.is_empty() { LOOK_AGAIN } else { LOOK_LATER };
                }
                // The waiter itself holds the other end.
                _ = board.changed() => {}
            }
        }
        Ok(())
    }

    /// What the user should know at the end of a run though nothing failed, such as a Service without endpoints.
    pub async fn warnings(&self, awaited: &[Awaited]) -> Vec<String> {
        let mut facts = HashMap::new();
        let wanted: HashSet<_> = awaited.iter().flat_map(vigil::bearing_on_warnings).collect();
        let lists = join_all(wanted.iter().map(|source| self.list(source))).await;
        let mut warnings = Vec::new();
        for (source, list) in wanted.into_iter().zip(lists) {
            match list {
                Ok(objects) => {
                    facts.insert(source, objects);
                }
                Err(error) => warnings.push(error.to_string()),
            }
        }
        let of = |kind: &object::Kind| {
            let lists: Vec<_> = facts.iter().filter(|(source, _)| source.kind == kind.gvk()).collect();
            (!lists.is_empty()).then(|| lists.iter().flat_map(|(_, objects)| objects.iter()).collect())
        };
        let around = Surroundings {
            ingress_classes: of(&object::INGRESS_CLASS),
            endpoint_slices: of(&object::ENDPOINT_SLICE),
            ..Surroundings::default()
        };
        for one in awaited {
            let listed = facts.get(&Source::of(&one.object)).and_then(|objects| {
                objects.iter().find(|object| object.metadata.name.as_ref() == Some(&one.object.name))
            });
            if let Some(object) = listed.or(one.seen.as_ref()) {
                warnings.extend(status::warnings(object, &around));
            }
        }
        warnings
    }

    /// The objects of a source: as they are watched, where they are, else by a list.
    async fn list(&self, source: &Source) -> Result<Vec<Object>, RequestError> {
        if let Some(watched) = self.watches.subscribe().borrow().all(source) {
            return Ok(watched.cloned().collect());
        }
        self.cluster.list(&source.kind, source.namespace.as_deref(), None).await
    }

    async fn diagnose(
        &self,
        subjects: Vec<Subject>,
        cancel: &CancellationToken,
    ) -> Result<Vec<Diagnosis>, WaitError> {
        select! {
            biased;
            () = cancel.cancelled() => Err(WaitError::Cancelled),
            diagnoses = diagnose::diagnose(&self.cluster, subjects) => Ok(diagnoses),
        }
    }

    /// Deletes the pod by which an object is stuck; the next one is of its newest revision. If that is refused, which is said,
    /// the pod stays what the object waits for.
    async fn free(&self, step: &str, pod: &ObjectRef, uid: &str, object: &ObjectRef) {
        let preconditions = Preconditions { uid: Some(uid.to_owned()), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        match self.cluster.delete(pod, &params).await {
            Ok(true) => self.events.send(Kind::ObjectChanged {
                step: Some(step.to_owned()),
                object: pod.clone(),
                change: Change::Deleted,
                why: Some(format!("{object} was stuck at this pod of an older revision")),
            }),
            Ok(false) => {}
            Err(error) => {
                let causes = error.into_error().causes().join(": ");
                let message = format!(
                    "{object} is stuck at {pod}, which is of an older revision, and cannot be freed: {causes}"
                );
                self.events.send(Kind::Warning { message });
            }
        }
    }

    fn say(&self, step: &str, vigil: &mut Vigil, pulls: &mut Pulls, judgement: &Judgement) {
        for News { object, assessment, trouble } in vigil.news(judgement) {
            self.events.send(Kind::ObjectStatus {
                step: step.to_owned(),
                object,
                status: assessment.status,
                message: assessment.message,
                trouble,
            });
        }
        for pulls::News { object, image, took } in
            pulls.observe(&judgement.pulls, |pull| judgement.has_trouble(pull))
        {
            let (step, took_ms) = (step.to_owned(), took.map(milliseconds));
            self.events.send(Kind::ImagePull { step, object, image, took_ms });
        }
    }
}

/// Asks discovery until it answers. It cannot be watched, and lags behind the conditions by a few hundred milliseconds:
/// this is the one place where the server is asked again and again.
async fn served(cluster: Cluster, wanted: Served) -> Served {
    let mut pause = FIRST_PAUSE;
    loop {
        let answered = match &wanted.resource {
            Some(plural) => cluster.serves_resource(&wanted.group, &wanted.version, plural).await,
            None => cluster.serves(&wanted.group, &wanted.version).await,
        };
        if answered {
            return wanted;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_PAUSE);
    }
}
