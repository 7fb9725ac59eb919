//! Bad input, from the stack to the terminal: the command answers within five seconds, with its exit code and one error that
//! says what is wrong, and changes nothing.

use std::io::Write as _;
use std::path::Path;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use devcluster::{ControlPlane, Options};

use crate::support::{Bench, Ran};

mod charts;
mod kubeconfigs;
mod logins;
mod options;
mod registry;
mod servers;
mod stacks;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod terminals;
mod traps;

/// One control plane for all tests that need one; it ends with this process.
static CLUSTER: LazyLock<ControlPlane> = LazyLock::new(|| {
    let cluster = ControlPlane::start_with(&Options::default()).expect("a control plane");
    let bench = Bench::new(&cluster.kubeconfig());
    bench.add_node();
    // What the API server makes by itself must not look like a change.
    for (kind, name) in SERVERS_OWN {
        bench.await_object(&format!("{kind}/{name}"), "kube-system");
    }
    cluster
});

/// What an API server makes after it is ready; its lease it renews, so that is left aside.
const SERVERS_OWN: [(&str, &str); 5] = [
    ("namespace", "default"),
    ("namespace", "kube-public"),
    ("namespace", "kube-node-lease"),
    ("configmap", "extension-apiserver-authentication"),
    ("configmap", "kube-apiserver-legacy-service-account-token-tracking"),
];

/// Held by whoever looks whether the cluster is as it was, and by whoever changes it.
static TURN: Mutex<()> = Mutex::new(());

/// How long the command may take to say no.
const PATIENCE: Duration = Duration::from_secs(5);

/// A ConfigMap, for stacks that are well.
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {key: value}\n";

/// Does something that changes the cluster.
pub(crate) fn changing<T>(work: impl FnOnce(&Bench) -> T) -> T {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    work(&Bench::new(&CLUSTER.kubeconfig()))
}

/// Does something that must leave the cluster as it was.
pub(crate) fn unchanged<T>(work: impl FnOnce(&Bench) -> T) -> T {
    changing(|bench| {
        let before = holdings(bench);
        let result = work(bench);
        assert_eq!(holdings(bench), before, "the cluster was changed");
        result
    })
}

/// What the command would begin with: namespaces, ConfigMaps, leases.
fn holdings(bench: &Bench) -> String {
    let columns = "-o=custom-columns=:.kind,:.metadata.namespace,:.metadata.name,:.metadata.uid,:.metadata.generation,:.data";
    let others = "--selector=!apiserver.kubernetes.io/identity";
    bench.kubectl(["get", "namespaces,configmaps,leases", "-A", "--no-headers", others, columns])
}

/// The command without a cluster that it could ask.
pub(crate) fn nowhere() -> Bench {
    Bench::new(Path::new("/nowhere/kubeconfig"))
}

/// A folder with a stack of one step, which has this manifest.
pub(crate) fn stack(name: &str, manifest: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let text =
        format!("name: {name}\nnamespace: {name}\nsteps:\n  - {{name: main, manifests: [main.yaml]}}\n");
    std::fs::write(folder.path().join("stack.yaml"), text).expect("written");
    std::fs::write(folder.path().join("main.yaml"), manifest).expect("written");
    folder
}

/// Runs `up` on the stack of a folder.
pub(crate) fn up(bench: &Bench, stack: &Path, more: &[&str]) -> Ran {
    in_time(|| bench.run(&[&["up", "--stack", path(stack)], more].concat()))
}

/// Runs a command that has to answer in time. One that does not may only have had a busy machine, so it is run once more.
pub(crate) fn in_time(mut run: impl FnMut() -> Ran) -> Ran {
    let first = run();
    if first.took < PATIENCE {
        return first;
    }
    // Not by a macro: the harness would swallow it.
    writeln!(std::io::stderr(), "SLOW {:?}: {}", first.took, first.stderr).expect("stderr");
    let second = run();
    assert_eq!(second.code, first.code, "it ends in another way:\n{}", second.stderr);
    second
}

pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("a path of letters")
}

/// Asserts that the command has refused: in time, with its exit code, one error, one hint at most, and these words.
pub(crate) fn assert_refused(ran: &Ran, code: i32, words: &[&str]) {
    if let Err(complaint) = refused(ran, code, words) {
        panic!("{complaint}\n{}{}", ran.stdout, ran.stderr);
    }
}

pub(crate) fn refused(ran: &Ran, code: i32, words: &[impl AsRef<str>]) -> Result<(), String> {
    let lines_with = |head: &str| ran.stderr.lines().filter(|line| line.starts_with(head)).count();
    let unsaid = words.iter().map(AsRef::as_ref).find(|words| !ran.stderr.contains(words));
    if ran.code != code {
        Err(format!("it ended {}, not {code}", ran.code))
    } else if ran.took >= PATIENCE {
        Err(format!("it took {:?}", ran.took))
    } else if lines_with("error: ") != 1 || lines_with("hint: ") > 1 {
        Err("not one error, and one hint at most".to_owned())
    } else if let Some(unsaid) = unsaid {
        Err(format!("it does not say {unsaid:?}"))
    } else {
        Ok(())
    }
}
