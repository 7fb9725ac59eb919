//! How helm is called, stopped and quoted, with a FAKE helm: a script that writes down what happens to it. What the real one
//! does is tested in `helm_release.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use bootstrap::cluster::Target;
use bootstrap::error::Exit;
use bootstrap::helm::{Chart, Helm, Release, Until, Upgrade};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::time::timeout;

const PASSWORD: &str = "never-on-a-command-line";

/// A fake helm of some version, and the folder that it writes to.
struct Fake {
    folder: TempDir,
    context: String,
    helm: Helm,
}

impl Fake {
    /// `script` is run for everything but `helm version`; `$DIR` is the folder.
    fn new(version: &str, script: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("helm");
        let text = format!(
            "#!/bin/bash\nDIR={}\ncase \"$*\" in *\" version --template \"*) echo call >> $DIR/versions; echo {version}; exit;; esac\n\
             printf '%s\\n' \"$@\" > $DIR/arguments\n{script}\n",
            folder.path().display()
        );
        // What this process writes may still be open in a child of another test, and a program that is written to cannot be run.
        let written = folder.path().join("written");
        fs::write(&written, text).expect("written");
        let mut install = Command::new("install");
        install.args(["-m", "755"]).args([&written, &program]);
        assert!(install.status().expect("install").success());
        // Of helms on one release of one context only one works at a time, so each test has a context of its own.
        let context = folder.path().file_name().expect("a name").to_string_lossy().into_owned();
        let kubeconfig = Some(PathBuf::from("/kube config"));
        let target = Target { kubeconfig, context: Some(context.clone()), ..Target::default() };
        Self { helm: Helm::at(program, &target), context, folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).expect("the fake wrote it")
    }

    async fn upgrade(&self, until: &Until) -> Result<(), bootstrap::error::Error> {
        let chart = Chart::Remote {
            chart: "oci://example.com/charts/ksm".to_owned(),
            repo: None,
            version: "8.4.0".to_owned(),
            digest: Some("sha256:abc".to_owned()),
        };
        let values = [("values.yaml".to_owned(), format!("password: {PASSWORD}\n"))];
        let upgrade =
            Upgrade { chart: &chart, values: &values, force_conflicts: true, take_ownership: false };
        self.helm.upgrade(&release(), &upgrade, until).await
    }
}

fn release() -> Release {
    Release { name: "ksm".to_owned(), namespace: "monitoring".to_owned() }
}

fn a_minute() -> Until {
    Until::after(Duration::from_mins(1))
}

/// Makes a named pipe. Who has read it knows that the fake has come so far; within 20 s, or the test fails.
fn pipe(path: PathBuf) -> impl Future<Output = String> {
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    let (sender, receiver) = oneshot::channel();
    // A thread of its own: one of the runtime's would keep a failed test from ending.
    thread::spawn(move || sender.send(fs::read_to_string(path)));
    async {
        let text = timeout(Duration::from_secs(20), receiver).await.expect("the fake comes so far");
        text.expect("the thread sends").expect("text")
    }
}

#[tokio::test]
async fn everything_is_said_by_flags_and_values_go_by_file() {
    let fake = Fake::new(
        "v4.3.1",
        "for a; do case $a in *.yaml) cp $a $DIR/values;; esac; done; env > $DIR/environment; cat > $DIR/stdin",
    );
    fake.upgrade(&a_minute()).await.expect("the fake succeeds");
    let arguments = fake.read("arguments");
    let values = arguments.lines().find(|line| line.contains("bootstrap-values-")).expect("a values file");
    let (_, timeout) = arguments.split_once("--timeout\n").expect("a time-out");
    let timeout = timeout.lines().next().expect("of seconds");
    let seconds: u32 = timeout.trim_end_matches('s').parse().expect("a number");
    assert!((30..=59).contains(&seconds), "what is left of a minute, with a margin: {timeout}");
    let cluster = ["--kubeconfig", "/kube config", "--kube-context", &fake.context, "upgrade"];
    let expected = [
        cluster.as_slice(),
        &["--namespace", "monitoring", "--timeout", timeout, "--install", "--history-max", "3"],
        &["--values", values],
        &["--server-side=true", "--force-conflicts", "--version", "8.4.0"],
        &["--", "ksm", "oci://example.com/charts/ksm@sha256:abc"],
    ];
    assert_eq!(arguments.lines().collect::<Vec<_>>(), expected.concat());
    assert!(!arguments.contains(PASSWORD) && !fake.read("environment").contains(PASSWORD));
    assert_eq!(fake.read("values"), format!("password: {PASSWORD}\n"));
    assert!(!Path::new(values).exists(), "{values} was left");
    assert_eq!(fake.read("stdin"), "");
    assert!(fake.read("environment").contains("HELM_DRIVER=secret"));
}

#[tokio::test]
async fn a_chart_is_rendered_whole_and_for_the_server_s_version() {
    let object =
        "echo '---'; echo '# Source: x'; echo \"{apiVersion: v1, kind: ConfigMap, metadata: {name: c$i}}\"";
    let fake = Fake::new("v4.3.1", &format!("for i in $(seq 500); do {object}; done"));
    let chart = Chart::Remote {
        chart: "adapter".to_owned(),
        repo: Some("https://example.com".to_owned()),
        version: "5.3.0".to_owned(),
        digest: None,
    };
    let values = [("values.yaml".to_owned(), "a: b\n".to_owned())];
    let rendered =
        fake.helm.template(&release(), &chart, &values, Some("v1.37.2"), &a_minute()).await.expect("objects");
    assert_eq!(rendered.len(), 500);
    assert_eq!(rendered[0].metadata.name.as_deref(), Some("c1"));
    let arguments = fake.read("arguments");
    let values = arguments.lines().find(|line| line.contains("bootstrap-values-")).expect("a values file");
    let expected = [
        &["template", "--namespace", "monitoring", "--include-crds", "--skip-tests"][..],
        &["--kube-version", "v1.37.2", "--values", values, "--version", "5.3.0"],
        &["--repo", "https://example.com", "--", "ksm", "adapter"],
    ];
    assert!(arguments.lines().collect::<Vec<_>>().ends_with(&expected.concat()), "{arguments}");
}

#[tokio::test]
async fn helm_3_is_not_told_what_it_does_not_know() {
    let fake = Fake::new("v3.22.0", "");
    fake.upgrade(&a_minute()).await.expect("the fake succeeds");
    let arguments = fake.read("arguments");
    assert!(!arguments.contains("--server-side") && !arguments.contains("--force-conflicts"), "{arguments}");
}

#[tokio::test]
async fn the_version_is_asked_for_once_and_only_when_needed() {
    let fake = Fake::new("v4.3.1", "");
    assert!(!fake.path("versions").exists());
    fake.upgrade(&a_minute()).await.expect("the fake succeeds");
    fake.helm.uninstall(&release(), &a_minute()).await.expect("the fake succeeds");
    assert_eq!(fake.read("versions"), "call\n");
}

#[tokio::test]
async fn an_old_helm_is_refused_before_it_does_anything() {
    let fake = Fake::new("v3.9.0", "");
    let error = fake.upgrade(&a_minute()).await.expect_err("too old");
    assert_eq!(
        (error.exit(), error.to_string().as_str()),
        (Exit::Preflight, "helm 3.9 is too old, 3.13 is needed")
    );
    assert!(error.hint_text().is_some() && !fake.path("arguments").exists());
}

#[tokio::test]
async fn a_failure_is_told_in_helm_s_own_words() {
    for (words, exit) in [
        ("INSTALLATION FAILED: chart not found", Exit::Doomed),
        // Not what the network ends with.
        ("INSTALLATION FAILED: parse error at (ksm/templates/a.yaml:3): unexpected EOF", Exit::Doomed),
        (
            "INSTALLATION FAILED: admission webhook \"policy.held.internal\" denied the request: no",
            Exit::Doomed,
        ),
        ("UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress", Exit::Refused),
        (
            "UPGRADE FAILED: conflict occurred while applying object n/x apps/v1, Kind=Deployment: …",
            Exit::Refused,
        ),
    ] {
        let script = format!(
            "echo 'WARNING: kubeconfig is readable' >&2; echo 'level=WARN x' >&2; echo 'Error: {words}' >&2; exit 1"
        );
        let error = Fake::new("v4.3.1", &script).upgrade(&a_minute()).await.expect_err("it failed");
        assert_eq!(error.to_string(), "failed to upgrade release ksm -n monitoring");
        assert_eq!((error.causes(), error.exit()), (vec![words.to_owned()], exit));
    }
}

/// The first and that of the webhook were recorded from Helm 4.3.1; the others are as the server and Go's network code put them.
const PASSING: [&str; 12] = [
    "server-side apply failed for object n/x /v1, Kind=ConfigMap: Patch \"https://127.0.0.1:1/api/v1/namespaces/n/configmaps/x?fieldManager=helm&force=false\": read tcp 127.0.0.1:2->127.0.0.1:1: read: connection reset by peer",
    "Kubernetes cluster unreachable: Get \"https://127.0.0.1:1/version\": dial tcp 127.0.0.1:1: connect: connection refused",
    "server-side apply failed for object n/x /v1, Kind=ConfigMap: Patch \"https://127.0.0.1:1/api/v1/namespaces/n/configmaps/x?fieldManager=helm&force=false\": EOF",
    "server-side apply failed for object n/x /v1, Kind=ConfigMap: Patch \"https://127.0.0.1:1/api/v1/namespaces/n/configmaps/x?fieldManager=helm&force=false\": unexpected EOF",
    "the server is currently unable to handle the request",
    "server-side apply failed for object n/x /v1, Kind=Service: Internal error occurred: failed calling webhook \"policy.held.internal\": failed to call webhook: Post \"https://away.n.svc:443/?timeout=10s\": service \"away\" not found",
    "Kubernetes cluster unreachable: Get \"https://10.0.0.1:6443/version\": dial tcp 10.0.0.1:6443: i/o timeout",
    "Kubernetes cluster unreachable: Get \"https://10.0.0.1:6443/version\": net/http: TLS handshake timeout",
    "server-side apply failed for object n/x apps/v1, Kind=Deployment: Timeout: request did not complete within requested timeout - context deadline exceeded",
    "server-side apply failed for object n/x apps/v1, Kind=Deployment: the server has received too many requests and has asked us to try again later (patch deployments.apps x)",
    "create: failed to create: the server was unable to return a response in the time allotted, but may still be processing the request (post secrets)",
    "create: failed to create: etcdserver: request timed out",
];

#[tokio::test]
async fn what_may_pass_is_no_failure_of_the_release() {
    for words in PASSING {
        let script = format!("echo 'Error: {words}' >&2; exit 1");
        let error = Fake::new("v4.3.1", &script).upgrade(&a_minute()).await.expect_err("it failed");
        assert_eq!(error.exit(), Exit::Unexpected, "{words}");
    }
}

/// Its `sleep` may be gone before the trap ends it: a child that has not got to ignoring SIGINT yet dies of the group's own.
const WAITS_FOR_SIGINT: &str = "trap 'kill $! 2> /dev/null; echo SIGINT > $DIR/ended; echo Error: context canceled >&2; exit 1' INT\n\
     sleep 60 & echo > $DIR/started; wait $!";

#[tokio::test]
async fn a_cancelled_helm_gets_sigint_and_is_waited_for() {
    let fake = Fake::new("v4.3.1", WAITS_FOR_SIGINT);
    let started = pipe(fake.path("started"));
    let until = a_minute();
    let (result, ()) = tokio::join!(fake.upgrade(&until), async {
        started.await;
        until.cancelled.cancel();
    });
    let error = result.expect_err("it was cancelled");
    assert_eq!((error.exit(), error.causes()), (Exit::Interrupted, vec!["context canceled".to_owned()]));
    assert_eq!(fake.read("ended"), "SIGINT\n");
}

#[tokio::test]
async fn a_deadline_ends_helm_the_same_way() {
    let fake = Fake::new("v4.3.1", WAITS_FOR_SIGINT);
    let started = pipe(fake.path("started"));
    let until = a_minute();
    let (result, ()) = tokio::join!(fake.upgrade(&until), async {
        started.await;
        tokio::time::pause();
        tokio::time::advance(Duration::from_mins(1)).await;
        tokio::time::resume();
    });
    assert_eq!(result.expect_err("out of time").exit(), Exit::Timeout);
    assert_eq!(fake.read("ended"), "SIGINT\n");
}

#[tokio::test]
async fn a_forgotten_helm_gets_sigint_not_sigkill() {
    let fake = Fake::new("v4.3.1", WAITS_FOR_SIGINT);
    let (started, ended) = (pipe(fake.path("started")), pipe(fake.path("ended")));
    let until = a_minute();
    tokio::select! {
        result = fake.upgrade(&until) => panic!("it ended by itself: {result:?}"),
        _ = started => {}
    }
    assert_eq!(ended.await, "SIGINT\n");
}

#[tokio::test]
async fn an_uninstall_under_way_is_let_finish() {
    let fake = Fake::new(
        "v4.3.1",
        "echo > $DIR/started; until [ -e $DIR/go ]; do sleep 0.05; done; echo done > $DIR/ended",
    );
    let started = pipe(fake.path("started"));
    let until = a_minute();
    let release = release();
    let (result, ()) = tokio::join!(fake.helm.uninstall(&release, &until), async {
        started.await;
        until.cancelled.cancel();
        fs::write(fake.path("go"), "").expect("written");
    });
    result.expect("it ended well");
    assert_eq!(fake.read("ended"), "done\n");
}
