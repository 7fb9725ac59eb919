//! How an object of the cluster is named, and which kinds are so well known that no discovery is needed.

use std::fmt;

use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::ApiResource;
use serde::{Deserialize, Serialize};

/// An object as the API server speaks of it, of any kind.
pub type Object = DynamicObject;

/// The name of one object: what a person would type after `kubectl get`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectRef {
    /// API group, empty for the core group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// Kind, as in a manifest.
    pub kind: String,
    /// Namespace, or `None` for a cluster-wide object.
    pub namespace: Option<String>,
    /// Name.
    pub name: String,
}

impl ObjectRef {
    /// Names an object of a well-known kind.
    #[must_use]
    pub fn new(kind: &Kind, namespace: Option<&str>, name: &str) -> Self {
        Self {
            group: kind.group.to_owned(),
            version: kind.version.to_owned(),
            kind: kind.kind.to_owned(),
            namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
            name: name.to_owned(),
        }
    }

    /// Names an object that carries its own `apiVersion` and `kind`; `None` without those or a name.
    #[must_use]
    pub fn of(object: &Object) -> Option<Self> {
        let types = object.types.as_ref()?;
        let (group, version) = types.api_version.rsplit_once('/').unwrap_or(("", &types.api_version));
        Some(Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: types.kind.clone(),
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone()?,
        })
    }

    /// Tells whether the object is of this well-known kind, in whatever version.
    #[must_use]
    pub fn is(&self, kind: &Kind) -> bool {
        self.group == kind.group && self.kind == kind.kind
    }

    /// Tells whether it is the same object, in whatever version it is spoken of.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (&self.group, &self.kind, &self.namespace, &self.name)
            == (&other.group, &other.kind, &other.namespace, &other.name)
    }

    /// Group, version and kind.
    #[must_use]
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::gvk(&self.group, &self.version, &self.kind)
    }

    /// The `Kind.group` form of KEP-3659, such as `StatefulSet.apps`.
    #[must_use]
    pub fn group_kind(&self) -> String {
        if self.group.is_empty() { self.kind.clone() } else { format!("{}.{}", self.kind, self.group) }
    }
}

impl fmt::Display for ObjectRef {
    /// Writes the form that kubectl understands: `statefulset.apps/loki -n monitoring`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.kind.to_lowercase())?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        write!(f, "/{}", self.name)?;
        match &self.namespace {
            Some(namespace) => write!(f, " -n {namespace}"),
            None => Ok(()),
        }
    }
}

/// A kind whose resource name and scope are the same in every supported Kubernetes.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// API group, empty for the core group.
    pub group: &'static str,
    /// Version that this program uses.
    pub version: &'static str,
    /// Kind, as in a manifest.
    pub kind: &'static str,
    /// Resource name, as in a URL.
    pub plural: &'static str,
    /// Whether objects of it live in a namespace.
    pub namespaced: bool,
}

impl Kind {
    /// Finds a well-known kind by group, version and kind.
    #[must_use]
    pub fn find(gvk: &GroupVersionKind) -> Option<&'static Self> {
        KINDS.iter().find(|known| {
            known.group == gvk.group
                && known.kind == gvk.kind
                && (known.version == gvk.version || gvk.version.is_empty())
        })
    }

    /// Group, version and kind.
    #[must_use]
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind::gvk(self.group, self.version, self.kind)
    }

    /// The same, as kube's client wants it.
    #[must_use]
    pub fn resource(&self) -> ApiResource {
        ApiResource::from_gvk_with_plural(&self.gvk(), self.plural)
    }
}

macro_rules! kinds {
    ($($constant:ident = $group:literal $version:literal $kind:literal $plural:literal $namespaced:literal;)*) => {
        $(
            #[doc = concat!("The kind `", $kind, "`.")]
            pub const $constant: Kind =
                Kind { group: $group, version: $version, kind: $kind, plural: $plural, namespaced: $namespaced };
        )*
        const KINDS: &[Kind] = &[$($constant),*];
    };
}

kinds! {
    NAMESPACE = "" "v1" "Namespace" "namespaces" false;
    NODE = "" "v1" "Node" "nodes" false;
    POD = "" "v1" "Pod" "pods" true;
    CONFIG_MAP = "" "v1" "ConfigMap" "configmaps" true;
    SECRET = "" "v1" "Secret" "secrets" true;
    SERVICE = "" "v1" "Service" "services" true;
    SERVICE_ACCOUNT = "" "v1" "ServiceAccount" "serviceaccounts" true;
    CLAIM = "" "v1" "PersistentVolumeClaim" "persistentvolumeclaims" true;
    VOLUME = "" "v1" "PersistentVolume" "persistentvolumes" false;
    EVENT = "" "v1" "Event" "events" true;
    LIMIT_RANGE = "" "v1" "LimitRange" "limitranges" true;
    RESOURCE_QUOTA = "" "v1" "ResourceQuota" "resourcequotas" true;
    DEPLOYMENT = "apps" "v1" "Deployment" "deployments" true;
    REPLICA_SET = "apps" "v1" "ReplicaSet" "replicasets" true;
    STATEFUL_SET = "apps" "v1" "StatefulSet" "statefulsets" true;
    DAEMON_SET = "apps" "v1" "DaemonSet" "daemonsets" true;
    CONTROLLER_REVISION = "apps" "v1" "ControllerRevision" "controllerrevisions" true;
    JOB = "batch" "v1" "Job" "jobs" true;
    CRON_JOB = "batch" "v1" "CronJob" "cronjobs" true;
    AUTOSCALER = "autoscaling" "v2" "HorizontalPodAutoscaler" "horizontalpodautoscalers" true;
    DISRUPTION_BUDGET = "policy" "v1" "PodDisruptionBudget" "poddisruptionbudgets" true;
    INGRESS = "networking.k8s.io" "v1" "Ingress" "ingresses" true;
    INGRESS_CLASS = "networking.k8s.io" "v1" "IngressClass" "ingressclasses" false;
    NETWORK_POLICY = "networking.k8s.io" "v1" "NetworkPolicy" "networkpolicies" true;
    ENDPOINT_SLICE = "discovery.k8s.io" "v1" "EndpointSlice" "endpointslices" true;
    ROLE = "rbac.authorization.k8s.io" "v1" "Role" "roles" true;
    ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "RoleBinding" "rolebindings" true;
    CLUSTER_ROLE = "rbac.authorization.k8s.io" "v1" "ClusterRole" "clusterroles" false;
    CLUSTER_ROLE_BINDING = "rbac.authorization.k8s.io" "v1" "ClusterRoleBinding" "clusterrolebindings" false;
    STORAGE_CLASS = "storage.k8s.io" "v1" "StorageClass" "storageclasses" false;
    PRIORITY_CLASS = "scheduling.k8s.io" "v1" "PriorityClass" "priorityclasses" false;
    LEASE = "coordination.k8s.io" "v1" "Lease" "leases" true;
    CUSTOM_RESOURCE_DEFINITION = "apiextensions.k8s.io" "v1" "CustomResourceDefinition" "customresourcedefinitions" false;
    API_SERVICE = "apiregistration.k8s.io" "v1" "APIService" "apiservices" false;
    MUTATING_WEBHOOK = "admissionregistration.k8s.io" "v1" "MutatingWebhookConfiguration" "mutatingwebhookconfigurations" false;
    VALIDATING_WEBHOOK = "admissionregistration.k8s.io" "v1" "ValidatingWebhookConfiguration" "validatingwebhookconfigurations" false;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_as_kubectl_wants_it() {
        assert_eq!(
            ObjectRef::new(&STATEFUL_SET, Some("monitoring"), "loki").to_string(),
            "statefulset.apps/loki -n monitoring"
        );
        assert_eq!(ObjectRef::new(&CONFIG_MAP, Some("x"), "c").to_string(), "configmap/c -n x");
        assert_eq!(
            ObjectRef::new(&API_SERVICE, Some("ignored"), "v1beta1.custom.metrics.k8s.io").to_string(),
            "apiservice.apiregistration.k8s.io/v1beta1.custom.metrics.k8s.io"
        );
    }
}
