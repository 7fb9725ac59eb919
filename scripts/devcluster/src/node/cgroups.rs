//! The cgroups of a node: one folder in every hierarchy, of version 1 or 2, under which the kubelet makes its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

const PAUSE: Duration = Duration::from_millis(20);
/// A killed process leaves its cgroup a moment after it is gone.
const EMPTY_DEADLINE: Duration = Duration::from_secs(10);

/// Name of a node's folder, below the root of each hierarchy.
pub(crate) fn name(node: &str) -> String {
    format!("bootstrap-devcluster-{node}")
}

/// Makes a node's cgroups.
pub(crate) fn create(node: &str) -> Result<()> {
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name(node));
        fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        enable_controllers(&hierarchy);
        // Version 1 gives a new cpuset neither processors nor memory, and then no process may enter it.
        for file in ["cpuset.cpus", "cpuset.mems"] {
            if let Ok(value) = fs::read(hierarchy.join(file)) {
                fs::write(folder.join(file), value)?;
            }
        }
    }
    Ok(())
}

/// Version 2 hands a controller down only where it is told to; the kubelet wants them all. Most are on already, and one
/// that cannot be is named by the kubelet, which knows whether it needs it.
fn enable_controllers(hierarchy: &Path) {
    let controllers = fs::read_to_string(hierarchy.join("cgroup.controllers")).unwrap_or_default();
    for controller in controllers.split_whitespace() {
        drop(fs::write(hierarchy.join("cgroup.subtree_control"), format!("+{controller}")));
    }
}

/// Removes a node's cgroups and all below them.
pub(crate) fn remove(node: &str) -> Result<()> {
    let deadline = Instant::now() + EMPTY_DEADLINE;
    for hierarchy in hierarchies()? {
        let folder = hierarchy.join(name(node));
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
