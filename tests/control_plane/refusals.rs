//! What a user is told when the command cannot work: one clear error with a hint, within five seconds, nothing changed.

use std::time::Duration;

use devcluster::Identity;

use crate::support::{Bench, Ran};
use crate::{CLUSTER, Scene, assert_says, config_map};

/// One error, one hint, in time.
fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    assert_eq!(ran.code, code, "{}", ran.stderr);
    assert!(ran.took < Duration::from_secs(5), "{:?}", ran.took);
    assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("hint: ").count(), 1, "{}", ran.stderr);
    assert_says(ran, words);
}

fn as_user(identity: &Identity<'_>) -> Scene {
    let mut scene = Scene::new("refused", &config_map("one", "a"));
    scene.bench = Bench::new(&CLUSTER.kubeconfig_for(identity).expect("a kubeconfig"));
    scene
}

#[test]
fn an_unreachable_server() {
    let scene = Scene::new("refused", &config_map("one", "a"));
    let text = std::fs::read_to_string(CLUSTER.kubeconfig()).expect("a kubeconfig");
    // Port 1 is nobody's.
    let text = text.replace(&CLUSTER.server_url(), "https://127.0.0.1:1");
    scene.write("kubeconfig", &text);
    let path = scene.folder().join("kubeconfig");
    let ran = scene.run("up", &["--kubeconfig", path.to_str().expect("a path")]);
    assert_refused(&ran, 3, &["Connection refused", "cluster-info"]);
}

#[test]
fn an_unknown_context() {
    let scene = Scene::new("refused", &config_map("one", "a"));
    let ran = scene.run("up", &["--context", "nowhere"]);
    assert_refused(&ran, 3, &["no context `nowhere`", "there are: devcluster"]);
}

#[test]
fn a_missing_kubeconfig() {
    let scene = Scene::new("refused", &config_map("one", "a"));
    let ran = scene.run("up", &["--kubeconfig", "/nowhere/config"]);
    assert_refused(&ran, 3, &["/nowhere/config", "--kubeconfig"]);
}

#[test]
fn an_expired_certificate() {
    let scene = as_user(&Identity { expired: true, ..Identity::admin() });
    let ran = scene.run("up", &[]);
    assert_refused(&ran, 3, &["credentials", "expired"]);
}

#[test]
fn a_user_without_rights() {
    let scene = as_user(&Identity::user("nobody"));
    let ran = scene.run("up", &["--context", "devcluster", "--yes"]);
    assert_refused(&ran, 3, &["forbidden", "bootstrap check --context devcluster"]);
}

#[test]
fn a_broken_stack() {
    let scene = Scene::new("refused", &config_map("one", "a"));
    scene.write(
        "stack.yaml",
        "name: refused\nnamespace: refused\nsteps:\n  - {name: a, manifest: [main.yaml]}\n",
    );
    let ran = scene.run("up", &[]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_says(&ran, &["error: stack.yaml:4:", "unknown field", "manifests"]);
}

#[test]
fn a_manifest_that_the_server_does_not_understand() {
    let scene = Scene::new("typo", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndatas: {a: b}\n");
    let ran = scene.run("up", &[]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert_says(&ran, &["main.yaml:1", "configmap/c -n typo", ".datas: field not declared in schema"]);
}

#[test]
fn an_object_that_the_server_refuses_is_named_with_file_and_line() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 99999}]}\n";
    let scene = Scene::new("invalid", &(config_map("one", "a") + service));
    let ran = scene.run("up", &[]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert_says(
        &ran,
        &[
            "failed to apply service/s -n invalid (main.yaml:6)",
            "spec.ports[0].port: must be between 1 and 65535",
        ],
    );

    let list = format!("kind: List\nitems:\n- {}", service.replace('\n', "\n  "));
    scene.write("main.yaml", &list);
    let ran = scene.run("up", &[]);
    assert_says(&ran, &["failed to apply service/s -n invalid (main.yaml:3)"]);
}

#[test]
fn a_missing_helm() {
    let scene = Scene::new("helmless", &config_map("one", "a"));
    scene.write(
        "stack.yaml",
        "name: helmless\nnamespace: helmless\nsteps:\n  - {name: a, helm: {release: r, chart: 'oci://nowhere/c', version: 1.0.0}}\n",
    );
    let stack = scene.folder().to_str().expect("a path").to_owned();
    let output =
        scene.bench.command(&["up", "--stack", &stack]).env("PATH", "/nowhere").output().expect("started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("helm is missing") && said.contains("https://helm.sh"), "{said}");
    assert_eq!(
        scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "helmless"]),
        "",
        "nothing was changed"
    );
}

#[test]
fn a_webhook_that_does_not_answer() {
    let scene =
        Scene::new("hooked", "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\nspec: {limits: []}\n");
    let webhook = r#"{"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "hooked"}, "webhooks": [{"name": "away.test.internal", "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://127.0.0.1:1/"},
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "hooked"}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["limitranges"], "operations": ["*"]}]}]}"#;
    scene.bench.apply(webhook, &[]);
    let ran = scene.run("up", &["--timeout", "4s"]);
    assert_eq!(ran.code, 6, "it may come back:\n{}", ran.stderr);
    assert_says(&ran, &["limitrange/l -n hooked", "failed calling webhook", "; asked "]);
    scene.bench.kubectl(["delete", "validatingwebhookconfiguration", "hooked"]);
    scene.succeed("up", &[]);
}
