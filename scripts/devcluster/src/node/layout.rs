//! Where everything of a node lies, outside and inside of it. One folder holds it all, and goes with it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

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

    /// The script that the node's first process runs; by this name that process is known.
    pub(crate) fn init(&self) -> PathBuf {
        self.path("init.sh")
    }

    /// The socket of containerd.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("containerd.sock")
    }

    /// The administrator's client configuration.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.path("kubeconfig")
    }

    /// Makes the folders that the node's processes expect.
    pub(crate) fn create(&self) -> Result<()> {
        for folder in ["bin", "cni", "etcd", "log", "services", "var/lib", "var/log", "var/tmp"] {
            let folder = self.path(folder);
            fs::create_dir_all(&folder).with_context(|| format!("failed to create {}", folder.display()))?;
        }
        std::os::unix::fs::symlink("/run", self.path("var/run"))?;
        // etcd refuses a folder that others may enter, and its socket needs no other guard.
        fs::set_permissions(self.path("etcd"), std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(())
    }
}
