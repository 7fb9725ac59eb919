//! Takes away what the inventory lists and nothing else: releases, workloads, what they read, cluster-wide objects, and at
//! last the namespaces that `up` made, if nobody else uses them. Claims are kept unless they are to be purged. `down` takes
//! all of it, `up` what the stack has no more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::try_join_all;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, RequestError};
use crate::delete::others::INVENTORY;
use crate::delete::survey::{name_of, runs_pods};
use crate::engine::outage;
use crate::error::{Error, Exit};
use crate::event::{Change, Events, Kind, ReleaseAction};
use crate::helm::{self, Helm, Until};
use crate::inventory::{Content, Inventory, ReleaseEntry};
use crate::lease::{self, Wish};
use crate::object::{self, Object, ObjectRef};
use crate::storage;
use crate::wait::{Awaited, WaitError, Waiter};

pub(crate) use crate::delete::others::{BOUND, condition};
pub(crate) use crate::delete::survey::Removal;

mod data;
mod others;
mod survey;

/// What the user may choose about a `down`.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long the run may take.
    pub timeout: Duration,
    /// Whether the claims and their volumes go, too.
    pub purge_data: bool,
    /// Whether to wait for another run to end.
    pub wait_lock: bool,
    /// Whether only to say what would be done.
    pub dry_run: bool,
}

/// Takes the stack away.
///
/// # Errors
/// Exit 3 when helm is wanted and missing or the inventory was emptied, 4 when another run works on the stack or data would be
/// lost, 6 out of time, 130 when it is cancelled; else the server's or helm's refusal.
pub async fn down(
    cluster: &Cluster,
    stack: &str,
    namespace: &str,
    options: &Options,
    events: &Events,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    if options.dry_run {
        let inventory = known(cluster, stack, namespace).await?;
        let removal = Removal::survey(cluster, &inventory).await?;
        refuse_losses(cluster, &removal, options.purge_data).await?;
        removal.announce(&inventory, options.purge_data, events);
        return Ok(());
    }
    let deadline = Instant::now() + options.timeout;
    let wish = Wish { command: "down", wait: options.wait_lock, deadline };
    let mut held = lease::acquire(cluster, stack, &wish, events, cancel).await?;
    let until = Until { deadline, cancelled: cancel.clone() };
    let result = tokio::select! {
        result = take_away(cluster, stack, namespace, options.purge_data, events, &until) => result,
        never = outage::tell(cluster, events) => match never {},
        lost = held.lost() => Err(lost),
    };
    held.release().await;
    result
}

async fn take_away(
    cluster: &Cluster,
    stack: &str,
    namespace: &str,
    purge_data: bool,
    events: &Events,
    until: &Until,
) -> Result<(), Error> {
    let cluster = &cluster.until(until.deadline, &until.cancelled);
    let mut inventory = known(cluster, stack, namespace).await?;
    for entry in &inventory.content.releases {
        helm::settle(cluster, &entry.release(), until).await?;
    }
    let removal = Removal::survey(cluster, &inventory).await?;
    refuse_losses(cluster, &removal, purge_data).await?;
    let helm = if removal.releases.is_empty() { None } else { Some(Helm::find(cluster.target())?) };
    if !removal.claims.is_empty() {
        // With the releases goes what tells of their claims.
        inventory.content.claims.extend(removal.claim_names());
        inventory.save(cluster).await?;
    }
    let waiter = Waiter::new(cluster.clone(), events.clone(), Arc::default());
    let mut work = Work { cluster, events, waiter, until: until.clone(), change: Change::Deleted };
    let (storage, releases): (Vec<_>, Vec<_>) =
        removal.releases.iter().cloned().partition(|release| release.is_storage);
    work.uninstall(helm.as_ref(), &releases).await?;
    work.delete(&removal.workloads).await?;
    let mut kept = BTreeSet::new();
    if purge_data {
        let volumes = work.volumes_of(&inventory).await?;
        work.delete(&removal.claims).await?;
        work.gone(volumes).await?;
        work.delete(&removal.volumes).await?;
    } else {
        work.keep(&removal);
        kept.extend(removal.claim_names().chain(removal.volumes.iter().map(name_of)));
    }
    if kept.is_empty() {
        work.uninstall(helm.as_ref(), &storage).await?;
    } else {
        // What provides the volumes also takes them away.
        work.keep_releases(&storage);
    }
    work.delete(&removal.namespaced).await?;
    work.delete_cluster_wide(&removal.cluster_wide, &inventory).await?;
    work.finish(&mut inventory, &removal.namespaces, kept).await
}

/// Reads the inventory, which must say what the stack has.
async fn known(cluster: &Cluster, stack: &str, namespace: &str) -> Result<Inventory, Error> {
    let inventory = Inventory::load(cluster, stack, namespace).await?;
    if inventory.is_emptied() {
        let message = format!("{} has been emptied: nobody knows what the stack has", inventory.name);
        return Err(Error::new(Exit::Preflight, message).hint("let up write it anew: bootstrap up"));
    }
    Ok(inventory)
}

/// Refuses to take away what would take claims with it that are to be kept.
async fn refuse_losses(cluster: &Cluster, removal: &Removal, purge_data: bool) -> Result<(), Error> {
    let losses = if purge_data { Vec::new() } else { removal.data_losses(cluster, Change::Deleted).await? };
    Error::refusing(losses, "claims would be lost").map_or(Ok(()), Err)
}

/// Takes away what the stack has no more; claims are kept, and namespaces that somebody else uses.
///
/// # Errors
/// The server's or helm's refusal, 6 out of time.
pub(crate) async fn prune(
    cluster: &Cluster,
    inventory: &Inventory,
    removal: &Removal,
    waiter: Waiter,
    events: &Events,
    until: Until,
) -> Result<(), Error> {
    let helm = if removal.releases.is_empty() { None } else { Some(Helm::find(cluster.target())?) };
    let mut work = Work { cluster, events, waiter, until, change: Change::Pruned };
    work.uninstall(helm.as_ref(), &removal.releases).await?;
    work.delete(&removal.workloads).await?;
    work.keep(removal);
    work.delete(&removal.namespaced).await?;
    work.delete_cluster_wide(&removal.cluster_wide, inventory).await?;
    work.delete_empty(&removal.namespaces, inventory).await
}

/// A `down` or a pruning at work.
struct Work<'a> {
    cluster: &'a Cluster,
    events: &'a Events,
    waiter: Waiter,
    until: Until,
    /// What becomes of what it takes away.
    change: Change,
}

impl Work<'_> {
    async fn uninstall(&mut self, helm: Option<&Helm>, releases: &[ReleaseEntry]) -> Result<(), Error> {
        let Some(helm) = helm else { return Ok(()) };
        for entry in releases {
            self.check_interrupt()?;
            let release = entry.release();
            let why = match self.change {
                Change::Pruned => "the stack has it no more",
                _ => "it is taken away",
            };
            self.events.send(Kind::ReleaseStarted {
                step: None,
                release: release.name.clone(),
                action: ReleaseAction::Uninstall,
                why: why.to_owned(),
            });
            helm.uninstall(&release, &self.until).await?;
            self.events.send(Kind::ReleaseChanged {
                step: None,
                release: release.name,
                namespace: release.namespace,
                change: self.change,
                revision: None,
            });
        }
        Ok(())
    }

    /// Deletes objects side by side, their pods first, and waits until they are gone.
    async fn delete(&mut self, objects: &[Object]) -> Result<(), Error> {
        self.check_interrupt()?;
        let cluster = self.cluster;
        let deletions = objects.iter().map(|object| async move {
            let same = Preconditions { uid: object.metadata.uid.clone(), ..Preconditions::default() };
            let name = name_of(object);
            // Only a workload has something that must be gone before it.
            let policy =
                if runs_pods(&name) { PropagationPolicy::Foreground } else { PropagationPolicy::Background };
            let params = DeleteParams {
                propagation_policy: Some(policy),
                preconditions: Some(same),
                ..DeleteParams::default()
            };
            cluster.delete(&name, &params).await
        });
        try_join_all(deletions).await.map_err(RequestError::into_error)?;
        self.gone(objects.to_vec()).await?;
        for object in objects {
            self.say(object, self.change, None);
        }
        Ok(())
    }

    async fn gone(&self, objects: Vec<Object>) -> Result<(), Error> {
        let leaving =
            objects.into_iter().map(|object| Awaited { object: name_of(&object), seen: Some(object) });
        let gone =
            self.waiter.until_gone(leaving.collect(), self.until.deadline, &self.until.cancelled).await;
        gone.map_err(|error| match error {
            WaitError::Cancelled => interrupted(),
            error => error.into_error(),
        })
    }

    /// The volumes that go with the stack's claims, also with those that a killed run has deleted.
    async fn volumes_of(&self, inventory: &Inventory) -> Result<Vec<Object>, Error> {
        if inventory.content.data_namespaces().is_empty() {
            return Ok(Vec::new());
        }
        let volumes = self.cluster.list(&object::VOLUME.gvk(), None, None).await;
        let goes = |volume: &Object| {
            let is_ours = storage::claim_of(volume).is_some_and(|claim| inventory.content.holds(&claim));
            volume.data["spec"]["persistentVolumeReclaimPolicy"] == "Delete" && is_ours
        };
        Ok(volumes.map_err(RequestError::into_error)?.into_iter().filter(goes).collect())
    }

    fn keep_releases(&self, releases: &[ReleaseEntry]) {
        for entry in releases {
            self.events.send(Kind::ReleaseChanged {
                step: None,
                release: entry.name.clone(),
                namespace: entry.namespace.clone(),
                change: Change::Kept,
                revision: entry.revision,
            });
        }
    }

    fn keep(&mut self, removal: &Removal) {
        for claim in &removal.claims {
            self.say(claim, Change::Kept, Some("it holds data; --purge-data deletes it".to_owned()));
        }
        for volume in &removal.volumes {
            self.say(volume, Change::Kept, Some(BOUND.to_owned()));
        }
    }

    /// Deletes what is in no namespace, but for definitions of which somebody has objects.
    async fn delete_cluster_wide(&mut self, objects: &[Object], inventory: &Inventory) -> Result<(), Error> {
        let mut unused = Vec::new();
        for object in objects {
            let is_definition = name_of(object).is(&object::CUSTOM_RESOURCE_DEFINITION);
            let why =
                if is_definition { others::needing(self.cluster, object, inventory).await? } else { None };
            match why {
                None => unused.push(object.clone()),
                why => self.say(object, Change::Kept, why),
            }
        }
        self.delete(&unused).await
    }

    /// The namespaces that `up` made go if nothing is left in them, the inventory's own last and it before that; both stay for
    /// what is kept.
    async fn finish(
        &mut self,
        inventory: &mut Inventory,
        namespaces: &[Object],
        kept: BTreeSet<ObjectRef>,
    ) -> Result<(), Error> {
        let empty = self.empty_ones(namespaces, inventory).await?;
        let is_own = |namespace: &Object| namespace.metadata.name == inventory.name.namespace;
        let (own, others): (Vec<_>, Vec<_>) = empty.into_iter().partition(is_own);
        self.delete(&others).await?;
        if kept.is_empty() {
            if inventory.exists() {
                inventory.delete(self.cluster).await.map_err(RequestError::into_error)?;
            }
            return self.delete(&own).await;
        }
        // So that a later `down --purge-data` knows them, and the next `up` the namespaces that are its own.
        let mut releases = std::mem::take(&mut inventory.content).releases;
        releases.retain(|entry| entry.is_storage);
        let (claims, volumes): (_, BTreeSet<_>) = kept.into_iter().partition(|name| name.is(&object::CLAIM));
        inventory.content = Content { releases, claims, ..Content::default() };
        for volume in &volumes {
            inventory.expect(volume);
        }
        for left in namespaces.iter().filter(|namespace| !others.contains(namespace)) {
            inventory.expect_namespace(left.metadata.name.as_deref().unwrap_or_default());
        }
        inventory.save(self.cluster).await?;
        for namespace in &own {
            self.say(namespace, Change::Kept, Some(INVENTORY.to_owned()));
        }
        Ok(())
    }

    async fn delete_empty(&mut self, namespaces: &[Object], inventory: &Inventory) -> Result<(), Error> {
        let empty = self.empty_ones(namespaces, inventory).await?;
        self.delete(&empty).await
    }

    /// Those of these namespaces that nobody uses any more; says what is in the others.
    async fn empty_ones(
        &mut self,
        namespaces: &[Object],
        inventory: &Inventory,
    ) -> Result<Vec<Object>, Error> {
        let mut empty = Vec::new();
        for namespace in namespaces {
            let name = namespace.metadata.name.clone().unwrap_or_default();
            match others::within(self.cluster, &name, inventory).await? {
                None => empty.push(namespace.clone()),
                why => self.say(namespace, Change::Kept, why),
            }
        }
        Ok(empty)
    }

    fn say(&mut self, object: &Object, change: Change, why: Option<String>) {
        self.events.send(Kind::ObjectChanged { step: None, object: name_of(object), change, why });
    }

    fn check_interrupt(&self) -> Result<(), Error> {
        if self.until.cancelled.is_cancelled() { Err(interrupted()) } else { Ok(()) }
    }
}

fn interrupted() -> Error {
    Error::new(Exit::Interrupted, "interrupted; what is left is still in the inventory")
        .hint("bootstrap down goes on from here")
}
