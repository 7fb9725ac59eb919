//! Which cluster this is, as its nodes and its server say, not as the context is called.

use std::fmt;

use super::{Cluster, RequestError, Route, Verb, patience};
use crate::object::{self, Object};

/// What kind of cluster it is, its version and its size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// How it is reached.
    pub route: Route,
    /// k3d, kind, minikube, devcluster, k3s or Kubernetes.
    pub distribution: &'static str,
    /// The server's version, such as `v1.36.4+k3s1`.
    pub version: String,
    /// How many nodes it has; `None` without the right to list them.
    pub nodes: Option<usize>,
}

/// What it takes before a cluster is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Nothing more: it is a local one, or leave was given.
    Given,
    /// To be named on purpose.
    Name,
    /// To be confirmed by a person, who has named it.
    Confirmation,
}

impl Identity {
    /// Tells what it takes before it is changed, by whether it was named and leave was given.
    #[must_use]
    pub fn consent(&self, is_named: bool, is_confirmed: bool) -> Consent {
        if self.is_local() {
            Consent::Given
        } else if !is_named && !self.is_own() {
            Consent::Name
        } else if is_confirmed {
            Consent::Given
        } else {
            Consent::Confirmation
        }
    }

    /// Tells whether it is a cluster on this machine, for development.
    #[must_use]
    pub fn is_local(&self) -> bool {
        ["k3d", "kind", "minikube", "devcluster"].contains(&self.distribution)
    }

    /// Tells whether it is reached by the pod's own account, so that there is no other that could be meant.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.route == Route::OwnAccount
    }
}

impl fmt::Display for Identity {
    /// Writes `k3d-blog (k3d, v1.36.4, 3 nodes)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let version = self.version.split('+').next().unwrap_or_default();
        write!(f, "{} ({}, {version}", self.route, self.distribution)?;
        match self.nodes {
            Some(1) => f.write_str(", 1 node)"),
            Some(nodes) => write!(f, ", {nodes} nodes)"),
            None => f.write_str(")"),
        }
    }
}

impl Cluster {
    /// Asks the server for its version: the first request of a run, made once, without patience.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn version(&self) -> Result<String, RequestError> {
        let info =
            patience::first(Verb::Get, &"the server's version", self.client.apiserver_version()).await?;
        Ok(info.git_version)
    }

    /// Finds out which cluster this is, given its version.
    ///
    /// # Errors
    /// The server's refusal, other than that of listing nodes, or no answer in time.
    pub async fn identify(&self, version: String) -> Result<Identity, RequestError> {
        let nodes = match self.list_cached(&object::NODE.gvk(), None, None).await {
            Ok(nodes) => Some(nodes),
            Err(error) if error.code() == Some(403) => None,
            Err(error) => return Err(error),
        };
        Ok(Identity {
            route: self.route().clone(),
            distribution: distribution(nodes.as_deref().unwrap_or_default(), &version),
            version,
            nodes: nodes.map(|nodes| nodes.len()),
        })
    }
}

/// The taint of a node that its cloud provider has not described yet, k3s' own in k3d.
const UNINITIALIZED: &str = "node.cloudprovider.kubernetes.io/uninitialized";

/// Tells by the nodes that have been described, if there are any, what it is.
fn distribution(nodes: &[Object], version: &str) -> &'static str {
    let is_new = |node: &Object| {
        let taints = node.data["spec"]["taints"].as_array();
        taints.is_some_and(|taints| taints.iter().any(|taint| taint["key"] == UNINITIALIZED))
    };
    let described: Vec<_> = nodes.iter().filter(|node| !is_new(node)).collect();
    let all =
        |test: &dyn Fn(&Object) -> bool| !described.is_empty() && described.iter().all(|node| test(node));
    let provider = |node: &Object, prefix: &str| {
        node.data["spec"]["providerID"].as_str().is_some_and(|id| id.starts_with(prefix))
    };
    let label = |node: &Object, key: &str| {
        node.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(key))
    };
    if all(&|node| {
        provider(node, "k3s://k3d-")
            && node.metadata.name.as_deref().is_some_and(|name| name.starts_with("k3d-"))
    }) {
        "k3d"
    } else if all(&|node| provider(node, "kind://")) {
        "kind"
    } else if all(&|node| label(node, "minikube.k8s.io/name")) {
        "minikube"
    } else if all(&|node| label(node, "bootstrap.internal/devcluster")) {
        "devcluster"
    } else if version.contains("+k3s") {
        "k3s"
    } else {
        "Kubernetes"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const K3S: &str = "v1.36.4+k3s1";

    /// A node as the kubelet and the cloud provider of its distribution describe it.
    fn node(name: &str, provider: &str, labels: &Value) -> Object {
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": labels}, "spec": {"providerID": provider},
        }))
        .expect("a node")
    }

    fn k3d(name: &str) -> Object {
        let labels = json!({"node.kubernetes.io/instance-type": "k3s", "kubernetes.io/os": "linux"});
        node(name, &format!("k3s://{name}"), &labels)
    }

    /// A node that has just joined, which nobody but its kubelet has described.
    fn new(name: &str) -> Object {
        let taint = json!({"key": UNINITIALIZED, "value": "true", "effect": "NoSchedule"});
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"taints": [taint]},
        }))
        .expect("a node")
    }

    #[test]
    fn the_nodes_tell_what_it_is() {
        let kind = node("kind-control-plane", "kind://docker/kind/kind-control-plane", &json!({}));
        let minikube = node("minikube", "", &json!({"minikube.k8s.io/name": "minikube"}));
        let devcluster = node("devcluster", "", &json!({"bootstrap.internal/devcluster": "devcluster"}));
        let eks = node("ip-10-0-0-1", "aws:///eu-west-1a/i-0123456789abcdef0", &json!({}));
        for (nodes, version, is, is_local) in [
            (vec![k3d("k3d-blog-server-0"), k3d("k3d-blog-agent-0")], K3S, "k3d", true),
            // Nobody has described an agent that has just joined; nothing can be told of one alone.
            (vec![k3d("k3d-blog-server-0"), new("k3d-blog-agent-0")], K3S, "k3d", true),
            (vec![new("k3d-blog-server-0")], K3S, "k3s", false),
            (vec![kind], "v1.37.2", "kind", true),
            (vec![minikube], "v1.37.2", "minikube", true),
            (vec![devcluster.clone()], "v1.37.2", "devcluster", true),
            (vec![k3d("server-in-the-cellar")], K3S, "k3s", false),
            // A machine of somebody's that is called as if k3d had made it.
            (vec![node("k3d-blog-server-0", "k3s://other", &json!({}))], K3S, "k3s", false),
            (vec![eks.clone()], "v1.36.4-eks-1", "Kubernetes", false),
            // Another node than those of this machine has joined.
            (vec![k3d("k3d-blog-server-0"), eks], K3S, "k3s", false),
            // Nothing can be told of nodes that nobody may list.
            (vec![], K3S, "k3s", false),
            (vec![], "v1.37.2", "Kubernetes", false),
        ] {
            let distribution = distribution(&nodes, version);
            let identity = Identity {
                route: Route::Context("k3d-blog".to_owned()),
                distribution,
                version: version.to_owned(),
                nodes: Some(nodes.len()),
            };
            assert_eq!((distribution, identity.is_local()), (is, is_local), "{nodes:?}");
        }
    }

    #[test]
    fn a_context_that_is_called_as_the_pods_own_account_is_has_to_be_named() {
        let far = |route: Route| Identity {
            route,
            distribution: "Kubernetes",
            version: "v1.37.2".to_owned(),
            nodes: None,
        };
        let own = far(Route::OwnAccount);
        let namesake = far(Route::Context(Route::OwnAccount.to_string()));
        assert_eq!(own.to_string(), namesake.to_string());
        assert_eq!(own.consent(false, true), Consent::Given);
        assert_eq!(namesake.consent(false, true), Consent::Name);
    }
}
