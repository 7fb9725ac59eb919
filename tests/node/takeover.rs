//! A cluster that the article's script has made, taken over in place: claims, data and the rest stay.
//!
//! `article/` holds the article's manifests as they stand there, with `imagePullPolicy: IfNotPresent` added; of the
//! dashboards the article leaves out the text. The images are the real programs at the version that is built here.

use std::path::Path;
use std::process::Command;

use devcluster::{Tool, tool};
use serde_json::Value;

use crate::World;
use crate::support::charts;

/// What the script applies, in its order.
const FILES: [&str; 7] = [
    "alloy-env.yaml",
    "prometheus.yaml",
    "loki.yaml",
    "dashboard-json.yaml",
    "grafana.yaml",
    "alloy-setup.yaml",
    "grafana-ingress.yaml",
];

pub(crate) fn article_is_adopted(world: &World) {
    world.clean();
    run_script(world);
    let sample = Sample::take(world);
    let claims = claims(world);

    let refused = world.bench.run(&["up"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    for words in
        ["statefulset.apps/prometheus -n monitoring", "release prometheus-adapter -n monitoring", "--adopt"]
    {
        assert!(refused.stderr.contains(words), "{words}:\n{}", refused.stderr);
    }
    let plan = world.bench.succeed(&["plan", "--adopt"]).stdout;
    for words in [
        "storage class openebs-hostpath: persistentvolumeclaim/data-loki-0 -n monitoring has it",
        "~ statefulset.apps/prometheus configured: adopted: no mark of an owner",
        "~ release configured: adopted: it was not made by this program",
        "= secret/grafana-secrets kept: it was there before, and is used as it is",
        "- spec.template.spec.hostPID: true",
    ] {
        assert!(plan.contains(words), "{words}:\n{plan}");
    }
    assert_eq!(plan.matches("replaced").count(), 0, "nothing has to be made anew:\n{plan}");

    world.bench.succeed(&["up", "--adopt", "--timeout", "5m"]);
    let plan = world.bench.succeed(&["plan", "--exit-code"]).stdout;
    assert!(plan.contains("no changes"), "{plan}");
    let (pods, revisions) = (world.pods(), world.revisions());
    let again = world.bench.succeed(&["up"]).stderr;
    assert!(again.contains("nothing to do"), "{again}");
    assert_eq!((world.pods(), world.revisions()), (pods, revisions), "nothing was restarted");
    assert_eq!(self::claims(world), claims, "the same claims on the same volumes");
    assert_eq!(sample.read(world).as_ref(), Some(&sample.value), "what was written before is still there");
    assert_eq!(world.bench.field("daemonset/alloy -n monitoring", ".spec.template.spec.hostPID"), "");
    assert_eq!(world.bench.field("service/grafana-service -n monitoring", ".spec.type"), "ClusterIP");

    world.clean();
    world.bench.kubectl(["delete", "namespace/monitoring", "storageclass/openebs-hostpath"]);
}

/// Does what the article's `deploy-all.sh` does.
fn run_script(world: &World) {
    let bench = &world.bench;
    let class = r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "openebs-hostpath"},
        "provisioner": "rancher.io/local-path", "volumeBindingMode": "WaitForFirstConsumer"}"#;
    bench.apply(class, &[]);
    bench.kubectl(["create", "namespace", "monitoring"]);
    let login = ["--from-literal=admin-user=admin", "--from-literal=admin-password=by-hand"];
    let secret = ["create", "secret", "generic", "grafana-secrets", "-n", "monitoring"];
    bench.kubectl(secret.iter().chain(&login));
    helm(world, &["kube-state-metrics"], None);
    for file in FILES {
        bench.kubectl(["apply", "-f", article(file).as_str()]);
    }
    helm(world, &["prometheus-adapter"], Some("adapter-values.yaml"));
    for set in ["prometheus", "loki"] {
        bench.kubectl([
            "rollout",
            "status",
            "-n",
            "monitoring",
            &format!("statefulset/{set}"),
            "--timeout=2m",
        ]);
    }
}

fn article(file: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/article");
    folder.join(file).to_str().expect("a path").to_owned()
}

fn helm(world: &World, releases: &[&str], values: Option<&str>) {
    for release in releases {
        let mut helm = Command::new(tool(Tool::Helm).expect("helm"));
        helm.env("KUBECONFIG", world.bench.kubeconfig()).args([
            "upgrade",
            "--install",
            "-n",
            "monitoring",
            release,
        ]);
        helm.arg(charts().join(release));
        if let Some(values) = values {
            helm.args(["-f", &article(values)]);
        }
        let output = helm.output().expect("helm starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Each claim's uid and volume.
fn claims(world: &World) -> String {
    let path = "{range .items[*]}{.metadata.name} {.metadata.uid} {.spec.volumeName}{'\\n'}{end}";
    world.bench.kubectl(["get", "pvc", "-n", "monitoring", &format!("-o=jsonpath={path}")])
}

/// What Prometheus measures of itself, as it stands in a query.
const SERIES: &str = "prometheus_tsdb_head_series%7Bjob%3D%22prometheus%22%7D";

/// A sample that Prometheus has written.
struct Sample {
    /// Seconds since the epoch, as Prometheus writes them.
    time: String,
    value: String,
}

impl Sample {
    /// Waits until Prometheus has scraped itself, and takes what it has written then.
    fn take(world: &World) -> Self {
        for _ in 0..60 {
            if let Some(time) = query(world, &format!("query=timestamp({SERIES})")) {
                // Of that very time: it may have scraped again meanwhile.
                let value = value_at(world, &time).expect("it has a value");
                return Self { time, value };
            }
            // Prometheus tells nobody when it has scraped.
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        panic!("Prometheus has not scraped itself within a minute");
    }

    /// What Prometheus says of that time now.
    fn read(&self, world: &World) -> Option<String> {
        value_at(world, &self.time)
    }
}

fn value_at(world: &World, time: &str) -> Option<String> {
    query(world, &format!("query={SERIES}&time={time}"))
}

/// The value of the one series that a query finds.
fn query(world: &World, query: &str) -> Option<String> {
    let url = format!("/api/v1/namespaces/monitoring/services/prometheus:9090/proxy/api/v1/query?{query}");
    let output = world.bench.kubectl_command(["get", "--raw", &url]).output().expect("kubectl starts");
    let answer: Value = serde_json::from_slice(&output.stdout).ok()?;
    answer["data"]["result"][0]["value"][1].as_str().map(str::to_owned)
}
