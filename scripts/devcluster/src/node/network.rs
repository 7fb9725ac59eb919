//! The networks of a cluster: one Ethernet for the host and all nodes, and one for the pods of each node.
//! All of it but the host's end of one link is within the nodes' namespaces and goes with them, and that end goes with the
//! other; no route, rule or setting of the host is touched.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use rustix::process::Pid;

use crate::node::Node;
use crate::process::run;

/// The network of all pods, k3s's own.
pub(crate) const POD_NETWORK: &str = "10.42.0.0/16";
const GUARD: &str = "/var/lib";

/// The network of one cluster: `10.99.N.0/24`, the host at .1, its nodes from .2 on.
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

    pub(crate) fn node(self, place: u8) -> String {
        format!("10.99.{}.{}", self.0, place + 2)
    }

    /// The script by which a node's first process sets the network up, once it has its links.
    pub(crate) fn script(self, node: &Node, nodes: &[Node]) -> String {
        let links = links(node, nodes);
        let wait = |link: &String| format!("until ip link show {link} > /dev/null 2>&1; do sleep 0.02; done");
        let mut script: Vec<_> = links.iter().map(wait).collect();
        if node.is_first() {
            script.push("ip link add eth0 type bridge".into());
            script.extend(links.iter().map(|link| format!("ip link set {link} master eth0 up")));
        }
        script.push(format!("ip address add {}/24 dev eth0", self.node(node.place)));
        script.push("ip link set eth0 up".into());
        script.push(format!("ip route add default via {}", self.host()));
        for other in nodes.iter().filter(|other| other.place != node.place) {
            script.push(format!("ip route add {} via {}", pods(other.place), self.node(other.place)));
        }
        script.push("echo 1 > /proc/sys/net/ipv4/ip_forward".into());
        // Pods know each other by their own addresses, whatever node they are on.
        let pods = pods(node.place);
        script.push(format!("iptables -t nat -A POSTROUTING -s {pods} ! -d {POD_NETWORK} -j MASQUERADE"));
        script.join("\n") + "\n"
    }
}

/// The network of a node's pods.
pub(crate) fn pods(place: u8) -> String {
    format!("10.42.{place}.0/24")
}

/// The links of a node, by their names in its namespace. In the first all others and the host meet.
fn links(node: &Node, nodes: &[Node]) -> Vec<String> {
    if !node.is_first() {
        return vec!["eth0".into()];
    }
    let others = nodes.iter().filter(|other| !other.is_first());
    [HOST_PORT.to_owned()].into_iter().chain(others.map(port)).collect()
}

/// Name of the first node's end of the link to the host.
const HOST_PORT: &str = "host";

/// Name of the first node's end of the link to another.
fn port(other: &Node) -> String {
    format!("node-{}", other.place + 1)
}

/// Name of the host's end. The kernel takes 15 characters at most; a cluster's name has up to 12.
fn link_name(cluster: &str) -> String {
    format!("dc-{cluster}")
}

/// Links the first node with the host and with each other node; each is given with its first process.
pub(crate) fn connect(cluster: &str, subnet: Subnet, nodes: &[(&Node, Pid)]) -> Result<()> {
    let [(_, first), others @ ..] = nodes else { return Ok(()) };
    let namespace = |init: &Pid| init.as_raw_nonzero().to_string();
    let (link, first) = (link_name(cluster), namespace(first));
    let address = format!("{}/24", subnet.host());
    ip(&["link", "add", &link, "type", "veth", "peer", "name", HOST_PORT, "netns", &first])?;
    ip(&["address", "add", &address, "dev", &link])?;
    ip(&["link", "set", &link, "up"])?;
    others.iter().try_for_each(|(node, init)| {
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace(init)];
        ip(&[&["link", "add", "name", &port(node), "netns", &first][..], &peer].concat())
    })
}

/// Takes the host's end away, if the kernel has not yet.
pub(crate) fn disconnect(cluster: &str) -> Result<()> {
    let link = link_name(cluster);
    match ip(&["link", "delete", &link]) {
        Err(error) if is_connected(cluster) => Err(error),
        _ => Ok(()),
    }
}

/// Tells whether the host's end is there.
pub(crate) fn is_connected(cluster: &str) -> bool {
    Path::new("/sys/class/net").join(link_name(cluster)).exists()
}

/// The address of the host's end, which all nodes reach.
pub(crate) fn host_address(cluster: &str) -> Result<Ipv4Addr> {
    let shown =
        run(Command::new("ip").args(["-4", "-oneline", "address", "show", "dev", &link_name(cluster)]))?;
    let address = shown.split_whitespace().find_map(|word| word.split_once('/')?.0.parse().ok());
    address.with_context(|| format!("the host has no link to {cluster}"))
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments)).map(drop)
}
