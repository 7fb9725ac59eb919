//! What a test does to a cluster that runs: stops a kubelet, restarts the API server, puts a registry in its way.

use std::fs;
use std::net::Ipv4Addr;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::cluster::Cluster;
use crate::node::services::REGISTRIES;
use crate::node::{Node, network, sandbox};

impl Cluster {
    /// The address of this machine as the nodes reach it, and nobody else.
    ///
    /// # Errors
    /// When the cluster is not up.
    pub fn host_address(&self) -> Result<Ipv4Addr> {
        network::host_address(&self.name)
    }

    /// Has every node pull the images of a registry from elsewhere, such as `http://10.99.0.1:5000`.
    ///
    /// # Errors
    /// When the file that says so cannot be written.
    pub fn redirect_registry(&self, registry: &str, url: &str) -> Result<()> {
        for node in self.nodes() {
            let folder = node.layout.path(REGISTRIES).join(registry);
            fs::create_dir_all(&folder)?;
            let text =
                format!("server = \"{url}\"\n\n[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n");
            fs::write(folder.join("hosts.toml"), text)?;
        }
        Ok(())
    }

    /// Stops the kubelet of a node where it stands; its pods go on, and the cluster hears no more of it.
    ///
    /// # Errors
    /// When there is no such node, or it does not run.
    pub fn stop_kubelet(&self, node: &str) -> Result<()> {
        sandbox::signal(&self.node(node)?, "kubelet", Signal::STOP)
    }

    /// Lets a kubelet that was stopped go on.
    ///
    /// # Errors
    /// When there is no such node, or it does not run.
    pub fn continue_kubelet(&self, node: &str) -> Result<()> {
        sandbox::signal(&self.node(node)?, "kubelet", Signal::CONT)
    }

    /// Kills the API server, which the first node then starts anew: for some seconds nobody answers.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill_api_server(&self) -> Result<()> {
        sandbox::signal(&self.first(), "kube-apiserver", Signal::KILL)
    }

    fn node(&self, name: &str) -> Result<Node> {
        let mut nodes = self.nodes().into_iter();
        nodes.find(|node| node.name == name).with_context(|| format!("{} has no node {name}", self.name))
    }
}
