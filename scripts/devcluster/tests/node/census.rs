//! Everything on this machine that a node could leave behind, counted.
//! Other clusters may come and go beside the test: what bears another node's name is not looked at.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

/// Where programs of a node might write by default.
const FOLDERS: [&str; 9] = [
    "/run",
    "/etc",
    "/opt",
    "/var/lib",
    "/var/log",
    "/var/openebs",
    "/var/cache",
    "/usr/libexec/kubernetes",
    "/sys/fs/cgroup",
];
/// What there is, each thing a line that begins with its kind.
#[derive(Debug)]
pub(crate) struct Census(BTreeSet<String>);

impl Census {
    pub(crate) fn take(node: &str, state: &Path) -> Self {
        let mut found = BTreeSet::new();
        let mut count = |kind: &str, things: BTreeSet<String>| {
            let ours = things.into_iter().filter(|thing| !belongs_to_another(thing, node));
            found.extend(ours.map(|thing| format!("{kind} {thing}")));
        };
        let mut files = BTreeSet::new();
        for folder in FOLDERS {
            list(Path::new(folder), &mut files);
        }
        count("file", files);
        count("file", BTreeSet::from_iter(state.exists().then(|| state.display().to_string())));
        count("process", processes_of_node(state).iter().map(|process| format!("{process:?}")).collect());
        count("mount", lines(&fs::read_to_string("/proc/self/mounts").expect("proc")));
        count("link", lines(&said("ip", &["-brief", "address"])));
        count("network namespace", lines(&said("ip", &["netns", "list"])));
        count("route", lines(&said("ip", &["route"])));
        count("packet filter", rules());
        count("ip_forward", lines(&fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("proc")));
        Self(found)
    }

    /// Names what came and what went since an earlier one.
    pub(crate) fn since(&self, before: &Self) -> Vec<String> {
        let came = self.0.difference(&before.0).map(|thing| format!("+ {thing}"));
        came.chain(before.0.difference(&self.0).map(|thing| format!("- {thing}"))).collect()
    }
}

/// Tells a thing of another node by the names that nodes give their links, cgroups and folders.
fn belongs_to_another(thing: &str, node: &str) -> bool {
    let link = thing.split_whitespace().find_map(|word| word.strip_prefix("dc-"));
    let cgroup = thing.split_once("/bootstrap-devcluster-").map(|(_, name)| name);
    let named = link.or(cgroup).is_some_and(|name| !name.starts_with(node));
    named || thing.starts_with("/var/lib/bootstrap-devcluster")
}

/// A process of the node's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pub(crate) id: i32,
    pub(crate) program: String,
}

impl Process {
    pub(crate) fn kill(&self) {
        // It may be gone by itself: the end of one ends others.
        let _ = kill_process(Pid::from_raw(self.id).expect("not 0"), Signal::KILL);
    }
}

/// Lists the processes that name the node's folder, and those in the process namespaces that these are in.
pub(crate) fn processes_of_node(state: &Path) -> Vec<Process> {
    let own = fs::read_link("/proc/self/ns/pid").expect("proc");
    let state = state.display().to_string();
    let all: Vec<_> = fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let id: i32 = path.file_name()?.to_str()?.parse().ok()?;
            let arguments = fs::read_to_string(path.join("cmdline")).ok()?;
            let namespace = fs::read_link(path.join("ns/pid")).ok()?;
            Some((id, arguments, namespace))
        })
        .collect();
    // The test's own commands name the folder too, but by an option.
    let named = |arguments: &str| arguments.contains(&state) && !arguments.contains("--state-dir");
    let namespaces: BTreeSet<_> = all
        .iter()
        .filter(|(_, arguments, namespace)| named(arguments) && *namespace != own)
        .map(|(_, _, namespace)| namespace.clone())
        .collect();
    all.into_iter()
        .filter(|(_, arguments, namespace)| named(arguments) || namespaces.contains(namespace))
        .filter_map(|(id, arguments, _)| {
            let program = Path::new(arguments.split('\0').next()?).file_name()?.to_str()?.to_owned();
            Some(Process { id, program })
        })
        .collect()
}

fn list(folder: &Path, found: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let path = entry.path();
        let name = path.display().to_string();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(&path, found);
        }
        found.insert(name);
    }
}

/// The rules without their counters; nothing where they cannot be read.
fn rules() -> BTreeSet<String> {
    let output = Command::new("iptables-save").output().ok().filter(|output| output.status.success());
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().filter(|line| line.starts_with('-')).map(str::to_owned).collect()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().expect(program);
    assert!(output.status.success(), "{program} {arguments:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}
