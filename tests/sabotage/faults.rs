//! Faults in a stack that works: the check that owns a fault is the first to fail, and names its cause.
//!
//! They are heaped up, none is mended: each is put in before those that are there already, as the order of the checks has
//! it, so each must be found before all of these.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::World;

/// One fault.
struct Sabotage {
    fault: &'static str,
    inflict: fn(&World),
    /// How long `verify` may wait for what may mend itself.
    patience: &'static str,
    owner: &'static str,
    /// What its line must say.
    words: &'static [&'static str],
}

/// The last check's first.
const SABOTAGES: &[Sabotage] = &[
    Sabotage {
        fault: "the adapter asks at a wrong URL",
        inflict: adapter_asks_elsewhere,
        patience: "40s",
        owner: "prometheus-adapter/prometheus",
        words: &["nowhere"],
    },
    Sabotage {
        fault: "visitors may edit",
        inflict: |world| grafana_with(world, "GF_AUTH_ANONYMOUS_ORG_ROLE=Editor"),
        patience: "40s",
        owner: "grafana/visitors",
        words: &["edit"],
    },
    Sabotage {
        fault: "a dashboard is gone",
        inflict: dashboard_is_gone,
        patience: "40s",
        owner: "grafana/dashboards",
        words: &["hpa-live-status"],
    },
    Sabotage {
        fault: "a data source has another name",
        inflict: |world| {
            rewrite(world, "grafana-datasources", "datasources.yaml", "name: Loki", "name: Logs");
            restart(world, "deployment/grafana");
        },
        patience: "40s",
        owner: "grafana/data-sources",
        words: &["Logs", "Loki"],
    },
    Sabotage {
        fault: "a data source has another uid",
        inflict: |world| {
            rewrite(world, "grafana-datasources", "datasources.yaml", "uid: loki", "uid: renamed");
            restart(world, "deployment/grafana");
        },
        patience: "40s",
        owner: "grafana/data-sources",
        words: &["loki"],
    },
    Sabotage {
        fault: "the Secret has another password",
        inflict: |world| {
            let other = r#"{"stringData": {"admin-password": "not-what-grafana-knows"}}"#;
            patch(world, "secret/grafana-secrets", other);
        },
        patience: "40s",
        owner: "grafana/login",
        words: &["grafana-secrets", "disagrees"],
    },
    Sabotage {
        fault: "LOKI_URL is wrong",
        inflict: |world| agents_send_elsewhere(world, "LOKI_URL"),
        patience: "75s",
        owner: "alloy/log-push",
        words: &["nowhere"],
    },
    Sabotage {
        fault: "PROM_URL is wrong",
        inflict: |world| agents_send_elsewhere(world, "PROM_URL"),
        patience: "60s",
        owner: "alloy/remote-write",
        words: &["nowhere"],
    },
    Sabotage {
        fault: "a second agent reads a node",
        inflict: second_agent,
        patience: "40s",
        owner: "alloy/alone",
        words: &["more than one agent"],
    },
    Sabotage {
        fault: "a rule of the agents' role is gone",
        inflict: |world| {
            let drop = r#"[{"op": "remove", "path": "/rules/1"}]"#;
            world.bench.kubectl(["patch", "clusterrole/alloy-cluster-role", "--type=json", "-p", drop]);
        },
        patience: "40s",
        owner: "alloy/rights",
        words: &["nodes/metrics", "alloy-cluster-role"],
    },
    Sabotage {
        fault: "Prometheus reads kube-state-metrics at a wrong port",
        inflict: |world| {
            rewrite(world, "prometheus-config", "prometheus.yml", ":8080", ":8079");
            restart(world, "statefulset/prometheus");
        },
        patience: "40s",
        owner: "kube-state-metrics/target",
        words: &["8079"],
    },
    Sabotage {
        fault: "kube-state-metrics is scaled to 0",
        inflict: |world| scale_to_0(world, "deployment/kube-state-metrics"),
        patience: "40s",
        owner: "kube-state-metrics/ready",
        words: &["kube-state-metrics"],
    },
    Sabotage {
        fault: "Loki keeps logs for ever",
        inflict: |world| {
            rewrite(
                world,
                "loki-config",
                "local-config.yaml",
                "retention_enabled: true",
                "retention_enabled: false",
            );
            restart(world, "statefulset/loki");
        },
        patience: "40s",
        owner: "loki/retention",
        words: &["retention"],
    },
    Sabotage {
        fault: "Loki's volume is full",
        inflict: loki_volume_is_full,
        patience: "40s",
        owner: "loki/writes",
        words: &["full"],
    },
    Sabotage {
        fault: "Prometheus is scaled to 0",
        inflict: |world| scale_to_0(world, "statefulset/prometheus"),
        patience: "40s",
        owner: "prometheus/ready",
        words: &["prometheus"],
    },
];

#[expect(clippy::print_stderr, reason = "the table is what this shows")]
pub(crate) fn owners_are_first(world: &World) {
    world.bench.succeed(&["up"]);
    world.bench.succeed(&["verify"]);
    for sabotage in SABOTAGES {
        (sabotage.inflict)(world);
        let (owner, line) = first_failure(world, sabotage.patience);
        eprintln!("{:52} {owner:30} {line}", sabotage.fault);
        assert_eq!(owner, sabotage.owner, "{}: {line}", sabotage.fault);
        for words in sabotage.words {
            assert!(line.contains(words), "{}: no {words:?} in {line:?}", sabotage.fault);
        }
    }
}

/// The first check that `verify` says has failed, and its line; nobody waits for the others.
fn first_failure(world: &World, patience: &str) -> (String, String) {
    let mut command = world.bench.command(&["verify", "--timeout", patience]);
    let mut verify =
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("the command starts");
    let stdout = BufReader::new(verify.stdout.take().expect("piped"));
    let (mut category, mut said) = (String::new(), String::new());
    let mut failure = None;
    for line in stdout.lines().map(|line| line.expect("text")) {
        said += &format!("{line}\n");
        if let Some((id, message)) = line.strip_prefix("  ✗ ").and_then(|line| line.split_once(' ')) {
            failure = Some((format!("{category}/{id}"), message.trim().to_owned()));
            break;
        }
        if !line.starts_with(' ') {
            category = line;
        }
    }
    verify.kill().expect("not yet waited for");
    verify.wait().expect("ended");
    failure.unwrap_or_else(|| panic!("no check failed:\n{said}"))
}

fn patch(world: &World, object: &str, patch: &str) {
    world.bench.kubectl(["patch", object, "-n", "monitoring", "--type=merge", "-p", patch]);
}

/// Makes new pods of a workload and waits until they have taken the place of the old ones.
fn restart(world: &World, workload: &str) {
    world.bench.kubectl(["rollout", "restart", "-n", "monitoring", workload]);
    rolled_out(world, workload);
}

fn rolled_out(world: &World, workload: &str) {
    world.bench.kubectl(["rollout", "status", "-n", "monitoring", workload, "--timeout=5m"]);
}

fn scale_to_0(world: &World, workload: &str) {
    world.bench.kubectl(["scale", "-n", "monitoring", workload, "--replicas=0"]);
}

/// Replaces a text in one file of a `ConfigMap`.
fn rewrite(world: &World, map: &str, file: &str, from: &str, to: &str) {
    let object = world.bench.kubectl(["get", "configmap", map, "-n", "monitoring", "-o=json"]);
    let object: Value = serde_json::from_str(&object).expect("JSON");
    let text = object["data"][file].as_str().expect("a file");
    assert!(text.contains(from), "{from:?} in {file}");
    let data = json!({ "data": { file: text.replace(from, to) } });
    patch(world, &format!("configmap/{map}"), &data.to_string());
}

fn adapter_asks_elsewhere(world: &World) {
    let deployment = "deployment/prometheus-adapter";
    let path = ".spec.template.spec.containers[0].args";
    let arguments = world.bench.field(&format!("{deployment} -n monitoring"), path);
    let arguments: Vec<String> = serde_json::from_str(&arguments).expect("a list");
    let url = arguments.iter().position(|argument| argument.starts_with("--prometheus-url=")).expect("a URL");
    let replaced = json!([{
        "op": "replace",
        "path": format!("/spec/template/spec/containers/0/args/{url}"),
        "value": "--prometheus-url=http://nowhere.monitoring.svc:9090",
    }]);
    let replaced = replaced.to_string();
    world.bench.kubectl(["patch", deployment, "-n", "monitoring", "--type=json", "-p", &replaced]);
    rolled_out(world, deployment);
}

fn grafana_with(world: &World, setting: &str) {
    world.bench.kubectl(["set", "env", "-n", "monitoring", "deployment/grafana", setting]);
    rolled_out(world, "deployment/grafana");
}

fn dashboard_is_gone(world: &World) {
    patch(world, "configmap/grafana-dashboards-json", r#"{"data": {"hpa-live-status.json": null}}"#);
    restart(world, "deployment/grafana");
}

/// The same agent under another name, on one node, beside the first: it must not want the same port there.
fn second_agent(world: &World) {
    let set = world.bench.kubectl(["get", "daemonset/alloy", "-n", "monitoring", "-o=json"]);
    let set = set
        .replace("0.0.0.0:12345", "0.0.0.0:12346")
        .replace("\"containerPort\": 12345", "\"containerPort\": 12346");
    let set = set.replace("\"hostPort\": 12345", "\"hostPort\": 12346");
    let mut set: Value = serde_json::from_str(&set).expect("JSON");
    let node = world.bench.kubectl(["get", "nodes", "-o=jsonpath={.items[0].metadata.name}"]);
    set["metadata"] = json!({"name": "another", "namespace": "monitoring"});
    set["spec"]["selector"]["matchLabels"] = json!({"name": "another"});
    set["spec"]["template"]["metadata"] = json!({"labels": {"name": "another"}});
    set["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": node});
    if let Some(fields) = set.as_object_mut() {
        fields.remove("status");
    }
    world.bench.apply(&set.to_string(), &[]);
    rolled_out(world, "daemonset/another");
}

fn agents_send_elsewhere(world: &World, variable: &str) {
    let data = json!({ "data": { variable: "http://nowhere.monitoring.svc:1/" } });
    patch(world, "configmap/monitoring-env", &data.to_string());
    restart(world, "daemonset/alloy");
}

/// Puts a small file system where Loki's volume is, and fills it once Loki has begun to use it.
fn loki_volume_is_full(world: &World) {
    // A mount over a volume in use would go with the pod that uses it.
    scale_to_0(world, "statefulset/loki");
    world.bench.kubectl(["wait", "pod/loki-0", "-n", "monitoring", "--for=delete", "--timeout=5m"]);
    let volume = world.bench.field("pvc/data-loki-0 -n monitoring", ".spec.volumeName");
    let volume = world.bench.kubectl(["get", "pv", &volume, "-o=json"]);
    let volume: Value = serde_json::from_str(&volume).expect("JSON");
    let node = "/spec/nodeAffinity/required/nodeSelectorTerms/0/matchExpressions/0/values/0";
    let node = volume.pointer(node).and_then(Value::as_str).expect("a volume on one node");
    let path =
        ["/spec/local/path", "/spec/hostPath/path"].iter().find_map(|path| volume.pointer(path)?.as_str());
    let (parent, name) = path.and_then(|path| path.rsplit_once('/')).expect("a volume on a node's disk");
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "filler", "namespace": "default"},
        "spec": {
            "nodeName": node,
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "filler",
                "image": "devcluster.internal/busybox:1",
                "command": ["sh", "-ec", format!("mount -t tmpfs -o size=16m,mode=777 small /volumes/{name}; touch /done; exec sleep 100000")],
                "readinessProbe": {"exec": {"command": ["test", "-e", "/done"]}, "periodSeconds": 1},
                "securityContext": {"privileged": true},
                "volumeMounts": [{"name": "volumes", "mountPath": "/volumes", "mountPropagation": "Bidirectional"}],
            }],
            "volumes": [{"name": "volumes", "hostPath": {"path": parent}}],
        },
    });
    world.bench.apply(&pod.to_string(), &[]);
    world.bench.kubectl(["wait", "pod/filler", "-n", "default", "--for=condition=Ready", "--timeout=5m"]);
    world.bench.kubectl(["scale", "-n", "monitoring", "statefulset/loki", "--replicas=1"]);
    rolled_out(world, "statefulset/loki");
    let fill = format!("dd if=/dev/zero of=/volumes/{name}/ballast bs=4k count=4000 2>/dev/null || true");
    world.bench.kubectl(["exec", "filler", "-n", "default", "--", "sh", "-c", &fill]);
    // It looks at its volume from time to time.
    let metrics = "/api/v1/namespaces/monitoring/services/http:loki:3100/proxy/metrics";
    until("Loki has seen that its volume is full", || {
        let metrics = world.bench.kubectl(["get", "--raw", metrics]);
        let usage =
            metrics.lines().find_map(|line| line.strip_prefix("loki_ingester_wal_disk_usage_percent "));
        usage.is_some_and(|usage| usage.parse::<f64>().expect("a number") > 0.9)
    });
}

/// Asks until a program that tells of no change says yes.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_mins(2), "not in time: {what}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
