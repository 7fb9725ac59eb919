//! What rights depend on, as far as it may be read: what cannot be is taken for missing.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;

use crate::apply::mark;
use crate::cluster::{Cluster, namespace_ref};
use crate::engine;
use crate::helm::{self, Release};
use crate::inventory::{Inventory, made_by};
use crate::object::{Kind, Object, ObjectRef};
use crate::plan::Plan;
use crate::rights::{Given, Resources, Rights};

/// The cluster as it was read, and what releases consist of.
pub(super) struct Survey<'a> {
    plan: &'a Plan,
    installs_storage: bool,
    inventory: Inventory,
    kept: BTreeSet<String>,
    releases: BTreeMap<Release, Vec<Object>>,
    resources: Resources,
}

impl<'a> Survey<'a> {
    /// Reads what there is. `releases` are those whose charts could be rendered.
    pub(super) async fn read(
        cluster: &Cluster,
        plan: &'a Plan,
        installs_storage: bool,
        mut releases: BTreeMap<Release, Vec<Object>>,
    ) -> Self {
        let (inventory, kept) = tokio::join!(inventory(cluster, plan), kept(cluster, plan));
        recorded(cluster, plan, &inventory, &mut releases).await;
        for (release, objects) in &mut releases {
            for object in objects {
                place(object, &release.namespace);
            }
        }
        let resources = resources(cluster, plan, &inventory, &releases).await;
        Self { plan, installs_storage, inventory, kept, releases, resources }
    }

    /// The rights that the commands need.
    pub(super) fn rights(&self) -> Rights {
        Rights::of(&Given {
            plan: self.plan,
            installs_storage: self.installs_storage,
            releases: &self.releases,
            inventory: &self.inventory,
            kept: &self.kept,
            resources: &self.resources,
        })
    }

    /// Every object of the plan, as it is applied, and of the releases.
    pub(super) fn objects(&self) -> Vec<Object> {
        let own = self.plan.manifests().map(|manifest| {
            let mut object = manifest.object.clone();
            mark(&mut object, &self.inventory);
            object
        });
        own.chain(self.releases.values().flatten().cloned()).collect()
    }

    /// The releases that `up` would make and of which nobody can tell what they consist of.
    pub(super) fn untold(&self) -> impl Iterator<Item = Release> {
        let steps = self.plan.steps.iter().filter(|step| !step.is_storage || self.installs_storage);
        let planned = steps.filter_map(|step| Some(step.release.as_ref()?.release()));
        planned.filter(|release| !self.releases.contains_key(release))
    }
}

async fn inventory(cluster: &Cluster, plan: &Plan) -> Inventory {
    let found = Inventory::load(cluster, &plan.stack, &plan.namespace).await;
    found.unwrap_or_else(|_| Inventory::new(&plan.stack, &plan.namespace))
}

/// The namespaces of a plan that are there, and that `up` has not made.
async fn kept(cluster: &Cluster, plan: &Plan) -> BTreeSet<String> {
    let reads = plan.namespaces().into_iter().map(async |name| {
        let found = cluster.get(&namespace_ref(&name)).await.ok().flatten();
        found.filter(|found| !made_by(found, &plan.stack)).map(|_| name)
    });
    join_all(reads).await.into_iter().flatten().collect()
}

/// Adds what helm's records say of the releases that are there: of a chart that cannot be had, and of those that are to go.
async fn recorded(
    cluster: &Cluster,
    plan: &Plan,
    inventory: &Inventory,
    releases: &mut BTreeMap<Release, Vec<Object>>,
) {
    let mut records = engine::read_records(cluster, plan).await.unwrap_or_default();
    for entry in &inventory.content.releases {
        let release = entry.release();
        if !records.iter().any(|record| record.release == release) {
            let read = helm::records(cluster, &release.namespace, &[release.name.as_str()]).await;
            records.extend(read.unwrap_or_default());
        }
    }
    for record in records {
        releases.entry(record.release).or_default().extend(record.manifest);
    }
}

/// Gives an object the namespace of its release, unless it is known to be in none.
fn place(object: &mut Object, namespace: &str) {
    let kind = ObjectRef::of(object).and_then(|name| Kind::find(&name.gvk()));
    if kind.is_none_or(|kind| kind.namespaced) {
        object.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
    }
}

/// The resources of all kinds that are not well known, as far as they are served.
async fn resources(
    cluster: &Cluster,
    plan: &Plan,
    inventory: &Inventory,
    releases: &BTreeMap<Release, Vec<Object>>,
) -> Resources {
    let planned = plan.manifests().map(|manifest| manifest.name.clone());
    let made = releases.values().flatten().filter_map(ObjectRef::of);
    let all = planned.chain(made).chain(inventory.content.members.iter().cloned());
    let mut kinds = Vec::new();
    for kind in all.map(|name| name.gvk()).filter(|kind| Kind::find(kind).is_none()) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let asked =
        kinds.into_iter().map(async |kind| Some((kind.clone(), cluster.resource_of(&kind).await.ok()?)));
    join_all(asked).await.into_iter().flatten().collect()
}
