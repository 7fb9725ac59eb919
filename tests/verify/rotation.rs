//! New credentials on a stack that runs: what reads them starts anew, and Grafana lets them in and the old ones no more.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::World;

const ROTATE: [&str; 2] = ["credentials", "--rotate"];

pub(crate) fn grafana_takes_the_new_password(world: &World) {
    world.bench.succeed(&["up"]);
    let (before, others) = (password(world), other_pods(world));
    let ran = world.bench.succeed(&ROTATE);
    for words in [
        "secret/grafana-secrets configured (new admin-password)",
        "deployment.apps/grafana configured",
        "the credentials of secret/grafana-secrets -n monitoring log in",
    ] {
        assert!(ran.stderr.contains(words), "{words}:\n{}", ran.stderr);
    }
    let after = password(world);
    assert_ne!(before, after);
    assert_eq!((status(world, &after), status(world, &before)), (200, 401));
    assert_eq!(other_pods(world), others, "nothing else was restarted");

    let again = world.bench.succeed(&["up"]);
    assert!(again.stderr.contains("nothing to do"), "{}", again.stderr);
    let said = world.bench.said();
    for password in [before, after] {
        let encoded = BASE64_STANDARD.encode(&password);
        assert!(!said.contains(&password) && !said.contains(&encoded), "a password was told");
    }
}

pub(crate) fn a_kept_database_is_told_of(world: &World) {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path().join("stack");
    let path = stack.to_str().expect("a path");
    world.bench.succeed(&["eject", path]);
    let file = stack.join("grafana/deployment.yaml");
    let text = fs::read_to_string(&file).expect("ejected");
    let kept = text.replace("emptyDir: {}", "persistentVolumeClaim: {claimName: grafana}");
    assert_ne!(text, kept);
    let claim = "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: grafana}\nspec: {accessModes: [ReadWriteOnce], \
                 resources: {requests: {storage: 1Gi}}}\n";
    fs::write(file, kept).expect("written");
    fs::write(stack.join("grafana/claim.yaml"), claim).expect("written");
    world.bench.succeed(&["up", "--stack", path]);
    let before = password(world);

    let ran = world.bench.run(&[&ROTATE[..], &["--stack", path]].concat());
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    for words in [
        "the new credentials are there, and not proven to work: secret/grafana-secrets -n monitoring disagrees with what \
         Grafana knows",
        "exec deployment.apps/grafana -n monitoring -c grafana -- sh -c 'printenv GF_SECURITY_ADMIN_PASSWORD | grafana cli",
    ] {
        assert!(ran.stderr.contains(words), "{words}:\n{}", ran.stderr);
    }
    assert_eq!((status(world, &password(world)), status(world, &before)), (401, 200));
    world.bench.succeed(&["up"]);
    assert_eq!(status(world, &password(world)), 200, "a new database has the new password");
}

fn password(world: &World) -> String {
    let encoded = world.bench.field("secret/grafana-secrets -n monitoring", ".data.admin-password");
    let decoded = BASE64_STANDARD.decode(encoded).expect("base64");
    String::from_utf8(decoded).expect("letters and digits")
}

/// The pods that do not read the Secret: name, uid and restarts of each.
fn other_pods(world: &World) -> Vec<String> {
    world.pods().lines().filter(|pod| !pod.starts_with("grafana-")).map(str::to_owned).collect()
}

/// How Grafana answers the admin with this password.
fn status(world: &World, password: &str) -> u16 {
    let forward = Forward::start(world);
    let mut stream = TcpStream::connect(("127.0.0.1", forward.port)).expect("kubectl listens");
    let credentials = BASE64_STANDARD.encode(format!("admin:{password}"));
    let request = format!(
        "GET /api/user HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {credentials}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    let status = answer.split(' ').nth(1).expect("a status line");
    status.parse().expect("a number")
}

/// A port of this machine that leads to Grafana, without a proxy that would take the header away.
struct Forward {
    kubectl: Child,
    port: u16,
    /// It tells of each connection, and ends when nobody listens.
    _said: BufReader<ChildStdout>,
}

impl Forward {
    fn start(world: &World) -> Self {
        let arguments = ["port-forward", "-n", "monitoring", "deploy/grafana", ":3000"];
        let mut kubectl = world.bench.kubectl_command(arguments);
        let mut kubectl = kubectl.stdout(Stdio::piped()).spawn().expect("kubectl starts");
        let mut line = String::new();
        let mut said = BufReader::new(kubectl.stdout.take().expect("piped"));
        said.read_line(&mut line).expect("text");
        // `Forwarding from 127.0.0.1:40123 -> 3000`
        let port = line.split_once("127.0.0.1:").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        Self { kubectl, port: port.unwrap_or_else(|| panic!("no port: {line}")), _said: said }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
