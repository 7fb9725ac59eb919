//! What somebody may do, and how many there are of something: questions to the API server that name no object.

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReview,
    SubjectAccessReviewSpec,
};
use kube::api::{Api, ListParams, PostParams};
use serde_json::Value;

use super::{Cluster, RequestError, Subject, Verb};
use crate::object::Kind;

/// Something that is done with a resource.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// The verb, as in a role.
    pub verb: &'a str,
    /// The resource's API group, empty for the core group.
    pub group: &'a str,
    /// The resource in the plural, with its subresource behind a slash.
    pub resource: &'a str,
    /// The namespace; `None` for all of them, and for what is in none.
    pub namespace: Option<&'a str>,
}

impl Act<'_> {
    fn attributes(self) -> ResourceAttributes {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        ResourceAttributes {
            verb: Some(self.verb.to_owned()),
            group: Some(self.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
            namespace: self.namespace.map(str::to_owned),
            ..ResourceAttributes::default()
        }
    }
}

impl Cluster {
    /// Asks whether whoever asks may do something.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn allows(&self, act: Act<'_>) -> Result<bool, RequestError> {
        let resource_attributes = Some(act.attributes());
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes, ..Default::default() },
            ..SelfSubjectAccessReview::default()
        };
        let api = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        let subject = "selfsubjectaccessreviews.authorization.k8s.io";
        let params = PostParams::default();
        let answer = self.ask(Verb::Create, &subject, || api.create(&params, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Asks whether a ServiceAccount may do something with a resource of the core group, in every namespace.
    ///
    /// # Errors
    /// No right to ask for others, or no answer in time.
    pub async fn may(
        &self,
        namespace: &str,
        account: &str,
        verb: &str,
        resource: &str,
    ) -> Result<bool, RequestError> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(Act { verb, group: "", resource, namespace: None }.attributes()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let api = Api::<SubjectAccessReview>::all(self.client.clone());
        let subject = "subjectaccessreviews.authorization.k8s.io";
        let params = PostParams::default();
        let answer = self.ask(Verb::Create, &subject, || api.create(&params, &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// Counts the objects of a kind in all namespaces; only their metadata are sent.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn count(&self, kind: &Kind) -> Result<usize, RequestError> {
        let gvk = kind.gvk();
        let subject = Subject { kind: &gvk, namespace: None };
        let api = self.api(&gvk, None, &subject).await?;
        let params = ListParams::default();
        Ok(self.ask(Verb::List, &subject, || api.list_metadata(&params)).await?.items.len())
    }

    /// Reads what the server, or an API that it aggregates, answers at a path.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn raw(&self, path: &str) -> Result<Value, RequestError> {
        let request = || {
            let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError);
            async { self.client.request::<Value>(request?).await }
        };
        self.ask(Verb::Get, &path, request).await
    }
}
