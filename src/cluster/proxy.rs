//! Whether the API server is reached through a proxy, decided as kubectl does: that of the kubeconfig always counts, that of the
//! environment unless the server is on this machine or `NO_PROXY` names it. Kube would look whether it names the proxy.

use std::env;
use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use http::uri::InvalidUri;
use hyper_util::client::proxy::matcher::Matcher;

/// What is said of a proxy that is not to be used.
pub(super) const UNKNOWN: &str = "its proxy is none of http://, https:// and socks5://";

/// What the environment says of proxies.
#[derive(Debug, Default)]
pub(super) struct Proxies {
    /// The one for servers that speak HTTP.
    http: String,
    /// The one for servers that speak HTTPS.
    https: String,
    /// What is reached without: hosts, domains and networks with commas between, or `*`.
    without: String,
}

impl Proxies {
    /// Reads them as kubectl does: of each the name in capitals before the other.
    pub(super) fn from_env() -> Self {
        let read = |names: [&str; 2]| {
            let mut values = names.into_iter().filter_map(|name| env::var(name).ok());
            values.find(|value| !value.is_empty()).unwrap_or_default()
        };
        Self {
            http: read(["HTTP_PROXY", "http_proxy"]),
            https: read(["HTTPS_PROXY", "https_proxy"]),
            without: read(["NO_PROXY", "no_proxy"]),
        }
    }

    /// The proxy through which a server is reached; `None` without.
    ///
    /// # Errors
    /// When it is none that could be written in an address.
    pub(super) fn of(&self, server: &Uri) -> Result<Option<Uri>, InvalidUri> {
        let is_plain = server.scheme_str() == Some("http");
        let proxy = if is_plain { &self.http } else { &self.https };
        if proxy.is_empty() || is_here(server) || self.spares(server) {
            return Ok(None);
        }
        // The usual way to write one is without.
        let scheme = if proxy.contains("://") { "" } else { "http://" };
        format!("{scheme}{proxy}").parse().map(Some)
    }

    /// Tells whether a server is one of those that are reached without.
    fn spares(&self, server: &Uri) -> bool {
        let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
        let entries: Vec<_> = self.without.split(',').map(str::trim).collect();
        // Hyper knows no ports, no brackets, and no `*` before a domain; and `*` is no address to it.
        let known: Vec<_> = entries.iter().filter_map(|entry| of_port(entry, port)).collect();
        let any = Matcher::builder().all("http://any").no(known.join(",")).build();
        entries.contains(&"*") || any.intercept(server).is_none()
    }
}

/// A proxy as messages name it: without the password that its address may have.
pub(super) fn shown(proxy: &Uri) -> Arc<str> {
    let host = proxy.host().unwrap_or_default();
    proxy.port().map_or_else(|| host.into(), |port| format!("{host}:{port}").into())
}

/// Tells whether a server is on this machine.
fn is_here(server: &Uri) -> bool {
    let host = server.host().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

/// What an entry of `NO_PROXY` names at this port: the entry without its own port; `None` if that is another.
fn of_port(entry: &str, port: u16) -> Option<&str> {
    let (host, its_port) = match entry.rsplit_once(':') {
        // An address of colons has no port outside of brackets.
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()),
        _ => (entry, Some(port)),
    };
    (its_port == Some(port)).then(|| host.trim_start_matches('*').trim_matches(['[', ']']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(https: &str, without: &str, server: &str) -> Option<String> {
        let proxies = Proxies { https: https.to_owned(), without: without.to_owned(), ..Proxies::default() };
        let server = server.parse().expect("an address");
        proxies.of(&server).expect("a proxy").map(|proxy| proxy.to_string())
    }

    #[test]
    fn a_server_on_this_machine_is_reached_without() {
        for server in
            ["https://127.0.0.1:6443", "https://127.1.2.3", "https://localhost:6443", "https://[::1]:1"]
        {
            assert_eq!(of("http://proxy:3128", "", server), None, "{server}");
        }
        for server in ["https://10.0.0.1:6443", "https://localhost.example", "https://[fd00::1]"] {
            assert_eq!(
                of("http://proxy:3128", "", server).as_deref(),
                Some("http://proxy:3128/"),
                "{server}"
            );
        }
    }

    #[test]
    fn what_no_proxy_names_is_reached_without() {
        for (without, server, is_spared) in [
            ("*", "https://10.0.0.1", true),
            ("other, *", "https://api.example.com", true),
            ("10.0.0.1", "https://10.0.0.1:6443", true),
            ("10.0.0.0/8,", "https://10.1.2.3", true),
            ("192.168.0.0/16", "https://10.1.2.3", false),
            ("[fd00::1]", "https://[fd00::1]:6443", true),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("example.com", "https://api.example.com", true),
            (".example.com", "https://api.example.com", true),
            ("*.example.com", "https://api.example.com", true),
            ("example.com", "https://notexample.com", false),
            ("API.example.com", "https://api.example.com", true),
            ("api.example.com:6443", "https://api.example.com:6443", true),
            ("api.example.com:443", "https://api.example.com", true),
            ("api.example.com:443", "https://api.example.com:6443", false),
            ("[fd00::1]:443", "https://[fd00::1]:6443", false),
            ("169.254/16", "https://10.0.0.1", false),
        ] {
            assert_eq!(of("http://proxy", without, server).is_none(), is_spared, "{without}: {server}");
        }
    }

    #[test]
    fn a_proxy_may_be_written_without_its_scheme_and_is_one_of_https_only() {
        let proxy = |server| of("proxy:3128", "", server);
        assert_eq!(proxy("https://10.0.0.1").as_deref(), Some("http://proxy:3128/"));
        assert_eq!(proxy("http://10.0.0.1"), None);
        assert_eq!(of("", "", "https://10.0.0.1"), None);
    }
}
