//! Where the volumes are that keep a pod from being scheduled elsewhere, and what its volumes are made from.

use k8s_openapi::api::core::v1::{Node, NodeSelectorTerm, PersistentVolume, Pod};

use crate::evidence::{Evidence, claims_of};

/// The label by which a volume on a node's own disk names its node.
const HOST: &str = "kubernetes.io/hostname";

/// Names each claim of a pod whose volume is on one node, with that node, and says why no pod can be put there.
pub(super) fn whereabouts(pod: &Pod, found: &Evidence) -> Vec<String> {
    claims_of(pod).filter_map(|claim| on_one_node(claim, found)).collect()
}

/// The name of the ConfigMap or Secret that a volume of a pod is made from.
pub(super) fn source<'a>(pod: &'a Pod, volume: &str) -> Option<&'a str> {
    let volume = pod.spec.as_ref()?.volumes.as_ref()?.iter().find(|it| it.name == volume)?;
    let map = volume.config_map.as_ref().map(|map| map.name.as_str());
    map.or_else(|| volume.secret.as_ref()?.secret_name.as_deref())
}

fn on_one_node(claim: &str, found: &Evidence) -> Option<String> {
    let has_name = |name: Option<&String>, wanted: &str| name.is_some_and(|name| name == wanted);
    let bound = found.claims.iter().find(|it| has_name(it.metadata.name.as_ref(), claim))?;
    let volume = bound.spec.as_ref()?.volume_name.as_ref()?;
    let volume = found.volumes.iter().find(|it| has_name(it.metadata.name.as_ref(), volume))?;
    let host = host(volume)?;
    let is_it = |node: &&Node| {
        let labels = node.metadata.labels.as_ref();
        has_name(labels.and_then(|labels| labels.get(HOST)), host)
    };
    let state = match found.nodes.iter().find(is_it) {
        // Without the right to list nodes none is found.
        None if found.nodes.is_empty() => "",
        None => ", which is not there",
        Some(node) if is_cordoned(node) => ", which is cordoned",
        Some(node) if !is_ready(node) => ", which is not ready",
        Some(_) => "",
    };
    Some(format!("persistentvolumeclaim/{claim} is on node {host}{state}"))
}

/// The one host that a volume can be reached from.
fn host(volume: &PersistentVolume) -> Option<&str> {
    let required = volume.spec.as_ref()?.node_affinity.as_ref()?.required.as_ref()?;
    let [NodeSelectorTerm { match_expressions: Some(expressions), .. }] = &required.node_selector_terms[..]
    else {
        return None;
    };
    let expression = expressions.iter().find(|it| it.key == HOST && it.operator == "In")?;
    match expression.values.as_deref()? {
        [host] => Some(host),
        _ => None,
    }
}

fn is_cordoned(node: &Node) -> bool {
    node.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().filter_map(|status| status.conditions.as_ref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}
