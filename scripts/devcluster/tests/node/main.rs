//! The full node on this machine: pods run on it, and nothing of it is left behind, whatever was killed before.
//! Needs root on Linux; elsewhere it says that it was skipped. There, it may not be.

mod census;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use devcluster::{Node, Progress, Status};

use census::Census;

const NAME: &str = "census";
const DEADLINE: Duration = Duration::from_mins(1);
/// Nobody listens there, so no registry answers.
const UNREACHABLE: &str = "127.0.0.1:1";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn a_node_runs_pods_and_leaves_nothing_behind() {
    if let Some(reason) = reason_to_skip() {
        // Not by a macro: the harness would swallow it.
        writeln!(std::io::stderr(), "SKIPPED node test: {reason}").expect("stderr");
        return;
    }
    let site = Site::new();
    Node::new(NAME, &site.state(), Progress::stderr()).expect("a name").prepare().expect("prepared");
    let before = site.census();

    pods_run(&site);
    assert_eq!(site.census().since(&before), [""; 0], "after down");
    assert_eq!(fs::read_to_string(site.kubeconfig()).expect("kept"), OTHER_CONTEXT);

    fs::remove_file(site.kubeconfig()).expect("removed");
    survives_kills(&site);
    assert_eq!(site.census().since(&before), [""; 0], "after kills and down");
    assert!(!site.kubeconfig().exists(), "a file that up made goes with the node");
}

/// Brings a node up beside a context of the user's, runs pods on it, and takes it away.
fn pods_run(site: &Site) {
    fs::write(site.kubeconfig(), OTHER_CONTEXT).expect("written");
    site.succeed(&["up"]);
    let node = site.node();
    assert_eq!(node.status().expect("status"), Status::Ready);
    let contexts = kubectl_config(site, "get-contexts");
    assert!(contexts.contains("kept-one") && contexts.contains(NAME), "{contexts}");
    assert_eq!(kubectl_config(site, "current-context").trim(), NAME);
    let label =
        node.kubectl(["get", "nodes", "--selector=bootstrap.internal/devcluster=true", "--output=name"]);
    assert_eq!(label.expect("nodes"), format!("node/{NAME}\n"));
    let again = site.succeed(&["up"]);
    assert_eq!(again, format!("{NAME} is up already\n"));

    let elsewhere = site.folder.path().join("elsewhere");
    let namesake = Node::new(NAME, &elsewhere, Progress::none()).expect("a name");
    let refusal = namesake.down().expect_err("not its node").to_string();
    assert!(refusal.contains("another node named"), "{refusal}");

    let (plain, pinned) =
        (format!("{UNREACHABLE}/none/idle:1"), format!("{UNREACHABLE}/none/pinned@{DIGEST}"));
    let told = site.succeed(&["load", &plain, &pinned]);
    assert_eq!(told.matches("a stand-in").count(), 2, "{told}");
    assert_eq!(told.matches("does not answer").count(), 1, "{told}");

    let manifest = site.folder.path().join("pods.yaml");
    fs::write(&manifest, PODS.replace("PLAIN", &plain).replace("PINNED", &pinned)).expect("written");
    node.kubectl(["apply", "--filename", &manifest.display().to_string()]).expect("applied");
    for pod in ["pod/writer", "pod/plain", "pod/pinned"] {
        node.kubectl(["wait", pod, "--for=condition=Ready", "--timeout=60s"]).expect(pod);
    }
    let log = node.kubectl(["logs", "writer"]).expect("a log");
    assert!(log.contains("10.43.0.1") && log.contains("kept on the volume"), "{log}");

    // What is left running is the node's to end.
    site.succeed(&["down"]);
    assert_eq!(node.status().expect("status"), Status::Absent);
    assert_eq!(site.succeed(&["down"]), format!("{NAME} was not up\n"));
}

/// Kills `up` on its way, then the node's parts, then all of it; each time the next command copes.
fn survives_kills(site: &Site) {
    let mut up = site.command(&["up"]).stderr(Stdio::null()).spawn().expect("started");
    let socket = site.state().join(NAME).join("containerd.sock");
    wait_until("containerd listens", || socket.exists());
    up.kill().expect("SIGKILL");
    up.wait().expect("reaped");
    let node = site.node();
    assert_eq!(node.status().expect("status"), Status::Broken);

    let told = site.succeed(&["up"]);
    assert!(told.contains("made anew"), "{told}");
    assert_eq!(node.status().expect("status"), Status::Ready);
    node.kubectl([
        "run",
        "idle",
        "--image=devcluster.internal/busybox:1",
        "--command",
        "--",
        "sleep",
        "1000",
    ])
    .expect("run");
    node.kubectl(["wait", "pod/idle", "--for=condition=Ready", "--timeout=60s"]).expect("ready");

    for program in ["containerd", "kubelet", "containerd-shim-runc-v2"] {
        let killed = census::processes_of_node(&site.state()).into_iter().filter(|it| it.program == program);
        assert_ne!(killed.map(|process| process.kill()).count(), 0, "{program}");
    }
    site.succeed(&["down"]);

    // And once more with the first process gone before: nothing runs, but files and cgroups are left.
    let mut up = site.command(&["up"]).stderr(Stdio::null()).spawn().expect("started");
    wait_until("containerd listens", || socket.exists());
    up.kill().expect("SIGKILL");
    up.wait().expect("reaped");
    census::processes_of_node(&site.state()).iter().for_each(census::Process::kill);
    wait_until("all are gone", || census::processes_of_node(&site.state()).is_empty());
    assert_eq!(node.status().expect("status"), Status::Broken);
    site.succeed(&["down"]);
    assert_eq!(node.status().expect("status"), Status::Absent);
}

/// Where a test's node and its user's configuration lie.
struct Site {
    folder: tempfile::TempDir,
}

impl Site {
    fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("devcluster-test-").tempdir().expect("a folder");
        fs::create_dir(folder.path().join("user")).expect("a folder");
        fs::write(folder.path().join("user/other"), "").expect("a file");
        Self { folder }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("user/config")
    }

    fn node(&self) -> Node {
        Node::new(NAME, &self.state(), Progress::none()).expect("a name")
    }

    fn census(&self) -> Census {
        Census::take(NAME, &self.state())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devcluster"));
        command
            .arg(arguments[0])
            .args(["--name", NAME, "--state-dir"])
            .arg(self.state())
            .args(&arguments[1..]);
        command.env("KUBECONFIG", self.kubeconfig()).stdin(Stdio::null());
        command
    }

    /// Runs the command and gives what it says on standard error.
    fn succeed(&self, arguments: &[&str]) -> String {
        let Output { status, stderr, .. } = self.command(arguments).output().expect("started");
        let told = String::from_utf8(stderr).expect("UTF-8");
        assert!(status.success(), "{arguments:?}: {told}");
        told
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // After a failed test too.
        drop(self.command(&["down"]).stderr(Stdio::null()).status());
    }
}

fn reason_to_skip() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        return Some("this is not Linux");
    }
    (!rustix::process::geteuid().is_root()).then_some("it needs root")
}

fn kubectl_config(site: &Site, verb: &str) -> String {
    let kubectl = devcluster::tool(devcluster::Tool::Kubectl).expect("kubectl");
    let output = Command::new(kubectl).args(["config", verb]).env("KUBECONFIG", site.kubeconfig()).output();
    String::from_utf8(output.expect("started").stdout).expect("UTF-8")
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// As kubectl writes it, so that it comes back byte by byte.
const OTHER_CONTEXT: &str = "\
apiVersion: v1
clusters:
- cluster:
    server: https://kept.invalid
  name: kept-one
contexts:
- context:
    cluster: kept-one
    user: kept-one
  name: kept-one
current-context: kept-one
kind: Config
users:
- name: kept-one
  user: {}
";

/// A pod with cluster DNS and a volume of the default class, and two whose images no registry serves.
const PODS: &str = r"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data}
spec:
  accessModes: [ReadWriteOnce]
  resources: {requests: {storage: 1Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: writer}
spec:
  securityContext: {runAsUser: 1000, fsGroup: 1000}
  containers:
  - name: writer
    image: devcluster.internal/busybox:1
    command: [sh, -ec]
    args:
    - |
      nslookup kubernetes.default.svc.cluster.local
      echo 'kept on the volume' > /data/file
      cat /data/file
      touch /tmp/ready
      exec sleep 1000
    readinessProbe:
      exec: {command: [test, -e, /tmp/ready]}
      periodSeconds: 1
    volumeMounts:
    - {name: data, mountPath: /data}
    - {name: memory, mountPath: /memory}
  volumes:
  - name: data
    persistentVolumeClaim: {claimName: data}
  - name: memory
    emptyDir: {medium: Memory}
---
apiVersion: v1
kind: Pod
metadata: {name: plain}
spec:
  containers:
  - {name: idle, image: 'PLAIN'}
---
apiVersion: v1
kind: Pod
metadata: {name: pinned}
spec:
  containers:
  - {name: idle, image: 'PINNED'}
";
