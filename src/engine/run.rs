//! What all steps of a run share, and how it begins and ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, Judged, Leave};
use crate::cluster::{Cluster, namespace_ref};
use crate::delete::{self, Removal};
use crate::engine::prepare::Prepared;
use crate::engine::release::{self, JudgedRelease};
use crate::engine::{Options, read_records};
use crate::error::{Error, Exit};
use crate::event::{Change, Events, Kind};
use crate::helm::{Decision, Helm, Record, Release, Until};
use crate::inventory::{Inventory, ReleaseEntry};
use crate::live::Live;
use crate::object::{self, ObjectRef};
use crate::plan::Plan;
use crate::secret::{self, Values};
use crate::storage;
use crate::verdict::{Circumstances, Promised};
use crate::wait::Waiter;

/// What all steps of a run share.
pub(super) struct Run {
    pub(super) cluster: Cluster,
    pub(super) events: Events,
    pub(super) waiter: Waiter,
    pub(super) circumstances: Arc<Circumstances>,
    pub(super) inventory: Mutex<Inventory>,
    /// The cluster as it was before the first change.
    pub(super) live: Live,
    /// The releases as they were before the first change, newest revision each.
    pub(super) records: Vec<Record>,
    /// `None` when no release has anything to do.
    pub(super) helm: Option<Helm>,
    /// Holds the charts that helm is given, and goes with the run.
    #[expect(dead_code, reason = "it is there to be dropped")]
    charts: Option<TempDir>,
    /// What there is to do for each object.
    pub(super) objects: BTreeMap<ObjectRef, Judged>,
    /// What there is to do for each release.
    pub(super) releases: BTreeMap<Release, JudgedRelease>,
    /// What the stack has no more.
    leftovers: Removal,
    /// The revision of each Secret of the stack, also of one that is yet to be made, and of those whose step is left out.
    pub(super) revisions: Mutex<BTreeMap<String, String>>,
    /// What became of the stack's namespace, which is made before its step.
    pub(super) namespace_change: Change,
    pub(super) stack: String,
    /// The stack's namespace.
    pub(super) namespace: String,
    /// What the user gives leave to.
    pub(super) leave: Leave,
    /// What becomes of the random values of its Secrets.
    pub(super) values: Values,
    pub(super) deadline: Instant,
    /// Cancelled when the user interrupts the run.
    pub(super) cancel: CancellationToken,
    /// Ends waits: cancelled with the run, or a while after a step has failed. Helm goes on then.
    pub(super) stop: CancellationToken,
}

impl Run {
    /// Writes down what will be made, and makes the place for it: the first changes of a run.
    pub(super) async fn begin(
        cluster: &Cluster,
        prepared: Prepared,
        options: &Options,
        deadline: Instant,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<(Self, Plan), Error> {
        let helm = helm_for(cluster, &prepared).await?;
        let Prepared {
            plan, mut inventory, live, records, objects, secrets, mut releases, leftovers, ..
        } = prepared;
        let charts = match &helm {
            Some(helm) => {
                let until = Until { deadline, cancelled: cancel.clone() };
                Some(release::fetch_charts(&plan, &mut releases, helm, &until, events).await?)
            }
            None => None,
        };
        let promised = Promised::by(&plan);
        let circumstances = Arc::new(Circumstances { promised, is_local: options.is_local });
        let waiter = Waiter::new(cluster.clone(), events.clone(), Arc::clone(&circumstances));
        let written = plan.manifests().find(|manifest| manifest.name == namespace_ref(&plan.namespace));
        let bare = apply::bare_namespace(&plan.namespace);
        let namespace = written.map_or(&bare, |manifest| &manifest.object);
        let namespace_change =
            apply::ensure_namespace(cluster, &waiter, events, namespace, &plan.stack, deadline, cancel)
                .await
                .map_err(|error| {
                    // A refusal leaves all as it was.
                    let error =
                        if error.exit() == Exit::Doomed { error.exiting(Exit::Preflight) } else { error };
                    written.iter().fold(error, |error, manifest| error.written_in(&manifest.place()))
                })?;
        if written.is_none() {
            tell_of_namespace(events, None, &plan.namespace, namespace_change);
        }
        announce(&mut inventory, &plan);
        match namespace_change {
            Change::Created => inventory.save(cluster).await?,
            _ => inventory.save_first(cluster).await?,
        }
        // A reader whose step does not need the Secret's may come first.
        let revisions = secrets
            .into_iter()
            .map(|(name, judged)| (name, judged.revision.unwrap_or_else(secret::new_revision)));
        let run = Self {
            cluster: cluster.clone(),
            events: events.clone(),
            waiter,
            circumstances,
            revisions: Mutex::new(revisions.collect()),
            inventory: Mutex::new(inventory),
            live,
            records,
            helm,
            charts,
            objects,
            releases,
            leftovers,
            namespace_change,
            stack: plan.stack.clone(),
            namespace: plan.namespace.clone(),
            leave: options.leave,
            values: options.values,
            deadline,
            cancel: cancel.clone(),
            stop: cancel.child_token(),
        };
        Ok((run, plan))
    }

    /// Takes away what the stack has no more, once all else is ready, and then forgets it.
    pub(super) async fn prune(&self, plan: &Plan) -> Result<(), Error> {
        let mut leftovers = self.leftovers.clone();
        if !leftovers.is_empty() {
            // What its releases have made in this run, nobody could tell before.
            let records = read_records(&self.cluster, plan).await?;
            let made: Vec<_> = records.iter().flat_map(Record::objects).collect();
            let losses = leftovers.losses(plan, &made);
            leftovers.spare(made.into_iter());
            let data_losses = leftovers.data_losses(&self.cluster, Change::Pruned).await?;
            let losses = losses.into_iter().chain(data_losses);
            if let Some(refused) = Error::refusing(losses, "objects and releases are in the way") {
                return Err(refused);
            }
        }
        let mut inventory = self.inventory.lock().await;
        // With the stack's sets and releases goes what tells of their claims.
        inventory.content.claims.extend(leftovers.claim_names());
        inventory.save(&self.cluster).await?;
        let until = Until { deadline: self.deadline, cancelled: self.cancel.clone() };
        let (waiter, events) = (self.waiter.clone(), &self.events);
        delete::prune(&self.cluster, &inventory, &leftovers, waiter, events, until).await?;
        forget(&mut inventory, plan);
        inventory.save(&self.cluster).await
    }
}

/// Says that a namespace was made of which no manifest speaks.
pub(super) fn tell_of_namespace(events: &Events, step: Option<&str>, name: &str, change: Change) {
    if change == Change::Created {
        let (step, object) = (step.map(str::to_owned), namespace_ref(name));
        events.send(Kind::ObjectChanged { step, object, change, why: None });
    }
}

/// Finds helm, if there is something for it to do.
async fn helm_for(cluster: &Cluster, prepared: &Prepared) -> Result<Option<Helm>, Error> {
    let is_idle = |judged: &JudgedRelease| judged.decision == Decision::Nothing;
    if prepared.releases.values().all(is_idle) && prepared.leftovers.releases.is_empty() {
        return Ok(None);
    }
    let found = Helm::find(cluster.target())?;
    found.version().await?;
    Ok(Some(found))
}

/// Writes down, before anything is made, what kinds of objects will be, where, and which claims hold data.
fn announce(inventory: &mut Inventory, plan: &Plan) {
    for manifest in plan.manifests() {
        let name = &manifest.name;
        if name.is(&object::NAMESPACE) {
            inventory.expect_namespace(&name.name);
        } else {
            inventory.expect(name);
        }
        if name.is(&object::CLAIM) {
            inventory.content.claims.insert(name.clone());
        }
        inventory.content.stems.extend(storage::stems(&manifest.object));
    }
    for secret in plan.steps.iter().filter_map(|step| step.secret.as_ref()) {
        inventory.expect(&ObjectRef::new(&object::SECRET, Some(&plan.namespace), &secret.name));
    }
    for step in &plan.steps {
        if !inventory.content.steps.contains(&step.name) {
            inventory.content.steps.push(step.name.clone());
        }
    }
}

/// Leaves in an inventory only what the plan has, and the claims.
fn forget(inventory: &mut Inventory, plan: &Plan) {
    let former = std::mem::take(&mut inventory.content);
    inventory.content.claims = former.claims;
    announce(inventory, plan);
    let is_wanted = |entry: &ReleaseEntry| {
        entry.is_storage || plan.releases().any(|planned| planned.release() == entry.release())
    };
    inventory.content.releases = former.releases.into_iter().filter(is_wanted).collect();
}
