//! A cluster that is not on this machine is changed only if it was named, and that was confirmed.

use devcluster::{ControlPlane, Options};

use crate::support::terminal::Terminal;
use crate::{Scene, assert_says, config_map};

#[test]
fn a_cluster_that_is_not_local_is_named_and_confirmed() {
    let options = Options { controllers: true, context: "prod".to_owned(), ..Options::default() };
    let cluster = ControlPlane::start_with(&options).expect("a control plane");
    let scene = Scene::on(&cluster, "asked", &config_map("one", "a"));
    // A name tells nothing: the node of this one says no more than that it is a node of Kubernetes.
    scene.bench.apply(r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "k3d-prod-0"}}"#, &[]);
    scene.bench.mark_ready("k3d-prod-0");
    let is_there = || !scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "asked"]).is_empty();

    let ran = scene.end(4, "up", &[]);
    assert_says(&ran, &["prod (Kubernetes, v1.", "was not named", "bootstrap up --context prod"]);
    let ran = scene.run("up", &["--yes"]);
    assert_eq!(ran.code, 4, "a leave without a name is for any cluster:\n{}", ran.stderr);
    let ran = scene.end(4, "up", &["--context", "prod"]);
    assert_says(&ran, &["was not confirmed", "confirm it: bootstrap up --context prod --stack /", " --yes"]);
    assert_eq!(scene.run("plan", &["--exit-code"]).code, 8, "what changes nothing asks nothing");
    assert!(!is_there(), "nothing was changed");

    let (code, shown) = typed(&scene, &["up", "--context", "prod"], &["Type the context's name: prof"]);
    assert_eq!(code, 4, "{shown}");
    assert!(shown.contains("type prod to confirm it") && !is_there(), "{shown}");
    let (code, shown) = typed(&scene, &["up", "--context", "prod"], &["Type the context's name: prod"]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("up of asked changes it, in asked") && is_there(), "{shown}");

    let secret = "{name: main, secret: {name: s, data: {password: {random: 20}}}, manifests: [main.yaml]}";
    scene.write("stack.yaml", &format!("name: asked\nnamespace: asked\nsteps:\n  - {secret}\n"));
    let ran = scene.end(4, "credentials", &["--rotate", "--context", "prod"]);
    assert_says(
        &ran,
        &[
            "was not confirmed",
            "confirm it: bootstrap credentials --context prod --stack /",
            " --rotate --yes",
        ],
    );

    let down = ["down", "--purge-data", "--context", "prod"];
    let (code, shown) =
        typed(&scene, &down, &["Type the context's name: prod", "Type the namespace's name: prod"]);
    assert_eq!(code, 4, "{shown}");
    assert!(is_there(), "{shown}");
    let (code, shown) =
        typed(&scene, &down, &["Type the context's name: prod", "Type the namespace's name: asked"]);
    assert_eq!(code, 0, "{shown}");
    assert!(!is_there(), "{shown}");
    scene.end(0, "up", &["--context", "prod", "--yes"]);
}

/// Runs the command on a terminal, and types an answer to each question.
fn typed(scene: &Scene, arguments: &[&str], answers: &[&str]) -> (i32, String) {
    let mut arguments = arguments.to_vec();
    arguments.extend(["--stack", scene.folder().to_str().expect("a path")]);
    let mut terminal = Terminal::start(scene.bench.command(&arguments), 100);
    for answer in answers {
        let (question, answer) = answer.split_once(": ").expect("a question and its answer");
        terminal.await_text(question);
        terminal.type_line(answer);
    }
    terminal.end()
}
