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
    // Nobody asks a proxy for the machine itself.
    let proxy = proxy.filter(|proxy| !proxy.is_empty() && !is_loopback(registry));
    let (sender, receiver) = mpsc::channel();
    // Looking up a name cannot be given a deadline; the thread that does is left behind if it takes too long.
    thread::spawn(move || {
        let outcome = match proxy {
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

fn is_loopback(registry: &str) -> bool {
    registry.starts_with("localhost") || registry.starts_with("127.")
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
    // In one piece: some proxies judge the first packet alone.
    stream.write_all(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n").as_bytes())?;
    let mut answer = [0; 12];
    stream.read_exact(&mut answer)?;
    if !answer.ends_with(b"200") {
        bail!("the proxy answers {:?}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_registry_answers_where_somebody_listens() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        probe(&address).expect("somebody listens");
        drop(listener);
        probe(&address).expect_err("nobody listens");
    }

    #[test]
    fn a_proxy_decides_whether_a_registry_answers() {
        for (answer, reached) in
            [("HTTP/1.1 200 Connection established", true), ("HTTP/1.1 403 Forbidden", false)]
        {
            let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
            let proxy = format!("http://user:secret@{}/", listener.local_addr().expect("bound"));
            let asked = thread::spawn(move || {
                let (mut stream, _) = listener.accept().expect("asked");
                let mut lines = BufReader::new(&stream).lines().map(|line| line.expect("a request"));
                let request = lines.next().expect("a request");
                // Whoever closes with something unread takes its own answer back.
                while lines.next().is_some_and(|line| !line.is_empty()) {}
                stream.write_all(format!("{answer}\r\n\r\n").as_bytes()).expect("answered");
                request
            });
            assert_eq!(through(&proxy, &endpoint("docker.io")).is_ok(), reached, "{answer}");
            let request = asked.join().expect("no panic");
            assert_eq!(request, "CONNECT registry-1.docker.io:443 HTTP/1.1");
        }
    }
}
