//! What a run does to the cluster, and what it does not.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::watched::Watched;
use crate::{Scene, assert_says, config_map};

#[test]
fn second_up_writes_nothing_but_its_lease() {
    let scene = Scene::new("quiet", &config_map("one", "a"));
    scene.succeed("up", &[]);
    let version = |object| scene.field(object, ".metadata.resourceVersion");
    let before = (version("configmap/one"), version("configmap/bootstrap-quiet"));
    let ran = scene.succeed("up", &[]);
    assert_eq!((version("configmap/one"), version("configmap/bootstrap-quiet")), before);
    assert_says(&ran, &["unchanged"]);
}

#[test]
fn a_proxy_of_the_environment_is_not_for_a_server_on_this_machine() {
    let scene = Scene::new("direct", &config_map("one", "a"));
    let mut command = scene.bench.command(&["up", "--stack", scene.folder().to_str().expect("a path")]);
    // Nobody is at port 1.
    command.env("HTTPS_PROXY", "http://127.0.0.1:1").stderr(Stdio::piped());
    let ran = scene.bench.finish(command.spawn().expect("the command starts"), Instant::now());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
}

#[test]
fn members_can_be_listed_by_the_label_of_the_set() {
    let scene = Scene::new("members", &(config_map("one", "a") + &config_map("two", "b")));
    scene.succeed("up", &[]);
    let id = scene.field("configmap/bootstrap-members", ".metadata.labels.applyset\\.kubernetes\\.io/id");
    let members = scene.kubectl(&[
        "get",
        "configmaps",
        "-o=name",
        "-l",
        &format!("applyset.kubernetes.io/part-of={id}"),
    ]);
    assert_eq!(members, "configmap/one\nconfigmap/two\n");
    let kinds = ".metadata.annotations.applyset\\.kubernetes\\.io/contains-group-kinds";
    assert_eq!(scene.field("configmap/bootstrap-members", kinds), "ConfigMap");
}

#[test]
fn a_definition_and_its_resource_come_in_one_step() {
    let crd = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: toys.test.internal}\n\
               spec:\n  group: test.internal\n  scope: Namespaced\n  names: {kind: Toy, plural: toys}\n  versions:\n  - \
               {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, \
               x-kubernetes-preserve-unknown-fields: true}}}\n---\n";
    let toy = "apiVersion: test.internal/v1\nkind: Toy\nmetadata: {name: ball}\nspec: {colour: red}\n";
    let scene = Scene::new("definitions", &format!("{toy}---\n{crd}"));
    scene.succeed("up", &["--timeout", "60s"]);
    assert_eq!(scene.field("toys.test.internal/ball", ".spec.colour"), "red");
    let again = scene.succeed("up", &[]);
    assert_says(&again, &["unchanged"]);
    scene.succeed("down", &["--timeout", "60s"]);
    let gone = scene.bench.kubectl(["get", "crd", "--ignore-not-found", "toys.test.internal"]);
    assert_eq!(gone, "");
}

#[test]
fn a_kind_that_is_new_in_a_group_that_is_served_is_not_there_yet() {
    let definition = |plural: &str, kind: &str| {
        format!(
            "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {{name: {plural}.grows.internal}}\n\
             spec:\n  group: grows.internal\n  scope: Namespaced\n  names: {{kind: {kind}, plural: {plural}}}\n  versions:\n  - \
             {{name: v1, served: true, storage: true, schema: {{openAPIV3Schema: {{type: object, \
             x-kubernetes-preserve-unknown-fields: true}}}}}}\n---\n"
        )
    };
    let scene = Scene::new("grows", &definition("stems", "Stem"));
    scene.succeed("up", &["--timeout", "60s"]);
    let leaf = "apiVersion: grows.internal/v1\nkind: Leaf\nmetadata: {name: green}\n";
    scene.write("main.yaml", &(definition("stems", "Stem") + &definition("leaves", "Leaf") + leaf));
    assert!(scene.succeed("plan", &[]).stdout.contains("leaf.grows.internal/green created"));
    scene.succeed("up", &["--timeout", "60s"]);
    scene.kubectl(&["get", "leaves.grows.internal/green"]);
    scene.succeed("down", &["--timeout", "60s"]);
}

#[test]
fn a_secret_is_made_once_and_completed_later() {
    let scene = Scene::new("secrets", "");
    let stack = |data: &str| {
        let secret = format!("secret: {{name: s, data: {data}}}");
        format!("name: secrets\nnamespace: secrets\nsteps:\n  - {{name: main, {secret}}}\n")
    };
    scene.write("stack.yaml", &stack("{password: {random: 20}}"));
    scene.succeed("up", &[]);
    let password = scene.field("secret/s", ".data.password");
    scene.succeed("up", &[]);
    assert_eq!(scene.field("secret/s", ".data.password"), password);
    scene.write("stack.yaml", &stack("{password: {random: 20}, user: {value: me}}"));
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["secret/s configured", "added user"]);
    assert_eq!(scene.field("secret/s", ".data.password"), password);
    assert_eq!(scene.field("secret/s", ".data.user"), "bWU=");
    scene.kubectl(&["patch", "secret", "s", "--type=merge", "-p", r#"{"data": {"user": null}}"#]);
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["secret/s configured", "added user"]);
    assert_eq!(scene.field("secret/s", ".data"), format!(r#"{{"password":"{password}","user":"bWU="}}"#));
    // Without a word of who owns what, the keys themselves are looked at.
    scene.kubectl(&[
        "patch",
        "secret",
        "s",
        "--type=merge",
        "-p",
        r#"{"metadata": {"managedFields": [{}]}}"#,
    ]);
    assert_says(&scene.succeed("up", &[]), &["nothing to do, 1 object unchanged"]);
    assert_eq!(scene.field("secret/s", ".data.password"), password);
    let said = scene.bench.said();
    assert!(!said.contains(&password), "the password was printed");
}

#[test]
fn down_reads_the_inventory_and_not_the_stack() {
    let scene = Scene::new("leaving", &(config_map("one", "a") + &config_map("two", "b")));
    scene.succeed("up", &[]);
    // The stack that is at hand has forgotten what it once brought.
    scene.write("main.yaml", &config_map("three", "c"));
    scene.kubectl(&["create", "configmap", "users-own"]);
    let ran = scene.succeed("down", &[]);
    assert_says(&ran, &["configmap/users-own -n leaving is in it"]);
    assert_eq!(
        scene.kubectl(&["get", "configmaps", "-o=name", "--field-selector=metadata.name!=kube-root-ca.crt"]),
        "configmap/users-own\n"
    );
}

#[test]
fn what_is_being_deleted_is_waited_for_and_made_anew() {
    let scene = Scene::new("leaving-object", &(config_map("held", "a") + &config_map("other", "a")));
    scene.succeed("up", &[]);
    let uid = || scene.field("configmap/held", ".metadata.uid");
    let before = uid();
    let hold = |held: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {held}}}}}"#);
        scene.kubectl(&["patch", "configmap/held", "--type=merge", "-p", &patch]);
    };
    hold(r#"["test.internal/held"]"#);
    scene.kubectl(&["delete", "configmap/held", "--wait=false"]);
    assert!(scene.succeed("plan", &[]).stdout.contains("+ configmap/held created"));
    let mut up = Watched::start(&scene, &[]);
    up.await_line("what is being deleted to be gone: configmap/held -n leaving-object");
    hold("[]");
    let said = up.end(0);
    assert!(said.contains("configmap/held created") && uid() != before, "{said}");
}

#[test]
fn a_namespace_that_is_being_deleted_is_waited_for_and_all_in_it_is_made_anew() {
    let scene = Scene::new("leaving-space", &(config_map("one", "a") + &config_map("two", "a")));
    scene.succeed("up", &[]);
    scene.kubectl(&["create", "configmap", "holds"]);
    let hold = |held: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {held}}}}}"#);
        scene.kubectl(&["patch", "configmap/holds", "--type=merge", "-p", &patch]);
    };
    hold(r#"["test.internal/held"]"#);
    scene.bench.kubectl(["delete", "namespace", "leaving-space", "--wait=false"]);
    let plan = scene.succeed("plan", &[]).stdout;
    assert!(plan.contains("to do: 3 created\n"), "{plan}");
    let mut up = Watched::start(&scene, &[]);
    up.await_line("waiting for namespace/leaving-space to be gone, which is being deleted");
    hold("[]");
    let said = up.end(0);
    assert!(said.contains("3 created"), "{said}");
    assert_eq!(scene.kubectl(&["get", "configmaps", "one", "two", "-o=name"]).lines().count(), 2);
}

#[test]
fn a_lease_that_nobody_renews_is_taken_over() {
    let scene = Scene::new("abandoned", &config_map("one", "a"));
    scene.bench.apply(&lease("abandoned", "somebody"), &[]);
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["somebody"]);
    let expected = Duration::from_secs(15)..Duration::from_mins(1);
    assert!(expected.contains(&ran.took), "{:?}", ran.took);
}

#[test]
fn a_lease_that_is_renewed_is_respected() {
    let scene = Scene::new("busy", &config_map("one", "a"));
    scene.bench.apply(&lease("busy", "somebody"), &[]);
    let began = Instant::now();
    let mut up = scene.start("up", &[]);
    // The other run renews: at its first sign of life this one ends.
    let mut renewals = 0_u32;
    while up.try_wait().expect("asked").is_none() {
        assert!(began.elapsed() < Duration::from_mins(1), "it goes on after {renewals} renewals");
        let patch = format!(r#"{{"spec": {{"renewTime": "2026-01-01T00:00:00.{renewals:06}Z"}}}}"#);
        let renew = ["patch", "lease/bootstrap-busy", "-n", "kube-system", "--type=merge", "-p", &patch];
        scene.bench.kubectl(renew);
        renewals += 1;
    }
    let ran = scene.bench.finish(up, began);
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    assert_says(&ran, &["another run works on this stack: somebody", "--wait-lock"]);
    assert_eq!(
        scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "busy"]),
        "",
        "nothing was changed"
    );
}

#[test]
fn a_run_ends_when_its_lease_is_gone() {
    let scene = Scene::new("lost", &config_map("held", "a"));
    scene.succeed("up", &[]);
    let hold = |held: &str| {
        let patch = format!(r#"{{"metadata": {{"finalizers": {held}}}}}"#);
        scene.kubectl(&["patch", "configmap/held", "--type=merge", "-p", &patch]);
    };
    hold(r#"["test.internal/held"]"#);
    scene.kubectl(&["delete", "configmap/held", "--wait=false"]);
    let mut up = Watched::start(&scene, &[]);
    up.await_line("what is being deleted to be gone");
    // As when this machine was suspended, and another run has come and gone.
    scene.bench.kubectl(["delete", "lease", "bootstrap-lost", "-n", "kube-system"]);
    let said = up.end(4);
    assert!(
        said.contains("error: the lease of this stack is gone: another run may have worked on it"),
        "{said}"
    );
    let lease =
        scene.bench.kubectl(["get", "lease", "bootstrap-lost", "-n", "kube-system", "--ignore-not-found"]);
    assert_eq!(lease, "", "it is not made anew");
    hold("[]");
}

fn lease(stack: &str, holder: &str) -> String {
    format!(
        r#"{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {{"name": "bootstrap-{stack}",
        "namespace": "kube-system"}}, "spec": {{"holderIdentity": "{holder}", "leaseDurationSeconds": 15}}}}"#
    )
}

#[test]
fn a_config_map_of_somebody_else_is_not_taken_for_an_inventory() {
    let scene = Scene::new("unmarked", &config_map("one", "a"));
    scene.bench.kubectl(["create", "namespace", "unmarked"]);
    let theirs = "configmap/bootstrap-unmarked";
    scene.kubectl(&["create", "configmap", "bootstrap-unmarked", "--from-literal=key=theirs"]);
    for verb in ["up", "plan", "down"] {
        let said =
            "configmap/bootstrap-unmarked -n unmarked is there, and is not the inventory of this stack";
        assert_says(&scene.end(4, verb, &[]), &[said]);
        assert_eq!(scene.field(theirs, ".data"), r#"{"key":"theirs"}"#);
    }
    // An ApplySet of kubectl has the same id.
    let id = "applyset-BwgZ3Z1I3fsOqXZPgNxXqx-ASjPZ3TEU-wCWhsGW1Po-v1";
    scene.kubectl(&["label", theirs, &format!("applyset.kubernetes.io/id={id}")]);
    scene.kubectl(&["annotate", theirs, "applyset.kubernetes.io/tooling=kubectl/v1.37.0"]);
    for verb in ["up", "down"] {
        scene.end(4, verb, &[]);
    }
    assert_eq!(scene.field(theirs, ".data"), r#"{"key":"theirs"}"#);
    assert_eq!(scene.kubectl(&["get", "configmap", "one", "--ignore-not-found"]), "");
}

#[test]
fn an_inventory_that_cannot_be_read_is_not_taken_for_an_empty_one() {
    let scene = Scene::new("unreadable", &config_map("one", "a"));
    scene.succeed("up", &[]);
    let patch = r#"{"data": {"inventory.json": "{\"steps\": 3}"}}"#;
    scene.kubectl(&["patch", "configmap", "bootstrap-unreadable", "--type=merge", "-p", patch]);
    for verb in ["up", "plan", "check", "down"] {
        let ran = scene.end(3, verb, &[]);
        let told = ran.stdout + &ran.stderr;
        assert!(told.contains("inventory.json of configmap/bootstrap-unreadable -n unreadable"), "{told}");
    }
    assert_eq!(scene.field("configmap/one", ".data.key"), "a");
    // An empty one is mended, and not taken for that of a stack that has nothing.
    scene.kubectl(&["patch", "configmap", "bootstrap-unreadable", "--type=merge", "-p", r#"{"data": null}"#]);
    for more in [&[][..], &["--dry-run"]] {
        let ran = scene.end(3, "down", more);
        assert_says(&ran, &["configmap/bootstrap-unreadable -n unreadable has been emptied", "bootstrap up"]);
    }
    scene.succeed("up", &[]);
    assert_says(&scene.succeed("up", &[]), &["nothing to do"]);
}
