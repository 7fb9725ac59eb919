//! The command against a real API server without a kubelet: ownership, conflicts, locking, and what a user is told when it
//! cannot work.

use std::path::Path;
use std::sync::LazyLock;

use devcluster::ControlPlane;

use crate::support::{Bench, Ran};

mod ownership;
mod refusals;
mod runs;
#[path = "../support/mod.rs"]
mod support;

/// One control plane for all tests, each of which has a stack and a namespace of its own; it ends with this process.
static CLUSTER: LazyLock<ControlPlane> = LazyLock::new(|| {
    let cluster = ControlPlane::start().expect("a control plane");
    let bench = Bench::new(&cluster.kubeconfig());
    // There is no kubelet that would bring one, and nothing here needs it to run a pod.
    let node = r#"{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "none"}}"#;
    bench.apply(node, &[]);
    let ready = r#"{"status": {"conditions": [{"type": "Ready", "status": "True"}]}}"#;
    bench.kubectl(["patch", "node", "none", "--subresource=status", "--type=merge", "-p", ready]);
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
        let folder = tempfile::tempdir().expect("a folder");
        let scene = Self { bench: Bench::new(&CLUSTER.kubeconfig()), folder, namespace: name };
        scene.write(
            "stack.yaml",
            &format!("name: {name}\nnamespace: {name}\nsteps:\n  - {{name: main, manifests: [main.yaml]}}\n"),
        );
        scene.write("main.yaml", manifests);
        scene
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        std::fs::write(self.folder.path().join(file), text).expect("written");
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a verb on the stack.
    pub(crate) fn run(&self, verb: &str, more: &[&str]) -> Ran {
        let mut arguments = vec![verb, "--stack", self.folder.path().to_str().expect("a path")];
        arguments.extend(more);
        self.bench.run(&arguments)
    }

    /// Runs a verb on the stack, which must end with 0.
    pub(crate) fn succeed(&self, verb: &str, more: &[&str]) -> Ran {
        let ran = self.run(verb, more);
        assert_eq!(ran.code, 0, "{verb} ended {}:\n{}", ran.code, ran.stderr);
        ran
    }

    /// Runs kubectl in the stack's namespace.
    pub(crate) fn kubectl(&self, arguments: &[&str]) -> String {
        self.bench.kubectl(["-n", self.namespace].iter().chain(arguments))
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
