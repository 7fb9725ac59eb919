//! What `up` waits for before it begins, on a cluster that lacks it.

use devcluster::ControlPlane;

use crate::support::Ran;
use crate::watched::Watched;
use crate::{Scene, assert_says, config_map};

const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: \
                          gates.test.internal}\nspec:\n  group: test.internal\n  scope: Namespaced\n  names: {kind: Gate, \
                          plural: gates}\n  versions:\n  - {name: v1, served: true, storage: true, schema: \
                          {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}\n---\n";

/// An aggregated API whose server is nowhere.
const BROKEN: &str = r#"{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
    "metadata": {"name": "v1.broken.internal"}, "spec": {"group": "broken.internal", "version": "v1",
    "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
    "service": {"namespace": "kube-system", "name": "nowhere"}}}"#;

/// A class as k3s brings it.
const CLASS: &str = r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "none",
    "metadata": {"name": "local-path", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
    "volumeBindingMode": "WaitForFirstConsumer"}"#;

#[test]
fn without_a_node_nothing_begins_and_without_an_api_of_others_all_goes_on() {
    let cluster = ControlPlane::start().expect("a control plane");
    let resource = "apiVersion: test.internal/v1\nkind: Gate\nmetadata: {name: open}\n";
    let scene = Scene::on(&cluster, "gate", &(config_map("one", "a") + DEFINITION + resource));
    // Without a node it is no cluster of this machine, as far as can be told.
    let leave = ["--context", "devcluster", "--yes", "--timeout", "15s"];
    let ran = scene.run("up", &leave);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let seconds = waited(&ran, " s for a node to be Ready\n");
    assert!((1..=16).contains(&seconds), "{}", ran.stderr);
    assert_says(&ran, &["describe nodes"]);
    assert_eq!(ran.stderr.matches("waiting for a node to be Ready").count(), 1, "{}", ran.stderr);
    let ran = scene.run("up", &[&leave[..], &["-o", "json"]].concat());
    let waiting = r#""event":"waiting","what":"a node to be Ready""#;
    assert_eq!(ran.stdout.matches(waiting).count(), 1, "{}", ran.stdout);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "gate"]), "");

    scene.bench.add_node();
    scene.bench.apply(BROKEN, &[]);
    let ran = scene.run("up", &["--timeout", "40s"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let what = "apiservice v1.broken.internal to be available";
    assert_says(&ran, &[&format!("waiting for {what}")]);
    let seconds = waited(&ran, &format!(" s for {what}, and went on without it"));
    assert!((1..=21).contains(&seconds), "no more than half of the time that is left: {}", ran.stderr);
    scene.kubectl(&["get", "gates.test.internal/open"]);
}

#[test]
fn a_storage_class_that_comes_while_it_waits_is_taken() {
    let cluster = ControlPlane::start().expect("a control plane");
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {accessModes: [ReadWriteOnce], \
                 resources: {requests: {storage: 1Gi}}}\n";
    let scene = Scene::on(&cluster, "late", claim);
    let mut up = Watched::start(&scene, &["--context", "devcluster", "--yes"]);
    up.await_line("waiting for a node to be Ready");
    scene.bench.apply(CLASS, &[]);
    scene.bench.add_node();
    up.end(0);
    assert_eq!(scene.field("persistentvolumeclaim/data", ".spec.storageClassName"), "local-path");
}

/// The seconds for which a run says that it has waited, before these words.
fn waited(ran: &Ran, words: &str) -> u32 {
    let (head, _) = ran.stderr.split_once(words).expect("it says for what it has waited");
    let (_, seconds) = head.rsplit_once("waited ").expect("it says how long");
    seconds.parse().expect("a number of seconds")
}
