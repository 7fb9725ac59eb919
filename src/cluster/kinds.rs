//! Which kinds the server has, in which version, and where their objects live.

use std::fmt;
use std::sync::PoisonError;

use kube::core::GroupVersionKind;
use kube::discovery::{self, ApiGroup, ApiResource, Discovery, Scope, pinned_kind, verbs};

use super::{Cluster, RequestError, Subject, Verb};
use crate::object::Kind;

impl Cluster {
    /// Tells whether objects of a kind live in namespaces.
    ///
    /// # Errors
    /// When the kind is not served.
    pub async fn is_namespaced(&self, kind: &GroupVersionKind) -> Result<bool, RequestError> {
        Ok(self.resource(kind, &Subject { kind, namespace: None }).await?.1)
    }

    /// A kind in the version in which it is served now; `None` when it is not served at all.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn served(&self, kind: &GroupVersionKind) -> Result<Option<GroupVersionKind>, RequestError> {
        let subject = Subject { kind, namespace: None };
        match self.resource(kind, &subject).await {
            Ok(_) => return Ok(Some(kind.clone())),
            Err(error) if !error.is_not_found() => return Err(error),
            Err(_) => {}
        }
        match self.ask(Verb::Discover, &subject, || discovery::group(&self.client, &kind.group)).await {
            Ok(group) => {
                let mut all = group.resources_by_stability().into_iter();
                let found = all.find(|(resource, _)| resource.kind == kind.kind);
                Ok(found.map(|(resource, _)| kind_of(&resource)))
            }
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The name of a kind's resource, as in a URL, and whether its objects live in namespaces.
    ///
    /// # Errors
    /// When the kind is not served.
    pub async fn resource_of(&self, kind: &GroupVersionKind) -> Result<(String, bool), RequestError> {
        let (resource, namespaced) = self.resource(kind, &Subject { kind, namespace: None }).await?;
        Ok((resource.plural, namespaced))
    }

    /// The kinds of objects in namespaces that can be listed. An aggregated API that does not answer is left out.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn namespaced_kinds(&self) -> Result<Vec<GroupVersionKind>, RequestError> {
        let subject = "the kinds that are served";
        let discover = || Discovery::new(self.client.clone()).run_aggregated();
        let discovery = self.ask(Verb::Discover, &subject, discover).await?;
        // Some kinds of a group may not be served in the version that the group prefers.
        let all = discovery.groups().flat_map(ApiGroup::resources_by_stability);
        let in_namespaces = all.filter(|(_, capabilities)| {
            capabilities.scope == Scope::Namespaced && capabilities.supports_operation(verbs::LIST)
        });
        let mut kinds: Vec<_> = in_namespaces
            .map(|(resource, capabilities)| {
                let kind = kind_of(&resource);
                let mut known = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
                known.insert(kind.clone(), (resource, capabilities.scope == Scope::Namespaced));
                kind
            })
            .collect();
        kinds.sort_by(|one, other| (&one.group, &one.kind).cmp(&(&other.group, &other.kind)));
        Ok(kinds)
    }

    /// The resource of a kind, and whether its objects live in namespaces; asked for once.
    pub(super) async fn resource(
        &self,
        kind: &GroupVersionKind,
        subject: &(impl fmt::Display + Sync),
    ) -> Result<(ApiResource, bool), RequestError> {
        if let Some(known) = Kind::find(kind) {
            return Ok((known.resource(), known.namespaced));
        }
        if let Some(found) = self.discovered.lock().unwrap_or_else(PoisonError::into_inner).get(kind) {
            return Ok(found.clone());
        }
        let (resource, capabilities) =
            self.ask(Verb::Discover, subject, || pinned_kind(&self.client, kind)).await?;
        let found = (resource, capabilities.scope == Scope::Namespaced);
        self.discovered.lock().unwrap_or_else(PoisonError::into_inner).insert(kind.clone(), found.clone());
        Ok(found)
    }
}

fn kind_of(resource: &ApiResource) -> GroupVersionKind {
    GroupVersionKind::gvk(&resource.group, &resource.version, &resource.kind)
}
