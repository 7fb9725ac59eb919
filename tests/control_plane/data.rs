//! Claims and their volumes: they are kept, and go only where that was asked for.

use crate::watched::up_to;
use crate::{Scene, assert_says};

/// What `up` says of a set that cannot become ready, for nothing runs here.
const APPLIED: &str = "statefulset.apps/s: 0 of ";

/// A class whose claims wait for a pod that is never scheduled, and a `StatefulSet` that makes such claims.
fn stateful_set(more: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: s}}\nspec:\n  serviceName: s\n  podManagementPolicy: Parallel\n  \
         selector: {{matchLabels: {{app: s}}}}\n  template: {{metadata: {{labels: {{app: s}}}}, spec: {{containers: [{{name: c, \
         image: nothing}}]}}}}\n  volumeClaimTemplates:\n  - metadata: {{name: data}}\n    spec: {{storageClassName: waits, \
         accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n{more}---\n"
    )
}

fn claim(name: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: {name}}}\nspec: {{storageClassName: waits, accessModes: \
         [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}{more}}}\n---\n"
    )
}

fn add_class(scene: &Scene) {
    let class = r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "waits"},
        "provisioner": "nobody.internal", "volumeBindingMode": "WaitForFirstConsumer"}"#;
    scene.bench.apply(class, &["--server-side"]);
}

/// The names of the claims in the stack's namespace, those that are on their way out left aside.
fn claims(scene: &Scene) -> Vec<String> {
    let path = "-o=jsonpath={range .items[*]}{.metadata.deletionTimestamp}|{.metadata.name}{'\\n'}{end}";
    let all = scene.kubectl(&["get", "persistentvolumeclaims", path]);
    all.lines().filter_map(|line| Some(line.strip_prefix('|')?.to_owned())).collect()
}

#[test]
fn claims_of_pods_that_were_added_later_are_known_too() {
    let scene = Scene::new("more-claims", &stateful_set(""));
    add_class(&scene);
    up_to(&scene, APPLIED);
    scene.kubectl(&["scale", "statefulset/s", "--replicas=3"]);
    scene.await_object("pvc/data-s-2");
    scene.bench.apply(&claim("data-s-x", ""), &["-n", scene.namespace]);
    let kept =
        ["0", "1", "2"].map(|number| format!("persistentvolumeclaim/data-s-{number} -n more-claims kept"));
    let kept: Vec<_> = kept.iter().map(String::as_str).collect();
    assert_says(&scene.succeed("down", &["--timeout", "60s"]), &kept);
    // The set is gone, and what is known of its claims is not.
    assert_says(&scene.succeed("down", &[]), &kept);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    assert_eq!(claims(&scene), ["data-s-x"]);
}

#[test]
fn the_claims_of_a_set_that_the_stack_has_no_more_are_kept_and_remembered() {
    let scene = Scene::new("pruned-claims", &stateful_set(""));
    add_class(&scene);
    up_to(&scene, APPLIED);
    scene.kubectl(&["scale", "statefulset/s", "--replicas=2"]);
    scene.await_object("pvc/data-s-1");
    scene.write("main.yaml", &crate::config_map("one", "a"));
    let plan = scene.succeed("plan", &[]).stdout;
    assert!(plan.contains("persistentvolumeclaim/data-s-1 kept"), "{plan}");
    assert_says(
        &scene.succeed("up", &[]),
        &["data-s-0 -n pruned-claims kept", "data-s-1 -n pruned-claims kept"],
    );
    assert_eq!(scene.succeed("up", &[]).stderr.lines().count(), 1);
    assert_eq!(claims(&scene), ["data-s-0", "data-s-1"]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "pruned-claims", "--ignore-not-found"]), "");
}
