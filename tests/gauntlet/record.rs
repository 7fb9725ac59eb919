//! Recordings: what the API server has of a case at the moment of its sign, for the tests of the verdicts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::case::Case;
use crate::support::Bench;

/// What is recorded: the kind, how kubectl calls it, and where in the recording it goes.
const KINDS: &[(&str, &str, &str)] = &[
    ("Deployment", "deployments", "objects"),
    ("StatefulSet", "statefulsets", "objects"),
    ("DaemonSet", "daemonsets", "objects"),
    ("Job", "jobs", "objects"),
    ("Service", "services", "objects"),
    ("ConfigMap", "configmaps", "objects"),
    ("APIService", "apiservices", "objects"),
    ("Pod", "pods", "pods"),
    ("ReplicaSet", "replicasets", "replica_sets"),
    ("Event", "events", "events"),
    ("Node", "nodes", "nodes"),
    ("PersistentVolumeClaim", "persistentvolumeclaims", "claims"),
    ("StorageClass", "storageclasses", "storage_classes"),
];

/// Writes a recording of a case.
pub(crate) fn record(bench: &Bench, case: &Case) {
    let plurals: Vec<_> = KINDS.iter().map(|(_, plural, _)| *plural).collect();
    let list = bench.kubectl(["get", &plurals.join(","), "--namespace", &case.namespace(), "--output=json"]);
    let mut list: Value = serde_json::from_str(&list).expect("JSON");
    let mut recording: BTreeMap<_, _> = KINDS.iter().map(|(_, _, place)| (*place, Vec::new())).collect();
    for item in list["items"].as_array_mut().expect("a list") {
        let (_, _, place) = KINDS.iter().find(|(kind, ..)| item["kind"] == *kind).expect("asked for");
        if is_of_the_cluster(item) {
            continue;
        }
        for (part, field) in [("metadata", "managedFields"), ("status", "images")] {
            if let Some(Value::Object(part)) = item.get_mut(part) {
                part.remove(field);
            }
        }
        recording.entry(place).or_default().push(item.take());
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdict/recorded");
    fs::create_dir_all(&folder).expect("a folder");
    let text = format!("{:#}\n", json!(recording));
    fs::write(folder.join(format!("{}.json", case.name)), text).expect("written");
}

/// Tells what every cluster or namespace has from what belongs to a case.
fn is_of_the_cluster(item: &Value) -> bool {
    match item["kind"].as_str() {
        // Those of the API server itself, and of definitions.
        Some("APIService") => {
            let labels = &item["metadata"]["labels"];
            labels["kube-aggregator.kubernetes.io/automanaged"].is_string()
                || item["metadata"]["name"] == "v1beta1.metrics.k8s.io"
        }
        Some("ConfigMap") => item["metadata"]["name"] == "kube-root-ca.crt",
        _ => false,
    }
}
