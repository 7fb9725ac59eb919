//! One machine of a cluster: kubelet, containerd and kube-proxy in namespaces of its own, held by one process.

use std::path::Path;

use anyhow::Result;

use crate::node::layout::Layout;

pub(crate) mod cgroups;
pub(crate) mod debian;
pub(crate) mod images;
pub(crate) mod layout;
pub(crate) mod load;
pub(crate) mod network;
pub(crate) mod packages;
pub(crate) mod pinned;
pub(crate) mod recipe;
pub(crate) mod reference;
pub(crate) mod registry;
pub(crate) mod runtime;
#[cfg(target_os = "linux")]
pub(crate) mod sandbox;
#[cfg(not(target_os = "linux"))]
#[path = "node/sandbox_elsewhere.rs"]
pub(crate) mod sandbox;
pub(crate) mod services;

/// One machine, which may run or not.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) name: String,
    /// Where it stands among the nodes of its cluster, counted from 0.
    pub(crate) place: u8,
    pub(crate) layout: Layout,
}

impl Node {
    /// Names one of a cluster's nodes: the first like the cluster, the others `NAME-2`, `NAME-3` and so on.
    pub(crate) fn new(cluster: &str, place: u8, folder: &Path) -> Self {
        let name = if place == 0 { cluster.to_owned() } else { format!("{cluster}-{}", place + 1) };
        let layout = Layout::new(folder.join("nodes").join(&name));
        Self { name, place, layout }
    }

    /// Tells whether the control plane runs on it.
    pub(crate) fn is_first(&self) -> bool {
        self.place == 0
    }

    pub(crate) fn runs(&self) -> Result<bool> {
        Ok(sandbox::find(&self.layout)?.is_some())
    }
}
