//! What `verify` says where nothing can be verified. That it proves something takes pods, and so a node.

use devcluster::Identity;

use crate::support::{Bench, least};
use crate::{CLUSTER, Scene, assert_says, config_map};

/// A stack that has Prometheus, as far as a cluster without a kubelet has anything.
const PROMETHEUS: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: metrics}\nspec:\n  replicas: 0\n  \
    serviceName: metrics\n  selector: {matchLabels: {app: metrics}}\n  template:\n    metadata: {labels: {app: metrics}}\n    \
    spec: {containers: [{name: main, image: 'mirror.example/prom/prometheus:v3.16.0', ports: [{containerPort: 9090}]}]}\n";

#[test]
fn a_stack_that_is_not_installed_is_refused() {
    let scene = Scene::new("verify-absent", PROMETHEUS);
    let ran = scene.run("verify", &[]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_says(
        &ran,
        &["the stack verify-absent is not installed", "hint: bootstrap up --context devcluster"],
    );
    assert_eq!(ran.stdout, "");
}

#[test]
fn a_stack_without_anything_that_verify_knows_is_refused() {
    let scene = Scene::new("verify-nothing", &config_map("one", "a"));
    scene.succeed("up", &[]);
    let ran = scene.run("verify", &[]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_says(&ran, &["the stack verify-nothing has nothing that can be verified"]);
}

#[test]
fn a_workload_without_a_pod_fails_and_what_needs_it_is_skipped() {
    let scene = Scene::new("verify-empty", PROMETHEUS);
    scene.succeed("up", &[]);
    let junit = scene.folder().join("junit.xml");
    let file = junit.to_str().expect("a path");
    let ran = scene.run("verify", &["--timeout", "10s", "--junit", file, "-o", "json"]);
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let found: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let first = &found[0];
    assert_eq!(
        (&first["category"], &first["id"], &first["outcome"]),
        (&"prometheus".into(), &"ready".into(), &"failed".into())
    );
    let message = first["message"].as_str().expect("a message");
    assert!(message.ends_with("s: statefulset.apps/metrics -n verify-empty has no pod"), "{message}");
    let stack = scene.folder().display();
    assert_eq!(first["hint"], format!("bootstrap up --context devcluster --stack {stack}"));
    assert_eq!(
        (&found[1]["outcome"], &found[1]["message"]),
        (&"skipped".into(), &"needs prometheus/ready".into())
    );
    let xml = std::fs::read_to_string(junit).expect("written");
    assert!(xml.contains(r#"failures="1""#) && xml.contains(r#"classname="prometheus""#), "{xml}");
}

#[test]
fn a_right_that_is_missing_is_named_and_proves_nothing() {
    let mut scene = Scene::new("verify-rights", PROMETHEUS);
    scene.succeed("up", &[]);
    scene.kubectl(&["create", "role", "reader", "--verb=get", "--resource=configmaps"]);
    scene.kubectl(&["create", "rolebinding", "reader", "--role=reader", "--user=reader"]);
    least::await_right(&scene.bench, &["-n", "verify-rights", "get", "configmaps", "--as", "reader"]);
    scene.bench = Bench::new(&CLUSTER.kubeconfig_for(&Identity::user("reader")).expect("a kubeconfig"));
    let ran = scene.run("verify", &["--timeout", "5s"]);
    assert_eq!(ran.code, 7, "{}{}", ran.stdout, ran.stderr);
    let line = "- ready          skipped: no right to watch pods -n verify-rights";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    assert!(ran.stdout.contains("0 passed, 0 failed"), "{}", ran.stdout);
}
