//! Whose an object and a field is.

use crate::{Scene, assert_says, config_map};

#[test]
fn an_object_that_was_there_is_refused_and_left_alone() {
    let scene = Scene::new("foreign", &(config_map("theirs", "ours") + &config_map("new", "a")));
    scene.bench.kubectl(["create", "namespace", "foreign"]);
    scene.kubectl(&["create", "configmap", "theirs", "--from-literal=key=theirs"]);
    let ran = scene.run("up", &[]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(&ran, &["main.yaml:1: configmap/theirs -n foreign (no mark of an owner)", "hint: "]);
    assert_eq!(scene.field("configmap/theirs", ".data.key"), "theirs");
    assert_eq!(
        scene.kubectl(&["get", "configmap", "--ignore-not-found", "new", "bootstrap-foreign"]),
        "",
        "nothing was made"
    );
}

#[test]
fn a_field_that_another_program_applies_is_a_conflict() {
    let scene = Scene::new("conflict", &config_map("shared", "ours"));
    scene.succeed("up", &[]);
    let theirs = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "conflict"},
        "data": {"key": "theirs"}}"#;
    scene.bench.apply(theirs, &["--server-side", "--force-conflicts", "--field-manager=argocd"]);
    let ran = scene.run("up", &[]);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(&ran, &["configmap/shared -n conflict (main.yaml:1)", "data.key is owned by argocd"]);
    assert_eq!(scene.field("configmap/shared", ".data.key"), "theirs");
}

#[test]
fn a_field_that_a_person_changed_is_taken_back_and_said() {
    let scene = Scene::new("drift", &config_map("edited", "ours"));
    scene.succeed("up", &[]);
    scene.kubectl(&[
        "patch",
        "configmap",
        "edited",
        "--type=merge",
        "-p",
        r#"{"data": {"key": "theirs", "other": "kept"}}"#,
    ]);
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["configmap/edited -n drift", "data.key theirs → ours (kubectl-patch"]);
    assert_eq!(scene.field("configmap/edited", ".data.key"), "ours");
    assert_eq!(scene.field("configmap/edited", ".data.other"), "kept", "a field that is not ours is left");
}

#[test]
fn a_field_that_the_stack_gave_up_goes_away() {
    let scene = Scene::new(
        "fields",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: one, b: two}\n",
    );
    scene.succeed("up", &[]);
    scene.write("main.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a: one}\n");
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["configmap/c configured"]);
    assert_eq!(scene.field("configmap/c", ".data"), r#"{"a":"one"}"#);
}

#[test]
fn the_replicas_of_an_autoscaled_workload_are_left_to_the_autoscaler() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  replicas: 1\n  selector: \
                      {matchLabels: {app: d}}\n  template:\n    metadata: {labels: {app: d}}\n    spec: {containers: [{name: \
                      c, image: nothing}]}\n---\n";
    let autoscaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: d}\nspec:\n  \
                      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}\n  maxReplicas: 5\n";
    let scene = Scene::new("scaled", &format!("{deployment}{autoscaler}"));
    // Nothing runs here, so it cannot become ready.
    assert_eq!(scene.run("up", &["--timeout", "2s"]).code, 6);
    let scale = ["scale", "deployment/d", "--replicas=3"];
    scene.kubectl(&scale);
    let ran = scene.run("up", &["--timeout", "2s"]);
    assert_eq!(scene.field("deployment/d", ".spec.replicas"), "3", "{}", ran.stderr);
    assert!(!ran.stderr.contains("taken back"), "{}", ran.stderr);
}
