//! What a CI system gets of `up` beside the lines: a `JUnit` report, annotations, a summary.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};

use crate::support::Ran;
use crate::{Scene, assert_says, config_map};

/// Never ready: nothing runs on a control plane.
const WEB: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  selector: {matchLabels: {app: \
                   web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec: {containers: [{name: web, image: nothing}]}\n";

/// A stack of three steps: one that is ready, one that never is, one that needs it.
fn scene(name: &'static str) -> Scene {
    let scene = Scene::new(name, &config_map("one", "a"));
    scene.write("web.yaml", WEB);
    scene.write(
        "stack.yaml",
        &format!(
            "name: {name}\nnamespace: {name}\nsteps:\n  - {{name: config, manifests: [main.yaml]}}\n  - {{name: web, needs: \
             [config], manifests: [web.yaml]}}\n  - {{name: after, needs: [web], configMaps: [{{name: c, files: \
             [main.yaml]}}]}}\n"
        ),
    );
    scene
}

fn up_on_github(scene: &Scene, summary: &str, more: &[&str]) -> Ran {
    let mut arguments = vec!["up", "--stack", scene.folder().to_str().expect("a path"), "--timeout", "20s"];
    arguments.extend(more);
    let mut command = scene.bench.command(&arguments);
    command.envs([("GITHUB_ACTIONS", "true"), ("GITHUB_STEP_SUMMARY", summary), ("CI", "true")]);
    let began = Instant::now();
    scene.bench.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started"), began)
}

#[test]
fn a_step_that_is_not_ready_in_time_is_in_every_report() {
    let scene = scene("reports");
    let file = |name: &str| scene.folder().join(name).to_str().expect("a path").to_owned();
    let (junit, summary) = (file("junit.xml"), file("summary.md"));
    let ran = up_on_github(&scene, &summary, &["--junit", &junit, "-o", "json"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);

    let events: Vec<serde_json::Value> =
        ran.stdout.lines().map(|line| serde_json::from_str(line).expect("stdout is JSON lines")).collect();
    let diagnosed = events.iter().find(|event| event["event"] == "diagnosed").expect("a diagnosis");
    assert_eq!(
        (&diagnosed["step"], &diagnosed["source"], &diagnosed["verdict"]),
        (&"web".into(), &"web.yaml:1".into(), &"out_of_time".into())
    );
    assert_says(
        &ran,
        &[
            "::error title=bootstrap up%3A step web,file=",
            "web.yaml,line=1::timed out waiting for 1 object%0A",
        ],
    );

    let xml = fs::read_to_string(junit).expect("written");
    assert!(xml.contains(r#"tests="3" skipped="1" failures="1" errors="0""#), "{xml}");
    assert!(xml.contains("deployment.apps/web -n reports (web.yaml:1): "), "{xml}");
    assert!(xml.contains(r#"<skipped message="not judged: web failed"/>"#), "{xml}");
    let summary = fs::read_to_string(summary).expect("written");
    assert!(summary.contains("| web | **failed**: timed out waiting for 1 object |"), "{summary}");
}

#[test]
fn a_run_that_is_interrupted_has_its_report() {
    let scene = scene("reports-interrupted");
    let junit = scene.folder().join("junit.xml");
    let stack = scene.folder().to_str().expect("a path");
    let began = Instant::now();
    let up = scene.bench.start(&["up", "--stack", stack, "--junit", junit.to_str().expect("a path")]);
    scene.kubectl(&["wait", "--for=create", "--timeout=30s", "deployment/web"]);
    kill_process(Pid::from_child(&up), Signal::INT).expect("it is still running");
    let ran = scene.bench.finish(up, began);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert_says(&ran, &["not judged: web, after (interrupted)"]);
    let xml = fs::read_to_string(junit).expect("written");
    assert_eq!(xml.matches(r#"<skipped message="not judged: interrupted"/>"#).count(), 2, "{xml}");
    assert!(xml.contains(r#"<error message="interrupted; done: config">"#), "{xml}");
}

#[test]
fn a_run_that_cannot_begin_is_in_the_report_too() {
    let scene = scene("reports-early");
    let junit = scene.folder().join("junit.xml");
    let ran = scene.run("up", &["--context", "nowhere", "--junit", junit.to_str().expect("a path")]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let xml = fs::read_to_string(junit).expect("written");
    assert!(xml.contains("no context `nowhere`") && xml.contains(r#"errors="1""#), "{xml}");
}

#[test]
fn a_report_that_cannot_be_written_ends_the_run_before_it_begins() {
    let scene = scene("reports-nowhere");
    let ran = scene.run("up", &["--junit", "/nowhere/junit.xml"]);
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert_says(&ran, &["error: failed to write the report /nowhere/junit.xml", "No such file"]);
    let namespace = ["get", "namespace", "--ignore-not-found", "reports-nowhere"];
    assert_eq!(scene.bench.kubectl(namespace), "", "nothing was changed");
}

#[test]
fn a_verification_that_cannot_begin_is_in_the_report_too() {
    let scene = scene("reports-absent");
    let junit = scene.folder().join("junit.xml");
    let ran = scene.run("verify", &["--junit", junit.to_str().expect("a path")]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let xml = fs::read_to_string(junit).expect("written");
    assert!(
        xml.contains("the stack reports-absent is not installed") && xml.contains(r#"failures="1""#),
        "{xml}"
    );
}
