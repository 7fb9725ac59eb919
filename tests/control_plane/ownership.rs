//! Whose an object and a field is.

use std::time::Instant;

use devcluster::{ControlPlane, Tool};

use crate::support::{Bench, Ran};
use crate::watched::{Watched, up_to};
use crate::{Scene, assert_says, config_map};

/// A Deployment that a test makes ready, on a control plane without controllers.
const GATE: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: gate}\nspec:\n  selector: {matchLabels: {app: \
                    gate}}\n  template: {metadata: {labels: {app: gate}}, spec: {containers: [{name: c, image: nothing}]}}\n";

/// Runs `up` with a second step that has these manifests and waits for the gate, which opens when this is done.
fn up_while(scene: &Scene, manifests: &str, deed: impl FnOnce()) -> Ran {
    scene.write("then.yaml", manifests);
    up_past_gate(scene, "manifests: [then.yaml]", &[], deed)
}

/// The same with a step of any content.
fn up_past_gate(scene: &Scene, step: &str, more: &[&str], deed: impl FnOnce()) -> Ran {
    scene.write("stack.yaml", &format!("{}  - {{name: then, needs: [main], {step}}}\n", scene.stack()));
    scene.write("main.yaml", GATE);
    let began = Instant::now();
    let up = scene.start("up", more);
    scene.await_object("deployment/gate");
    deed();
    let status = r#"{"status": {"observedGeneration": 1, "replicas": 1, "updatedReplicas": 1, "readyReplicas": 1,
        "availableReplicas": 1}}"#;
    scene.kubectl(&["patch", "deployment", "gate", "--subresource=status", "--type=merge", "-p", status]);
    scene.bench.finish(up, began)
}

#[test]
fn objects_of_others_are_refused_in_one_list_and_left_alone() {
    let names = ["bare", "release", "argo", "flux", "set"];
    let manifests: String = names.map(|name| config_map(name, "ours")).concat() + &config_map("new", "a");
    let scene = Scene::new("foreign", &manifests);
    scene.bench.kubectl(["create", "namespace", "foreign"]);
    for name in names {
        scene.kubectl(&[
            "create",
            "configmap",
            name,
            "--from-literal=key=theirs",
            "--from-literal=more=theirs",
        ]);
    }
    scene.kubectl(&["annotate", "configmap/release", "meta.helm.sh/release-name=shop"]);
    scene.kubectl(&["label", "configmap/argo", "argocd.argoproj.io/instance=shop"]);
    scene.kubectl(&["label", "configmap/flux", "kustomize.toolkit.fluxcd.io/name=shop"]);
    scene.kubectl(&["label", "configmap/set", "applyset.kubernetes.io/part-of=applyset-shop-v1"]);
    let lines = [
        "configmap/bare -n foreign (main.yaml:1) is there and not of this stack: no mark of an owner",
        "configmap/release -n foreign (main.yaml:6) is there and not of this stack: of Helm release shop",
        "of Argo CD application shop",
        "of Flux shop",
        "of ApplySet applyset-shop-v1",
        "--adopt",
    ];
    for verb in ["plan", "up"] {
        let ran = scene.end(4, verb, &[]);
        assert_says(&ran, &lines);
        assert_eq!(ran.stderr.matches("hint: ").count(), 1, "{}", ran.stderr);
    }
    assert_eq!(scene.field("configmap/bare", ".data.key"), "theirs");
    assert_eq!(
        scene.kubectl(&["get", "configmap", "--ignore-not-found", "new", "bootstrap-foreign"]),
        "",
        "nothing was made"
    );

    let ran = scene.succeed("up", &["--adopt"]);
    assert_says(
        &ran,
        &["configmap/argo configured (adopted: of Argo CD application shop)", "1 created, 5 configured"],
    );
    for name in names {
        assert_eq!(scene.field(&format!("configmap/{name}"), ".data"), r#"{"key":"ours"}"#, "{name}");
    }
    let ran = scene.succeed("plan", &["--exit-code"]);
    assert!(ran.stdout.contains("no changes"), "{}", ran.stdout);
    scene.succeed("down", &[]);
    let left = scene.kubectl(&["get", "configmaps", "-o=name"]);
    assert!(names.iter().all(|name| !left.contains(&format!("/{name}\n"))), "{left}");
}

/// As the article's script made its objects, with fields that the stack does not have.
#[test]
fn what_kubectl_applied_is_ours_after_an_adoption_and_goes_when_it_is_not_wanted() {
    let deployment = |more: &str, label: &str| {
        format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: d, namespace: script{label}}}, spec: {{selector: \
             {{matchLabels: {{app: d}}}}, template: {{metadata: {{labels: {{app: d}}}}, spec: {{containers: [{{name: c, image: \
             nothing{more}}}]}}}}}}}}\n"
        )
    };
    let scene = Scene::new("script", &deployment("", ""));
    scene.bench.kubectl(["create", "namespace", "script"]);
    let theirs = deployment(", args: [one], env: [{name: A, value: b}]", ", labels: {team: blog}");
    scene.bench.apply(&theirs, &[]);
    scene.kubectl(&["annotate", "deployment/d", "note=by-hand"]);
    // An autoscaler has scaled it, which an adoption leaves as it is.
    let autoscaler = r#"{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "d", "namespace":
        "script"}, "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}, "maxReplicas": 5}}"#;
    scene.bench.apply(autoscaler, &[]);
    scene.kubectl(&["scale", "deployment/d", "--replicas=3"]);

    let ran = scene.succeed("plan", &["--adopt"]);
    for line in [
        "~ deployment.apps/d configured: adopted: no mark of an owner\n",
        "- metadata.labels.team: blog\n",
        "- spec.template.spec.containers[name=\"c\"].args:\n",
        "- spec.template.spec.containers[name=\"c\"].env:\n",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
    assert!(!ran.stdout.contains("dnsPolicy"), "a default is no change:\n{}", ran.stdout);
    // Nothing runs here, so it cannot become ready.
    let mut up = Watched::start(&scene, &["--adopt", "-v"]);
    up.await_line("deployment.apps/d: 0 of ");
    up.interrupt();
    let container = scene.field("deployment/d", ".spec.template.spec.containers[0]");
    assert!(!container.contains("args") && !container.contains("env"), "{container}");
    assert_eq!(scene.field("deployment/d", ".metadata.labels.team"), "");
    assert_eq!(scene.field("deployment/d", ".spec.replicas"), "3");
    let annotations = scene.field("deployment/d", ".metadata.annotations");
    assert!(annotations.contains("by-hand") && !annotations.contains("last-applied"), "{annotations}");
    let ran = scene.succeed("plan", &["--exit-code"]);
    assert!(ran.stdout.contains("no changes"), "{}", ran.stdout);
    scene.succeed("down", &[]);
}

#[test]
fn a_field_that_another_program_applies_is_a_conflict() {
    let scene = Scene::new("conflict", &(config_map("shared", "ours") + &config_map("other", "new")));
    scene.succeed("up", &["--timeout", "30s"]);
    let theirs = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared", "namespace": "conflict"},
        "data": {"key": "theirs"}}"#;
    scene.bench.apply(theirs, &["--server-side", "--force-conflicts", "--field-manager=argocd"]);
    scene.write("main.yaml", &(config_map("shared", "ours") + &config_map("other", "newer")));
    for verb in ["plan", "up"] {
        let ran = scene.end(4, verb, &[]);
        assert_says(
            &ran,
            &[
                "configmap/shared -n conflict (main.yaml:1)",
                "data.key is owned by argocd (",
                "--force-conflicts",
            ],
        );
    }
    assert_eq!(scene.field("configmap/shared", ".data.key"), "theirs");
    assert_eq!(scene.field("configmap/other", ".data.key"), "new", "nothing else was changed either");
    let ran = scene.succeed("up", &["--force-conflicts"]);
    assert_says(&ran, &["configmap/shared configured (taken: data.key is owned by argocd"]);
    assert_eq!(scene.field("configmap/shared", ".data.key"), "ours");
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
    up_to(&scene, "horizontalpodautoscaler.autoscaling/d ");
    scene.kubectl(&["scale", "deployment/d", "--replicas=3"]);
    let said = up_to(&scene, "horizontalpodautoscaler.autoscaling/d ");
    assert_eq!(scene.field("deployment/d", ".spec.replicas"), "3", "{said}");
    assert!(!said.contains("taken back"), "{said}");
}

#[test]
fn replicas_that_the_manifest_names_no_more_stay_as_they_are() {
    let deployment = |replicas: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  {replicas}\n  selector: {{matchLabels: {{app: \
             d}}}}\n  template: {{metadata: {{labels: {{app: d}}}}, spec: {{containers: [{{name: c, image: nothing}}]}}}}\n---\n"
        )
    };
    let autoscaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: d}\nspec:\n  \
                      scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: d}\n  maxReplicas: 5\n";
    let scene = Scene::new("given-up", &(deployment("replicas: 3") + autoscaler));
    up_to(&scene, "horizontalpodautoscaler.autoscaling/d ");
    for manifests in [deployment("") + autoscaler, deployment("")] {
        scene.write("main.yaml", &manifests);
        let said = up_to(&scene, "deployment.apps/d ");
        assert_eq!(scene.field("deployment/d", ".spec.replicas"), "3", "{said}");
    }
}

#[test]
fn what_others_do_while_earlier_steps_wait_is_judged_anew() {
    let plane = ControlPlane::start().expect("a control plane");
    Bench::new(&plane.kubeconfig()).add_node();

    let scene = Scene::on(&plane, "made-since", "");
    let ran = up_while(&scene, &config_map("theirs", "ours"), || {
        scene.kubectl(&["create", "configmap", "theirs", "--from-literal=other=theirs"]);
    });
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(
        &ran,
        &["configmap/theirs -n made-since (then.yaml:1) is there and not of this stack", "--adopt"],
    );
    assert_eq!(scene.field("configmap/theirs", ".data"), r#"{"other":"theirs"}"#);
    assert_eq!(scene.field("configmap/theirs", ".metadata.labels"), "");

    let edited = config_map("edited", "ours");
    let scene = Scene::on(&plane, "taken-since", &edited);
    scene.succeed("up", &[]);
    // What a hand has changed is taken back, but not what a program has applied since.
    let by_hand = r#"{"data": {"key": "edited"}}"#;
    scene.kubectl(&["patch", "configmap", "edited", "--type=merge", "-p", by_hand]);
    let ran = up_while(&scene, &edited, || {
        let theirs = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "edited", "namespace": "taken-since"},
            "data": {"key": "theirs"}}"#;
        scene.bench.apply(theirs, &["--server-side", "--force-conflicts", "--field-manager=argocd"]);
    });
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(&ran, &["data.key is owned by argocd", "--force-conflicts"]);
    assert_eq!(scene.field("configmap/edited", ".data.key"), "theirs");
}

#[test]
fn a_release_that_somebody_makes_while_earlier_steps_wait_is_left_alone() {
    let plane = ControlPlane::start().expect("a control plane");
    let mut scene = Scene::on(&plane, "released-since", "");
    scene.bench = Bench::new(&plane.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
    scene.bench.add_node();
    scene.write("charts/store/Chart.yaml", "apiVersion: v2\nname: store\nversion: 1.0.0\n");
    scene.write("charts/store/templates/all.yaml", &config_map("{{ .Release.Name }}", "{{ .Values.key }}"));
    scene.write("charts/store/values.yaml", "key: ours\n");
    let charts = scene.folder().join("charts");
    let step = "helm: {release: store, chart: 'oci://nowhere/store', version: 1.0.0}";
    let charts = ["--charts", charts.to_str().expect("a path")];
    let ran = up_past_gate(&scene, step, &charts, || {
        let chart = scene.folder().join("charts/store");
        let chart = chart.to_str().expect("a path");
        scene.helm(&["install", "store", chart, "--set=key=theirs"]);
    });
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(
        &ran,
        &["release store -n released-since (chart store 1.0.0) was not made by this program", "--adopt"],
    );
    assert_eq!(scene.field("configmap/store", ".data.key"), "theirs");
}
