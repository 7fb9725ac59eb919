//! Prometheus: that it answers, reads what it should, keeps it as long as it should, and can write. Asks it for others, too.

use std::collections::BTreeMap;
use std::rc::Rc;

use http::Request;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::counters::{self, Counters};
use super::program::{self, Program, UP};
use super::{pods, retention};

/// It has a ready pod that says so.
pub(super) const READY: Name = name("ready");
const TARGET: Name = name("own-target");
const RETENTION: Name = name("retention");
/// It can write what it is given.
pub(super) const WRITES: Name = name("writes");

const fn name(id: &'static str) -> Name {
    Name { category: "prometheus", id }
}

/// What rises when its volume is full or broken.
const WRITE_FAILURES: [&str; 5] = [
    "prometheus_tsdb_wal_writes_failed_total",
    "prometheus_tsdb_wal_corruptions_total",
    "prometheus_tsdb_checkpoint_creations_failed_total",
    "prometheus_tsdb_head_truncations_failed_total",
    "prometheus_tsdb_compactions_failed_total",
];

/// Prometheus as the stack wants it.
pub(super) struct Prometheus {
    program: Program,
    /// Its configuration, as the stack has it.
    config: Value,
    counters: Counters,
}

/// One series of an answer, as it is at the moment.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) labels: BTreeMap<String, String>,
    pub(super) value: f64,
}

impl Sample {
    /// The value of a label; empty without it, as in Prometheus.
    pub(super) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    /// What the value of `up` says.
    pub(super) fn is_up(&self) -> bool {
        self.value > 0.5
    }
}

/// The checks of this category.
pub(super) fn checks(prometheus: &Rc<Prometheus>) -> Vec<Check> {
    let mut checks = vec![Check::new(READY, prometheus, Prometheus::is_ready)];
    if prometheus.job_of(|host| host == "localhost" || host == "127.0.0.1").is_some() {
        checks.push(Check::new(TARGET, prometheus, Prometheus::reads_itself).needs([READY]).hint(UP));
    }
    if prometheus.retention().is_some() {
        checks.push(Check::new(RETENTION, prometheus, Prometheus::keeps).needs([READY]));
    }
    checks.push(Check::new(WRITES, prometheus, Prometheus::writes).needs([READY]));
    checks
}

impl Subject for Prometheus {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl Prometheus {
    pub(super) fn new(program: Program, config: Value) -> Self {
        Self { program, config, counters: Counters::default() }
    }

    async fn is_ready(&self) -> Verdict {
        self.program.is_ready("/-/ready").await
    }

    async fn reads_itself(&self) -> Verdict {
        let job = self.job_of(|host| host == "localhost" || host == "127.0.0.1");
        self.reads(job.unwrap_or_default()).await
    }

    async fn keeps(&self) -> Verdict {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Runtime {
            storage_retention: String,
        }
        let answer: Answer<Runtime> = self.program.json("/api/v1/status/runtimeinfo").await?;
        let has = retention::of_prometheus(&answer.data.storage_retention);
        let wants = self.retention().unwrap_or_default();
        retention::compare("Prometheus", &has, &wants)
    }

    async fn writes(&self) -> Verdict {
        let pod = self.program.ready_pod()?;
        let text = self.program.get(&pod, "/metrics").await?;
        counters::volume_is_written(&self.counters, &pods::name_of(&pod), &text, &WRITE_FAILURES)
    }

    /// The retention that the stack's file asks for.
    fn retention(&self) -> Option<retention::Retention> {
        retention::of_config(&self.config["storage"]["tsdb"]["retention"])
    }

    /// The job of the file whose static target is on a host that `is_wanted`.
    pub(super) fn job_of(&self, is_wanted: impl Fn(&str) -> bool) -> Option<&str> {
        let jobs = self.config["scrape_configs"].as_array()?;
        let job = jobs.iter().find(|job| {
            let configs = job["static_configs"].as_array().into_iter().flatten();
            let targets = configs.filter_map(|config| config["targets"].as_array()).flatten();
            targets
                .filter_map(Value::as_str)
                .any(|target| is_wanted(target.split(':').next().unwrap_or_default()))
        })?;
        job["job_name"].as_str()
    }

    /// Passes when it reads the one target of a job, once. Asks for what it reads now: its samples would show for five minutes
    /// what it has read before.
    pub(super) async fn reads(&self, job: &str) -> Verdict {
        let answer: Answer<Targets> = self.program.json("/api/v1/targets?state=active").await?;
        let targets = answer.data.active_targets.into_iter().filter(|target| target.scrape_pool == job);
        read_once(job, &targets.collect::<Vec<_>>())
    }

    /// Asks for what an expression gives at the moment.
    pub(super) async fn query(&self, expression: &str) -> Result<Vec<Sample>, Trouble> {
        let form = form_urlencoded::Serializer::new(String::new()).append_pair("query", expression).finish();
        let request = Request::post("/api/v1/query")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form)
            .map_err(|error| failed(error.to_string()))?;
        let pod = self.program.ready_pod()?;
        let who = format!("{} at /api/v1/query", pods::name_of(&pod));
        let answer = self.program.send(&pod, &request).await?;
        if answer.status == 400 {
            return Err(failed(format!("{who} refuses `{expression}`{}", program::said(&answer.body))));
        }
        let answer: Answer<Vector> = program::read(&program::well(answer, &who)?, &who)?;
        Ok(answer.data.result.into_iter().map(Sample::from).collect())
    }
}

/// Passes when a job has one target, and that is up.
fn read_once(job: &str, targets: &[Target]) -> Verdict {
    match targets {
        [] => Err(pending(format!("job {job} has no target")).hint(UP)),
        [one] => {
            let instance = &one.labels.instance;
            match one.health.as_str() {
                "up" => Ok(format!("target {instance} of job {job} is up, once")),
                "down" => Err(pending(format!("target {instance} of job {job} is down: {}", one.last_error))),
                _ => Err(pending(format!("target {instance} of job {job} was not read yet"))),
            }
        }
        many => {
            let instances: Vec<_> = many.iter().map(|target| target.labels.instance.as_str()).collect();
            let instances = instances.join(", ");
            Err(pending(format!("job {job} has {} targets, not one: {instances}", many.len())))
        }
    }
}

/// What its API wraps every answer in.
#[derive(Deserialize)]
struct Answer<T> {
    data: T,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Targets {
    active_targets: Vec<Target>,
}

/// What it reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    /// The name of its job.
    scrape_pool: String,
    labels: TargetLabels,
    /// `up`, `down` or `unknown`.
    health: String,
    last_error: String,
}

#[derive(Deserialize)]
struct TargetLabels {
    instance: String,
}

#[derive(Deserialize)]
struct Vector {
    result: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    metric: BTreeMap<String, String>,
    /// The time in seconds, and the number as text, since JSON has no NaN.
    value: (f64, String),
}

impl From<Written> for Sample {
    fn from(written: Written) -> Self {
        Self { labels: written.metric, value: written.value.1.parse().unwrap_or(f64::NAN) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_as_prometheus_sends_it() {
        let text = r#"{"status":"success","data":{"resultType":"vector","result":[
            {"metric":{"__name__":"up","job":"x"},"value":[1764045600.123,"1"]},{"metric":{},"value":[1764045600,"NaN"]}]}}"#;
        let answer: Answer<Vector> = program::read(text, "x").expect("an answer");
        let samples: Vec<_> = answer.data.result.into_iter().map(Sample::from).collect();
        assert_eq!((samples[0].label("job"), samples[0].label("node"), samples[0].value), ("x", "", 1.0));
        assert!(samples[1].value.is_nan());
    }

    #[test]
    fn a_job_is_well_when_its_one_target_is_read() {
        let target = |instance: &str, health: &str, error: &str| {
            format!(
                r#"{{"scrapePool":"x","labels":{{"instance":"{instance}","job":"x"}},"lastError":"{error}","health":"{health}"}}"#
            )
        };
        let told = |targets: &[String]| {
            let text =
                format!(r#"{{"status":"success","data":{{"activeTargets":[{}]}}}}"#, targets.join(","));
            let answer: Answer<Targets> = program::read(&text, "x").expect("an answer");
            match read_once("x", &answer.data.active_targets) {
                Ok(message) => message,
                Err(Trouble::Pending(reason)) => reason.message,
                Err(other) => panic!("{other:?}"),
            }
        };
        let up = target("a:1", "up", "");
        assert_eq!(told(std::slice::from_ref(&up)), "target a:1 of job x is up, once");
        assert_eq!(told(&[]), "job x has no target");
        assert_eq!(told(&[target("a:1", "unknown", "")]), "target a:1 of job x was not read yet");
        let down = target("a:2", "down", "connection refused");
        assert_eq!(told(std::slice::from_ref(&down)), "target a:2 of job x is down: connection refused");
        assert_eq!(told(&[up, down]), "job x has 2 targets, not one: a:1, a:2");
    }
}
