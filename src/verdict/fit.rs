//! Whether any node, were it empty, could take a pod: by its labels and by what it asks for. Taints and affinity are left
//! to the scheduler, whose verdict may change.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, Node, Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Why no node can ever take a pod; `None` when one could, or none is known.
pub(super) fn why_never(pod: &Pod, nodes: &[Node]) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    if nodes.is_empty() {
        return None;
    }
    let empty = BTreeMap::new();
    let wanted = spec.node_selector.as_ref().unwrap_or(&empty);
    let has_labels = |node: &&Node| {
        let labels = node.metadata.labels.as_ref().unwrap_or(&empty);
        wanted.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let candidates: Vec<_> = nodes.iter().filter(has_labels).collect();
    if candidates.is_empty() {
        let labels: Vec<_> = wanted.iter().map(|(key, value)| format!("{key}={value}")).collect();
        return Some(format!("no node has label {}", labels.join(",")));
    }
    requests(spec).into_iter().find_map(|(resource, wanted)| {
        let has = |node: &&Node| {
            let allocatable = node.status.as_ref()?.allocatable.as_ref()?;
            allocatable.get(&resource).and_then(number)
        };
        let most = candidates.iter().filter_map(has).fold(0.0, f64::max);
        (wanted > most).then(|| {
            format!(
                "asks for {} of {resource}, and no node has more than {}",
                amount(&resource, wanted),
                amount(&resource, most)
            )
        })
    })
}

/// What a pod asks for: its containers together, or its most demanding init container.
fn requests(spec: &PodSpec) -> BTreeMap<String, f64> {
    let mut sum: BTreeMap<String, f64> = BTreeMap::new();
    for (resource, wanted) in spec.containers.iter().flat_map(requests_of) {
        *sum.entry(resource).or_default() += wanted;
    }
    for (resource, wanted) in spec.init_containers.iter().flatten().flat_map(requests_of) {
        let most = sum.entry(resource).or_default();
        *most = most.max(wanted);
    }
    sum
}

fn requests_of(container: &Container) -> impl Iterator<Item = (String, f64)> {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    requests.into_iter().flatten().filter_map(|(resource, wanted)| Some((resource.clone(), number(wanted)?)))
}

/// A quantity as a number; `None` for what is none.
fn number(quantity: &Quantity) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let text = quantity.0.as_str();
    let suffixed = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, factor)));
    match suffixed {
        Some((digits, factor)) => digits.parse::<f64>().ok().map(|number| number * factor),
        None => text.parse().ok(),
    }
}

/// A number as people read it.
fn amount(resource: &str, number: f64) -> String {
    const GIBIBYTE: f64 = 1_073_741_824.0;
    if resource == "memory" || resource.contains("storage") {
        format!("{}Gi", (number / GIBIBYTE * 10.0).floor() / 10.0)
    } else {
        format!("{number}")
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn why(spec: &Value) -> Option<String> {
        let pod = serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": spec})).expect("a pod");
        let node = json!({
            "metadata": {"name": "n", "labels": {"disk": "hdd"}},
            "status": {"allocatable": {"cpu": "2", "memory": "24550000Ki"}},
        });
        why_never(&pod, &[serde_json::from_value(node).expect("a node")])
    }

    fn asking(requests: &Value) -> Value {
        json!({"containers": [{"name": "a", "resources": {"requests": requests}}]})
    }

    #[test]
    fn a_pod_that_asks_for_more_than_a_node_has_will_never_run() {
        assert_eq!(why(&asking(&json!({"memory": "20Gi", "cpu": "1500m"}))), None);
        assert_eq!(
            why(&asking(&json!({"memory": "64Gi"}))).as_deref(),
            Some("asks for 64Gi of memory, and no node has more than 23.4Gi")
        );
        assert_eq!(
            why(&asking(&json!({"cpu": "2001m"}))).as_deref(),
            Some("asks for 2.001 of cpu, and no node has more than 2")
        );
        assert_eq!(
            why(&asking(&json!({"nvidia.com/gpu": "1"}))).as_deref(),
            Some("asks for 1 of nvidia.com/gpu, and no node has more than 0")
        );
    }

    #[test]
    fn a_label_that_no_node_has_is_named() {
        let pinned = json!({"containers": [], "nodeSelector": {"disk": "ssd"}});
        assert_eq!(why(&pinned).as_deref(), Some("no node has label disk=ssd"));
        assert_eq!(why(&json!({"containers": [], "nodeSelector": {"disk": "hdd"}})), None);
        assert_eq!(why_never(&Pod::default(), &[]), None);
    }
}
