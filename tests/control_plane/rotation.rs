//! `credentials --rotate`: what it changes, what it leaves, and what it refuses.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::support::memory::Memory;
use crate::watched::Watched;
use crate::{Scene, assert_says, config_map};

const SECRET: &str =
    "secret: {name: s, data: {user: {value: me}, password: {random: 24}, token: {random: 30}}}";

/// Where a reader carries the revision of what it reads.
const READ: &str = ".spec.template.metadata.annotations.bootstrap\\.internal/secret-revision";

/// Where a Secret carries its revision.
const REVISION: &str = ".metadata.annotations.bootstrap\\.internal/revision";

/// A Deployment that reads the Secret. Nothing runs here, so with no replica it is ready, and with one it never is.
fn reader(name: &str, replicas: u32) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: \
         {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: \
         [{{name: c, image: nothing, envFrom: [{{secretRef: {{name: s}}}}]}}]}}\n---\n"
    )
}

/// A stack of a Secret, of what reads it, and of what does not.
fn scene(name: &'static str, readers: &str) -> Scene {
    let scene = Scene::new(name, readers);
    write(&scene, SECRET);
    scene.write("other.yaml", &config_map("other", "before"));
    scene
}

fn write(scene: &Scene, secret: &str) {
    let name = scene.namespace;
    let steps = format!(
        "  - {{name: credentials, {secret}}}\n  - {{name: other, manifests: [other.yaml]}}\n  - {{name: main, needs: \
         [credentials, other], manifests: [main.yaml]}}\n"
    );
    scene.write("stack.yaml", &format!("name: {name}\nnamespace: {name}\nsteps:\n{steps}"));
}

/// The value of a key, as the server has it and as it is meant.
fn value(scene: &Scene, key: &str) -> [String; 2] {
    let encoded = scene.field("secret/s", &format!(".data.{key}"));
    let decoded = BASE64_STANDARD.decode(&encoded).expect("base64");
    [encoded, String::from_utf8(decoded).expect("letters and digits")]
}

#[test]
fn a_reader_that_comes_before_its_secret_is_not_changed_by_it() {
    let scene = scene("early", &reader("reads", 0));
    let stack = std::fs::read_to_string(scene.folder().join("stack.yaml")).expect("the stack");
    let stack = stack.replace("[credentials, other]", "[other]");
    scene.write("stack.yaml", &stack.replace("name: credentials,", "name: credentials, needs: [main],"));
    scene.succeed("up", &[]);
    assert_eq!(scene.field("deployment/reads", READ), scene.field("secret/s", REVISION));
    assert_says(&scene.succeed("up", &[]), &["nothing to do, 3 objects unchanged"]);
}

#[test]
fn random_values_are_new_and_what_reads_them_starts_anew() {
    let scene = scene("rotated", &reader("reads", 0));
    scene.succeed("up", &[]);
    scene.write("other.yaml", &config_map("other", "after"));
    let mut seen = vec![value(&scene, "password"), value(&scene, "token")];
    for _ in 0..2 {
        let ran = scene.succeed("credentials", &["--rotate"]);
        assert_says(
            &ran,
            &[
                "devcluster (devcluster, v1.",
                "secret/s configured (new password, token)",
                "deployment.apps/reads configured",
                "2 configured",
                "s: bootstrap credentials --context devcluster --stack /",
                " --show",
            ],
        );
        seen.extend([value(&scene, "password"), value(&scene, "token")]);
        assert_eq!(scene.field("deployment/reads", READ), scene.field("secret/s", REVISION));
    }
    let mut different = seen.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 6, "no two rotations give the same");
    assert_eq!(value(&scene, "user")[1], "me", "what is not random is kept");
    assert_eq!(scene.field("configmap/other", ".data.key"), "before", "nothing else is changed");

    scene.write("other.yaml", &config_map("other", "before"));
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["nothing to do, 3 objects unchanged"]);
    let document = |more: &[&str]| -> Value {
        let ran = scene.succeed("credentials", &[&["-o", "json"], more].concat());
        serde_json::from_str(&ran.stdout).expect("JSON")
    };
    assert_eq!(document(&[]), json!({"s": {"keys": ["password", "token", "user"]}}));
    let said = scene.bench.said();
    assert!(!seen.iter().flatten().any(|value| said.contains(value)), "a value was told:\n{said}");
    let shown = scene.succeed("credentials", &["--show"]);
    assert!(
        shown.stdout.contains(&format!("password: {}\n", value(&scene, "password")[1])),
        "{}",
        shown.stdout
    );
    let of = |key: &str| value(&scene, key)[1].clone();
    let values = json!({"password": of("password"), "token": of("token"), "user": "me"});
    assert_eq!(document(&["--show"]), json!({"s": {"values": values}}));
}

#[test]
fn what_is_left_between_the_secret_and_its_readers_is_finished_by_the_next_up() {
    let scene = scene("unfinished", &reader("first", 0));
    scene.write("last.yaml", &reader("last", 0));
    let stack = std::fs::read_to_string(scene.folder().join("stack.yaml")).expect("written");
    scene.write("stack.yaml", &(stack + "  - {name: last, needs: [main], manifests: [last.yaml]}\n"));
    scene.succeed("up", &[]);
    let before = (value(&scene, "password"), scene.field("secret/s", REVISION));

    scene.write("main.yaml", &reader("first", 1));
    let mut rotating = start_and_wait(&scene, "credentials", &["--rotate"]);
    rotating.kill().expect("it waits");
    rotating.wait().expect("it ends");
    let after = (value(&scene, "password"), scene.field("secret/s", REVISION));
    assert!(before.0 != after.0 && before.1 != after.1, "the Secret is new");
    assert_eq!(scene.field("deployment/first", READ), after.1);
    assert_eq!(scene.field("deployment/last", READ), before.1, "this one has yet to follow");

    scene.write("main.yaml", &reader("first", 0));
    let ran = scene.succeed("up", &[]);
    assert_says(&ran, &["deployment.apps/last configured"]);
    assert_eq!(scene.field("deployment/last", READ), after.1);
    assert_eq!(value(&scene, "password"), after.0, "and nothing is rotated again");
}

#[test]
fn a_rotation_that_is_stopped_or_runs_out_of_time_says_what_is_left() {
    let scene = scene("stopped", &reader("never", 1));
    let mut up = Watched::start(&scene, &["-v"]);
    up.await_line("deployment.apps/never: 0 of ");
    up.interrupt();
    let ran = scene.end(6, "credentials", &["--rotate", "--timeout", "20s"]);
    assert_says(
        &ran,
        &["secret/s configured", "timed out waiting for deployment.apps/never", "done: credentials"],
    );
    let began = Instant::now();
    let rotating = start_and_wait(&scene, "credentials", &["--rotate"]);
    let pid = rustix::process::Pid::from_child(&rotating);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it waits");
    let ran = scene.bench.finish(rotating, began);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
}

#[test]
fn what_cannot_be_rotated_is_refused_and_left_alone() {
    let scene = scene("unrotated", &reader("reads", 0));
    let ran = scene.end(3, "credentials", &["--rotate"]);
    assert_says(&ran, &["the stack unrotated is not installed", "hint: bootstrap up --context devcluster"]);

    scene.bench.kubectl(["create", "namespace", "unrotated"]);
    scene.kubectl(&["create", "secret", "generic", "s", "--from-literal=password=theirs"]);
    scene.succeed("up", &[]);
    let token = value(&scene, "token");
    let ran = scene.end(4, "credentials", &["--rotate"]);
    assert_says(
        &ran,
        &[
            "secret/s -n unrotated was there before the stack",
            "kubectl --context devcluster edit secret/s -n unrotated && bootstrap up --context devcluster",
        ],
    );
    assert_eq!((value(&scene, "password")[1].as_str(), value(&scene, "token")), ("theirs", token));

    scene.kubectl(&["delete", "secret", "s"]);
    let ran = scene.end(3, "credentials", &["--rotate"]);
    assert_says(&ran, &["secret/s -n unrotated is not there", "hint: bootstrap up --context devcluster"]);
    assert_eq!(scene.kubectl(&["get", "secret", "s", "--ignore-not-found"]), "");

    write(&scene, "secret: {name: s, data: {user: {value: me}}}");
    let ran = scene.end(2, "credentials", &["--rotate"]);
    assert_says(&ran, &["no step of the stack unrotated makes a Secret with a random value"]);
    let ran = scene.end(2, "credentials", &["--rotate", "--show"]);
    assert_says(&ran, &["'--show'", "cannot be used with", "'--rotate'"]);
}

#[test]
fn pods_that_keep_the_values_of_before_are_named() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: alone}\nspec: {automountServiceAccountToken: false, containers: \
               [{name: c, image: nothing, env: [{name: P, valueFrom: {secretKeyRef: {name: s, key: password}}}]}]}\n---\n";
    let scene = scene("stale", &reader("reads", 0));
    scene.write("other.yaml", pod);
    scene.bench.kubectl(["create", "namespace", "stale"]);
    scene.await_object("serviceaccount/default");
    let mut up = Watched::start(&scene, &["-v"]);
    up.await_line("pod/alone: ");
    up.interrupt();
    scene.succeed("up", &["--skip", "other"]);
    let ran = scene.succeed("credentials", &["--rotate"]);
    assert_says(
        &ran,
        &["warning: pod/alone -n stale reads secret/s -n stale, and keeps the values of before"],
    );
}

#[test]
fn no_value_is_in_memory_while_readers_are_waited_for() {
    let scene = scene("wiped", &reader("never", 1));
    let mut making = start_and_wait(&scene, "up", &[]);
    let made = assert_wiped(&scene, &making, &[]);
    making.kill().expect("it waits");
    making.wait().expect("it ends");
    let mut rotating = start_and_wait(&scene, "credentials", &["--rotate"]);
    assert_wiped(&scene, &rotating, &made);
    rotating.kill().expect("it waits");
    rotating.wait().expect("it ends");
}

/// That a process has none of these values in its memory, nor those that the Secret has now, which it returns.
fn assert_wiped(scene: &Scene, process: &Child, before: &[String]) -> Vec<String> {
    let memory = Memory::of(process.id());
    let now: Vec<_> = ["password", "token"].iter().flat_map(|key| value(scene, key)).collect();
    assert!(memory.holds(&scene.field("secret/s", REVISION)), "the search finds what is there");
    let found: Vec<_> = before.iter().chain(&now).filter(|value| memory.holds(value)).collect();
    assert!(found.is_empty(), "{found:?} is there, of {before:?} before and {now:?} now");
    now
}

/// Starts a verb on the stack, and returns when it waits for an object.
fn start_and_wait(scene: &Scene, verb: &str, more: &[&str]) -> Child {
    let mut arguments = vec!["-o", "json"];
    arguments.extend(more);
    let mut child = scene.start(verb, &arguments);
    let mut events =
        BufReader::new(child.stdout.take().expect("piped")).lines().map(|line| line.expect("text"));
    let waits = events.any(|event| event.contains(r#""event":"object_status""#));
    assert!(waits, "it ended before it waited for anything");
    // What it says from here on is not read, and must not fill the pipe.
    std::thread::spawn(move || events.for_each(drop));
    child
}
