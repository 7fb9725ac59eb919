//! The command against a real API server without a kubelet: ownership, conflicts, locking, and what a user is told when it
//! cannot work.

use std::path::Path;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::time::Instant;

use devcluster::{ControlPlane, Options, Tool};

use crate::support::{Bench, Ran};

mod check;
mod consent;
mod data;
mod gate;
mod leaving;
mod moves;
mod outage;
mod ownership;
mod plan;
mod refusals;
mod replace;
mod reports;
mod rights;
mod rotation;
mod runs;
#[path = "../support/mod.rs"]
mod support;
mod verify;
mod watched;

/// One control plane for all tests, each of which has a stack and a namespace of its own; it ends with this process.
static CLUSTER: LazyLock<ControlPlane> = LazyLock::new(|| {
    // The controllers are wanted for what is deleted: namespaces, and what belongs to something.
    let options = Options { controllers: true, ..Options::default() };
    let cluster = ControlPlane::start_with(&options).expect("a control plane");
    Bench::new(&cluster.kubeconfig()).add_node();
    cluster
});

/// A stack in a folder of its own, and the cluster that it goes to.
pub(crate) struct Scene {
    pub(crate) bench: Bench,
    folder: tempfile::TempDir,
    pub(crate) namespace: &'static str,
}

impl Scene {
    /// A stack of this name, in a namespace of the same name, with one step `main` that has these manifests.
    pub(crate) fn new(name: &'static str, manifests: &str) -> Self {
        Self::on(&CLUSTER, name, manifests)
    }

    /// The same on a control plane of its own.
    pub(crate) fn on(cluster: &ControlPlane, name: &'static str, manifests: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let scene = Self { bench: Bench::new(&cluster.kubeconfig()), folder, namespace: name };
        scene.write("stack.yaml", &scene.stack());
        scene.write("main.yaml", manifests);
        scene
    }

    /// The stack with its one step.
    pub(crate) fn stack(&self) -> String {
        let name = self.namespace;
        format!("name: {name}\nnamespace: {name}\nsteps:\n  - {{name: main, manifests: [main.yaml]}}\n")
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().expect("the folder")).expect("a folder");
        std::fs::write(path, text).expect("written");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a verb on the stack.
    pub(crate) fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let began = Instant::now();
        self.bench.finish(self.start(verb, more), began)
    }

    /// Starts a verb on the stack and leaves it running.
    pub(crate) fn start(&self, verb: &str, more: &[&str]) -> Child {
        let mut arguments = vec![verb, "--stack", self.folder.path().to_str().expect("a path")];
        arguments.extend(more);
        self.bench.start(&arguments)
    }

    /// Waits until an object is there in the stack's namespace.
    pub(crate) fn await_object(&self, object: &str) {
        self.bench.await_object(object, self.namespace);
    }

    /// Runs a verb on the stack, which must end with 0.
    pub(crate) fn succeed(&self, verb: &str, more: &[&str]) -> Ran {
        self.end(0, verb, more)
    }

    /// Runs a verb on the stack, which must end with this exit code.
    pub(crate) fn end(&self, code: i32, verb: &str, more: &[&str]) -> Ran {
        let ran = self.run(verb, more);
        assert_eq!(
            ran.code,
            code,
            "{verb} {} ended {}:\n{}{}",
            more.join(" "),
            ran.code,
            ran.stdout,
            ran.stderr
        );
        ran
    }

    /// Runs kubectl in the stack's namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.bench.kubectl(["-n", self.namespace].iter().chain(arguments))
    }

    /// Runs helm, as somebody else does, in the stack's namespace.
    pub(crate) fn helm(&self, arguments: &[&str]) {
        let mut helm = Command::new(devcluster::tool(Tool::Helm).expect("helm"));
        helm.env("KUBECONFIG", self.bench.kubeconfig()).args(["--namespace", self.namespace]).args(arguments);
        let output = helm.output().expect("helm starts");
        assert!(output.status.success(), "helm: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// A field of an object in the stack's namespace.
    pub(crate) fn field(&self, object: &str, path: &str) -> String {
        self.bench.field(&format!("{object} -n {}", self.namespace), path)
    }
}

/// A ConfigMap with one key.
pub(crate) fn config_map(name: &str, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata: {{key: {value}}}\n---\n")
}

/// Tells whether each of these is in what the command said.
pub(crate) fn assert_says(ran: &Ran, words: &[&str]) {
    for word in words {
        assert!(ran.stderr.contains(word), "it does not say {word:?}:\n{}", ran.stderr);
    }
}
