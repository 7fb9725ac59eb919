//! Objects that move between the stack's manifests and its releases, or from one release to another: none is lost on the way.

use devcluster::Tool;

use crate::support::Bench;
use crate::{CLUSTER, Scene, assert_says, config_map};

/// A step with a release of the chart `shared`.
fn release(name: &str) -> String {
    format!("helm: {{release: {name}, chart: 'oci://nowhere/shared', version: 1.0.0}}")
}

/// A stack whose one step is written by hand, and whose chart has a ConfigMap and a ClusterRole of fixed names.
fn scene(name: &'static str, step: &str) -> Scene {
    let mut scene = Scene::new(name, &config_map("shared", "manifest"));
    scene.bench = Bench::new(&CLUSTER.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
    scene.write("charts/shared/Chart.yaml", "apiVersion: v2\nname: shared\nversion: 1.0.0\n");
    let role = format!(
        "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {name}}}\nrules: []\n"
    );
    scene.write("charts/shared/templates/all.yaml", &(config_map("shared", "chart") + &role));
    set_step(&scene, step);
    scene
}

fn set_step(scene: &Scene, step: &str) {
    let name = scene.namespace;
    let head = format!("name: {name}\nnamespace: {name}\nsteps:\n");
    scene.write("stack.yaml", &format!("{head}  - {{name: main, {step}}}\n"));
}

/// Runs a verb with the scene's charts and with leave to take what is there.
fn end(scene: &Scene, code: i32, verb: &str) -> crate::support::Ran {
    let charts = scene.folder().join("charts");
    scene.end(code, verb, &["--adopt", "--force-conflicts", "--charts", charts.to_str().expect("a path")])
}

#[test]
fn what_a_manifest_takes_over_from_a_release_is_not_uninstalled_with_it() {
    let scene = scene("from-release", &release("old"));
    end(&scene, 0, "up");
    set_step(&scene, "manifests: [main.yaml]");
    for verb in ["plan", "up"] {
        let ran = end(&scene, 4, verb);
        assert_says(
            &ran,
            &[
                "release old -n from-release is in the stack no more, but configmap/shared -n from-release, which is, would go with it",
                "kubectl --context devcluster delete secrets -n from-release -l owner=helm,name=old",
            ],
        );
    }
    scene.kubectl(&["delete", "secrets", "-l", "owner=helm,name=old"]);
    end(&scene, 0, "up");
    assert_eq!(scene.field("configmap/shared", ".data.key"), "manifest");
    assert_says(&end(&scene, 0, "up"), &["nothing to do, 1 object unchanged"]);
}

#[test]
fn what_a_release_takes_over_from_a_manifest_is_not_pruned() {
    let scene = scene("to-release", "manifests: [main.yaml]");
    scene.succeed("up", &[]);
    set_step(&scene, &release("new"));
    end(&scene, 0, "up");
    assert_eq!(scene.field("configmap/shared", ".data.key"), "chart");
    end(&scene, 0, "up");
    assert_eq!(scene.field("configmap/shared", ".data.key"), "chart");
    scene.succeed("down", &[]);
    assert_eq!(scene.bench.kubectl(["get", "clusterrole", "to-release", "--ignore-not-found"]), "");
}

#[test]
fn what_one_release_takes_over_from_another_is_not_uninstalled_with_it() {
    let scene = scene("renamed", &release("old"));
    end(&scene, 0, "up");
    set_step(&scene, &release("new"));
    let ran = end(&scene, 4, "up");
    assert_says(&ran, &["release old -n renamed is in the stack no more, but "]);
    assert_eq!(scene.field("configmap/shared", ".data.key"), "chart");
    scene.kubectl(&["delete", "secrets", "-l", "owner=helm,name=old"]);
    end(&scene, 0, "up");
    assert_eq!(scene.field("clusterrole/renamed", ".metadata.name"), "renamed");
}

#[test]
fn a_release_that_helm_refused_to_make_is_not_claimed() {
    let scene = scene("refused-release", &release("late"));
    scene.bench.kubectl(["create", "clusterrole", "refused-release", "--verb=get", "--resource=pods"]);
    let charts = scene.folder().join("charts");
    let charts = charts.to_str().expect("a path");
    let ran = scene.end(4, "up", &["--charts", charts]);
    assert_says(&ran, &["invalid ownership metadata"]);
    let inventory = scene.field("configmap/bootstrap-refused-release", ".data.inventory\\.json");
    assert!(!inventory.contains("late"), "{inventory}");
}

#[test]
fn a_release_that_somebody_has_made_in_place_of_ours_is_theirs() {
    let scene = scene("replaced-release", &release("ours"));
    let charts = scene.folder().join("charts");
    let charts = charts.to_str().expect("a path");
    scene.succeed("up", &["--charts", charts]);
    scene.write("charts/shared/templates/all.yaml", &config_map("shared", "newer"));
    scene.succeed("up", &["--charts", charts]);
    scene.helm(&["uninstall", "ours"]);
    scene.helm(&["install", "ours", &format!("{charts}/shared")]);
    let ran = scene.end(4, "up", &["--charts", charts]);
    assert_says(
        &ran,
        &["release ours -n replaced-release (chart shared 1.0.0) was not made by this program"],
    );
    scene.succeed("down", &["--timeout", "60s"]);
    assert_eq!(scene.field("configmap/shared", ".data.key"), "newer");
    scene.helm(&["uninstall", "ours"]);
}
