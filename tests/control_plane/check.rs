//! What `check` tells of a cluster and of a stack. Rights are told of in `rights.rs`.

use jiff::Timestamp;
use serde_json::Value;

use crate::{Scene, config_map};

/// A Lease as another run would hold it.
fn lease(name: &str, renewed: Timestamp) -> String {
    format!(
        r#"{{"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {{"name": "bootstrap-{name}", "namespace": "kube-system"}},
            "spec": {{"holderIdentity": "bootstrap up of ann@laptop, pid 42", "renewTime": "{renewed:.6}"}}}}"#
    )
}

#[test]
fn all_is_well_and_nothing_is_changed() {
    let scene = Scene::new("checked", &config_map("one", "a"));
    let ran = scene.succeed("check", &["-o", "json"]);
    let found: Vec<Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    let names: Vec<_> = found.iter().map(|finding| &finding["category"]).collect();
    for category in ["stack", "cluster", "clock", "nodes", "system", "storage", "lock", "rights"] {
        assert!(names.contains(&&Value::from(category)), "{category} is not in {names:?}");
    }
    let passed = found.iter().filter(|finding| finding["outcome"] == "passed").count();
    assert_eq!(passed, found.len(), "{found:#?}");
    assert_eq!(scene.bench.kubectl(["get", "namespace", "--ignore-not-found", "checked"]), "");
}

#[test]
fn a_run_at_work_is_named_and_one_that_is_gone_is_no_hindrance() {
    let scene = Scene::new("leased", &config_map("one", "a"));
    scene.bench.apply(&lease("leased", Timestamp::now()), &[]);
    let ran = scene.end(3, "check", &[]);
    let line = "✗ lease          another run works on this stack: bootstrap up of ann@laptop, pid 42\n";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
    let hint = format!(
        "hint: wait for it: bootstrap up --context devcluster --stack {} --wait-lock",
        scene.folder().display()
    );
    assert!(ran.stdout.contains(&hint), "{}", ran.stdout);
    scene.bench.apply(&lease("leased", "2026-01-01T00:00:00Z".parse().expect("a time")), &[]);
    let ran = scene.succeed("check", &[]);
    assert!(ran.stdout.contains("✓ lease          left by a run that is gone"), "{}", ran.stdout);
}

#[test]
fn a_stack_that_does_not_validate_is_one_failure_among_the_rest() {
    let scene = Scene::new("unchecked", &config_map("one", "a"));
    scene.write(
        "stack.yaml",
        "name: unchecked\nnamespace: unchecked\nsteps: [{name: a, manifest: [main.yaml]}]\n",
    );
    let ran = scene.end(3, "check", &[]);
    for line in [
        "✗ valid          stack.yaml:3:",
        "✓ answers        devcluster",
        "- all            skipped: needs stack/valid",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
}

#[test]
fn a_node_that_runs_out_of_something_is_named() {
    let cluster = devcluster::ControlPlane::start().expect("a control plane");
    let scene = Scene::on(&cluster, "pressed", &config_map("one", "a"));
    scene.bench.add_node();
    let status = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"},
        {"type": "DiskPressure", "status": "True", "message": "kubelet has disk pressure"}]}}"#;
    scene.bench.kubectl(["patch", "node", "none", "--subresource=status", "--type=merge", "-p", status]);
    let ran = scene.end(3, "check", &[]);
    let line = "✗ pressure       node/none runs out of disk: kubelet has disk pressure\n";
    assert!(ran.stdout.contains(line), "{}", ran.stdout);
}

#[test]
fn a_chart_that_cannot_be_had_and_a_helm_that_is_missing_are_told_apart() {
    let scene = Scene::new("charted", &config_map("one", "a"));
    let release = "{release: r, chart: 'oci://nowhere/absent', version: 1.0.0}";
    scene.write(
        "stack.yaml",
        &format!("name: charted\nnamespace: charted\nsteps: [{{name: a, helm: {release}}}]\n"),
    );
    let stack = scene.folder().to_str().expect("a path").to_owned();
    let check = |variable: &str, value: &str| {
        let mut command = scene.bench.command(&["check", "--stack", &stack]);
        let output = command.env(variable, value).output().expect("the command starts");
        assert_eq!(output.status.code(), Some(3));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let helm = devcluster::tool(devcluster::Tool::Helm).expect("helm").display().to_string();
    let empty = tempfile::tempdir().expect("a folder");
    let said = check("PATH", "/nowhere");
    assert!(said.contains("✗ version        the command helm is missing"), "{said}");
    assert!(said.contains("- r              skipped: needs helm/version"), "{said}");

    let mut command = scene.bench.command(&["check", "--stack", &stack]);
    command.arg("--charts").arg(empty.path()).env("BOOTSTRAP_HELM", helm);
    let said = command.output().expect("the command starts");
    let said = String::from_utf8_lossy(&said.stdout);
    assert!(said.contains("✗ r              no chart absent in "), "{said}");
    assert!(said.contains("what helm needs for it is not known without its chart"), "{said}");
}
