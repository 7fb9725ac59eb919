//! What somebody may do, and how many there are of something: questions to the API server that name no object.

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::{Api, ListParams, PostParams};
use serde_json::Value;

use super::{Cluster, RequestError, Subject, Verb};
use crate::object::Kind;

impl Cluster {
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
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(format!("system:serviceaccount:{namespace}:{account}")),
                groups: Some(vec![
                    "system:serviceaccounts".to_owned(),
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated".to_owned(),
                ]),
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(verb.to_owned()),
                    resource: Some(resource.to_owned()),
                    subresource: Some(subresource.to_owned()).filter(|name| !name.is_empty()),
                    ..ResourceAttributes::default()
                }),
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
