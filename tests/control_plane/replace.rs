//! Fields that cannot be changed: what is made anew, and what is refused.

use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::watched::up_to;
use crate::{Scene, assert_says};

/// What `up` says when all is applied.
const APPLIED: &str = "statefulset.apps/s: 0 of ";

/// A `StatefulSet` with a claim of this class; the label is on the claim template, which cannot be changed.
fn stateful_set(class: &str, label: &str, app: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {{name: s}}\nspec:\n  serviceName: s\n  selector: {{matchLabels: {{app: \
         {app}}}}}\n  template: {{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: c, image: nothing}}]}}}}\n  \
         volumeClaimTemplates:\n  - metadata: {{name: data, labels: {{is: {label}}}}}\n    spec: {{storageClassName: {class}, \
         accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}\n"
    )
}

/// A class whose claims wait for a pod that is never scheduled.
fn add_class(scene: &Scene) {
    let class = r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "none"},
        "provisioner": "nobody.internal", "volumeBindingMode": "WaitForFirstConsumer"}"#;
    scene.bench.apply(class, &["--server-side"]);
}

#[test]
fn a_stateful_set_is_made_anew_around_its_pods_and_claims() {
    let scene = Scene::new("replaced", &stateful_set("none", "old", "s"));
    add_class(&scene);
    // Nothing runs here, so it cannot become ready; its pod and its claim are there all the same.
    up_to(&scene, APPLIED);
    scene.await_object("pod/s-0");
    scene.await_object("pvc/data-s-0");
    let uid = |object| scene.field(object, ".metadata.uid");
    let (set, pod, claim) = (uid("statefulset/s"), uid("pod/s-0"), uid("pvc/data-s-0"));

    scene.write("main.yaml", &stateful_set("none", "new", "s"));
    let ran = scene.succeed("plan", &[]);
    assert!(ran.stdout.contains("± statefulset.apps/s replaced: "), "{}", ran.stdout);
    assert!(
        ran.stdout.contains("[name=\"data\"].metadata.labels.is: old → new")
            || ran.stdout.contains("labels.is: old → new"),
        "{}",
        ran.stdout
    );
    let said = up_to(&scene, APPLIED);
    for words in ["statefulset.apps/s replaced (", "cannot be changed; pods and volumes are kept"] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    assert_ne!(uid("statefulset/s"), set);
    assert_eq!((uid("pod/s-0"), uid("pvc/data-s-0")), (pod, claim));
    scene.kubectl(&[
        "wait",
        "pod/s-0",
        "--for=jsonpath={.metadata.ownerReferences[0].name}=s",
        "--timeout=30s",
    ]);
    assert_eq!(
        scene.field("pod/s-0", ".metadata.ownerReferences[0].uid"),
        uid("statefulset/s"),
        "it is taken up"
    );
    scene.end(0, "plan", &["--exit-code"]);

    for (manifest, what) in [
        (
            stateful_set("other", "new", "s"),
            "the claims of data have the storage class none, not other, and keep it",
        ),
        (stateful_set("none", "new", "t"), "do not have the labels of the new spec.selector"),
        (
            stateful_set("none", "new", "t").replace(
                "matchLabels: {app: t}",
                "matchExpressions: [{key: app, operator: In, values: [t]}]",
            ),
            "do not have the labels of the new spec.selector",
        ),
        (
            stateful_set("none", "new", "s").replace("{name: data,", "{name: other,"),
            "the claims of data would stay behind, and the pods start without their data",
        ),
    ] {
        scene.write("main.yaml", &manifest);
        for verb in ["plan", "up"] {
            let ran = scene.end(4, verb, &[]);
            assert_says(
                &ran,
                &[
                    "statefulset.apps/s -n replaced (main.yaml:1) cannot become what is wanted",
                    what,
                    "hint: ",
                ],
            );
        }
    }
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
}

#[test]
fn replicas_that_no_manifest_names_outlive_a_replacement() {
    let autoscaler = "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: s}\nspec:\n  scaleTargetRef: \
                      {apiVersion: apps/v1, kind: StatefulSet, name: s}\n  maxReplicas: 5\n";
    let unnamed = ["old", "new"].map(|label| stateful_set("none", label, "s"));
    let named =
        unnamed.clone().map(|set| set.replace("  serviceName: s\n", "  serviceName: s\n  replicas: 1\n"));
    let steered = named.map(|set| set + autoscaler);
    for (name, [old, new]) in [("scaled-by-hand", unnamed), ("steered", steered)] {
        let scene = Scene::new(name, &old);
        add_class(&scene);
        // Nothing runs here, so it cannot become ready.
        up_to(&scene, APPLIED);
        scene.kubectl(&["scale", "statefulset/s", "--replicas=3"]);
        scene.write("main.yaml", &new);
        let said = up_to(&scene, APPLIED);
        assert!(said.contains("statefulset.apps/s replaced ("), "{said}");
        assert_eq!(scene.field("statefulset/s", ".spec.replicas"), "3", "{name}: {said}");
        // They are ours now, and are sent again.
        let said = up_to(&scene, APPLIED);
        assert_eq!(scene.field("statefulset/s", ".spec.replicas"), "3", "{name}: {said}");
        scene.end(0, "plan", &["--exit-code"]);
    }
}

#[test]
fn a_set_that_is_deleted_to_be_made_anew_is_made_though_the_run_is_interrupted() {
    let scene = Scene::new("replaced-anyway", &stateful_set("none", "old", "s"));
    add_class(&scene);
    up_to(&scene, APPLIED);
    scene.await_object("pod/s-0");
    let uid = |object| scene.field(object, ".metadata.uid");
    let (set, pod) = (uid("statefulset/s"), uid("pod/s-0"));
    let finalizers = |list: &str| {
        scene.kubectl(&[
            "patch",
            "statefulset/s",
            "--type=merge",
            "-p",
            &format!("{{\"metadata\": {{\"finalizers\": {list}}}}}"),
        ])
    };
    finalizers(r#"["test.internal/held"]"#);

    scene.write("main.yaml", &stateful_set("none", "new", "s"));
    let began = Instant::now();
    let up = scene.start("up", &[]);
    scene.kubectl(&[
        "wait",
        "statefulset/s",
        "--for=jsonpath={.metadata.deletionTimestamp}",
        "--timeout=30s",
    ]);
    kill_process(Pid::from_child(&up), Signal::INT).expect("it waits");
    finalizers("null");
    let ran = scene.bench.finish(up, began);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert_says(&ran, &["statefulset.apps/s replaced ("]);
    assert_ne!(uid("statefulset/s"), set);
    assert_eq!(uid("pod/s-0"), pod);
}

#[test]
fn anything_else_that_cannot_be_changed_is_refused_with_what_to_do() {
    let job = |image: &str| {
        format!(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {{name: j}}\nspec: {{template: {{spec: {{restartPolicy: Never, containers: \
             [{{name: c, image: {image}}}]}}}}}}\n---\n"
        )
    };
    let deployment = |app: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  selector: {{matchLabels: {{app: {app}}}}}\n  \
             template: {{metadata: {{labels: {{app: {app}}}}}, spec: {{containers: [{{name: c, image: nothing}}]}}}}\n---\n"
        )
    };
    let claim = |mode: &str| {
        format!(
            "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {{name: p}}\nspec: {{storageClassName: none, accessModes: \
             [{mode}], resources: {{requests: {{storage: 1Gi}}}}}}\n---\n"
        )
    };
    let binding = |role: &str| {
        format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: b}}\nroleRef: {{apiGroup: \
             rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n---\n"
        )
    };
    let all = |image, app, mode, role| job(image) + &deployment(app) + &claim(mode) + &binding(role);
    let scene = Scene::new("immutable", &all("one", "one", "ReadWriteOnce", "view"));
    add_class(&scene);
    scene.end(6, "up", &["--timeout", "20s"]);
    scene.write("main.yaml", &all("two", "two", "ReadOnlyMany", "edit"));
    let ran = scene.end(4, "up", &[]);
    assert_says(
        &ran,
        &[
            "4 objects and releases are in the way",
            "job.batch/j -n immutable (main.yaml:1) cannot become what is wanted: spec.template cannot be changed",
            "deployment.apps/d -n immutable (main.yaml:6) cannot become what is wanted: spec.selector cannot be changed",
            "persistentvolumeclaim/p -n immutable (main.yaml:13)",
            "rolebinding.rbac.authorization.k8s.io/b -n immutable",
            "delete deployment.apps/d -n immutable",
            "give the claim in main.yaml another name",
        ],
    );
    scene.end(4, "plan", &[]);
    scene.succeed("down", &["--purge-data", "--timeout", "60s"]);
}
