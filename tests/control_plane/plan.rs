//! `plan` says what `up` does, and does none of it.

use serde_json::Value;

use crate::{Scene, assert_says, config_map};

/// What a plan says of each object and release: `outcome name`, in its order.
fn outcomes(scene: &Scene, more: &[&str]) -> Vec<String> {
    let mut arguments = vec!["-o", "json"];
    arguments.extend(more);
    let ran = scene.run("plan", &arguments);
    let plan: Value =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON:\n{}", ran.stderr));
    let steps = plan["steps"].as_array().expect("steps").iter();
    let entries = steps.flat_map(|step| step["entries"].as_array().expect("entries"));
    entries
        .chain(plan["pruned"].as_array().expect("a list"))
        .map(|entry| {
            let name =
                [&entry["object"]["name"], &entry["release"]["name"]].into_iter().find_map(Value::as_str);
            format!("{} {}", entry["outcome"].as_str().expect("an outcome"), name.expect("a name"))
        })
        .collect()
}

#[test]
fn on_an_empty_cluster_everything_is_created_and_nothing_is_changed() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: plans.test.internal}\n\
               spec:\n  group: test.internal\n  scope: Namespaced\n  names: {kind: Plan, plural: plans}\n  versions:\n  - \
               {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, \
               x-kubernetes-preserve-unknown-fields: true}}}\n---\n";
    let resource = "apiVersion: test.internal/v1\nkind: Plan\nmetadata: {name: b}\nspec: {colour: red}\n";
    let scene = Scene::new("plan-empty", &format!("{}{crd}{resource}", config_map("one", "a")));
    let all = ["created plan-empty", "created plans.test.internal", "created one", "created b"];
    assert_eq!(outcomes(&scene, &[]), all);
    scene.end(8, "plan", &["--exit-code"]);
    let there =
        ["get", "namespace,crd", "--ignore-not-found", "-o=name", "plan-empty", "plans.test.internal"];
    assert_eq!(scene.bench.kubectl_command(there).output().expect("started").stdout, b"");

    let ran = scene.succeed("up", &["--timeout", "60s"]);
    assert_says(&ran, &["4 created"]);
    let ran = scene.succeed("plan", &["--exit-code"]);
    assert!(ran.stdout.contains("no changes: 3 unchanged"), "{}", ran.stdout);
    scene.succeed("down", &["--timeout", "60s"]);
}

#[test]
fn a_resource_of_a_kind_that_only_the_cluster_knows_goes_into_the_stacks_namespace() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: monitors.test.internal}\n\
               spec:\n  group: test.internal\n  scope: Namespaced\n  names: {kind: Monitor, plural: monitors}\n  versions:\n  - \
               {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, \
               x-kubernetes-preserve-unknown-fields: true}}}\n";
    let resource = "apiVersion: test.internal/v1\nkind: Monitor\nmetadata: {name: m}\n";
    let scene = Scene::new("placed", resource);
    scene.bench.apply(crd, &[]);
    scene.bench.kubectl(["wait", "--for=condition=Established", "crd/monitors.test.internal"]);
    let name = "monitor.test.internal/m -n placed";
    let says = |verb: &str, words: &str| {
        let ran = scene.run(verb, &[]);
        let said = ran.stdout + &ran.stderr;
        assert!(said.contains(words), "{verb} does not say {words:?}:\n{said}");
    };
    let plan: Value = serde_json::from_str(&scene.succeed("plan", &["-o", "json"]).stdout).expect("JSON");
    assert_eq!(plan["steps"][0]["entries"][1]["object"]["namespace"], "placed", "{plan:#}");
    says("check", "✓ monitors.test.internal -n placed");
    scene.succeed("up", &[]);
    assert_eq!(scene.field("monitor/m", ".metadata.namespace"), "placed");
    assert!(scene.succeed("plan", &["--exit-code"]).stdout.contains("no changes: 1 unchanged"));
    says("status", "main  Current");

    scene.write("main.yaml", &format!("{resource}---\n{}", resource.replace("m}", "m, namespace: placed}")));
    assert_says(&scene.end(2, "up", &[]), &["main.yaml:5: ", name, "it is in main.yaml:1 already"]);
    assert_says(&scene.succeed("down", &[]), &["monitor.test.internal/m deleted"]);
    scene.bench.kubectl(["delete", "crd", "monitors.test.internal"]);
}

#[test]
fn what_would_change_is_shown_by_field_and_secrets_are_masked() {
    let text = |lines: &str, word: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  gone: x\n  file: |\n    first\n    {lines}\n    \
             last\n---\napiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {{word: {word}}}\n"
        )
    };
    let scene = Scene::new("plan-fields", &text("second", "geheim"));
    scene.succeed("up", &[]);
    scene.write("main.yaml", &text("other", "verborgen").replace("  gone: x\n", ""));
    let ran = scene.succeed("plan", &[]);
    for line in [
        "  ~ configmap/c configured\n      data.file:\n          first\n        - second\n        + other\n          last\n",
        "    - data.gone: x\n",
        "  ~ secret/s configured\n      data.word: (masked) → (masked)\n",
        "to do: 2 configured\n",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
    scene.run("plan", &["-o", "json"]);
    let said = scene.bench.said();
    for secret in ["geheim", "verborgen", "Z2VoZWlt", "dmVyYm9yZ2Vu"] {
        assert!(!said.contains(secret), "{secret} was told");
    }
    scene.succeed("up", &[]);
    assert_eq!(outcomes(&scene, &[]), ["unchanged c", "unchanged s"]);
}

#[test]
fn what_a_hand_changed_is_in_the_plan() {
    let scene = Scene::new("plan-drift", &config_map("edited", "ours"));
    scene.succeed("up", &[]);
    scene.kubectl(&["patch", "configmap", "edited", "--type=merge", "-p", r#"{"data": {"key": "theirs"}}"#]);
    let ran = scene.succeed("plan", &[]);
    assert!(ran.stdout.contains("by hand: data.key theirs → ours (kubectl-patch"), "{}", ran.stdout);
    assert_eq!(scene.field("configmap/edited", ".data.key"), "theirs");
}

#[test]
fn what_the_stack_has_no_more_goes_after_the_rest_is_ready() {
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec: {storageClassName: pruned, \
                 accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\n";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: pruned}\nrules: []\n---\n";
    let class = "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: pruned}\nprovisioner: none\n\
                 volumeBindingMode: WaitForFirstConsumer\n---\n";
    let rest = config_map("kept", "a") + class;
    let scene = Scene::new("pruned", &(config_map("old", "a") + claim + role + &rest));
    scene.succeed("up", &[]);
    scene.kubectl(&["create", "configmap", "users-own"]);
    // A member in name only: its mark is gone, so it is somebody's.
    scene.write("main.yaml", &(config_map("disowned", "a") + &config_map("old", "a") + claim + role + &rest));
    scene.succeed("up", &[]);
    scene.kubectl(&["label", "configmap", "disowned", "applyset.kubernetes.io/part-of-"]);

    scene.write("main.yaml", &(config_map("new", "a") + &rest));
    let plan =
        ["created new", "unchanged kept", "unchanged pruned", "pruned old", "pruned pruned", "kept data"];
    let mut found = outcomes(&scene, &[]);
    found[..3].sort();
    assert_eq!(found, plan);
    assert_eq!(outcomes(&scene, &["--only", "main"]).len(), 3, "a run of some steps prunes nothing");
    scene.succeed("up", &["--only", "main"]);
    assert_eq!(scene.field("configmap/old", ".data.key"), "a");
    scene.end(8, "plan", &["--exit-code"]);

    let ran = scene.succeed("up", &[]);
    assert_says(
        &ran,
        &["configmap/old pruned", "clusterrole.rbac.authorization.k8s.io/pruned pruned", "2 pruned"],
    );
    assert_says(&ran, &["persistentvolumeclaim/data -n pruned kept"]);
    let left = scene.kubectl(&["get", "configmaps,pvc", "-o=name"]);
    for name in ["configmap/kept", "configmap/new", "configmap/users-own", "configmap/disowned", "claim/data"]
    {
        assert!(left.contains(name), "{name} is gone:\n{left}");
    }
    assert!(!left.contains("configmap/old"), "{left}");
    assert_eq!(scene.succeed("up", &[]).stderr.lines().count(), 1);
    scene.succeed("down", &["--purge-data"]);
}

#[test]
fn what_fails_prunes_nothing() {
    let scene = Scene::new("unpruned", &(config_map("old", "a") + &config_map("kept", "a")));
    scene.succeed("up", &[]);
    let never = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: never}\nspec:\n  selector: {matchLabels: {app: never}}\n  \
                 template: {metadata: {labels: {app: never}}, spec: {containers: [{name: c, image: nothing}]}}\n";
    scene.write("main.yaml", &(config_map("kept", "a") + never));
    scene.end(6, "up", &["--timeout", "10s"]);
    assert_eq!(scene.field("configmap/old", ".data.key"), "a");
    scene.succeed("down", &[]);
}

#[test]
fn a_namespace_whose_manifest_stays_is_not_pruned_with_the_last_object_in_it() {
    let place = "apiVersion: v1\nkind: Namespace\nmetadata: {name: plan-place}\n---\n";
    let inside = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: inside, namespace: plan-place}\n---\n";
    let scene = Scene::new("plan-places", &[place, inside, &config_map("one", "a")].concat());
    scene.succeed("up", &[]);
    scene.write("main.yaml", &[place, &config_map("one", "a")].concat());
    assert_eq!(outcomes(&scene, &[]), ["unchanged plan-place", "unchanged one", "pruned inside"]);
    assert_says(&scene.succeed("up", &[]), &["1 pruned"]);
    assert_says(&scene.succeed("up", &[]), &["nothing to do"]);
    scene.succeed("down", &["--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "plan-place", "--ignore-not-found"]), "");
}
