//! What is in the cluster already: one LIST per kind and namespace, side by side, for all who want to compare.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures::future::try_join_all;
use futures::stream::{FuturesUnordered, StreamExt as _};
use kube::core::GroupVersionKind;

use crate::cluster::{Cluster, RequestError};
use crate::object::{self, Object, ObjectRef};

/// The objects that were there when they were asked for.
#[derive(Default)]
pub struct Live {
    objects: HashMap<ObjectRef, Object>,
    asked: BTreeSet<ObjectRef>,
    autoscalers: Vec<Object>,
}

impl Live {
    /// Reads these objects, those that have been asked for before left out.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time. A kind that is not served has no objects.
    pub async fn read(
        &mut self,
        cluster: &Cluster,
        names: impl Iterator<Item = ObjectRef>,
    ) -> Result<(), RequestError> {
        let mut groups: BTreeMap<_, Vec<ObjectRef>> = BTreeMap::new();
        for name in names {
            if self.asked.insert(name.clone()) {
                let place =
                    (name.group.clone(), name.version.clone(), name.kind.clone(), name.namespace.clone());
                groups.entry(place).or_default().push(name);
            }
        }
        let mut requests = FuturesUnordered::new();
        for names in groups.into_values() {
            requests.push(read_group(cluster, names));
        }
        while let Some(found) = requests.next().await {
            for object in found? {
                if let Some(name) = ObjectRef::of(&object) {
                    self.objects.insert(name, object);
                }
            }
        }
        Ok(())
    }

    /// The object as it was, if it was there.
    #[must_use]
    pub fn get(&self, name: &ObjectRef) -> Option<&Object> {
        self.objects.get(name)
    }

    /// Reads the autoscalers of these namespaces.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn read_autoscalers(
        &mut self,
        cluster: &Cluster,
        namespaces: &BTreeSet<String>,
    ) -> Result<(), RequestError> {
        let kind = object::AUTOSCALER.gvk();
        let lists = namespaces.iter().map(|namespace| cluster.list(&kind, Some(namespace), None));
        self.autoscalers = try_join_all(lists).await?.into_iter().flatten().collect();
        Ok(())
    }

    /// Tells whether an autoscaler steers the replicas of a workload.
    #[must_use]
    pub fn is_autoscaled(&self, workload: &ObjectRef) -> bool {
        self.autoscalers.iter().any(|autoscaler| {
            let target = &autoscaler.data["spec"]["scaleTargetRef"];
            let group = target["apiVersion"].as_str().and_then(|version| version.split_once('/'));
            autoscaler.metadata.namespace == workload.namespace
                && target["kind"] == workload.kind.as_str()
                && target["name"] == workload.name.as_str()
                && group.map_or("", |(group, _)| group) == workload.group
        })
    }
}

impl FromIterator<Object> for Live {
    fn from_iter<T: IntoIterator<Item = Object>>(objects: T) -> Self {
        let objects = objects.into_iter().filter_map(|object| Some((ObjectRef::of(&object)?, object)));
        Self { objects: objects.collect(), ..Self::default() }
    }
}

/// One LIST, or a GET where that is less to send: for a single object, and for kinds of which a cluster has many of its own.
async fn read_group(cluster: &Cluster, names: Vec<ObjectRef>) -> Result<Vec<Object>, RequestError> {
    let first = &names[0];
    // A LIST of Secrets would bring those of others, too.
    if names.len() == 1 || first.namespace.is_none() || first.is(&object::SECRET) {
        let mut found = Vec::new();
        let mut requests: FuturesUnordered<_> = names.iter().map(|name| cluster.get(name)).collect();
        while let Some(object) = requests.next().await {
            match object {
                Ok(object) => found.extend(object),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        return Ok(found);
    }
    let kind: GroupVersionKind = first.gvk();
    match cluster.list(&kind, first.namespace.as_deref(), None).await {
        Err(error) if error.is_not_found() => Ok(Vec::new()),
        answer => answer,
    }
}
