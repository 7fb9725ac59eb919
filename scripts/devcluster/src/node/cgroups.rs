//! The cgroups of a cluster: one folder in every hierarchy, of version 1 or 2, with one for each node in it.
//! With one for all, each kubelet would end the pods of the others.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use crate::node::Node;

const PAUSE: Duration = Duration::from_millis(20);
/// A killed process leaves its cgroup a moment after it is gone.
const EMPTY_DEADLINE: Duration = Duration::from_mins(1);

/// Name of a cluster's folder, below the root of each hierarchy.
fn name(cluster: &str) -> String {
    format!("bootstrap-devcluster-{cluster}")
}

/// The folder in which a node's kubelet makes its own, as a path from the root of a hierarchy.
pub(crate) fn of_node(cluster: &str, node: &str) -> String {
    format!("/{}/{node}", name(cluster))
}

/// Makes the cgroups of a cluster and of its nodes.
pub(crate) fn create(cluster: &str, nodes: &[Node]) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name(cluster));
        create_below(&hierarchy, &folder)?;
        nodes.iter().try_for_each(|node| create_below(&folder, &folder.join(&node.name)))?;
    }
    Ok(())
}

fn create_below(parent: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("failed to create {}", folder.display()))?;
    enable_controllers(parent);
    // Version 1 gives a new cpuset neither processors nor memory, and then no process may enter it.
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let Ok(value) = fs::read(parent.join(file)) {
            fs::write(folder.join(file), value)?;
        }
    }
    Ok(())
}

/// Version 2 hands a controller down only where it is told to; the kubelet wants them all. Most are on already, and one
/// that cannot be is named by the kubelet, which knows whether it needs it.
fn enable_controllers(folder: &Path) {
    let controllers = fs::read_to_string(folder.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        drop(fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}")));
    }
}

/// Removes a cluster's cgroups and all below them.
pub(crate) fn remove(cluster: &str) -> Result<()> {
    let deadline = Instant::now() + EMPTY_DEADLINE;
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name(cluster));
        while folder.exists() {
            match remove_tree(&folder) {
                Err(error) if Instant::now() > deadline => {
                    bail!("failed to remove {}: {error}", folder.display())
                }
                Err(_) => thread::sleep(PAUSE),
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

/// The files in a cgroup are the kernel's and go with it; only folders can be removed, the inner ones first.
fn remove_tree(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(folder)
}

/// Where the hierarchies are mounted.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    Ok(mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let (place, kind) = (fields.next()?, fields.next()?);
            matches!(kind, "cgroup" | "cgroup2").then(|| PathBuf::from(place))
        })
        .collect())
}
