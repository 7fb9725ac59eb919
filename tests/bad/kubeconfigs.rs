//! Kubeconfigs that lead nowhere, and programs that do not log in.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use devcluster::Identity;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Bench, Ran};
use crate::{CLUSTER, CONFIG_MAP, assert_refused, stack, unchanged, up};

/// The administrator's kubeconfig of the cluster, to be spoiled.
pub(crate) fn kubeconfig() -> Value {
    let text = fs::read_to_string(CLUSTER.kubeconfig()).expect("a kubeconfig");
    serde_json::from_str(&text).expect("it is JSON")
}

/// The same with a program to log in with, which `sh` runs.
pub(crate) fn with_program(script: &str) -> Value {
    let mut config = kubeconfig();
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script],
        "interactiveMode": "IfAvailable",
    }});
    config
}

/// Files in a folder that goes away with this.
pub(crate) struct Files(pub(crate) TempDir);

impl Files {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let file = self.0.path().join(name);
        fs::write(&file, text).expect("written");
        file
    }
}

/// Runs `up` with a kubeconfig of this text on a stack that is well.
fn up_with(text: &str, more: &[&str]) -> Ran {
    let files = Files::new();
    let config = files.write("config", text);
    up_at(&config, more)
}

fn up_at(config: &Path, more: &[&str]) -> Ran {
    let folder = stack("kubeconfigs", CONFIG_MAP.as_bytes());
    up(&Bench::new(config), folder.path(), more)
}

#[test]
fn one_that_is_missing() {
    let ran = up_at(Path::new("/nowhere/config"), &[]);
    assert_refused(
        &ran,
        3,
        &["there is no kubeconfig /nowhere/config", "hint: name one with --kubeconfig FILE"],
    );
    let ran = up_at(&CLUSTER.kubeconfig(), &["--kubeconfig", "/nowhere/other"]);
    assert_refused(&ran, 3, &["there is no kubeconfig /nowhere/other"]);
    let ran = up_at(Path::new("/nowhere/one:/nowhere/two"), &[]);
    assert_refused(&ran, 3, &["there is no kubeconfig /nowhere/one or /nowhere/two"]);
}

#[test]
fn one_that_is_empty() {
    for text in ["", "# Nothing but a comment.\n", "{apiVersion: v1, kind: Config, contexts: null}\n"] {
        let ran = up_with(text, &[]);
        assert_refused(&ran, 3, &["no context in the kubeconfig /", "hint: name one with --kubeconfig FILE"]);
    }
}

#[test]
fn one_that_cannot_be_read_and_its_secrets_are_not_told() {
    let text = "apiVersion: v1\nusers:\n- name: me\n\tuser: {token: never-told}\n";
    let ran = up_with(text, &[]);
    assert_refused(&ran, 3, &["failed to read the kubeconfig /", "config:3:9: ", "a tab"]);
    assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
    let ran = up_with("users:\n- {name: me, user: never-told}\n", &[]);
    assert_refused(&ran, 3, &["failed to read the kubeconfig /", "config:2:20: "]);
    assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);

    let folder = Files::new();
    let ran = up_at(folder.0.path(), &[]);
    assert_refused(&ran, 3, &["failed to read the kubeconfig /", "Is a directory"]);
}

#[test]
fn an_unknown_context_and_none_that_is_current() {
    let ran = up_at(&CLUSTER.kubeconfig(), &["--context", "nowhere"]);
    assert_refused(&ran, 3, &["no context `nowhere` in the kubeconfig /", "there are: devcluster"]);
    let mut config = kubeconfig();
    config["current-context"] = json!("");
    let ran = up_with(&config.to_string(), &[]);
    assert_refused(
        &ran,
        3,
        &["no context is current", "there are: devcluster", "hint: name one with --context"],
    );
}

#[test]
fn a_context_that_is_called_as_a_pods_own_account_is() {
    let mut config = kubeconfig();
    config["clusters"] = json!([
        config["clusters"][0],
        {"name": "other", "cluster": {"server": "https://127.0.0.1:1"}},
    ]);
    config["contexts"] = json!([
        config["contexts"][0],
        {"name": "in-cluster", "context": {"cluster": "other", "user": config["contexts"][0]["context"]["user"]}},
    ]);
    let ran = up_with(&config.to_string(), &["--context", "in-cluster"]);
    assert_refused(&ran, 3, &["Connection refused", "kubectl --context in-cluster cluster-info"]);
}

#[test]
fn a_context_whose_cluster_or_certificate_is_missing() {
    let mut config = kubeconfig();
    config["clusters"] = json!([]);
    let ran = up_with(&config.to_string(), &[]);
    assert_refused(&ran, 3, &["failed to use context `devcluster`", "cluster of context: devcluster"]);
    let mut config = kubeconfig();
    config["users"][0]["user"] = json!({"client-certificate": "/nowhere/crt", "client-key": "/nowhere/key"});
    let ran = up_with(&config.to_string(), &[]);
    assert_refused(&ran, 3, &["failed to use context `devcluster`", "/nowhere/crt", "No such file"]);
}

#[test]
fn a_certificate_that_has_expired_is_named_with_the_time() {
    let config =
        CLUSTER.kubeconfig_for(&Identity { expired: true, ..Identity::admin() }).expect("a kubeconfig");
    let ran = unchanged(|_| up_at(&config, &[]));
    let words = ["the client certificate of context `devcluster` expired at 20", "hint: get a new one"];
    assert_refused(&ran, 3, &words);

    // The same from a file.
    let files = Files::new();
    let mut text: Value = serde_json::from_str(&fs::read_to_string(config).expect("written")).expect("JSON");
    let user = &mut text["users"][0]["user"];
    for part in ["client-certificate", "client-key"] {
        let data = user[format!("{part}-data")].take();
        let pem = STANDARD.decode(data.as_str().expect("base64")).expect("base64");
        user[part] = json!(files.write(part, &String::from_utf8(pem).expect("PEM")));
    }
    assert_refused(&unchanged(|_| up_with(&text.to_string(), &[])), 3, &words);
}

#[test]
fn a_program_that_fails_is_heard_and_what_it_printed_is_not_told() {
    let script = "echo never-told; echo '' >&2; echo 'no session: run aws sso login' >&2; exit 3";
    let ran = up_with(&with_program(script).to_string(), &[]);
    let words = ["failed to log in to context `devcluster` with the program `sh`", "exit status: 3"];
    assert_refused(
        &ran,
        3,
        &[words[0], words[1], "no session: run aws sso login", "hint: kubectl --context devcluster"],
    );
    assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
}

#[test]
fn a_program_that_is_missing_and_how_to_get_it() {
    let mut config = with_program("");
    config["users"][0]["user"]["exec"]["command"] = json!("no-such-login");
    let ran = up_with(&config.to_string(), &[]);
    assert_refused(&ran, 3, &["with the program `no-such-login`", "it is missing", "hint: install it, or"]);
    config["users"][0]["user"]["exec"]["installHint"] = json!("brew install no-such-login");
    let ran = up_with(&config.to_string(), &[]);
    assert_refused(&ran, 3, &["it is missing", "hint: brew install no-such-login"]);
}

#[test]
fn a_program_that_gives_no_credentials() {
    for printed in ["", "never-told", "{}", r#"{"status": {"tokens": "never-told"}}"#, "token: [never-told"] {
        let ran = up_with(&with_program(&format!("echo '{printed}'")).to_string(), &[]);
        assert_refused(&ran, 3, &["with the program `sh`", "it printed no credentials"]);
        assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
    }
    let mut config = with_program("echo never-told");
    config["users"][0]["user"]["exec"]["interactiveMode"] = json!("Always");
    assert_refused(&up_with(&config.to_string(), &[]), 3, &["it asks for a terminal, and there is none"]);
}
