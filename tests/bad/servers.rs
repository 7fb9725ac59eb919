//! Servers that are none, or answer like none.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::kubeconfigs::{Files, kubeconfig};
use crate::support::{Bench, Ran};
use crate::{CLUSTER, CONFIG_MAP, assert_refused, in_time, path, stack, unchanged, up};

/// Starts a server that gives each request this answer, and closes the connection; its thread ends with the process.
fn server(answer: impl Fn(&mut TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let head = BufReader::new(stream.try_clone().expect("a copy")).lines();
            head.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
            answer(&mut stream);
        }
    });
    address
}

/// A server that answers with this text as it stands.
fn says(text: impl Into<String>) -> SocketAddr {
    let text = text.into();
    // Whoever hangs up in between has heard enough.
    server(move |stream| drop(stream.write_all(text.as_bytes())))
}

/// A response with a body of its length.
fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
}

/// Runs `up` against a server.
fn up_to(url: &str) -> Ran {
    let mut config = kubeconfig();
    config["clusters"][0]["cluster"]["server"] = json!(url);
    let files = Files::new();
    let config = files.write("config", &config.to_string());
    let folder = stack("servers", CONFIG_MAP.as_bytes());
    up(&Bench::new(&config), folder.path(), &[])
}

fn up_to_plain(address: SocketAddr) -> Ran {
    up_to(&format!("http://{address}"))
}

const CONTEXT: &str = "kubectl --context devcluster";

#[test]
fn nobody_listens() {
    // Port 1 is nobody's.
    let ran = up_to("https://127.0.0.1:1");
    assert_refused(&ran, 3, &["failed to get the server's version", "Connection refused", "cluster-info"]);
}

#[test]
fn a_proxy_that_is_not_there() {
    let up_by = |server: &str, own: Option<&str>, variables: &[(&str, &str)]| {
        let mut config = kubeconfig();
        config["clusters"][0]["cluster"]["server"] = json!(server);
        config["clusters"][0]["cluster"]["proxy-url"] = json!(own);
        let (files, folder) = (Files::new(), stack("servers", CONFIG_MAP.as_bytes()));
        let bench = Bench::new(&files.write("config", &config.to_string()));
        in_time(|| {
            let mut command = bench.command(&["up", "--stack", path(folder.path())]);
            command.envs(variables.iter().copied()).stderr(Stdio::piped());
            bench.finish(command.spawn().expect("the command starts"), Instant::now())
        })
    };
    // Nobody is at port 1, and at this address neither.
    let (proxy, far) = ("http://me:never-told@127.0.0.1:1", "https://192.0.2.1:6443");
    for variable in ["HTTPS_PROXY", "https_proxy"] {
        let ran = up_by(far, None, &[(variable, proxy)]);
        assert_refused(&ran, 3, &["is not reached through the proxy 127.0.0.1:1\n", "Connection refused"]);
        assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
    }
    let ran = up_by(&CLUSTER.server_url(), Some(proxy), &[("NO_PROXY", "*")]);
    assert_refused(&ran, 3, &["is not reached through the proxy 127.0.0.1:1\n", "Connection refused"]);

    let ran = up_by(far, Some("ftp://me:never-told@127.0.0.1:1"), &[]);
    assert_refused(
        &ran,
        3,
        &["failed to use context", "its proxy is none of http://, https:// and socks5://"],
    );
    assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
    let ran = up_by(far, None, &[("HTTPS_PROXY", proxy), ("NO_PROXY", "here,169.254/16")]);
    assert_refused(&ran, 3, &["failed to parse NO_PROXY", "169.254/16", "hint: env | grep -i proxy"]);
}

#[test]
fn a_web_page_in_place_of_an_answer() {
    let page = "<!DOCTYPE html>\n<html><body>Sign in</body></html>\n";
    let ran = up_to_plain(says(response("200 OK", "Content-Type: text/html\r\n", page)));
    assert_refused(
        &ran,
        3,
        &["the answer is not one of Kubernetes: expected value at line 1", CONTEXT, "config view"],
    );
    assert!(!ran.stderr.contains("Sign in"), "{}", ran.stderr);
    let ran = up_to_plain(says(response("502 Bad Gateway", "Content-Type: text/html\r\n", page)));
    assert_refused(&ran, 3, &["the server answered 502 Bad Gateway, with a web page", CONTEXT]);
    let ran = up_to_plain(says(response("200 OK", "", "{}")));
    assert_refused(&ran, 3, &["what answers is no Kubernetes", CONTEXT]);
}

#[test]
fn an_answer_that_is_cut_off() {
    let version = r#"{"major": "1", "minor": "37", "gitVer"#;
    let ran = up_to_plain(says(response("200 OK", "", version)));
    assert_refused(&ran, 3, &["the answer is cut off: EOF while parsing", CONTEXT]);
    let ran = up_to_plain(says("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n".to_owned() + version));
    assert_refused(&ran, 3, &["end of file before message length reached", "cluster-info"]);
}

#[test]
fn a_server_that_fails() {
    let ran = up_to_plain(says(response("500 Internal Server Error", "", "the disk is full\nreally\n")));
    assert_refused(
        &ran,
        3,
        &["the server answered 500 Internal Server Error: the disk is full", "get --raw /readyz"],
    );
    let ran = up_to_plain(says(response("500 Internal Server Error", "", "")));
    assert_refused(&ran, 3, &["caused by: the server answered 500 Internal Server Error\n"]);
    let status = json!({"kind": "Status", "status": "Failure", "code": 500, "reason": "InternalError",
        "message": "etcdserver: request timed out"});
    let ran = up_to_plain(says(response("500 Internal Server Error", "", &status.to_string())));
    assert_refused(&ran, 3, &["caused by: etcdserver: request timed out\n"]);
}

#[test]
fn a_redirect_is_not_followed() {
    let to = "Location: https://login.example/authorize?code=never-told\r\n";
    let ran = up_to_plain(says(response("302 Found", to, "")));
    assert_refused(
        &ran,
        3,
        &["the server answered 302 Found, and points to https://login.example/authorize\n", CONTEXT],
    );
    assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
}

#[test]
fn a_server_that_is_too_old() {
    let version = json!({"major": "1", "minor": "20", "gitVersion": "v1.20.15", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    let ran =
        up_to_plain(says(response("200 OK", "Content-Type: application/json\r\n", &version.to_string())));
    assert_refused(
        &ran,
        3,
        &["the server is Kubernetes v1.20.15; 1.32 is the oldest", "hint: make a newer cluster"],
    );
}

#[test]
fn a_server_that_closes_the_connection() {
    let ran = up_to_plain(says(""));
    assert_refused(
        &ran,
        3,
        &["failed to get the server's version", "connection closed before message completed"],
    );
}

#[test]
fn a_server_that_never_answers() {
    let ran = up_to_plain(server(|stream| {
        // Until the other side gives up.
        let _ = std::io::copy(stream, &mut std::io::sink());
    }));
    assert_refused(&ran, 3, &["failed to get the server's version", "no answer within 3 s", "cluster-info"]);
}

#[test]
fn a_signal_ends_the_wait_for_a_server() {
    let mut config = kubeconfig();
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = silent.local_addr().expect("bound");
    config["clusters"][0]["cluster"]["server"] = json!(format!("http://{address}"));
    let files = Files::new();
    let bench = Bench::new(&files.write("config", &config.to_string()));
    for verb in ["plan", "status", "verify", "check", "credentials"] {
        for signal in [Signal::INT, Signal::TERM] {
            let began = Instant::now();
            let child = bench.start(&[verb]);
            // It has come so far that it waits for an answer.
            let _asked = silent.accept().expect("a request");
            kill_process(Pid::from_child(&child), signal).expect("it is still running");
            let ran = bench.finish(child, began);
            assert_eq!(ran.code, 130, "{verb} at {signal:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn a_server_whose_certificate_nobody_has_signed_that_is_known() {
    let mut config = kubeconfig();
    config["clusters"][0]["cluster"] = json!({"server": CLUSTER.server_url()});
    let files = Files::new();
    let config = files.write("config", &config.to_string());
    let folder = stack("servers", CONFIG_MAP.as_bytes());
    let ran = unchanged(|_| up(&Bench::new(&config), folder.path(), &[]));
    assert_refused(
        &ran,
        3,
        &["failed to get the server's version", "invalid peer certificate: UnknownIssuer"],
    );
}

#[test]
fn http_where_https_is_spoken_and_the_other_way_round() {
    let ran = unchanged(|_| up_to(&CLUSTER.server_url().replace("https", "http")));
    assert_refused(
        &ran,
        3,
        &["the server answered 400 Bad Request: Client sent an HTTP request to an HTTPS server."],
    );
    let ran = up_to(&format!("https://{}", says(response("200 OK", "", "{}"))));
    assert_refused(&ran, 3, &["failed to get the server's version", "InvalidContentType"]);
}
