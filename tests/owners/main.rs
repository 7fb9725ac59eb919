//! What other programs read, checked by those programs: promtool, Loki, Alloy's parser, both helms, prometheus-adapter, and
//! API servers of the oldest and the newest Kubernetes that `bootstrap` works with.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use bootstrap::plan::{Plan, Selection};
use bootstrap::stack::Stack;
use devcluster::{ControlPlane, Options, Tool, Version};
use serde_json::Value;

mod adapter;
mod charts;
mod files;
mod rights;
mod servers;
#[path = "../support/mod.rs"]
mod support;
mod unchangeable;

/// A server of the version that everything else here is.
static NEWEST: LazyLock<ControlPlane> = LazyLock::new(|| start(Version::Newest));
/// A server of the version below which `bootstrap` refuses to work.
static OLDEST: LazyLock<ControlPlane> = LazyLock::new(|| start(Version::Oldest));

fn start(version: Version) -> ControlPlane {
    let options = Options { version, ..Options::default() };
    ControlPlane::start_with(&options).expect("a control plane")
}

/// The built-in stack.
pub(crate) fn plan() -> Plan {
    let stack = Stack::embedded().expect("the embedded stack is valid");
    Plan::new(&stack, &Selection::default()).expect("a plan")
}

/// A file of the built-in stack.
pub(crate) fn manifest(path: &str) -> PathBuf {
    root().join("manifests").join(path)
}

/// The checkout.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads what a program printed.
pub(crate) fn objects(name: &str, text: &str) -> Vec<Value> {
    let found = bootstrap::yaml::documents(name, text).expect("YAML");
    found.into_iter().map(|document| document.value).collect()
}

/// Runs a program, which must end with 0 and leave its home and its folder as empty as they were; gives what it printed.
pub(crate) fn succeed<A: AsRef<OsStr>>(tool: Tool, arguments: impl IntoIterator<Item = A>) -> String {
    let program = devcluster::tool(tool).expect("built");
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(program)
        .args(arguments)
        .current_dir(&folder)
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {stdout}{stderr}", tool.name());
    let left: Vec<_> = folder.path().read_dir().expect("a folder").collect();
    assert!(left.is_empty(), "{} has written {left:?}", tool.name());
    stdout.into_owned()
}
