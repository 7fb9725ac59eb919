//! `down`, and `up` after it, where something does not go: it is explained, and nothing is ever forced.

use std::process::Command;
use std::time::{Duration, Instant};

use devcluster::{ControlPlane, Options};

use crate::support::{Bench, Ran};
use crate::{Scene, assert_says, config_map};

/// Long enough for a word on what holds things, which takes a namespace's controller up to ten seconds.
const PATIENCE: &str = "30s";

/// An aggregated API whose server is nowhere.
const BROKEN: &str = r#"{"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
    "metadata": {"name": "v1.broken.internal"}, "spec": {"group": "broken.internal", "version": "v1",
    "groupPriorityMinimum": 100, "versionPriority": 100, "insecureSkipTLSVerify": true,
    "service": {"namespace": "kube-system", "name": "nowhere"}}}"#;

fn definition(plural: &str, kind: &str) -> String {
    format!(
        "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.users.internal}}\nspec:\n  \
         group: users.internal\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  versions:\n  - {{name: v1, \
         served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, \
         x-kubernetes-preserve-unknown-fields: true}}}}}}\n---\n"
    )
}

/// Gives an object a finalizer that nobody will take away.
fn hold(scene: &Scene, object: &str) {
    let patch = r#"{"metadata": {"finalizers": ["test.internal/hold"]}}"#;
    scene.kubectl(&["patch", object, "--type=merge", "-p", patch]);
}

fn finalizers(scene: &Scene, object: &str) -> String {
    scene.field(object, ".metadata.finalizers[*]")
}

/// Runs the command of a hint, as a person would who pastes it.
fn run_hint(scene: &Scene, ran: &Ran) {
    let (_, command) = ran.stderr.rsplit_once("hint: ").expect("a hint");
    let (_, command) = command.split_once("kubectl").expect("a command");
    let kubectl = scene.bench.kubectl_command([""; 0]);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("'{}' {command}", kubectl.get_program().display()));
    shell.envs(kubectl.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().expect("sh starts");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_stack_whose_files_are_gone_is_taken_away() {
    let scene = Scene::new("headless", &config_map("one", "a"));
    scene.succeed("up", &[]);
    scene.write("stack.yaml", &scene.stack().replace("main.yaml", "gone.yaml"));
    scene.end(2, "up", &[]);
    assert_says(&scene.succeed("down", &[]), &["configmap/one deleted", "namespace/headless deleted"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "headless"]), "");
}

#[test]
fn an_object_with_a_finalizer_is_named_with_it_and_left() {
    let scene = Scene::new("held", &(config_map("held", "a") + &config_map("free", "b")));
    scene.succeed("up", &[]);
    hold(&scene, "configmap/held");
    let ran = scene.end(6, "down", &["--timeout", PATIENCE]);
    assert_says(
        &ran,
        &[
            "waiting for configmap/held -n held to go: held by finalizer test.internal/hold",
            "error: timed out waiting for configmap/held -n held to go",
            "caused by: configmap/held -n held: held by finalizer test.internal/hold",
            "kubectl --context devcluster patch configmap/held -n held --type=json",
        ],
    );
    assert_eq!(ran.stderr.matches("waiting for configmap/held").count(), 2, "{}", ran.stderr);
    assert_eq!(finalizers(&scene, "configmap/held"), "test.internal/hold");

    run_hint(&scene, &ran);
    scene.succeed("down", &["--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "held", "--ignore-not-found"]), "");
}

#[test]
fn a_namespace_that_a_foreign_object_holds_is_explained_by_down_and_by_the_next_up() {
    let scene = Scene::new("stuck", &config_map("one", "a"));
    scene.succeed("up", &[]);
    scene.kubectl(&["create", "configmap", "foreign"]);
    hold(&scene, "configmap/foreign");
    scene.kubectl(&["delete", "configmap", "foreign", "--wait=false"]);
    let held = "configmap/foreign -n stuck is held by finalizer test.internal/hold";
    for verb in ["down", "up"] {
        let ran = scene.end(6, verb, &["--timeout", PATIENCE]);
        assert_says(
            &ran,
            &[
                &format!("waiting for namespace/stuck to go: {held}"),
                "timed out waiting for namespace/stuck to go",
                &format!("caused by: namespace/stuck: {held}"),
                "patch configmap/foreign -n stuck --type=json",
            ],
        );
        assert_eq!(finalizers(&scene, "configmap/foreign"), "test.internal/hold", "nothing is forced");
        if verb == "up" {
            run_hint(&scene, &ran);
        }
    }
    scene.succeed("up", &["--timeout", "60s"]);
    scene.succeed("down", &["--timeout", "60s"]);
}

#[test]
fn a_namespace_that_a_broken_api_holds_is_explained_by_that_api() {
    // No namespace goes on a cluster with such an API.
    let options = Options { controllers: true, ..Options::default() };
    let cluster = ControlPlane::start_with(&options).expect("a control plane");
    Bench::new(&cluster.kubeconfig()).add_node();
    let scene = Scene::on(&cluster, "unknown", &config_map("one", "a"));
    scene.succeed("up", &[]);
    scene.bench.apply(BROKEN, &[]);
    let ran = scene.end(6, "down", &["--timeout", PATIENCE]);
    assert_says(
        &ran,
        &[
            "waiting for namespace/unknown to go: what it has of API group broken.internal is not known: apiservice \
             v1.broken.internal does not answer (ServiceNotFound: service/nowhere in \"kube-system\" is not present)",
            "timed out waiting for namespace/unknown to go",
            "hint: mend what it leads to, or delete it: kubectl --context devcluster get apiservice v1.broken.internal",
        ],
    );
    scene.bench.kubectl(["get", "apiservice", "v1.broken.internal"]);
    scene.bench.kubectl(["delete", "apiservice", "v1.broken.internal"]);
    scene.succeed("down", &["--timeout", "60s"]);
}

/// One of each kind that a user may have in a namespace, some of them with names that Kubernetes' own kinds have.
const OF_THE_USER: &str = "
{apiVersion: v1, kind: ConfigMap, metadata: {name: own}}
{apiVersion: v1, kind: Secret, metadata: {name: own}}
{apiVersion: v1, kind: Service, metadata: {name: own}, spec: {ports: [{port: 80}]}}
{apiVersion: v1, kind: ServiceAccount, metadata: {name: own}}
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: own}, spec: {storageClassName: none, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}
{apiVersion: v1, kind: ReplicationController, metadata: {name: own}, spec: {replicas: 0, selector: {app: own}, template: {metadata: {labels: {app: own}}, spec: {containers: [{name: c, image: nothing}]}}}}
{apiVersion: v1, kind: Pod, metadata: {name: own}, spec: {containers: [{name: c, image: nothing}]}}
{apiVersion: v1, kind: PodTemplate, metadata: {name: own}, template: {metadata: {labels: {app: own}}, spec: {containers: [{name: c, image: nothing}]}}}
{apiVersion: v1, kind: LimitRange, metadata: {name: own}, spec: {limits: []}}
{apiVersion: v1, kind: ResourceQuota, metadata: {name: own}, spec: {}}
{apiVersion: apps/v1, kind: Deployment, metadata: {name: own}, spec: {replicas: 0, selector: {matchLabels: {app: own}}, template: {metadata: {labels: {app: own}}, spec: {containers: [{name: c, image: nothing}]}}}}
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: own}, spec: {replicas: 0, serviceName: own, selector: {matchLabels: {app: own}}, template: {metadata: {labels: {app: own}}, spec: {containers: [{name: c, image: nothing}]}}}}
{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: own}, spec: {selector: {matchLabels: {app: own}}, template: {metadata: {labels: {app: own}}, spec: {nodeSelector: {no: node}, containers: [{name: c, image: nothing}]}}}}
{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: own}, spec: {replicas: 0, selector: {matchLabels: {app: other}}, template: {metadata: {labels: {app: other}}, spec: {containers: [{name: c, image: nothing}]}}}}
{apiVersion: batch/v1, kind: Job, metadata: {name: own}, spec: {suspend: true, template: {spec: {restartPolicy: Never, containers: [{name: c, image: nothing}]}}}}
{apiVersion: batch/v1, kind: CronJob, metadata: {name: own}, spec: {suspend: true, schedule: '0 0 1 1 *', jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: nothing}]}}}}}}
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: own}, spec: {defaultBackend: {service: {name: own, port: {number: 80}}}}}
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: own}, spec: {podSelector: {}}}
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: own}, spec: {minAvailable: 1, selector: {matchLabels: {app: own}}}}
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: own}, spec: {maxReplicas: 1, scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: own}}}
{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: own}, rules: []}
{apiVersion: rbac.authorization.k8s.io/v1, kind: RoleBinding, metadata: {name: own}, roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: own}}
{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: own}}
{apiVersion: users.internal/v1, kind: Toy, metadata: {name: own}}
{apiVersion: users.internal/v1, kind: Event, metadata: {name: own}}
{apiVersion: users.internal/v1beta1, kind: Gadget, metadata: {name: own}}
{apiVersion: users.internal/v1, kind: Endpoints, metadata: {name: own, ownerReferences: [{apiVersion: v1, kind: Node, name: none, uid: NODE}]}}
";

#[test]
fn objects_of_a_user_of_every_kind_survive_and_so_does_the_namespace_and_what_defines_them() {
    // One is served in a version alone that its group does not prefer.
    let gadgets = definition("gadgets", "Gadget").replace("{name: v1, ", "{name: v1beta1, ");
    let users = [definition("events", "Event"), definition("endpoints", "Endpoints"), gadgets].concat();
    let scene = Scene::new("shared", &(config_map("one", "a") + &definition("toys", "Toy")));
    scene.bench.apply(&users, &[]);
    scene.succeed("up", &["--timeout", "60s"]);
    scene.await_object("serviceaccount/default");
    let node = scene.bench.field("node/none", ".metadata.uid");
    let objects: Vec<_> = OF_THE_USER.trim().lines().map(|line| line.replace("NODE", &node)).collect();
    for kind in ["toys", "events", "endpoints", "gadgets"] {
        scene.bench.kubectl(["wait", "--for=condition=Established", &format!("crd/{kind}.users.internal")]);
    }
    scene.bench.apply(&objects.join("\n---\n"), &["-n", scene.namespace]);

    let ran = scene.succeed("down", &["--timeout", "60s"]);
    let more = format!(" and {} more are in it)", objects.len() - 1);
    assert_says(
        &ran,
        &[
            "namespace/shared kept (",
            &more,
            "customresourcedefinition.apiextensions.k8s.io/toys.users.internal kept (toy.users.internal/own -n shared is of its \
             kind, and would go with it)",
        ],
    );
    for object in &objects {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), object).expect("written");
        let there = scene.kubectl(&["get", "-f", file.path().to_str().expect("a path"), "-o=name"]);
        assert!(there.ends_with("/own\n"), "{object} is gone");
        assert_eq!(scene.kubectl(&["get", "configmap", "one", "--ignore-not-found"]), "");
    }
}

#[test]
fn a_copy_of_an_object_of_the_stack_is_somebody_elses() {
    let toy = |name: &str| {
        format!("apiVersion: users.internal/v1\nkind: Puppet\nmetadata: {{name: {name}}}\n---\n")
    };
    let scene =
        Scene::new("copied", &(config_map("one", "a") + &definition("puppets", "Puppet") + &toy("one")));
    scene.succeed("up", &["--timeout", "60s"]);
    let label = scene.field("configmap/one", ".metadata.labels.applyset\\.kubernetes\\.io/part-of");
    let labelled = format!("labels: {{applyset.kubernetes.io/part-of: {label}}}, name: mine");
    let copies = (config_map("one", "a") + &toy("one")).replace("name: one", &labelled);
    scene.bench.apply(&copies, &["-n", scene.namespace]);
    let ran = scene.succeed("down", &["--timeout", "60s"]);
    assert_says(
        &ran,
        &[
            "configmap/one deleted",
            "puppet.users.internal/one deleted",
            "namespace/copied kept (configmap/mine -n copied and 1 more are in it)",
            "puppets.users.internal kept (puppet.users.internal/mine -n copied is of its kind, and would go with it)",
        ],
    );
    assert_eq!(scene.field("configmap/mine", ".data.key"), "a");
    scene.kubectl(&["get", "puppet", "mine"]);
    scene.bench.kubectl(["delete", "crd/puppets.users.internal", "namespace/copied"]);
}

#[test]
fn what_is_served_in_another_version_by_now_goes_too() {
    let scene = Scene::new(
        "versions",
        "apiVersion: users.internal/v1\nkind: Car\nmetadata: {name: own, namespace: versions}\n",
    );
    scene.bench.apply(&definition("cars", "Car"), &[]);
    scene.bench.kubectl(["wait", "--for=condition=Established", "crd/cars.users.internal"]);
    scene.succeed("up", &[]);
    let both = r#"[{"op": "copy", "from": "/spec/versions/0", "path": "/spec/versions/1"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v2"},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": false},
        {"op": "replace", "path": "/spec/versions/0/served", "value": false}]"#;
    scene.bench.kubectl(["patch", "crd/cars.users.internal", "--type=json", "-p", both]);
    let get = ["get", "--raw", "/apis/users.internal/v2/namespaces/versions/cars/own"];
    let deadline = Instant::now() + Duration::from_mins(1);
    // The server goes by what it publishes a moment later.
    while !scene.bench.kubectl_command(get).output().expect("kubectl starts").status.success() {
        assert!(Instant::now() < deadline, "v2 is not served");
    }
    let ran = scene.succeed("down", &["--timeout", "60s"]);
    assert_says(&ran, &["car.users.internal/own deleted"]);
    scene.bench.kubectl(["delete", "crd/cars.users.internal"]);
}

#[test]
fn what_is_served_no_more_is_gone() {
    let scene = Scene::new("unserved", "apiVersion: gone.internal/v1\nkind: Ship\nmetadata: {name: own}\n");
    scene.bench.apply(&definition("ships", "Ship").replace("users.internal", "gone.internal"), &[]);
    scene.bench.kubectl(["wait", "--for=condition=Established", "crd/ships.gone.internal"]);
    scene.succeed("up", &[]);
    scene.bench.kubectl(["delete", "crd/ships.gone.internal"]);
    scene.succeed("down", &["--timeout", "60s"]);
    assert_eq!(scene.bench.kubectl(["get", "namespace", "unserved", "--ignore-not-found"]), "");
}
