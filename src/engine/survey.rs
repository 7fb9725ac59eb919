//! What there is, as far as a plan bears on it: read in one go, before anything is decided or changed.

use std::collections::{BTreeMap, HashSet};

use futures::future::try_join_all;

use crate::cluster::{Cluster, RequestError, namespace_ref};
use crate::error::Error;
use crate::helm::{self, Record};
use crate::inventory::Inventory;
use crate::live::Live;
use crate::object::{self, Object, ObjectRef};
use crate::plan::Plan;
use crate::wait::Awaited;
use crate::{secret, storage};

/// The cluster as it was read.
pub(super) struct Survey {
    pub(super) inventory: Inventory,
    /// The objects of the plan and of its releases, its namespaces, Secrets and claims.
    pub(super) live: Live,
    pub(super) storage_classes: Vec<Object>,
    /// The releases of the plan, newest revision each.
    pub(super) records: Vec<Record>,
}

impl Survey {
    /// Reads all that there is.
    pub(super) async fn read(cluster: &Cluster, plan: &Plan) -> Result<Self, Error> {
        let before = RequestError::into_preflight;
        let mut live = Live::default();
        let names = names(plan);
        let namespaces = plan.manifests().filter_map(|manifest| manifest.name.namespace.clone());
        let namespaces = namespaces.chain(plan.releases().map(|release| release.namespace.clone())).collect();
        let kind = object::STORAGE_CLASS.gvk();
        let (inventory, (), secrets, storage_classes, records) = tokio::try_join!(
            Inventory::load(cluster, &plan.stack, &plan.namespace),
            async {
                live.read(cluster, names.into_iter()).await.map_err(before)?;
                live.read_autoscalers(cluster, &namespaces).await.map_err(before)?;
                live.read_claims(cluster, &storage::namespaces(plan)).await.map_err(before)
            },
            async { read_secrets(cluster, plan).await.map_err(before) },
            async { cluster.list_cached(&kind, None, None).await.map_err(before) },
            read_records(cluster, plan),
        )?;
        let made: Vec<_> = records.iter().flat_map(Record::objects).collect();
        live.read(cluster, made.into_iter()).await.map_err(before)?;
        live.extend(secrets);
        Ok(Self { inventory, live, storage_classes, records })
    }

    /// The namespaces of the plan that are being deleted.
    pub(super) fn leaving_namespaces(&self, plan: &Plan) -> Vec<Awaited> {
        let names = plan.namespaces().into_iter().map(|name| namespace_ref(&name));
        names
            .filter_map(|object| Some(Awaited { seen: Some(self.live.leaving(&object)?.clone()), object }))
            .collect()
    }

    /// The same without all that goes with these namespaces.
    pub(super) fn without(mut self, namespaces: &[Awaited]) -> Self {
        for name in namespaces.iter().map(|namespace| namespace.object.name.as_str()) {
            self.live.forget_within(name);
            self.records.retain(|record| record.release.namespace != name);
            if self.inventory.name.namespace.as_deref() == Some(name) {
                self.inventory = Inventory::new(&self.inventory.stack, name);
            }
        }
        self
    }
}

fn names(plan: &Plan) -> Vec<ObjectRef> {
    plan.manifests()
        .map(|manifest| manifest.name.clone())
        .chain(plan.namespaces().into_iter().map(|name| namespace_ref(&name)))
        .collect()
}

/// Reads the Secrets that the stack makes, without their values.
async fn read_secrets(cluster: &Cluster, plan: &Plan) -> Result<Vec<Object>, RequestError> {
    let specs: BTreeMap<_, _> = plan
        .steps
        .iter()
        .filter_map(|step| step.secret.as_ref())
        .map(|spec| (&spec.name, &spec.data))
        .collect();
    let reads = plan.secret_refs().map(|name| {
        let keys = specs.get(&name.name).into_iter().flat_map(|data| data.keys());
        async move { secret::look(cluster, &name, keys).await }
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

/// Puts the objects of kinds that the cluster knows into the stack's namespace, if they name none and live in one. Of a kind that
/// is not served yet, the stack itself has to say it.
///
/// # Errors
/// Exit 3 on the server's refusal, or no answer in time; 2 on two objects of one name.
pub async fn place(cluster: &Cluster, plan: &mut Plan) -> Result<(), Error> {
    let mut namespaced = HashSet::new();
    for kind in plan.unplaced() {
        match cluster.is_namespaced(&kind).await {
            Ok(true) => drop(namespaced.insert(kind)),
            Ok(false) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into_preflight()),
        }
    }
    plan.place(|name| namespaced.contains(&name.gvk()))
}

/// Reads the newest record of every release of the plan.
///
/// # Errors
/// The server's refusal, or a record that cannot be read.
pub async fn read_records(cluster: &Cluster, plan: &Plan) -> Result<Vec<Record>, Error> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for planned in plan.releases() {
        names.entry(planned.namespace.as_str()).or_default().push(planned.spec.release.as_str());
    }
    let lists = names.iter().map(|(namespace, names)| helm::records(cluster, namespace, names));
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
}
