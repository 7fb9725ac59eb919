//! Loki: that it answers, takes logs in, and keeps them as long as it should.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::Value;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed};
use super::counters::{self, Counters};
use super::program::{Program, UP};
use super::{exposition, pods, retention};
use crate::yaml;

/// It has a ready pod that says so.
pub(super) const READY: Name = name("ready");
/// It takes logs in and can write them down.
pub(super) const WRITES: Name = name("writes");
const RETENTION: Name = name("retention");

const fn name(id: &'static str) -> Name {
    Name { category: "loki", id }
}

/// What rises when its volume is full or broken. It answers all the same.
const WRITE_FAILURES: [&str; 3] = [
    "loki_ingester_wal_disk_full_failures_total",
    "loki_ingester_checkpoint_creations_failed_total",
    "loki_ingester_chunks_flush_failures_total",
];

/// Loki as the stack wants it.
pub(super) struct Loki {
    program: Program,
    /// Its configuration, as the stack has it.
    config: Value,
    counters: Counters,
}

/// A stream of log lines, as a query gives it.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Stream {
    /// Its labels.
    #[serde(rename = "stream")]
    pub(super) labels: BTreeMap<String, String>,
    /// Each line's time in nanoseconds, and itself.
    pub(super) values: Vec<(String, String)>,
}

/// The checks of this category.
pub(super) fn checks(loki: &Rc<Loki>) -> Vec<Check> {
    let mut checks =
        vec![Check::new(READY, loki, Loki::is_ready), Check::new(WRITES, loki, Loki::writes).needs([READY])];
    if loki.retention().is_some() {
        checks.push(Check::new(RETENTION, loki, Loki::keeps).needs([READY]));
    }
    checks
}

impl Subject for Loki {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl Loki {
    pub(super) fn new(program: Program, config: Value) -> Self {
        Self { program, config, counters: Counters::default() }
    }

    async fn is_ready(&self) -> Verdict {
        self.program.is_ready("/ready").await
    }

    async fn writes(&self) -> Verdict {
        let pod = self.program.ready_pod()?;
        let name = pods::name_of(&pod);
        let text = self.program.get(&pod, "/metrics").await?;
        let config = self.running_config().await?;
        let limit = config["ingester"]["wal"]["disk_full_threshold"].as_f64().filter(|limit| *limit > 0.0);
        let usage = exposition::sum(&text, "loki_ingester_wal_disk_usage_percent");
        has_room(&name.to_string(), usage, limit)?;
        counters::volume_is_written(&self.counters, &name, &text, &WRITE_FAILURES)
    }

    async fn keeps(&self) -> Verdict {
        let wants = self.retention().unwrap_or_default();
        let config = self.running_config().await?;
        if config["compactor"]["retention_enabled"] != true {
            let message = "Loki keeps everything: compactor.retention_enabled is off";
            return Err(failed(message).hint(UP));
        }
        let has = config["limits_config"]["retention_period"].as_str().unwrap_or_default();
        retention::compare("Loki", &retention::of_time(has), &wants)
    }

    /// The retention that the stack's file asks for.
    fn retention(&self) -> Option<retention::Retention> {
        self.config["limits_config"]["retention_period"].as_str().map(retention::of_time)
    }

    /// The configuration that it runs with, defaults and all.
    async fn running_config(&self) -> Result<Value, Trouble> {
        let pod = self.program.ready_pod()?;
        let text = self.program.get(&pod, "/config").await?;
        yaml::document("/config", &text)
            .map_err(|error| failed(format!("{} at {error}", pods::name_of(&pod))))
    }

    /// The lines of the streams that a selector picks, from a time in nanoseconds on and before another.
    pub(super) async fn query(&self, selector: &str, from: i128, to: i128) -> Result<Vec<Stream>, Trouble> {
        #[derive(Deserialize)]
        struct Answer {
            data: Data,
        }
        #[derive(Deserialize)]
        struct Data {
            result: Vec<Stream>,
        }
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("query", selector)
            .append_pair("start", &from.to_string())
            .append_pair("end", &to.to_string())
            .append_pair("limit", "100")
            .finish();
        let path = format!("/loki/api/v1/query_range?{form}");
        Ok(self.program.json::<Answer>(&path).await?.data.result)
    }
}

/// Fails when the volume is so full that Loki refuses to take anything in; `limit` is where it begins to.
fn has_room(pod: &str, usage: f64, limit: Option<f64>) -> Result<(), Trouble> {
    match limit {
        Some(limit) if usage >= limit => {
            let (usage, limit) = (usage * 100.0, limit * 100.0);
            let message =
                format!("{pod} refuses logs: its volume is {usage:.0} % full, and {limit:.0} % is its limit");
            Err(failed(message).hint("make room on the node that has the volume, or give it a larger one"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_that_is_full_enough_for_loki_to_refuse_is_a_failure() {
        assert!(has_room("pod/loki-0", 0.5, Some(0.9)).is_ok());
        assert!(has_room("pod/loki-0", 0.95, None).is_ok());
        let Err(Trouble::Failed(reason)) = has_room("pod/loki-0", 0.957, Some(0.9)) else {
            panic!("it is full")
        };
        assert_eq!(reason.message, "pod/loki-0 refuses logs: its volume is 96 % full, and 90 % is its limit");
    }
}
