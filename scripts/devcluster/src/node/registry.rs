//! Whether a registry answers: one connection attempt with a short deadline, made from the host, not from the node.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// A resolver that nobody answers takes far longer by itself.
const DEADLINE: Duration = Duration::from_secs(3);

/// Tries to reach a registry, through the proxy that the environment names, if any.
pub(crate) fn probe(registry: &str) -> Result<()> {
    let target = endpoint(registry);
    let proxy = ["HTTPS_PROXY", "https_proxy"].iter().find_map(|name| std::env::var(name).ok());
    let (sender, receiver) = mpsc::channel();
    // Looking up a name cannot be given a deadline; the thread that does is left behind if it takes too long.
    thread::spawn(move || {
        let outcome = match proxy.filter(|proxy| !proxy.is_empty()) {
            Some(proxy) => through(&proxy, &target),
            None => connect(&target).map(drop),
        };
        drop(sender.send(outcome));
    });
    receiver.recv_timeout(DEADLINE).with_context(|| format!("no answer within {} s", DEADLINE.as_secs()))?
}

fn endpoint(registry: &str) -> String {
    // Docker's registry is not where its references say.
    let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
    if host.contains(':') { host.to_owned() } else { format!("{host}:443") }
}

fn connect(target: &str) -> Result<TcpStream> {
    let address = target.to_socket_addrs()?.next().context("the name has no address")?;
    Ok(TcpStream::connect_timeout(&address, DEADLINE)?)
}

/// Asks a proxy for a connection, as ctr will.
fn through(proxy: &str, target: &str) -> Result<()> {
    let proxy = proxy.split_once("://").map_or(proxy, |(_, rest)| rest).trim_end_matches('/');
    let proxy = proxy.rsplit_once('@').map_or(proxy, |(_, host)| host);
    let mut stream = connect(proxy)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    write!(stream, "CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if !answer.ends_with(b"200") {
        bail!("the proxy answers {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}
