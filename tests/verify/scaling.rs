//! The example under load: requests make replicas and their end takes them away, and the dashboard shows both.

use std::fmt;
use std::io::BufReader;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{World, programs};

const EXAMPLE: &str = "examples/severed-blog";
const DASHBOARD: &str = include_str!("../../manifests/grafana/dashboards/hpa-live-status.json");
/// From `load.yaml`, and from `autoscaler.yaml`.
const REQUESTS_PER_SECOND: f64 = 70.0;
const MOST_REPLICAS: f64 = 5.0;
const REQUESTS: &str = "sum(rate(nginx_http_requests_total{namespace=\"blog\"}[1m]))";
/// Longer than the way up takes on two busy cores, and the way back.
const DEADLINE: Duration = Duration::from_mins(5);
/// How often Prometheus and Grafana are asked while the autoscaler says nothing.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the table gets a line while the number of replicas stays.
const LINE: Duration = Duration::from_secs(15);

pub(crate) fn replicas_follow_the_requests(world: &World) {
    world.bench.succeed(&["up"]);
    world.bench.succeed(&["up", "--stack", EXAMPLE]);
    let watch = Watch::start(world);
    watch.until_measured();
    // The article's autoscalers ask for the second name.
    for metric in ["nginx_http_requests_per_second", "nginx_http_requests_total"] {
        let path = format!("/apis/custom.metrics.k8s.io/v1beta1/namespaces/blog/pods/*/{metric}");
        let list: Value = serde_json::from_str(&world.bench.kubectl(["get", "--raw", &path])).expect("JSON");
        assert!(list.pointer("/items/0/value").is_some(), "{metric} has a value: {list}");
    }
    let second = world.bench.succeed(&["up", "--stack", EXAMPLE]);
    assert!(second.stderr.contains("unchanged"), "a second up leaves the replicas alone:\n{}", second.stderr);

    // It ends when the most replicas have been seen, which takes longer on a busy machine.
    let load = std::fs::read_to_string(format!("{EXAMPLE}/load.yaml")).expect("readable");
    let longer = load.replace("-t=2m", "-t=5m");
    assert_ne!(load, longer);
    world.bench.apply(&longer, &[]);
    let mut table = Table::new(world, &watch);
    table.until("the dashboard shows three replicas or more, and the requests that make them", |seen| {
        let Replicas { current, desired } = seen.replicas;
        let steady = current >= 3 && current == desired;
        steady && seen.row.shows(seen.replicas) && seen.row.shows_load(seen.requests)
    });
    world.bench.kubectl(["delete", "-n", "blog", "job/load"]);
    table.until("the dashboard shows one replica again", |seen| {
        seen.replicas.current == 1 && seen.row.shows(seen.replicas)
    });
    world.bench.succeed(&["down", "--stack", EXAMPLE]);
}

/// What is written down of the run, a line for each step of the autoscaler.
struct Table<'a> {
    world: &'a World,
    watch: &'a Watch,
    began: Instant,
    replicas: Replicas,
    written: Option<(Replicas, Instant)>,
}

/// One moment.
struct Seen {
    replicas: Replicas,
    requests: f64,
    row: Row,
}

impl<'a> Table<'a> {
    #[expect(clippy::print_stderr, reason = "the table is to be seen")]
    fn new(world: &'a World, watch: &'a Watch) -> Self {
        eprintln!("\n           Prometheus    the autoscaler         the dashboard");
        eprintln!("  time     requests/s    desired   current      requests/s   CPU   desired   current");
        let replicas = Replicas { current: 1, desired: 1 };
        Self { world, watch, began: Instant::now(), replicas, written: None }
    }

    /// Goes on until a moment is as it should be.
    #[expect(clippy::print_stderr, reason = "the table is to be seen")]
    fn until(&mut self, goal: &str, is_so: impl Fn(&Seen) -> bool) {
        let began = Instant::now();
        while began.elapsed() < DEADLINE {
            self.replicas = self.watch.next(PAUSE).unwrap_or(self.replicas);
            let now = programs::now();
            let seen = Seen {
                replicas: self.replicas,
                requests: programs::metric(self.world, REQUESTS, now).unwrap_or_default(),
                row: Row::read(self.world, now),
            };
            let done = is_so(&seen);
            if done || self.written.is_none_or(|(was, at)| was != seen.replicas || at.elapsed() >= LINE) {
                eprintln!("{:4} s     {seen}", self.began.elapsed().as_secs());
                self.written = Some((seen.replicas, Instant::now()));
            }
            if done {
                eprintln!("           {goal}");
                return;
            }
        }
        panic!("out of time before {goal}");
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { replicas: Replicas { current, desired }, requests, row } = self;
        write!(formatter, "{requests:10.1}    {desired:7}   {current:7}      {:10.1}", row.requests)?;
        let percent = 100.0 * row.cpu_of_request;
        write!(formatter, "   {percent:2.0}%   {:7}   {:7}", row.desired, row.current)
    }
}

/// The autoscaler's row in the dashboard's first table.
#[derive(Debug)]
struct Row {
    requests: f64,
    cpu_of_request: f64,
    current: f64,
    desired: f64,
    least: f64,
    most: f64,
}

impl Row {
    /// Asks Grafana for it, as the dashboard does: by the queries of the panel, for the namespace that was chosen.
    fn read(world: &World, now: u128) -> Self {
        let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
        let panel = &dashboard["panels"][0];
        let queries = panel["targets"].as_array().expect("queries").iter().map(|target| {
            let mut query = target.clone();
            query["expr"] =
                target["expr"].as_str().expect("an expression").replace("$namespace", "blog").into();
            query["intervalMs"] = 15_000.into();
            query
        });
        let from = (now - 3_600_000).to_string();
        let body =
            json!({"from": from, "to": now.to_string(), "queries": queries.collect::<Vec<_>>()}).to_string();
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), body).expect("written");
        let path = format!("{}/api/ds/query", programs::proxy("grafana-service:3000"));
        let file = file.path().to_str().expect("a path");
        let answer = programs::answer(world, &["create", "--raw", &path, "-f", file]).unwrap_or_default();

        let columns = panel["transformations"][1]["options"]["renameByName"].as_object().expect("columns");
        let column = |title: &str| {
            let (name, _) = columns.iter().find(|(_, shown)| *shown == title).expect(title);
            let query = name.strip_prefix("Value #").expect("a query's column");
            let mut frames = answer["results"][query]["frames"].as_array().into_iter().flatten();
            // A frame without fields is no data.
            let ours = |frame: &&Value| {
                frame.pointer("/schema/fields/1/labels/horizontalpodautoscaler")
                    == Some(&json!("severed-blog"))
            };
            let value = frames.find(ours).and_then(|frame| frame.pointer("/data/values/1/0"));
            value.and_then(Value::as_f64).unwrap_or(f64::NAN)
        };
        Self {
            requests: column("requests/s"),
            cpu_of_request: column("CPU of request"),
            current: column("current"),
            desired: column("desired"),
            least: column("min"),
            most: column("max"),
        }
    }

    /// Whether it has these numbers of replicas.
    fn shows(&self, state: Replicas) -> bool {
        let same = |shown: f64, count: i32| (shown - f64::from(count)).abs() < f64::EPSILON;
        same(self.current, state.current) && same(self.desired, state.desired) && same(self.least, 1)
    }

    /// Whether it has the requests that Prometheus has, which are those of the load, and the rest of the row.
    fn shows_load(&self, requests: f64) -> bool {
        let is_load = requests > 0.3 * REQUESTS_PER_SECOND && requests < 1.2 * REQUESTS_PER_SECOND;
        is_load
            && (self.requests - requests).abs() < 0.001 * requests
            && self.cpu_of_request > 0.0
            && (self.most - MOST_REPLICAS).abs() < f64::EPSILON
    }
}

/// What the autoscaler's status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Replicas {
    current: i32,
    desired: i32,
}

/// The autoscaler, each time that it changes.
struct Watch {
    kubectl: Child,
    states: Receiver<Value>,
}

impl Watch {
    fn start(world: &World) -> Self {
        let arguments = ["get", "hpa/severed-blog", "-n", "blog", "--watch", "--output=json"];
        let mut kubectl =
            world.bench.kubectl_command(arguments).stdout(Stdio::piped()).spawn().expect("kubectl starts");
        let stdout = kubectl.stdout.take().expect("piped");
        let (sender, states) = channel();
        thread::spawn(move || {
            // It ends when kubectl does, or when nobody listens any more.
            for state in serde_json::Deserializer::from_reader(BufReader::new(stdout)).into_iter() {
                let Ok(state) = state else { return };
                if sender.send(state).is_err() {
                    return;
                }
            }
        });
        Self { kubectl, states }
    }

    /// Waits until it has seen a first number of requests.
    fn until_measured(&self) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let state = self.states.recv_timeout(left).expect("the autoscaler comes to see requests");
            let metrics = state["status"]["currentMetrics"].as_array().cloned().unwrap_or_default();
            let named = |metric: &Value| metric["pods"]["metric"]["name"] == "nginx_http_requests_per_second";
            if metrics.iter().any(named) {
                return;
            }
        }
    }

    /// Its next state, if one comes within that time.
    fn next(&self, within: Duration) -> Option<Replicas> {
        match self.states.recv_timeout(within) {
            Ok(state) => {
                let count =
                    |name: &str| serde_json::from_value(state["status"][name].clone()).unwrap_or_default();
                Some(Replicas { current: count("currentReplicas"), desired: count("desiredReplicas") })
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => panic!("kubectl stopped watching"),
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
