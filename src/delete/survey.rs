//! What there is to take away: of all that the inventory lists, what is still there. Changes nothing.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use futures::future::try_join_all;
use kube::core::GroupVersionKind;

use crate::cluster::{Cluster, RequestError, namespace_ref};
use crate::error::Error;
use crate::event::{Change, Events, Kind};
use crate::helm::{self, Record};
use crate::inventory::{Inventory, MADE_BY, PART_OF, ReleaseEntry};
use crate::object::{self, Object, ObjectRef};

/// What there is to take away.
#[derive(Debug, Default)]
pub(super) struct Removal {
    /// Releases that helm knows of, in the order in which they go.
    pub(super) releases: Vec<ReleaseEntry>,
    /// Objects that run pods.
    pub(super) workloads: Vec<Object>,
    /// Claims with the stack's data.
    pub(super) claims: Vec<Object>,
    /// Everything else of the stack that is in a namespace.
    pub(super) namespaced: Vec<Object>,
    /// What is in no namespace.
    pub(super) cluster_wide: Vec<Object>,
    /// The namespaces that `up` made.
    pub(super) namespaces: Vec<Object>,
}

impl Removal {
    /// Finds what is there of all that the inventory lists.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub(super) async fn survey(cluster: &Cluster, inventory: &Inventory) -> Result<Self, Error> {
        let own = inventory.name.namespace.clone().unwrap_or_default();
        let mut places = inventory.content.namespaces.clone();
        places.insert(own.clone());
        let content = &inventory.content;
        let (members, records, claims, namespaces) = tokio::try_join!(
            async { members(cluster, inventory, &places).await.map_err(RequestError::into_error) },
            try_join_all(content.releases.iter().map(|entry| async {
                helm::records(cluster, &entry.namespace, &[entry.name.as_str()]).await
            })),
            async { all_of(cluster, content.claims.iter().cloned()).await.map_err(RequestError::into_error) },
            async {
                let named =
                    content.releases.iter().map(|entry| entry.namespace.clone()).chain(places.clone());
                let spaces: BTreeSet<_> = named.map(|name| namespace_ref(&name)).collect();
                all_of(cluster, spaces.into_iter()).await.map_err(RequestError::into_error)
            },
        )?;
        let records: Vec<Record> = records.into_iter().flatten().collect();
        let mut removal = Self { claims, ..Self::default() };
        removal.releases = in_order(content.releases.clone(), &content.steps, &records);
        removal.namespaces =
            namespaces.into_iter().filter(|found| made_by(found, &inventory.stack)).collect();
        for member in members {
            let Some(name) = ObjectRef::of(&member) else { continue };
            if name.namespace.is_none() {
                removal.cluster_wide.push(member);
            } else if name.is(&object::CLAIM) {
                // The inventory names it as well, if it names the class.
                if !removal.claims.iter().any(|claim| claim.metadata.uid == member.metadata.uid) {
                    removal.claims.push(member);
                }
            } else if runs_pods(&name) {
                removal.workloads.push(member);
            } else {
                removal.namespaced.push(member);
            }
        }
        Ok(removal)
    }

    /// Says what would be done.
    pub(super) fn announce(&self, purge_data: bool, events: &Events) {
        let say = |object: ObjectRef, change: Change| {
            events.send(Kind::ObjectChanged { step: None, object, change, why: Some("dry run".to_owned()) });
        };
        for object in
            self.workloads.iter().chain(&self.namespaced).chain(&self.cluster_wide).chain(&self.namespaces)
        {
            say(name_of(object), Change::Deleted);
        }
        for claim in &self.claims {
            say(name_of(claim), if purge_data { Change::Deleted } else { Change::Kept });
        }
        for release in &self.releases {
            events.send(Kind::ReleaseChanged {
                step: None,
                release: release.name.clone(),
                namespace: release.namespace.clone(),
                change: Change::Deleted,
                revision: None,
            });
        }
    }
}

/// The last step's release first; among all, one that owns an aggregated API before the others, since without its pods
/// that API would stand in the way of every namespace that is to go.
fn in_order(mut releases: Vec<ReleaseEntry>, steps: &[String], records: &[Record]) -> Vec<ReleaseEntry> {
    let record = |entry: &ReleaseEntry| records.iter().find(|record| record.release == entry.release());
    releases.retain(|entry| record(entry).is_some());
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
        let namespaced = match cluster.is_namespaced(&kind).await {
            Ok(namespaced) => namespaced,
            Err(error) if error.is_not_found() => continue,
            Err(error) => return Err(error),
        };
        if namespaced {
            lists.extend(places.iter().map(|place| (kind.clone(), Some(place.clone()))));
        } else {
            lists.push((kind, None));
        }
    }
    let label = label.as_str();
    let lists = lists.into_iter().map(|(kind, place): (GroupVersionKind, Option<String>)| async move {
        cluster.list(&kind, place.as_deref(), Some(label)).await
    });
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
}

/// Reads those of these objects that are there.
pub(super) async fn all_of(
    cluster: &Cluster,
    names: impl Iterator<Item = ObjectRef>,
) -> Result<Vec<Object>, RequestError> {
    let names: Vec<_> = names.collect();
    Ok(try_join_all(names.iter().map(|name| cluster.get(name))).await?.into_iter().flatten().collect())
}

fn made_by(namespace: &Object, stack: &str) -> bool {
    namespace
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(MADE_BY))
        .is_some_and(|maker| maker == stack)
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
