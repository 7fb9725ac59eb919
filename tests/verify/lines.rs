//! Logs as they arrive in Loki, asked for there: those of every pod, once, and what of them counts as an error.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::{World, programs, two_nodes};

/// From a line's being written to its being in Loki.
const DEADLINE: Duration = Duration::from_mins(2);

const DASHBOARD: &str = include_str!("../../manifests/grafana/dashboards/severed-health.json");

/// The newest line of a container, as the log API has it.
#[derive(Debug)]
struct Newest {
    node: String,
    selector: String,
    /// Nanoseconds since 1970.
    time: i128,
    line: String,
}

pub(crate) fn newest_of_every_pod_arrives_once(world: &World) {
    world.bench.succeed(&["up"]);
    let all = newest(world);
    for node in two_nodes::nodes(world) {
        assert!(all.iter().any(|newest| newest.node == node), "a pod on {node} logs: {all:?}");
    }
    for newest in &all {
        until(&format!("{newest:?} is in Loki"), || newest.count(world) > 0);
    }
    // What sends a line twice has had its time by now.
    for newest in &all {
        until(&format!("{newest:?} is in Loki once"), || newest.count(world) == 1);
    }
}

/// The newest lines of all containers of ready pods.
fn newest(world: &World) -> Vec<Newest> {
    let pods = world.bench.kubectl(["get", "pods", "--all-namespaces", "-o=json"]);
    let pods: Value = serde_json::from_str(&pods).expect("JSON");
    let mut found = Vec::new();
    for pod in pods["items"].as_array().expect("pods").iter().filter(|pod| is_ready(pod)) {
        let [namespace, name] = ["namespace", "name"].map(|field| text(&pod["metadata"], field));
        for container in pod["spec"]["containers"].as_array().expect("containers") {
            let container = text(container, "name");
            let log = ["logs", "-n", namespace, name, "-c", container, "--tail=1", "--timestamps"];
            let log = world.bench.kubectl(log);
            // One that has said nothing yet has nothing that could arrive.
            let Some((time, line)) = log.trim_end().split_once(' ') else { continue };
            found.push(Newest {
                node: text(&pod["spec"], "nodeName").to_owned(),
                selector: format!("{{namespace=\"{namespace}\", pod=\"{name}\", container=\"{container}\"}}"),
                time: time.parse::<Timestamp>().expect("a time").as_nanosecond(),
                line: line.to_owned(),
            });
        }
    }
    found
}

fn is_ready(pod: &Value) -> bool {
    let mut conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    ready && pod["metadata"]["deletionTimestamp"].is_null()
}

impl Newest {
    /// How often Loki has it.
    fn count(&self, world: &World) -> usize {
        let Self { selector, time, line, .. } = self;
        let query = programs::encoded(selector);
        let path = format!("query_range?query={query}&start={time}&end={}&limit=100", time + 1);
        let (answer, time) = (loki(world, &path), time.to_string());
        let streams = answer["data"]["result"].as_array().into_iter().flatten();
        let values = streams.flat_map(|stream| stream["values"].as_array().expect("values"));
        let is_it = |value: &&Value| {
            value[0] == *time && value[1].as_str().is_some_and(|found| found.trim_end() == line)
        };
        values.filter(is_it).count()
    }
}

pub(crate) fn errors_are_told_by_their_level(world: &World) {
    world.bench.succeed(&["up"]);
    let says = "echo 'level=info msg=\"no error, no panic\"'; echo 'level=error msg=one'; exec sleep 100000";
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "speaker", "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "speaker",
                "image": "devcluster.internal/busybox:1",
                "command": ["sh", "-c", says],
            }],
        },
    });
    world.bench.apply(&pod.to_string(), &[]);
    let both = programs::encoded("sum(count_over_time({pod=\"speaker\"}[10m]))");
    until("both lines are in Loki", || {
        loki(world, &format!("query?query={both}")).pointer("/data/result/0/value/1") == Some(&json!("2"))
    });

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let panel = panels.iter().find(|panel| panel["title"] == "Errors in the logs by namespace");
    let expression = text(&panel.expect("a panel")["targets"][0], "expr").replace("$__auto", "10m");
    let query = format!("query?query={}", programs::encoded(&expression));
    until("one line of the two is an error", || {
        let answer = loki(world, &query);
        let mut series = answer["data"]["result"].as_array().into_iter().flatten();
        let ours = series.find(|series| series["metric"]["namespace"] == "default");
        ours.is_some_and(|ours| ours["value"][1] == "1")
    });
    world.bench.kubectl(["delete", "pod", "-n", "default", "speaker"]);
}

/// What Loki answers; nothing when it was not reached.
fn loki(world: &World, path: &str) -> Value {
    let path = format!("{}/loki/api/v1/{path}", programs::proxy("loki:3100"));
    programs::answer(world, &["get", "--raw", &path]).unwrap_or_default()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_default()
}

/// Asks until Loki, which tells of no change, says yes.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < DEADLINE, "not in time: {what}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
