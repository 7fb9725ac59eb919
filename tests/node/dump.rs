//! All objects of a cluster, in a form that can be compared.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::World;

/// Kinds that the server keeps for itself, or that only report.
const BOOKKEEPING: &[&str] =
    &["Event", "Lease", "NodeMetrics", "PodMetrics", "Endpoints", "EndpointSlice", "ComponentStatus"];

/// Everything that can be listed, by kind, namespace and name, without what the server writes.
pub(crate) fn dump(world: &World) -> BTreeMap<String, Value> {
    world.await_apis();
    let bench = &world.bench;
    let kinds = bench.kubectl(["api-resources", "--verbs=list", "-o=name", "--no-headers"]);
    let kinds: Vec<_> = kinds
        .lines()
        .filter(|kind| !kind.starts_with("events") && !kind.ends_with("metrics.k8s.io"))
        .collect();
    let list: Value =
        serde_json::from_str(&bench.kubectl(["get", &kinds.join(","), "-A", "-o=json"])).expect("JSON");
    let mut objects = BTreeMap::new();
    for mut object in list["items"].as_array().expect("a list").clone() {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (kind, metadata) = (text(&object["kind"]), &object["metadata"]);
        let key = format!("{kind} {}/{}", text(&metadata["namespace"]), text(&metadata["name"]));
        if kind == "Lease" && key.contains("bootstrap") {
            objects.insert(key, Value::Null);
            continue;
        }
        if BOOKKEEPING.contains(&kind.as_str()) {
            continue;
        }
        if let Some(fields) = object.as_object_mut() {
            fields.remove("status");
        }
        if let Some(metadata) = object["metadata"].as_object_mut() {
            metadata.remove("managedFields");
            metadata.remove("resourceVersion");
        }
        objects.insert(key, object);
    }
    objects
}
