//! Where everything of a node lies, outside and inside of it. One folder in its cluster's holds it all, and goes with that.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// The state folder as the node's own processes see it.
pub(crate) const INSIDE: &str = "/run/devcluster";

/// The state folder of one node.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    root: PathBuf,
}

impl Layout {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A file or folder, as it is reached from outside.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The socket of containerd.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// Makes the folders that the node's processes expect.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in ["bin", "cni", "log", "pki", "services", "var/lib", "var/log", "var/tmp"] {
            let folder = self.path(folder);
            fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        Ok(std::os::unix::fs::symlink("/run", self.path("var/run"))?)
    }

    /// Puts a program where the node sees it, whatever becomes of the cache; without a copy where that can be.
    pub(crate) fn place(&self, program: &Path) -> Result<()> {
        let folder = self.path("bin");
        let name = program.file_name().context("a program has a name")?;
        let original = program.canonicalize()?;
        let original_name = original.file_name().context("a program has a name")?;
        let placed = folder.join(original_name);
        if !placed.exists() && fs::hard_link(&original, &placed).is_err() {
            fs::copy(&original, &placed).with_context(|| format!("failed to copy {}", original.display()))?;
        }
        if name != original_name {
            std::os::unix::fs::symlink(original_name, folder.join(name))?;
        }
        Ok(())
    }
}

/// Removes the folder of a cluster with all in it, but never what somebody has mounted there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    if let Some(place) = places.map(Path::new).find(|place| place.starts_with(folder)) {
        bail!("{} is a mount that is not the cluster's; unmount it first", place.display());
    }
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}
