//! What is in the cluster already, and will stay, for all who want to compare: one GET each, side by side. A LIST of a kind would be one
//! request for many, but the server answers it only when its cache has caught up with the last write of anyone, which was
//! seen to take up to 0.1 s.

use std::collections::{BTreeSet, HashMap};

use futures::future::{join_all, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt as _};
use kube::core::GroupVersionKind;

use crate::cluster::{Cluster, RequestError};
use crate::object::{self, Object, ObjectRef};

/// The objects that were there when they were asked for. One that is being deleted is as good as gone, but for its name,
/// which is free only when it is.
#[derive(Default)]
pub struct Live {
    objects: HashMap<ObjectRef, Object>,
    leaving: HashMap<ObjectRef, Object>,
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
        let names: Vec<_> = names.filter(|name| self.asked.insert(name.clone())).collect();
        let mut requests: FuturesUnordered<_> = names.iter().map(|name| cluster.get(name)).collect();
        while let Some(found) = requests.next().await {
            match found {
                Ok(found) => self.extend(found),
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes in objects that were read.
    pub fn extend(&mut self, found: impl IntoIterator<Item = Object>) {
        for object in found {
            let Some(name) = ObjectRef::of(&object) else { continue };
            let leaves = object.metadata.deletion_timestamp.is_some();
            let place = if leaves { &mut self.leaving } else { &mut self.objects };
            place.insert(name, object);
        }
    }

    /// The object as it was, if it was there to stay.
    #[must_use]
    pub fn get(&self, name: &ObjectRef) -> Option<&Object> {
        self.objects.get(name)
    }

    /// The object as it was, if it was being deleted.
    #[must_use]
    pub fn leaving(&self, name: &ObjectRef) -> Option<&Object> {
        self.leaving.get(name)
    }

    /// Forgets all that was in a namespace: it goes with it.
    pub fn forget_within(&mut self, namespace: &str) {
        for objects in [&mut self.objects, &mut self.leaving] {
            objects.retain(|name, _| name.namespace.as_deref() != Some(namespace));
        }
    }

    /// One object, read anew, among the same autoscalers.
    #[must_use]
    pub fn with_only(&self, found: Option<Object>) -> Self {
        let mut only = Self { autoscalers: self.autoscalers.clone(), ..Self::default() };
        only.extend(found);
        only
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
        let lists = namespaces.iter().map(|namespace| cluster.list_cached(&kind, Some(namespace), None));
        self.autoscalers = try_join_all(lists).await?.into_iter().flatten().collect();
        Ok(())
    }

    /// Reads the claims of these namespaces, those that have been asked for before left out.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn read_claims(
        &mut self,
        cluster: &Cluster,
        namespaces: &BTreeSet<String>,
    ) -> Result<(), RequestError> {
        let kind = object::CLAIM.gvk();
        let lists = namespaces.iter().map(|namespace| cluster.list_cached(&kind, Some(namespace), None));
        let mut found: Vec<_> = try_join_all(lists).await?.into_iter().flatten().collect();
        found.retain(|claim| ObjectRef::of(claim).is_some_and(|name| !self.asked.contains(&name)));
        self.extend(found);
        Ok(())
    }

    /// The claims that were there to stay.
    pub fn claims(&self) -> impl Iterator<Item = (&ObjectRef, &Object)> {
        self.objects.iter().filter(|(name, _)| name.is(&object::CLAIM))
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

/// What is in a namespace.
#[derive(Debug, Default)]
pub struct Contents {
    /// All that could be listed.
    pub objects: Vec<Object>,
    /// The kinds of which it is not known what there is, and why.
    pub unknown: Vec<(GroupVersionKind, RequestError)>,
}

/// Everything in a namespace; of a kind whose server is gone there is nothing.
///
/// # Errors
/// The server's refusal, or no answer in time, when it is asked which kinds there are.
pub async fn all_in(cluster: &Cluster, namespace: &str) -> Result<Contents, RequestError> {
    let kinds = cluster.namespaced_kinds().await?;
    let lists = kinds.into_iter().map(|kind| async {
        let found = cluster.list(&kind, Some(namespace), None).await;
        (kind, found)
    });
    let mut contents = Contents::default();
    for (kind, found) in join_all(lists).await {
        match found {
            Ok(found) => contents.objects.extend(found),
            Err(error) if matches!(error.code(), Some(404 | 405 | 503)) => {}
            Err(error) => contents.unknown.push((kind, error)),
        }
    }
    Ok(contents)
}

impl FromIterator<Object> for Live {
    fn from_iter<T: IntoIterator<Item = Object>>(objects: T) -> Self {
        let is_autoscaler =
            |object: &Object| ObjectRef::of(object).is_some_and(|name| name.is(&object::AUTOSCALER));
        let (autoscalers, objects): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_autoscaler);
        let mut live = Self { autoscalers, ..Self::default() };
        live.extend(objects);
        live
    }
}
