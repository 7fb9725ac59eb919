//! The lone control plane: it starts, several do, and nothing of one is left behind, however its owner ends.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use devcluster::{ControlPlane, Identity, Options};

/// What a busy machine may take to end killed programs.
const GONE_DEADLINE: Duration = Duration::from_secs(30);

#[test]
fn two_at_once_know_nothing_of_each_other() {
    let (first, second) = thread::scope(|scope| {
        let other = scope.spawn(|| ControlPlane::start().expect("the second starts"));
        (ControlPlane::start().expect("the first starts"), other.join().expect("no panic"))
    });
    first.kubectl(["create", "namespace", "only-here"]).expect("create");
    let namespaces = second.kubectl(["get", "namespaces", "--output=name"]).expect("list");
    assert!(namespaces.contains("namespace/kube-system"), "{namespaces}");
    assert!(!namespaces.contains("only-here"), "{namespaces}");
}

#[test]
fn nothing_is_left_after_drop() {
    let plane = ControlPlane::start().expect("starts");
    let folder = folder_of(&plane.kubeconfig());
    assert_eq!(programs_of(&folder), ["etcd", "kube-apiserver", "sh"], "while it runs");
    drop(plane);
    assert_eq!(programs_of(&folder), [""; 0]);
    assert!(!folder.exists());
}

#[test]
fn nothing_is_left_after_the_owner_is_killed() {
    let mut owner = Command::new(env!("CARGO_BIN_EXE_devcluster"))
        .arg("control-plane")
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts");
    let mut line = String::new();
    let output = owner.stdout.take().expect("piped");
    BufReader::new(output).read_line(&mut line).expect("it prints the path of its kubeconfig");
    let folder = folder_of(Path::new(line.trim()));
    assert_eq!(programs_of(&folder), ["etcd", "kube-apiserver", "sh"], "while it runs");

    owner.kill().expect("SIGKILL");
    owner.wait().expect("reaped");
    let deadline = Instant::now() + GONE_DEADLINE;
    while folder.exists() || !programs_of(&folder).is_empty() {
        assert!(Instant::now() < deadline, "still there: {folder:?} {:?}", programs_of(&folder));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn strangers_are_forbidden_and_old_certificates_refused() {
    let plane = ControlPlane::start_with(&Options { context: "another".into(), ..Options::default() });
    let plane = plane.expect("starts");
    let contexts = plane.kubectl(["config", "current-context"]).expect("its own kubeconfig");
    assert_eq!(contexts.trim(), "another");

    let stranger = plane.kubeconfig_for(&Identity::user("stranger")).expect("a kubeconfig");
    let refusal = as_other(&plane, &stranger);
    assert!(refusal.contains("Forbidden") && refusal.contains("\"stranger\""), "{refusal}");

    let expired = Identity { expired: true, ..Identity::admin() };
    let refusal = as_other(&plane, &plane.kubeconfig_for(&expired).expect("a kubeconfig"));
    assert!(refusal.contains("Unauthorized") || refusal.contains("must be logged in"), "{refusal}");
}

#[test]
fn controllers_and_audit_log_come_when_asked_for() {
    let options = Options { controllers: true, audit: true, ..Options::default() };
    let plane = ControlPlane::start_with(&options).expect("starts");
    plane.kubectl(["create", "deployment", "idle", "--image=none.invalid/idle"]).expect("create");
    // Only a controller makes the ReplicaSet of a Deployment, and its Pod.
    plane.kubectl(["wait", "pod", "--selector=app=idle", "--for=create", "--timeout=60s"]).expect("a pod");
    let log = fs::read_to_string(plane.audit_log().expect("asked for")).expect("an audit log");
    assert!(log.lines().any(|line| line.contains("\"create\"") && line.contains("deployments")), "{log}");
}

fn as_other(plane: &ControlPlane, kubeconfig: &Path) -> String {
    let arguments = [format!("--kubeconfig={}", kubeconfig.display()), "get".into(), "nodes".into()];
    plane.kubectl(arguments).expect_err("refused").to_string()
}

fn folder_of(kubeconfig: &Path) -> PathBuf {
    kubeconfig.parent().expect("it lies in a folder").to_owned()
}

/// Names the running programs that have the folder in their arguments.
fn programs_of(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().expect("UTF-8");
    let mut names: Vec<_> = fs::read_dir("/proc")
        .expect("proc")
        .filter_map(|entry| fs::read_to_string(entry.ok()?.path().join("cmdline")).ok())
        .filter(|line| line.contains(folder))
        .filter_map(|line| Some(Path::new(line.split('\0').next()?).file_name()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names
}
