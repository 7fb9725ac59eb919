//! A whole cluster on this machine: pods run on its nodes, and nothing of it is left behind, whatever was killed before.
//! Needs root on Linux; elsewhere it says that it was skipped. There, it may not be.

mod census;
mod traffic;

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use devcluster::{Cluster, Progress, Source, Status};

use census::Census;

const NAME: &str = "census";
const SECOND: &str = "census-2";
const DEADLINE: Duration = Duration::from_mins(3);
/// Nobody listens there, so no registry answers.
const UNREACHABLE: &str = "127.0.0.1:1";
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

#[test]
fn nodes_run_pods_and_leave_nothing_behind() {
    if let Some(reason) = reason_to_skip() {
        // Not by a macro: the harness would swallow it.
        writeln!(std::io::stderr(), "SKIPPED node test: {reason}").expect("stderr");
        return;
    }
    let site = Site::new();
    Cluster::new(NAME, &site.state(), Progress::stderr())
        .expect("a name")
        .prepare(Source::default())
        .expect("prepared");
    let before = site.census();

    pods_run(&site);
    assert_eq!(site.census().since(&before), [""; 0], "after down");
    assert_eq!(fs::read_to_string(site.kubeconfig()).expect("kept"), OTHER_CONTEXT);

    fs::remove_file(site.kubeconfig()).expect("removed");
    survives_kills(&site);
    assert_eq!(site.census().since(&before), [""; 0], "after kills and down");
    assert!(!site.kubeconfig().exists(), "a file that up made goes with the node");
}

/// Brings two nodes up beside a context of the user's, runs pods on them, and takes them away.
fn pods_run(site: &Site) {
    fs::write(site.kubeconfig(), OTHER_CONTEXT).expect("written");
    site.succeed(&["up", "--nodes", "2"]);
    let cluster = site.cluster();
    assert_eq!(cluster.status().expect("status"), Status::Ready(vec![NAME.into(), SECOND.into()]));
    let contexts = kubectl_config(site, "get-contexts");
    assert!(contexts.contains("kept-one") && contexts.contains(NAME), "{contexts}");
    assert_eq!(kubectl_config(site, "current-context").trim(), NAME);
    let label = "--selector=bootstrap.internal/devcluster=true";
    let labelled = cluster.kubectl(["get", "nodes", label, "--output=name"]).expect("nodes");
    assert_eq!(labelled, format!("node/{NAME}\nnode/{SECOND}\n"));
    let again = site.succeed(&["up"]);
    assert_eq!(again, format!("{NAME} is up already\n"));
    let refusal = cluster.clone().with_nodes(3).expect("few").up().expect_err("it has 2").to_string();
    assert!(
        refusal.contains("has 2 nodes, not 3") && refusal.contains("devcluster down --name"),
        "{refusal}"
    );

    let elsewhere = site.folder.path().join("elsewhere");
    let namesake = Cluster::new(NAME, &elsewhere, Progress::none()).expect("a name");
    let refusal = namesake.down().expect_err("not its cluster").to_string();
    assert!(refusal.contains("another cluster named"), "{refusal}");

    let (plain, pinned) =
        (format!("{UNREACHABLE}/none/idle:1"), format!("{UNREACHABLE}/none/pinned@{DIGEST}"));
    let told = site.succeed(&["load", &plain, &pinned]);
    assert_eq!(told.matches("a stand-in").count(), 2, "{told}");
    assert_eq!(told.matches("does not answer").count(), 1, "{told}");

    let manifest = site.folder.path().join("pods.yaml");
    fs::write(&manifest, PODS.replace("PLAIN", &plain).replace("PINNED", &pinned)).expect("written");
    cluster.kubectl(["apply", "--filename", &manifest.display().to_string()]).expect("applied");
    for pod in ["pod/writer", "pod/plain", "pod/pinned"] {
        cluster.kubectl(["wait", pod, "--for=condition=Ready", "--timeout=3m"]).expect(pod);
    }
    let log = cluster.kubectl(["logs", "writer"]).expect("a log");
    assert!(log.contains("10.43.0.1") && log.contains("kept on the volume"), "{log}");

    traffic::crosses_nodes(&cluster, [NAME, SECOND], site.folder.path());
    let both_are_measured = || {
        let metrics = cluster.kubectl(["get", "--raw=/apis/metrics.k8s.io/v1beta1/nodes"]).expect("metrics");
        [NAME, SECOND].iter().all(|node| metrics.contains(&format!("\"name\":\"{node}\"")))
    };
    wait_until("both nodes have metrics", both_are_measured);

    // What is left running is the cluster's to end.
    site.succeed(&["down"]);
    assert_eq!(cluster.status().expect("status"), Status::Absent);
    assert_eq!(site.succeed(&["down"]), format!("{NAME} was not up\n"));
}

/// Kills `up` on its way, then parts of the nodes, then all of them; each time the next command copes.
fn survives_kills(site: &Site) {
    let is_broken = |cluster: &Cluster| matches!(cluster.status().expect("status"), Status::Broken(_));
    let cluster = site.cluster();
    site.kill_up(&["up", "--nodes", "2"]);
    assert!(is_broken(&cluster));

    let told = site.succeed(&["up"]);
    assert!(told.contains("made anew"), "{told}");
    assert_eq!(cluster.status().expect("status"), Status::Ready(vec![NAME.into(), SECOND.into()]));
    for node in [NAME, SECOND] {
        let pod = IDLE.replace("NODE", node);
        let manifest = site.folder.path().join("idle.yaml");
        fs::write(&manifest, pod).expect("written");
        cluster.kubectl(["apply", "--filename", &manifest.display().to_string()]).expect("applied");
    }
    cluster.kubectl(["wait", "pod", "--all", "--for=condition=Ready", "--timeout=3m"]).expect("ready");

    for program in ["containerd", "kubelet", "containerd-shim-runc-v2"] {
        let killed = census::processes_of_node(&site.state()).into_iter().filter(|it| it.program == program);
        assert!(killed.map(|process| process.kill()).count() >= 2, "{program} on each node");
    }
    site.succeed(&["down"]);

    // And once more with the first processes gone before: nothing runs, but files and cgroups are left.
    site.kill_up(&["up", "--nodes", "2"]);
    census::processes_of_node(&site.state()).iter().for_each(census::Process::kill);
    wait_until("all are gone", || census::processes_of_node(&site.state()).is_empty());
    assert!(is_broken(&cluster));
    site.succeed(&["down"]);
    assert_eq!(cluster.status().expect("status"), Status::Absent);
}

/// Where a test's cluster and its user's configuration lie.
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

    fn cluster(&self) -> Cluster {
        Cluster::new(NAME, &self.state(), Progress::none()).expect("a name")
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

    /// Starts `up` and kills it when containerd listens on the second node.
    fn kill_up(&self, arguments: &[&str]) {
        let mut up = self.command(arguments).stderr(Stdio::null()).spawn().expect("started");
        let socket = self.state().join(NAME).join("nodes").join(SECOND).join("containerd.sock");
        wait_until("containerd listens", || socket.exists());
        up.kill().expect("SIGKILL");
        up.wait().expect("reaped");
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
  # Far from the provisioner and from cluster DNS.
  nodeSelector: {kubernetes.io/hostname: census-2}
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

/// A pod on one of the nodes.
const IDLE: &str = r"
apiVersion: v1
kind: Pod
metadata: {name: idle-NODE}
spec:
  nodeSelector: {kubernetes.io/hostname: NODE}
  containers:
  - {name: idle, image: 'devcluster.internal/busybox:1', command: [sleep, '1000']}
";
