//! What there is to take away: of all that the inventory lists, or of what the stack has no more, what is still there.
//! Changes nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use futures::future::try_join_all;
use kube::core::GroupVersionKind;

use crate::cluster::{Cluster, RequestError, namespace_ref};
use crate::delete::{data, others};
use crate::error::Error;
use crate::event::{Change, Events, Kind};
use crate::helm::{self, Record, Release};
use crate::inventory::{Content, Inventory, PART_OF, ReleaseEntry, made_by};
use crate::object::{self, Object, ObjectRef};
use crate::plan::{Plan, PlannedRelease};
use crate::storage;

/// What there is to take away.
#[derive(Clone, Debug, Default)]
pub(crate) struct Removal {
    /// Releases that helm knows of, in the order in which they go.
    pub(crate) releases: Vec<ReleaseEntry>,
    /// What helm knows of each, in the same order.
    records: Vec<Record>,
    /// Objects that run pods.
    pub(crate) workloads: Vec<Object>,
    /// Claims with the stack's data.
    pub(crate) claims: Vec<Object>,
    /// Volumes of the stack that are bound to such claims, and stay as long as they do.
    pub(crate) volumes: Vec<Object>,
    /// Everything else of the stack that is in a namespace.
    pub(crate) namespaced: Vec<Object>,
    /// What is in no namespace.
    pub(crate) cluster_wide: Vec<Object>,
    /// The namespaces that `up` made.
    pub(crate) namespaces: Vec<Object>,
}

impl Removal {
    /// Finds what is there of all that the inventory lists.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub(super) async fn survey(cluster: &Cluster, inventory: &Inventory) -> Result<Self, Error> {
        let content = &inventory.content;
        let mut places = content.namespaces.clone();
        places.extend(inventory.name.namespace.clone());
        let named = content.releases.iter().map(|entry| entry.namespace.clone()).chain(places.clone());
        let (members, mut removal) = tokio::try_join!(
            async { members(cluster, inventory, &places).await.map_err(RequestError::into_preflight) },
            Self::of_releases(cluster, inventory, content.releases.clone(), named.collect()),
        )?;
        removal.read_claims(cluster, content.clone()).await?;
        removal.sort(members, content);
        Ok(removal)
    }

    /// Finds what is there of what the inventory lists and the stack has no more. A release that brings a storage class is
    /// left: volumes need it.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub(crate) async fn leftovers(
        cluster: &Cluster,
        inventory: &Inventory,
        plan: &Plan,
    ) -> Result<Self, Error> {
        let content = &inventory.content;
        let wanted: BTreeSet<_> =
            plan.manifests().map(|manifest| manifest.name.clone()).chain(plan.secret_refs()).collect();
        let releases: BTreeSet<_> = plan.releases().map(PlannedRelease::release).collect();
        let is_gone = |member: &&ObjectRef| !wanted.iter().any(|name| name.is_same(member));
        let gone = content.members.iter().filter(is_gone).cloned();
        let is_left = |entry: &&ReleaseEntry| !entry.is_storage && !releases.contains(&entry.release());
        let left: Vec<_> = content.releases.iter().filter(is_left).cloned().collect();
        let used: BTreeSet<_> = wanted
            .iter()
            .filter_map(|name| name.namespace.clone())
            .chain(wanted.iter().filter(|name| name.is(&object::NAMESPACE)).map(|name| name.name.clone()))
            .chain(releases.iter().map(|release| release.namespace.clone()))
            .chain(
                content.releases.iter().filter(|entry| entry.is_storage).map(|entry| entry.namespace.clone()),
            )
            .chain(inventory.name.namespace.clone())
            .collect();
        let places = content.namespaces.iter().chain(left.iter().map(|entry| &entry.namespace));
        let places = places.filter(|place| !used.contains(*place)).cloned().collect();
        let stems: BTreeSet<_> =
            plan.manifests().flat_map(|manifest| storage::stems(&manifest.object)).collect();
        let stems = content.stems.difference(&stems).cloned().collect();
        let former = Content { stems, ..Content::default() };
        let (members, mut removal) = tokio::try_join!(
            async { all_of(cluster, gone).await.map_err(RequestError::into_preflight) },
            Self::of_releases(cluster, inventory, left, places),
        )?;
        removal.read_claims(cluster, former).await?;
        removal.sort(members.into_iter().filter(|member| inventory.owns(member)).collect(), content);
        Ok(removal)
    }

    /// These releases, as far as helm knows of them, and those of these namespaces that `up` made.
    async fn of_releases(
        cluster: &Cluster,
        inventory: &Inventory,
        releases: Vec<ReleaseEntry>,
        namespaces: BTreeSet<String>,
    ) -> Result<Self, Error> {
        let (records, namespaces) = tokio::try_join!(
            try_join_all(releases.iter().map(|entry| async {
                helm::records(cluster, &entry.namespace, &[entry.name.as_str()]).await
            })),
            async {
                let names = namespaces.iter().map(|name| namespace_ref(name));
                all_of(cluster, names).await.map_err(RequestError::into_preflight)
            },
        )?;
        let records: Vec<Record> = records.into_iter().flatten().collect();
        let namespaces = namespaces.into_iter().filter(|found| made_by(found, &inventory.stack)).collect();
        let releases = in_order(releases, &inventory.content.steps, &records);
        let record = |entry: &ReleaseEntry| records.iter().find(|record| record.release == entry.release());
        let records = releases.iter().filter_map(record).cloned().collect();
        Ok(Self { releases, records, namespaces, ..Self::default() })
    }

    /// Finds the claims that hold this data, or that of the releases. One LIST for each namespace: how many claims pods have
    /// got, nobody can tell beforehand.
    async fn read_claims(&mut self, cluster: &Cluster, mut data: Content) -> Result<(), Error> {
        let released: Vec<_> = self.records.iter().flat_map(|record| &record.manifest).collect();
        let names = released.iter().filter_map(|object| ObjectRef::of(object));
        data.claims.extend(names.filter(|name| name.is(&object::CLAIM)));
        data.stems.extend(released.iter().flat_map(|object| storage::stems(object)));
        let (kind, places) = (object::CLAIM.gvk(), data.data_namespaces());
        let lists = places.iter().map(|place| cluster.list(&kind, Some(place), None));
        let found = try_join_all(lists).await.map_err(RequestError::into_preflight)?;
        self.claims = found.into_iter().flatten().filter(|claim| data.holds(&name_of(claim))).collect();
        Ok(())
    }

    /// The names of the claims.
    pub(crate) fn claim_names(&self) -> impl Iterator<Item = ObjectRef> {
        self.claims.iter().map(name_of)
    }

    /// Leaves alone what a release of the stack has taken over.
    pub(crate) fn spare(&mut self, made: impl Iterator<Item = ObjectRef>) {
        let made: Vec<_> = made.collect();
        let Self { workloads, claims, volumes, namespaced, cluster_wide, .. } = self;
        for objects in [workloads, claims, volumes, namespaced, cluster_wide] {
            objects.retain(|object| {
                let name = name_of(object);
                !made.iter().any(|made| made.is_same(&name))
            });
        }
    }

    /// Why releases cannot be uninstalled, and what to do: something would go with them that the plan has, or that its
    /// releases have made.
    pub(crate) fn losses(&self, plan: &Plan, made: &[ObjectRef]) -> Vec<(String, String)> {
        let planned = plan.manifests().map(|manifest| manifest.name.clone()).chain(plan.secret_refs());
        let wanted: Vec<_> = planned.chain(made.iter().cloned()).collect();
        let is_wanted = |name: &&ObjectRef| wanted.iter().any(|wanted| wanted.is_same(name));
        let losses = self.records.iter().filter_map(|record| {
            let release = &record.release;
            let lost = record.uninstalled().filter_map(ObjectRef::of).find(|name| is_wanted(&name))?;
            let text = format!("{release} is in the stack no more, but {lost}, which is, would go with it");
            let Release { name, namespace } = release;
            let hint = format!(
                "let helm forget {release} and nothing be lost: kubectl delete secrets -n {namespace} -l owner=helm,name={name}"
            );
            Some((text, hint))
        });
        losses.collect()
    }

    /// Why what goes cannot go while data is kept, and what to do: claims would go with it.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub(crate) async fn data_losses(
        &self,
        cluster: &Cluster,
        change: Change,
    ) -> Result<Vec<(String, String)>, Error> {
        let losses = data::losses(cluster, &self.records, &self.workloads, change).await;
        losses.map_err(RequestError::into_error)
    }

    fn sort(&mut self, members: Vec<Object>, content: &Content) {
        let is_bound = |volume: &Object| storage::claim_of(volume).is_some_and(|claim| content.holds(&claim));
        for member in members {
            let Some(name) = ObjectRef::of(&member) else { continue };
            if name.is(&object::VOLUME) && is_bound(&member) {
                self.volumes.push(member);
            } else if name.namespace.is_none() {
                self.cluster_wide.push(member);
            } else if name.is(&object::CLAIM) {
                // The inventory names it as well, if it names the class.
                if !self.claims.iter().any(|claim| claim.metadata.uid == member.metadata.uid) {
                    self.claims.push(member);
                }
            } else if runs_pods(&name) {
                self.workloads.push(member);
            } else {
                self.namespaced.push(member);
            }
        }
    }

    /// The objects that go, in their order; claims and namespaces are another matter.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.workloads.iter().chain(&self.namespaced).chain(&self.cluster_wide)
    }

    /// Tells whether there is nothing to take away.
    pub(crate) fn is_empty(&self) -> bool {
        let data = self.claims.iter().chain(&self.volumes);
        self.releases.is_empty() && data.chain(self.objects()).next().is_none()
    }

    /// Says what would be done.
    pub(super) fn announce(&self, inventory: &Inventory, purge_data: bool, events: &Events) {
        let say = |what: String, change, why: Option<&str>| {
            events.send(Kind::Foreseen { what, change, why: why.map(str::to_owned) });
        };
        let data = self.claims.iter().chain(&self.volumes).filter(|_| !purge_data);
        let kept: Vec<_> = data.map(|kept| name_of(kept).namespace).collect();
        for entry in &self.releases {
            let stays = entry.is_storage && !kept.is_empty();
            let change = if stays { Change::Kept } else { Change::Deleted };
            say(
                entry.release().to_string(),
                change,
                stays.then_some("it provides the volumes that are kept"),
            );
        }
        for object in self.objects() {
            say(name_of(object).to_string(), Change::Deleted, others::condition(object));
        }
        for claim in &self.claims {
            let change = if purge_data { Change::Deleted } else { Change::Kept };
            say(name_of(claim).to_string(), change, None);
        }
        for volume in &self.volumes {
            let (change, why) =
                if purge_data { (Change::Deleted, None) } else { (Change::Kept, Some(others::BOUND)) };
            say(name_of(volume).to_string(), change, why);
        }
        for namespace in &self.namespaces {
            let name = name_of(namespace);
            let is_own = inventory.name.namespace.as_ref() == Some(&name.name);
            if kept.iter().flatten().any(|kept| *kept == name.name) {
                say(name.to_string(), Change::Kept, Some("claims in it are kept"));
            } else if is_own && !kept.is_empty() {
                say(name.to_string(), Change::Kept, Some(others::INVENTORY));
            } else {
                say(name.to_string(), Change::Deleted, others::condition(namespace));
            }
        }
    }
}

/// The last step's release first; among all, one that owns an aggregated API before the others, since without its pods
/// that API would stand in the way of every namespace that is to go.
fn in_order(mut releases: Vec<ReleaseEntry>, steps: &[String], records: &[Record]) -> Vec<ReleaseEntry> {
    let record = |entry: &ReleaseEntry| records.iter().find(|record| record.release == entry.release());
    releases.retain(|entry| record(entry).is_some_and(|record| entry.may_have(record.revision)));
    let owns_api = |entry: &ReleaseEntry| {
        record(entry).is_some_and(|record| record.objects().any(|name| name.is(&object::API_SERVICE)))
    };
    let place = |entry: &ReleaseEntry| steps.iter().position(|step| *step == entry.step);
    releases.sort_by_key(|entry| (!owns_api(entry), Reverse(place(entry))));
    releases
}

/// One LIST by label for each kind and namespace of the inventory.
async fn members(
    cluster: &Cluster,
    inventory: &Inventory,
    places: &BTreeSet<String>,
) -> Result<Vec<Object>, RequestError> {
    let label = format!("{}={}", PART_OF, inventory.id());
    let mut lists = Vec::new();
    for kind in inventory.kinds() {
        // The kind of a CRD that is gone has no objects.
        let Some(kind) = cluster.served(&kind).await? else { continue };
        if cluster.is_namespaced(&kind).await? {
            lists.extend(places.iter().map(|place| (kind.clone(), Some(place.clone()))));
        } else {
            lists.push((kind, None));
        }
    }
    let label = label.as_str();
    let lists = lists.into_iter().map(|(kind, place): (GroupVersionKind, Option<String>)| async move {
        cluster.list(&kind, place.as_deref(), Some(label)).await
    });
    let found = try_join_all(lists).await?.into_iter().flatten();
    Ok(found.filter(|object| inventory.has(object)).collect())
}

/// Reads those of these objects that are there; of a kind that is not served any more there are none.
pub(super) async fn all_of(
    cluster: &Cluster,
    names: impl Iterator<Item = ObjectRef>,
) -> Result<Vec<Object>, RequestError> {
    let reads = names.map(|name| async move {
        let Some(kind) = cluster.served(&name.gvk()).await? else { return Ok(None) };
        cluster.get(&ObjectRef { version: kind.version, ..name }).await
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Tells whether an object runs pods.
pub(super) fn runs_pods(name: &ObjectRef) -> bool {
    [
        &object::DEPLOYMENT,
        &object::STATEFUL_SET,
        &object::DAEMON_SET,
        &object::JOB,
        &object::CRON_JOB,
        &object::POD,
    ]
    .into_iter()
    .any(|kind| name.is(kind))
}

/// The name of an object that is in the cluster.
pub(super) fn name_of(object: &Object) -> ObjectRef {
    ObjectRef::of(object).expect("an object that the server returned has a kind and a name")
}
