//! Fields that a server would not change: that they are known as such, in the words of the oldest and the newest one.

use std::fs;
use std::path::Path;

use devcluster::ControlPlane;
use serde_json::Value;

use crate::support::Bench;
use crate::{NEWEST, OLDEST};

/// One object of each kind, with what cannot be changed in `⟨⟩`.
const OBJECTS: &str = "\
{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: unchangeable}, provisioner: ⟨one⟩, volumeBindingMode: WaitForFirstConsumer}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim}, spec: {storageClassName: unchangeable, accessModes: [⟨ReadWriteOnce⟩], resources: {requests: {storage: 1Gi}}}}
---
{apiVersion: v1, kind: Secret, metadata: {name: secret}, type: ⟨one⟩}
---
{apiVersion: v1, kind: ConfigMap, metadata: {name: sealed}, immutable: true, data: {key: ⟨one⟩}}
---
{apiVersion: v1, kind: Service, metadata: {name: service}, spec: {clusterIP: ⟨10.43.7.1⟩, ports: [{port: 80}]}}
---
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: binding}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ⟨one⟩}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: job}, spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: ⟨one⟩}]}}}}
---
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: daemons}, spec: {selector: {matchLabels: {app: ⟨one⟩}}, template: {metadata: {labels: {app: ⟨one⟩}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: apps/v1, kind: Deployment, metadata: {name: deployment}, spec: {selector: {matchLabels: {app: ⟨one⟩}}, template: {metadata: {labels: {app: ⟨one⟩}}, spec: {containers: [{name: c, image: i}]}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: set}, spec: {serviceName: ⟨one⟩, selector: {matchLabels: {app: s}}, template: {metadata: {labels: {app: s}}, spec: {containers: [{name: c, image: i}]}}}}
";

#[test]
fn the_oldest_server_says_what_cannot_be_changed() {
    says_what_cannot_be_changed(&OLDEST);
}

#[test]
fn the_newest_server_says_what_cannot_be_changed() {
    says_what_cannot_be_changed(&NEWEST);
}

fn says_what_cannot_be_changed(plane: &ControlPlane) {
    let bench = Bench::new(&plane.kubeconfig());
    bench.add_node();
    let folder = tempfile::tempdir().expect("a folder");
    let write = |file: &str, text: &str| fs::write(folder.path().join(file), text).expect("written");
    write(
        "stack.yaml",
        "name: unchangeable\nnamespace: unchangeable\nsteps:\n  - {name: main, manifests: [main.yaml]}\n",
    );
    write("main.yaml", &OBJECTS.replace(['⟨', '⟩'], ""));
    // Nothing runs here, so it cannot become ready.
    let up = bench.run(&["up", "--stack", path(folder.path()), "--timeout", "15s"]);
    assert!([5, 6].contains(&up.code), "{}", up.stderr);

    let changed = [("⟨one⟩", "two"), ("⟨ReadWriteOnce⟩", "ReadOnlyMany"), ("⟨10.43.7.1⟩", "10.43.7.2")];
    let text = changed.iter().fold(OBJECTS.to_owned(), |text, (from, to)| text.replace(from, to));
    write("main.yaml", &text);
    let plan = bench.run(&["plan", "-o", "json", "--stack", path(folder.path())]);
    assert_eq!(plan.code, 4, "{}", plan.stderr);
    let plan: Value = serde_json::from_str(&plan.stdout).expect("JSON");
    for entry in plan["steps"][0]["entries"].as_array().expect("entries") {
        let wanted = if entry["object"]["kind"] == "StatefulSet" { "replaced" } else { "immutable" };
        assert_eq!(entry["outcome"], wanted, "{entry:#}");
    }
}

fn path(folder: &Path) -> &str {
    folder.to_str().expect("a path")
}
