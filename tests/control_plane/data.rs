//! Claims and their volumes: they are kept, and go only where that was asked for.

use std::time::{Duration, Instant};

use devcluster::Tool;

use crate::support::{Bench, Ran};
use crate::watched::{Watched, up_to};
use crate::{CLUSTER, Scene, assert_says, config_map};

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
    scene.write("main.yaml", &config_map("one", "a"));
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

/// A stack with a step `main` that is written by hand, and a step whose chart `store` has these objects.
fn with_chart(name: &'static str, manifests: &str, templates: &str) -> Scene {
    let mut scene = Scene::new(name, manifests);
    scene.bench = Bench::new(&CLUSTER.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
    scene.write("charts/store/Chart.yaml", "apiVersion: v2\nname: store\nversion: 1.0.0\n");
    scene.write("charts/store/templates/all.yaml", templates);
    let release = "{release: store, chart: 'oci://nowhere/store', version: 1.0.0}";
    scene.write("stack.yaml", &format!("{}  - {{name: store, helm: {release}}}\n", scene.stack()));
    scene
}

/// Runs a verb that reads charts, with the scene's own.
fn end(scene: &Scene, code: i32, verb: &str) -> Ran {
    let charts = scene.folder().join("charts");
    scene.end(code, verb, &["--charts", charts.to_str().expect("a path")])
}

#[test]
fn a_release_is_not_uninstalled_with_a_claim_that_is_to_be_kept() {
    let scene = with_chart("chart-claims", &config_map("one", "a"), &claim("files", ""));
    add_class(&scene);
    end(&scene, 0, "up");
    let lost = "persistentvolumeclaim/files -n chart-claims would go with release store -n chart-claims";
    let refused = |ran: &Ran| assert_says(ran, &[lost, "helm.sh/resource-policy: keep"]);
    for more in [&[][..], &["--dry-run"]] {
        let ran = scene.end(4, "down", more);
        refused(&ran);
        assert_says(&ran, &["bootstrap down --context devcluster", "--purge-data"]);
    }
    let stack = scene.stack();
    let whole = std::fs::read_to_string(scene.folder().join("stack.yaml")).expect("written");
    scene.write("stack.yaml", &stack);
    for verb in ["plan", "up"] {
        let ran = scene.end(4, verb, &[]);
        refused(&ran);
        assert_says(
            &ran,
            &["kubectl --context devcluster delete persistentvolumeclaim/files -n chart-claims"],
        );
    }
    assert_eq!(scene.field("configmap/one", ".data.key"), "a", "nothing was changed");

    scene.write("stack.yaml", &whole);
    let kept = claim("files", "")
        .replace("{name: files}", "{name: files, annotations: {helm.sh/resource-policy: keep}}");
    scene.write("charts/store/templates/all.yaml", &kept);
    end(&scene, 0, "up");
    let kept = "persistentvolumeclaim/files -n chart-claims kept";
    assert_says(&scene.succeed("down", &["--timeout", "60s"]), &["release store deleted", kept]);
    assert_eq!(claims(&scene), ["files"]);
    assert_eq!(scene.kubectl(&["get", "secrets", "-l", "owner=helm", "-o=name"]), "");
    // The release is gone, and what is known of its claim is not.
    assert_says(&scene.succeed("down", &[]), &[kept]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "chart-claims", "--ignore-not-found"]), "");
}

#[test]
fn the_claims_of_the_pods_of_a_release_are_kept_and_known_too() {
    let scene = with_chart("chart-set", &config_map("one", "a"), &stateful_set(""));
    add_class(&scene);
    let charts = scene.folder().join("charts");
    let mut up = Watched::start(&scene, &["-v", "--charts", charts.to_str().expect("a path")]);
    up.await_line(APPLIED);
    up.interrupt();
    scene.await_object("pvc/data-s-0");
    let kept = "persistentvolumeclaim/data-s-0 -n chart-set kept";
    assert_says(&scene.succeed("down", &["--timeout", "60s"]), &["release store deleted", kept]);
    assert_says(&scene.succeed("down", &[]), &[kept]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "chart-set", "--ignore-not-found"]), "");
}

#[test]
fn data_that_may_go_goes_with_its_release() {
    let scene = with_chart("chart-purged", &config_map("one", "a"), &claim("files", ""));
    add_class(&scene);
    end(&scene, 0, "up");
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "chart-purged", "--ignore-not-found"]), "");
}

#[test]
fn a_set_that_takes_its_claims_with_it_is_not_deleted_with_those_that_are_to_be_kept() {
    let retention = "  persistentVolumeClaimRetentionPolicy: {whenDeleted: Delete}\n";
    let scene = Scene::new("own-claims", &stateful_set(retention));
    add_class(&scene);
    up_to(&scene, APPLIED);
    scene.await_object("pvc/data-s-0");
    let lost = "persistentvolumeclaim/data-s-0 -n own-claims would go with statefulset.apps/s -n own-claims";
    assert_says(&scene.end(4, "down", &[]), &[lost, "--purge-data"]);
    assert_says(&scene.end(4, "down", &["--dry-run"]), &[lost]);
    scene.write("main.yaml", &config_map("one", "a"));
    assert_says(&scene.end(4, "plan", &[]), &[lost]);
    let ran = scene.end(4, "up", &[]);
    assert_says(&ran, &[lost]);
    assert_eq!(claims(&scene), ["data-s-0"]);

    let (_, hint) = ran.stderr.split_once("to keep it, kubectl --context devcluster ").expect("what to do");
    let (patch, _) = hint.split_once("; to give it up").expect("two ways");
    let (arguments, patch) = patch.split_once(" -p ").expect("a patch");
    let arguments = arguments.split(' ').chain(["-p", patch.trim_matches('\'')]);
    scene.bench.kubectl(arguments);
    let deadline = Instant::now() + Duration::from_mins(1);
    // The set's controller takes its name off the claim a moment later.
    while !scene.field("pvc/data-s-0", ".metadata.ownerReferences").is_empty() {
        assert!(Instant::now() < deadline, "it still goes with the set");
    }
    assert_says(&scene.succeed("down", &["--timeout", "60s"]), &["data-s-0 -n own-claims kept"]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
}

/// A volume that somebody has made by hand for this claim.
fn volume(name: &str, claim: &str) -> String {
    format!(
        "apiVersion: v1\nkind: PersistentVolume\nmetadata: {{name: {name}}}\nspec:\n  storageClassName: waits\n  accessModes: \
         [ReadWriteOnce]\n  capacity: {{storage: 1Gi}}\n  claimRef: {{namespace: {name}, name: {claim}}}\n  hostPath: {{path: \
         /nowhere}}\n---\n"
    )
}

#[test]
fn a_volume_of_the_stack_stays_as_long_as_its_claim() {
    let bound = claim("files", ", volumeName: own-volume");
    let scene = Scene::new("own-volume", &(volume("own-volume", "files") + &bound + &config_map("one", "a")));
    add_class(&scene);
    scene.succeed("up", &["--timeout", "60s"]);
    scene.kubectl(&["wait", "pvc/files", "--for=jsonpath={.status.phase}=Bound", "--timeout=30s"]);
    let kept = "persistentvolume/own-volume kept (its claim is kept)";
    assert_says(
        &scene.succeed("down", &["--dry-run"]),
        &["would keep persistentvolume/own-volume (its claim is kept)"],
    );
    assert_says(&scene.succeed("down", &["--timeout", "60s"]), &[kept]);
    scene.succeed("up", &["--timeout", "60s"]);

    scene.write("main.yaml", &(bound + &config_map("one", "a")));
    let plan = scene.succeed("plan", &[]).stdout;
    assert!(plan.contains("= persistentvolume/own-volume kept: its claim is kept\n"), "{plan}");
    assert_says(&scene.succeed("up", &["--timeout", "60s"]), &[kept]);
    scene.write("main.yaml", &(volume("own-volume", "files") + &claim("files", ", volumeName: own-volume")));
    scene.succeed("up", &["--timeout", "60s"]);
    scene.succeed("down", &["--timeout", "60s"]);
    assert_eq!(scene.field("pv/own-volume", ".metadata.deletionTimestamp"), "");
    // What is kept is known, and goes with the data.
    assert_says(
        &scene.succeed("down", &["--purge-data", "--timeout", "60s"]),
        &["persistentvolume/own-volume deleted"],
    );
    assert_eq!(scene.bench.kubectl(["get", "pv,namespace", "own-volume", "--ignore-not-found"]), "");
}

#[test]
fn the_inventory_stays_while_claims_are_kept_in_another_namespace() {
    let other = "apiVersion: v1\nkind: Namespace\nmetadata: {name: kept-elsewhere}\n---\n";
    let inside = claim("files", "").replace("{name: files}", "{name: files, namespace: kept-elsewhere}");
    let third = other.replace("kept-elsewhere", "kept-nowhere");
    let scene = Scene::new("kept-here", &[other, &third, &inside, &config_map("one", "a")].concat());
    add_class(&scene);
    scene.succeed("up", &["--timeout", "60s"]);
    let kept = "(the inventory in it tells of what is kept)";
    let foreseen = scene.succeed("down", &["--dry-run"]);
    assert_says(&foreseen, &[&format!("would keep namespace/kept-here {kept}")]);
    let down = || scene.succeed("down", &["--timeout", "60s"]);
    assert_says(&down(), &[&format!("namespace/kept-here kept {kept}"), "namespace/kept-nowhere deleted"]);
    assert_says(&down(), &["persistentvolumeclaim/files -n kept-elsewhere kept"]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
    let left = ["get", "namespace", "kept-here", "kept-elsewhere", "--ignore-not-found"];
    assert_eq!(scene.bench.kubectl(left), "");
}
