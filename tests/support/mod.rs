//! What the tests on a real API server share: running the command, and keeping all that it says.
#![expect(dead_code, reason = "no test target needs all of it")]

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) mod least;
pub(crate) mod memory;
pub(crate) mod terminal;
pub(crate) mod world;

/// One cluster, and the command as it is run against it.
pub(crate) struct Bench {
    kubeconfig: PathBuf,
    helm: Option<PathBuf>,
    /// Everything that every run has printed, for the search for secrets at the end.
    said: Mutex<String>,
}

/// How a run of the command ended.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub(crate) code: i32,
    /// What it printed on stdout.
    pub(crate) stdout: String,
    /// What it printed on stderr.
    pub(crate) stderr: String,
    /// How long it ran.
    pub(crate) took: Duration,
}

impl Bench {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        Self { kubeconfig: kubeconfig.to_owned(), helm: None, said: Mutex::default() }
    }

    /// Uses this helm, and the project's own charts.
    pub(crate) fn with_helm(mut self, helm: PathBuf) -> Self {
        self.helm = Some(helm);
        self
    }

    /// The command, ready to be started; nothing of this machine's settings reaches it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("BOOTSTRAP_") {
                command.env_remove(name);
            }
        }
        command.args(arguments).env("KUBECONFIG", &self.kubeconfig).env("NO_COLOR", "1").stdin(Stdio::null());
        for name in ["CI", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"] {
            command.env_remove(name);
        }
        if let Some(helm) = &self.helm {
            command.env("BOOTSTRAP_HELM", helm).env("BOOTSTRAP_CHARTS", charts());
        }
        command
    }

    /// Runs the command to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.finish(self.start(arguments), Instant::now())
    }

    /// Runs the command, which must end with 0. A server that is too busy for its first request, which is made once, may be asked
    /// once more.
    #[expect(clippy::print_stderr, reason = "that it was slow is to be seen")]
    pub(crate) fn succeed(&self, arguments: &[&str]) -> Ran {
        let mut ran = self.run(arguments);
        if ran.code == 3 && ran.stderr.contains("no answer within 3 s") {
            eprintln!("SLOW: {}", ran.stderr);
            ran = self.run(arguments);
        }
        assert_eq!(
            ran.code,
            0,
            "bootstrap {} ended {}:\n{}{}",
            arguments.join(" "),
            ran.code,
            ran.stdout,
            ran.stderr
        );
        ran
    }

    /// Starts the command and leaves it running.
    pub(crate) fn start(&self, arguments: &[&str]) -> Child {
        let mut command = self.command(arguments);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the command starts")
    }

    /// Waits for a command that was started.
    pub(crate) fn finish(&self, child: Child, began: Instant) -> Ran {
        let Output { status, stdout, stderr } = child.wait_with_output().expect("the command ends");
        let ran = Ran {
            code: status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
            took: began.elapsed(),
        };
        self.keep(&ran.stdout);
        self.keep(&ran.stderr);
        ran
    }

    /// Adds a text to what will be searched for secrets.
    pub(crate) fn keep(&self, text: &str) {
        self.said.lock().expect("no test holds it while it fails").push_str(text);
    }

    /// Everything that was kept.
    pub(crate) fn said(&self) -> String {
        self.said.lock().expect("no test holds it while it fails").clone()
    }

    /// The kubeconfig of the cluster.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The client, ready to be started.
    pub(crate) fn kubectl_command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut kubectl = Command::new(devcluster::tool(devcluster::Tool::Kubectl).expect("kubectl"));
        kubectl.env("KUBECONFIG", &self.kubeconfig).args(arguments).stdin(Stdio::null());
        kubectl
    }

    /// Runs kubectl, which must end with 0.
    pub(crate) fn kubectl<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        let output = self.kubectl_command(arguments).output().expect("kubectl starts");
        assert!(output.status.success(), "kubectl: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Adds a node that is Ready: a control plane has no kubelet that would bring one, and runs no pod that would need it.
    /// It carries the devcluster's label, without which nothing would be changed unasked.
    pub(crate) fn add_node(&self) {
        let node = r#"{"apiVersion": "v1", "kind": "Node",
            "metadata": {"name": "none", "labels": {"bootstrap.internal/devcluster": "control-plane"}}}"#;
        self.apply(node, &[]);
        self.mark_ready("none");
    }

    /// Says of a node that it is Ready.
    pub(crate) fn mark_ready(&self, node: &str) {
        let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#;
        self.kubectl(["patch", "node", node, "--subresource=status", "--type=merge", "-p", ready]);
    }

    /// Waits until an object is there.
    pub(crate) fn await_object(&self, object: &str, namespace: &str) {
        self.kubectl(["wait", "--for=create", "--timeout=60s", "-n", namespace, object]);
    }

    /// Applies a manifest with kubectl.
    pub(crate) fn apply(&self, manifest: &str, more: &[&str]) {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), manifest).expect("written");
        let file = file.path().to_str().expect("a path");
        self.kubectl(["apply", "-f", file].iter().chain(more));
    }

    /// One field of an object, by JSON path.
    pub(crate) fn field(&self, object: &str, path: &str) -> String {
        let mut arguments = vec!["get"];
        arguments.extend(object.split(' '));
        let output = format!("-o=jsonpath={{{path}}}");
        arguments.push(&output);
        self.kubectl(arguments)
    }
}

/// The folder of charts for machines without a chart repository.
pub(crate) fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts")
}
