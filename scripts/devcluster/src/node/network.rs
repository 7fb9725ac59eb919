//! The link between a node and its host: a pair of interfaces and a network that nothing else here uses.
//! The host's end goes with the node's; no route, rule or setting of the host is touched.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

use crate::process::run;

const GUARD: &str = "/var/lib";

/// The network of one node: `10.99.N.0/24`, the host at .1, the node at .2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subnet(u8);

impl Subnet {
    /// Chooses one of which no interface of the host has an address, and keeps others from choosing until it is
    /// [connected](connect) and the guard is dropped.
    pub(crate) fn choose() -> Result<(Self, File)> {
        // A lock on a folder that is always there leaves nothing behind.
        let guard = File::open(GUARD)?;
        guard.lock()?;
        let taken = run(Command::new("ip").args(["-4", "-oneline", "address", "show"]))?;
        let free = (0..=u8::MAX).map(Self).find(|subnet| !taken.contains(&format!(" {}/", subnet.host())));
        Ok((free.context("every network of 10.99.0.0/16 is in use")?, guard))
    }

    pub(crate) fn host(self) -> String {
        format!("10.99.{}.1", self.0)
    }

    pub(crate) fn node(self) -> String {
        format!("10.99.{}.2", self.0)
    }
}

/// Name of the host's end. The kernel takes 15 characters at most; a node's name has up to 12.
fn link_name(node: &str) -> String {
    format!("dc-{node}")
}

/// Connects the host and the node whose first process is `init`.
pub(crate) fn connect(node: &str, subnet: Subnet, init: Pid) -> Result<()> {
    let (link, init) = (link_name(node), init.as_raw_nonzero().to_string());
    let address = format!("{}/24", subnet.host());
    ip(&["link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &init])?;
    ip(&["address", "add", &address, "dev", &link])?;
    ip(&["link", "set", &link, "up"])
}

/// Takes the host's end away, if the kernel has not yet.
pub(crate) fn disconnect(node: &str) -> Result<()> {
    let link = link_name(node);
    match ip(&["link", "delete", &link]) {
        Err(error) if is_connected(node) => Err(error),
        _ => Ok(()),
    }
}

/// Tells whether the host's end is there.
pub(crate) fn is_connected(node: &str) -> bool {
    Path::new("/sys/class/net").join(link_name(node)).exists()
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
