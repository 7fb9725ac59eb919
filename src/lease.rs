//! One run at a time: a Lease in `kube-system` that is held, renewed and removed.

use std::time::Duration;

use futures::{StreamExt as _, pin_mut};
use jiff::Timestamp;
use kube::api::{DeleteParams, Preconditions};
use kube::core::{ObjectMeta, TypeMeta};
use kube::runtime::watcher;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::lease::holder::{Holder, Run};
use crate::object::{self, Object, ObjectRef};

mod holder;
#[cfg(test)]
mod tests;

/// How long a lease that nobody renews is still respected.
const DURATION: Duration = Duration::from_secs(15);

/// How often the lease is renewed.
const RENEW_EVERY: Duration = Duration::from_secs(5);

/// How long the end of a run may be held up by giving the lease back.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

const NAMESPACE: &str = "kube-system";

/// How a lease is lost that is no more.
const GONE: &str = "the lease of this stack is gone: another run may have worked on it";

/// The lease while it is held; it is given back by [`Held::release`].
pub struct Held {
    cluster: Cluster,
    name: ObjectRef,
    holder: Run,
    /// Ends when the lease is lost, with what the run then ends with.
    renewing: JoinHandle<Error>,
}

/// For what, and how patiently, a lease is asked for.
pub struct Wish {
    /// The verb, as another run is told of it.
    pub command: &'static str,
    /// Whether to wait for another run to end.
    pub wait: bool,
    /// When to give up waiting.
    pub deadline: Instant,
}

impl Wish {
    /// What is waited for, of the run that holds the lease.
    fn awaits(&self, who: &Holder) -> String {
        let awaited = if self.wait { "the end of" } else { "a sign of life from" };
        format!("{awaited} the run that holds the lease ({who})")
    }
}

/// Takes the lease of a stack. Where another run holds it: ends with exit 4 as soon as that one renews it, waits for it
/// if that is the wish, and takes over when it has not been renewed for 15 s by our own clock, or at once when it was a
/// process of this machine that is no more.
///
/// # Errors
/// Exit 4 when another run holds it, 6 when it still does at the deadline, or the server's refusal.
pub async fn acquire(
    cluster: &Cluster,
    stack: &str,
    wish: &Wish,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<Held, Error> {
    // A lease that waits for what a run asks of a slow server is not renewed in time.
    let cluster = &cluster.apart();
    let name = name_of(stack);
    let holder = Run::new(wish.command);
    let mut awaited = None;
    loop {
        match cluster.create(&lease(&name, &holder, None)).await {
            Ok(_) => break,
            Err(error) if error.already_exists() => {}
            Err(error) => return Err(error.into_preflight()),
        }
        let Some(found) = cluster.get(&name).await.map_err(RequestError::into_preflight)? else { continue };
        let who = Holder::of(&found);
        // A create whose answer was lost, and which was made again.
        if who.run == holder {
            break;
        }
        let outcome = if who.is_dead() {
            Observed::Dead(Box::new(found))
        } else {
            if awaited.as_ref() != Some(&who.run) {
                events.send(Kind::Waiting { what: wish.awaits(&who) });
                awaited = Some(who.run.clone());
            }
            tokio::select! {
                outcome = observe(cluster, &name, &found) => outcome?,
                () = sleep_until(wish.deadline) => {
                    return Err(Error::new(Exit::Timeout, format!("out of time waiting for {who} to end")));
                }
                () = cancel.cancelled() => return Err(Error::new(Exit::Interrupted, "interrupted")),
            }
        };
        match outcome {
            Observed::Alive if !wish.wait => {
                return Err(Error::new(Exit::Refused, format!("another run works on this stack: {who}"))
                    .hint("wait for it with --wait-lock"));
            }
            Observed::Alive | Observed::Gone => {}
            Observed::Dead(last) => {
                match cluster.replace(&lease(&name, &holder, Some(&last))).await {
                    Ok(_) => break,
                    // A third run took it first.
                    Err(error) if error.is_stale() || error.is_not_found() => {}
                    Err(error) => return Err(error.into_preflight()),
                }
            }
        }
    }
    let renewing = tokio::spawn(renew(cluster.clone(), name.clone(), holder.clone()));
    Ok(Held { cluster: cluster.clone(), name, holder, renewing })
}

/// How the lease of a stack stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has it.
    Free,
    /// Whoever had it is gone; the next run takes it over.
    Abandoned(String),
    /// A run has it.
    Held(String),
}

/// Looks who holds the lease of a stack.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn look(cluster: &Cluster, stack: &str) -> Result<Standing, RequestError> {
    let Some(found) = cluster.get(&name_of(stack)).await? else { return Ok(Standing::Free) };
    let who = Holder::of(&found);
    let is_gone = who.is_dead() || who.is_silent(Timestamp::now());
    Ok(if is_gone { Standing::Abandoned(who.to_string()) } else { Standing::Held(who.to_string()) })
}

fn name_of(stack: &str) -> ObjectRef {
    ObjectRef::new(&object::LEASE, Some(NAMESPACE), &format!("bootstrap-{stack}"))
}

impl Held {
    /// Waits until the lease is ours no more, and returns what the run then ends with.
    pub async fn lost(&mut self) -> Error {
        (&mut self.renewing).await.unwrap_or_else(|panic| {
            Error::new(Exit::Unexpected, "failed to renew the lease of this stack").because(panic)
        })
    }

    /// Stops renewing and removes the lease, if it is still ours.
    pub async fn release(self) {
        self.renewing.abort();
        // What is not removed here is not respected any more after `DURATION`.
        let _ = timeout(RELEASE_TIMEOUT, self.remove()).await;
    }

    async fn remove(&self) {
        if let Ok(Some(found)) = self.cluster.get(&self.name).await
            && Holder::of(&found).run == self.holder
        {
            let unchanged = Preconditions {
                resource_version: found.metadata.resource_version,
                ..Preconditions::default()
            };
            let params = DeleteParams { preconditions: Some(unchanged), ..DeleteParams::default() };
            let _ = self.cluster.delete(&self.name, &params).await;
        }
    }
}

/// Renews the lease until it is lost. A server that does not answer is no reason to stop the run; another holder is, and so
/// is no lease at all: another run may have had it, and changed what this one has read.
async fn renew(cluster: Cluster, name: ObjectRef, holder: Run) -> Error {
    let mut ticks = interval(RENEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let Ok(found) = cluster.get(&name).await else { continue };
        let Some(found) = found else { return lost(GONE) };
        let who = Holder::of(&found);
        if who.run != holder {
            return lost(&format!("another run has taken the lease of this stack: {who}"));
        }
        let mut mine = lease(&name, &holder, Some(&found));
        mine.data["spec"]["acquireTime"] = found.data["spec"]["acquireTime"].clone();
        mine.data["spec"]["leaseTransitions"] = found.data["spec"]["leaseTransitions"].clone();
        let _ = cluster.replace(&mine).await;
    }
}

fn lost(how: &str) -> Error {
    Error::new(Exit::Refused, how).hint("look who works on it: kubectl -n kube-system get leases")
}

/// What became of another's lease.
enum Observed {
    /// It was renewed.
    Alive,
    /// It was given back.
    Gone,
    /// It was not renewed for [`DURATION`]; this is how it last stood.
    Dead(Box<Object>),
}

async fn observe(cluster: &Cluster, name: &ObjectRef, found: &Object) -> Result<Observed, Error> {
    let changes = cluster.watch(&name.gvk(), Some(NAMESPACE)).await.map_err(RequestError::into_preflight)?;
    pin_mut!(changes);
    let mut end = Instant::now() + DURATION;
    let mut listed = false;
    loop {
        let change = tokio::select! {
            change = changes.next() => change,
            () = sleep_until(end) => return Ok(Observed::Dead(Box::new(found.clone()))),
        };
        match change {
            Some(Ok(watcher::Event::Apply(seen) | watcher::Event::InitApply(seen)))
                if ObjectRef::of(&seen).as_ref() == Some(name) =>
            {
                listed = true;
                if seen.metadata.resource_version != found.metadata.resource_version {
                    return Ok(Observed::Alive);
                }
            }
            Some(Ok(watcher::Event::Delete(gone))) if ObjectRef::of(&gone).as_ref() == Some(name) => {
                return Ok(Observed::Gone);
            }
            Some(Ok(watcher::Event::Init)) => listed = false,
            Some(Ok(watcher::Event::InitDone)) if !listed => return Ok(Observed::Gone),
            Some(Err(error)) if error.is_final() => return Err(error.into_preflight()),
            // While the server is away nobody can renew.
            Some(Err(_)) => end = Instant::now() + DURATION,
            _ => {}
        }
    }
}

/// The lease as this run makes it, or puts it in the place of the one before.
fn lease(name: &ObjectRef, holder: &Run, before: Option<&Object>) -> Object {
    let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
    let transitions =
        before.map_or(0, |lease| lease.data["spec"]["leaseTransitions"].as_i64().unwrap_or(0) + 1);
    Object {
        types: Some(TypeMeta {
            api_version: "coordination.k8s.io/v1".to_owned(),
            kind: object::LEASE.kind.to_owned(),
        }),
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: name.namespace.clone(),
            annotations: Some(holder.annotations()),
            // Without a uid, a server makes a lease anew that is gone, whatever version is to be replaced.
            uid: before.and_then(|lease| lease.metadata.uid.clone()),
            resource_version: before.and_then(|lease| lease.metadata.resource_version.clone()),
            ..ObjectMeta::default()
        },
        data: json!({ "spec": {
            "holderIdentity": holder.identity(),
            "leaseDurationSeconds": DURATION.as_secs(),
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }}),
    }
}
