//! The adapter's rules: the real adapter, started as the chart starts it, before a real Prometheus and a real API server.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use devcluster::{Group, Tool};
use serde_json::{Value, json};

use crate::{NEWEST, charts, objects, succeed};

const DEADLINE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);
/// The pods of a blog, and how many requests a second each of their series counts.
const PODS: [(&str, &[u64]); 2] = [("blog-one", &[1, 2]), ("blog-two", &[5])];

#[test]
fn requests_are_served_per_pod_under_both_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut group = Group::start(folder.path()).expect("a group");
    make_pods();
    let prometheus = start_prometheus(&mut group, folder.path());
    push(&prometheus, folder.path());
    let adapter = start_adapter(&mut group, folder.path(), &prometheus);

    for name in ["nginx_http_requests_per_second", "nginx_http_requests_total"] {
        let path = format!("/apis/custom.metrics.k8s.io/v1beta1/namespaces/default/pods/*/{name}");
        let answer = ask(&mut group, folder.path(), &adapter, &path);
        let mut found: Vec<_> = answer["items"].as_array().expect("a list").iter().map(line).collect();
        found.sort();
        assert_eq!(found, ["blog-one 3.00", "blog-two 5.00"], "{name}: {answer}");
    }
}

/// The pod of an answer, and its value, of which the adapter cuts off what is below a thousandth.
fn line(item: &Value) -> String {
    let value = item["value"].as_str().expect("a quantity");
    let value: f64 = match value.strip_suffix('m') {
        Some(thousandths) => thousandths.parse::<f64>().expect("a number") / 1000.0,
        None => value.parse().expect("a number"),
    };
    format!("{} {value:.2}", item["describedObject"]["name"].as_str().expect("a pod"))
}

/// Gives its address.
fn start_prometheus(group: &mut Group, folder: &Path) -> String {
    let port = free_port();
    let config = folder.join("prometheus.yml");
    fs::write(&config, "storage: {tsdb: {out_of_order_time_window: 10m}}\n").expect("written");
    let mut prometheus = Command::new(devcluster::tool(Tool::Prometheus).expect("built"));
    prometheus
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--web.enable-remote-write-receiver");
    group.spawn("prometheus", &mut prometheus, &folder.join("prometheus.log")).expect("started");
    let address = format!("http://127.0.0.1:{port}");
    let promtool = devcluster::tool(Tool::Promtool).expect("built");
    wait_for(group, folder, "prometheus", || {
        let asked = Command::new(&promtool).args(["check", "ready", "--url", &address]).output();
        asked.expect("promtool starts").status.success().then_some(())
    });
    address
}

/// Sends it what the pods have counted: as much before now and after as any answer of this test looks at.
fn push(prometheus: &str, folder: &Path) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let mut text = "# TYPE nginx_http_requests_total counter\n".to_owned();
    for (pod, rates) in PODS {
        for (series, rate) in rates.iter().enumerate() {
            for second in (0..300).step_by(15) {
                let labels = format!(r#"namespace="default",pod="{pod}",instance="{series}""#);
                let milliseconds = (now - 150 + second) * 1000;
                text += &format!("nginx_http_requests_total{{{labels}}} {} {milliseconds}\n", rate * second);
            }
        }
    }
    let file = folder.join("requests.prom");
    fs::write(&file, text).expect("written");
    succeed(Tool::Promtool, ["push", "metrics", prometheus, file.to_str().expect("a path")]);
}

/// The adapter gives values only for pods that the API server knows.
fn make_pods() {
    // The controller that would make it does not run.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    let pods = PODS.iter().map(|(name, _)| {
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
            "spec": {"containers": [{"name": "nginx", "image": "nginx"}]}})
    });
    let all = [account].into_iter().chain(pods).collect::<Vec<_>>();
    let file = tempfile::NamedTempFile::new().expect("a file");
    serde_json::to_writer(&file, &json!({"apiVersion": "v1", "kind": "List", "items": all}))
        .expect("written");
    let file = format!("--filename={}", file.path().display());
    NEWEST.kubectl(["apply", "--server-side", "--namespace=default", &file]).expect("pods");
}

/// Starts it with the arguments and rules of the chart; only what a pod would have is given in another way.
fn start_adapter(group: &mut Group, folder: &Path, prometheus: &str) -> String {
    let rendered = objects("chart", &charts::template(Tool::Helm, "prometheus-adapter"));
    let of = |kind| rendered.iter().find(|object| object["kind"] == kind).expect(kind);
    let config = folder.join("config.yaml");
    fs::write(&config, of("ConfigMap")["data"]["config.yaml"].as_str().expect("rules")).expect("written");
    let arguments = &of("Deployment")["spec"]["template"]["spec"]["containers"][0]["args"];
    let arguments = arguments.as_array().expect("arguments").iter().skip(1).filter_map(Value::as_str);

    let port = free_port();
    let kubeconfig = NEWEST.kubeconfig().display().to_string();
    let mut adapter = Command::new(devcluster::tool(Tool::PrometheusAdapter).expect("built"));
    adapter
        .args(arguments)
        .arg(format!("--config={}", config.display()))
        .arg(format!("--prometheus-url={prometheus}"))
        .arg(format!("--cert-dir={}", folder.join("certificates").display()))
        .arg(format!("--secure-port={port}"))
        .arg("--bind-address=127.0.0.1")
        .arg(format!("--lister-kubeconfig={kubeconfig}"))
        .arg(format!("--authentication-kubeconfig={kubeconfig}"))
        .arg(format!("--authorization-kubeconfig={kubeconfig}"));
    group.spawn("prometheus-adapter", &mut adapter, &folder.join("prometheus-adapter.log")).expect("started");
    format!("https://127.0.0.1:{port}")
}

/// Asks until there is an answer: the adapter serves before it has its first list of metrics.
fn ask(group: &mut Group, folder: &Path, adapter: &str, path: &str) -> Value {
    let answer = wait_for(group, folder, "prometheus-adapter", || {
        let server = format!("--server={adapter}");
        // Its certificate is its own.
        NEWEST.kubectl(["get", &server, "--insecure-skip-tls-verify", "--raw", path]).ok()
    });
    serde_json::from_str(&answer).expect("JSON")
}

/// Asks until there is something, the program has ended, or time is out; then its log is shown.
fn wait_for<T>(group: &mut Group, folder: &Path, program: &str, ask: impl Fn() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        if group.ended().expect("told").is_some() || Instant::now() > deadline {
            let log = fs::read_to_string(folder.join(format!("{program}.log"))).expect("a log");
            panic!("{program} gave no answer: {log}");
        }
        thread::sleep(PAUSE);
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}
