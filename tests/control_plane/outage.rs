//! An API server that goes away in the middle of a run, or cannot do its part, and comes back or does not.

use std::time::{Duration, Instant};

use devcluster::{ControlPlane, Tool};

use crate::support::Bench;
use crate::watched::Watched;
use crate::{CLUSTER, Scene, assert_says, config_map};

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: late}\nspec:\n  selector: {matchLabels: \
                          {app: late}}\n  template:\n    metadata: {labels: {app: late}}\n    spec: {containers: [{name: \
                          main, image: none}]}\n";

/// Enough of them that writes are under way for seconds.
const MANY: usize = 400;

fn control_plane() -> ControlPlane {
    let plane = ControlPlane::start().expect("a control plane");
    Bench::new(&plane.kubeconfig()).add_node();
    plane
}

#[test]
fn an_object_that_becomes_current_after_the_server_has_restarted_is_seen() {
    let mut plane = control_plane();
    let scene = Scene::on(&plane, "restart", DEPLOYMENT);
    let more = "  - {name: then, needs: [main], manifests: [then.yaml]}\n";
    scene.write("stack.yaml", &(scene.stack() + more));
    scene.write("then.yaml", &config_map("then", "a"));
    let began = Instant::now();
    let up = scene.start("up", &[]);
    scene.await_object("deployment/late");
    plane.kill_api_server().expect("killed");
    let meanwhile = scene.run("up", &[]);
    assert_eq!(meanwhile.code, 3, "{}", meanwhile.stderr);
    assert!(meanwhile.took < Duration::from_secs(15), "{:?}", meanwhile.took);
    plane.start_api_server().expect("started again");
    let status = r#"{"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
        "availableReplicas": 1}}"#;
    scene.kubectl(&["patch", "deployment", "late", "--subresource=status", "--type=merge", "-p", status]);
    let current = Instant::now();
    let ran = scene.bench.finish(up, began);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    // A watch that was cut off is made again after a pause.
    assert!(current.elapsed() < Duration::from_secs(30), "{:?} after it was Current", current.elapsed());
    scene.kubectl(&["get", "configmap/then"]);
}

#[test]
fn writes_that_are_under_way_when_the_server_restarts_are_made_again() {
    let mut plane = control_plane();
    let scene = Scene::on(&plane, "writes", &many());
    let mut up = Watched::start(&scene, &[]);
    up.await_line("configmap/c");
    plane.kill_api_server().expect("killed");
    assert!(up.is_running(), "it still writes");
    plane.start_api_server().expect("started again");
    let said = up.end(0);
    assert!(said.contains(&format!("configmap/c{} created", MANY - 1)), "{said}");

    scene.write("main.yaml", &many().replace("key: a", "key: b"));
    let began = Instant::now();
    let mut up = Watched::start(&scene, &["--timeout", "30s"]);
    up.await_line("configmap/c");
    plane.kill_api_server().expect("killed");
    let said = up.end(6);
    assert!(said.contains("waiting for the API server to answer (Connection refused"), "{said}");
    assert!(said.contains("failed to apply configmap/c") && said.contains("; asked "), "{said}");
    assert!(began.elapsed() < Duration::from_mins(1), "{:?}:\n{said}", began.elapsed());
}

fn many() -> String {
    (0..MANY).map(|number| config_map(&format!("c{number}"), "a")).collect()
}

#[test]
fn a_release_that_helm_works_on_when_the_server_restarts_is_finished() {
    let mut plane = control_plane();
    let mut scene = Scene::on(&plane, "released", "");
    scene.bench = Bench::new(&plane.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
    scene.write(
        "stack.yaml",
        "name: released\nnamespace: released\nsteps:\n  - {name: main, helm: {release: many, chart: 'oci://nowhere/many', \
         version: 1.0.0}}\n",
    );
    scene.write("charts/many/Chart.yaml", "apiVersion: v2\nname: many\nversion: 1.0.0\n");
    let template = "{{- range until 600 }}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: c{{ . }}}\n{{- end }}\n";
    scene.write("charts/many/templates/many.yaml", template);
    let charts = scene.folder().join("charts");
    let began = Instant::now();
    let mut up = scene.start("up", &["--charts", charts.to_str().expect("a path")]);
    scene.await_object("secret/sh.helm.release.v1.many.v1");
    plane.kill_api_server().expect("killed");
    assert!(up.try_wait().expect("asked").is_none(), "it still works");
    plane.start_api_server().expect("started again");
    let ran = scene.bench.finish(up, began);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.matches("helm: ").count() > 1, "it was started again:\n{}", ran.stderr);
    let status = scene.kubectl(&["get", "secrets", "-l", "owner=helm,status=deployed", "-o=name"]);
    assert_eq!(status.lines().count(), 1, "{status}");
}

#[test]
fn a_release_that_a_webhook_cannot_be_asked_about_is_waited_for() {
    let name = "held-release";
    let mut scene = Scene::new(name, "");
    scene.bench = Bench::new(&CLUSTER.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
    let step = "{name: main, helm: {release: held, chart: 'oci://nowhere/held', version: 1.0.0}}";
    scene.write("stack.yaml", &format!("name: {name}\nnamespace: {name}\nsteps: [{step}]\n"));
    scene.write("charts/held/Chart.yaml", "apiVersion: v2\nname: held\nversion: 1.0.0\n");
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: held}\nspec: {ports: [{port: 80}]}\n";
    scene.write("charts/held/templates/service.yaml", service);
    let webhook = format!(
        "apiVersion: admissionregistration.k8s.io/v1\nkind: ValidatingWebhookConfiguration\nmetadata: {{name: {name}}}\n\
         webhooks:\n- name: policy.held.internal\n  clientConfig: {{service: {{name: away, namespace: {name}}}}}\n  \
         namespaceSelector: {{matchLabels: {{kubernetes.io/metadata.name: {name}}}}}\n  \
         rules: [{{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [services]}}]\n  \
         sideEffects: None\n  admissionReviewVersions: [v1]\n"
    );
    scene.write("webhook.yaml", &webhook);
    let file = scene.folder().join("webhook.yaml");
    scene.bench.kubectl(["apply", "-f", file.to_str().expect("a path")]);
    let charts = scene.folder().join("charts");
    let charts = charts.to_str().expect("a path");
    let ran = scene.end(6, "up", &["--charts", charts, "--timeout", "5s"]);
    assert_says(&ran, &["waiting for helm to get further with release held", "failed calling webhook"]);
    let mut up = Watched::start(&scene, &["--charts", charts]);
    up.await_line("failed calling webhook");
    scene.bench.kubectl(["delete", "validatingwebhookconfiguration", name]);
    up.end(0);
    assert_eq!(scene.field("service/held", ".metadata.name"), "held");
}
