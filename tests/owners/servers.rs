//! Everything that is sent to a server, as the oldest and the newest supported one judge it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use devcluster::{ControlPlane, Tool};
use serde_json::Value;

use crate::support::Bench;
use crate::{NEWEST, OLDEST, charts, objects, root};

#[test]
fn the_oldest_server_takes_every_object_strictly() {
    takes_everything(&OLDEST, Tool::OldestKubeApiserver);
}

#[test]
fn the_newest_server_takes_every_object_strictly() {
    takes_everything(&NEWEST, Tool::KubeApiserver);
}

#[test]
fn up_works_on_the_oldest_server() {
    let bench = Bench::new(&OLDEST.kubeconfig());
    bench.add_node();
    let folder = tempfile::tempdir().expect("a folder");
    let step = "{name: main, secret: {name: s, data: {password: {random: 20}}}, manifests: [main.yaml]}";
    let text = format!("name: oldest\nnamespace: oldest\nsteps:\n  - {step}\n");
    fs::write(folder.path().join("stack.yaml"), text).expect("written");
    let text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {key: value}}\n";
    fs::write(folder.path().join("main.yaml"), text).expect("written");

    let up = ["up", "--stack", folder.path().to_str().expect("a path")];
    let first = bench.succeed(&up).stderr;
    assert!(first.contains(Tool::OldestKubeApiserver.version()) && first.contains("created"), "{first}");
    let second = bench.succeed(&up).stderr;
    assert!(second.contains("nothing to do"), "{second}");
}

#[test]
fn no_server_applies_to_an_object_what_is_to_be_made() {
    for plane in [&OLDEST, &NEWEST] {
        let made = r#"{"apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": "made", "namespace": "default", "resourceVersion": "1"}}"#;
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(&file, made).expect("written");
        let apply = ["apply", "--server-side", "-f", file.path().to_str().expect("a path")];
        plane.kubectl(apply).expect("it is not there");
        let refusal = plane.kubectl(apply).expect_err("it is there").to_string();
        assert!(refusal.contains("the object has been modified"), "{refusal}");
    }
}

/// No unknown field, no missing one, no value that is not allowed, nothing that is deprecated.
fn takes_everything(plane: &ControlPlane, server: Tool) {
    let version = plane.kubectl(["get", "--raw=/version"]).expect("a version");
    assert!(version.contains(&format!("{:?}", server.version())), "{version}");
    let all = everything(plane);
    make_namespaces(plane, &all);
    assert!(all.len() > 40, "{} objects", all.len());
    apply(plane, &all).expect("every object is taken");

    let mut wrong = all.into_iter().find(|object| object["kind"] == "DaemonSet").expect("Alloy");
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = Value::from("");
    let refusal = apply(plane, &[wrong]).expect_err("no such field").to_string();
    assert!(refusal.contains("readynessProbe"), "{refusal}");
}

/// What every stack of the checkout renders to, and the charts with the built-in stack's values.
fn everything(plane: &ControlPlane) -> Vec<Value> {
    let bench = Bench::new(&plane.kubeconfig());
    let mut all = charts::rendered(Tool::Helm);
    for stack in stacks() {
        let stack = stack.to_str().expect("a path");
        all.extend(objects(stack, &bench.succeed(&["render", "--stack", stack]).stdout));
    }
    all
}

/// The built-in stack's folder, and those of the examples.
fn stacks() -> Vec<PathBuf> {
    let examples = root().join("examples").read_dir().into_iter().flatten();
    let mut stacks: Vec<_> = examples.map(|entry| entry.expect("an entry").path()).collect();
    stacks.push(root().join("manifests"));
    stacks.retain(|folder| folder.join("stack.yaml").exists());
    stacks
}

/// A dry run makes no namespace, and without it no object in it is judged.
fn make_namespaces(plane: &ControlPlane, objects: &[Value]) {
    let names: BTreeSet<_> =
        objects.iter().filter_map(|object| object["metadata"]["namespace"].as_str()).collect();
    for name in names.into_iter().filter(|name| *name != "kube-system") {
        plane.kubectl(["create", "namespace", name]).expect("made");
    }
}

fn apply(plane: &ControlPlane, objects: &[Value]) -> anyhow::Result<String> {
    let file = tempfile::NamedTempFile::new()?;
    serde_json::to_writer(&file, &serde_json::json!({"apiVersion": "v1", "kind": "List", "items": objects}))?;
    let file = format!("--filename={}", file.path().display());
    let how = ["--server-side", "--dry-run=server", "--validate=strict", "--warnings-as-errors"];
    plane.kubectl(["apply", &file].iter().chain(&how))
}
