//! What a user is told when the cluster is not as it would have to be, or refuses an object. Bad input is in `tests/bad`.

use devcluster::Identity;
use serde_json::json;

use crate::support::{Bench, least};
use crate::{CLUSTER, Scene, assert_says, config_map};

#[test]
fn a_user_without_rights() {
    let mut scene = Scene::new("refused", &config_map("one", "a"));
    scene.bench = Bench::new(&CLUSTER.kubeconfig_for(&Identity::user("nobody")).expect("a kubeconfig"));
    let ran = scene.end(3, "up", &["--context", "devcluster", "--yes"]);
    assert_says(&ran, &["forbidden", "bootstrap check --context devcluster"]);
}

#[test]
fn a_right_that_is_lacking_before_the_first_change() {
    let mut scene = Scene::new("onlooker", &config_map("one", "a"));
    let admin = Bench::new(&CLUSTER.kubeconfig());
    let role = |verbs: &[&str]| {
        json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": verbs},
                {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["*"]},
            ],
        })
    };
    let users = [("onlooker", &["get", "list", "watch"][..]), ("getter", &["get"])];
    least::bind(&admin, &users.map(|(name, verbs)| (name.to_owned(), role(verbs))));
    let kubeconfig = |user| CLUSTER.kubeconfig_for(&Identity::user(user)).expect("a kubeconfig");
    let leave = ["--context", "devcluster", "--yes"];

    scene.bench = Bench::new(&kubeconfig("onlooker"));
    assert_says(&scene.end(3, "up", &leave), &["failed to create namespace/onlooker", "forbidden"]);
    admin.kubectl(["create", "namespace", "onlooker"]);
    let ran = scene.end(3, "up", &leave);
    assert_says(&ran, &["configmap/bootstrap-onlooker -n onlooker", "forbidden", "bootstrap check"]);
    scene.bench = Bench::new(&CLUSTER.kubeconfig());
    scene.succeed("up", &[]);
    scene.bench = Bench::new(&kubeconfig("getter"));
    assert_says(&scene.end(3, "down", &leave), &["failed to list ", "forbidden", "bootstrap check"]);
    assert_says(&scene.end(3, "status", &[]), &["failed to list ", "forbidden", "bootstrap check"]);
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
    let ran = scene.run("up", &["--timeout", "20s"]);
    assert_eq!(ran.code, 6, "it may come back:\n{}", ran.stderr);
    assert_says(&ran, &["limitrange/l -n hooked", "failed calling webhook", "; asked "]);
    scene.bench.kubectl(["delete", "validatingwebhookconfiguration", "hooked"]);
    scene.succeed("up", &[]);
}
