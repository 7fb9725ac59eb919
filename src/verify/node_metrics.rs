//! What the agents read of the nodes, as Prometheus has it: of every node, once, fresh, and nothing refused.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::alloy::{self, Alloy};
use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, pending};
use super::prometheus::{Prometheus, Sample};

/// What the nodes themselves tell is there.
pub(super) const HOST: Name = name("host");
/// What the kubelets tell of containers is there.
pub(super) const CONTAINERS: Name = name("containers");
const FRESH: Name = name("fresh");
const REFUSED: Name = name("refused");

const fn name(id: &'static str) -> Name {
    Name { category: "node-metrics", id }
}

/// How old the newest sample may be, in seconds.
const OLDEST: f64 = 60.0;

/// What Prometheus counts of what it did not take, or not in order. With a window for late samples it refuses nothing as out of
/// order any more, but takes it so. A window of two minutes forgets what an agent that was started anew has sent twice; what
/// goes on, as where two send the same series, is still there when the run's time is out.
const IRREGULAR: [(&str, &str); 7] = [
    ("prometheus_tsdb_out_of_order_samples_total", "refused: out of order"),
    ("prometheus_tsdb_head_out_of_order_samples_appended_total", "taken out of order"),
    ("prometheus_tsdb_too_old_samples_total", "refused: too old"),
    ("prometheus_tsdb_out_of_bound_samples_total", "refused: too old"),
    ("prometheus_target_scrapes_sample_out_of_order_total", "refused: out of order"),
    ("prometheus_target_scrapes_sample_duplicate_timestamp_total", "refused: twice for one time"),
    ("prometheus_api_remote_write_invalid_labels_samples_total", "refused: with labels that are none"),
];

/// The agents, and where they send to.
pub(super) struct NodeMetrics {
    alloy: Rc<Alloy>,
    prometheus: Rc<Prometheus>,
}

/// The checks of this category; none when no agent sends anything to Prometheus.
pub(super) fn checks(alloy: &Rc<Alloy>) -> Vec<Check> {
    let Some(prometheus) = &alloy.prometheus else { return Vec::new() };
    let metrics = Rc::new(NodeMetrics { alloy: Rc::clone(alloy), prometheus: Rc::clone(prometheus) });
    let mut checks = Vec::new();
    let sent = [alloy::REMOTE_WRITE, alloy::ALONE];
    if alloy.reads_host() {
        checks.push(Check::new(HOST, &metrics, NodeMetrics::has_hosts).needs(sent));
    }
    if alloy.cadvisor_job().is_some() {
        checks.push(Check::new(CONTAINERS, &metrics, NodeMetrics::has_containers).needs(sent));
    }
    checks.push(Check::new(FRESH, &metrics, NodeMetrics::is_fresh).needs([HOST, CONTAINERS]));
    checks.push(Check::new(REFUSED, &metrics, NodeMetrics::is_taken).needs(sent));
    checks
}

impl Subject for NodeMetrics {
    fn asked(&self) -> Asked {
        // Prometheus has what it was given.
        Asked { hint: self.alloy.asked().hint, ..self.prometheus.asked() }
    }
}

impl NodeMetrics {
    async fn has_hosts(&self) -> Verdict {
        self.has(alloy::HOST_JOB).await
    }

    async fn has_containers(&self) -> Verdict {
        self.has(self.alloy.cadvisor_job().unwrap_or_default()).await
    }

    async fn has(&self, job: &str) -> Verdict {
        let up = self.prometheus.query(&format!("up{{job=\"{job}\"}}")).await?;
        once_a_node(job, self.alloy.nodes().await?, &up)
    }

    async fn is_fresh(&self) -> Verdict {
        let mut oldest: f64 = 0.0;
        let jobs =
            self.alloy.reads_host().then_some(alloy::HOST_JOB).into_iter().chain(self.alloy.cadvisor_job());
        for job in jobs {
            let ages = self.prometheus.query(&format!("time() - timestamp(up{{job=\"{job}\"}})")).await?;
            for (node, age) in alloy::by_node(&ages) {
                oldest = oldest.max(age);
                if age > OLDEST {
                    return Err(pending(format!(
                        "the newest sample of job {job} from node {node} is {age:.0} s old"
                    )));
                }
            }
        }
        Ok(format!("the newest samples are at most {oldest:.0} s old"))
    }

    async fn is_taken(&self) -> Verdict {
        for (metric, what) in IRREGULAR {
            let rises = self.prometheus.query(&format!("sum(increase({metric}[2m]))")).await?;
            are_none(rises.first().map_or(0.0, |sample| sample.value), metric, what)?;
        }
        Ok("within two minutes Prometheus refused nothing, and took nothing out of order".to_owned())
    }
}

/// Passes when each node's target is up, and there once.
fn once_a_node(job: &str, nodes: &BTreeSet<String>, up: &[Sample]) -> Verdict {
    let mut counts: BTreeMap<&str, usize> = nodes.iter().map(|node| (node.as_str(), 0)).collect();
    for sample in up {
        let node = [sample.label("node"), sample.label("instance")].into_iter().find(|name| !name.is_empty());
        let node = node.unwrap_or_default();
        let Some(count) = counts.get_mut(node) else {
            return Err(pending(format!("job {job} has a target on {node}, where no agent runs")));
        };
        *count += 1;
        if !sample.is_up() {
            return Err(down(job, node));
        }
    }
    for (node, count) in &counts {
        match count {
            0 => return Err(pending(format!("job {job} has nothing from node {node} yet"))),
            1 => {}
            count => return Err(pending(format!("job {job} has node {node} {count} times"))),
        }
    }
    Ok(format!("job {job} is up on {}", counts.into_keys().collect::<Vec<_>>().join(", ")))
}

/// Passes when there are no such samples; what `increase` says is seldom a whole number.
fn are_none(samples: f64, metric: &str, what: &str) -> Result<(), Trouble> {
    if samples < 0.5 {
        return Ok(());
    }
    let message = format!("within two minutes {samples:.0} samples were {what} ({metric})");
    Err(pending(message).hint("does anything else send the same series?"))
}

fn down(job: &str, node: &str) -> Trouble {
    pending(format!("job {job} is down on node {node}: its agent cannot read it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(node: &str, value: f64) -> Sample {
        Sample { labels: [("node".to_owned(), node.to_owned())].into(), value }
    }

    fn words(up: &[Sample]) -> String {
        let nodes = ["n1".to_owned(), "n2".to_owned()].into();
        match once_a_node("j", &nodes, up) {
            Ok(message) => message,
            Err(Trouble::Pending(reason)) => reason.message,
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_node_is_there_once_and_no_other() {
        assert_eq!(words(&[up("n1", 1.0), up("n2", 1.0)]), "job j is up on n1, n2");
        assert_eq!(words(&[up("n1", 1.0)]), "job j has nothing from node n2 yet");
        assert_eq!(
            words(&[up("n1", 1.0), up("n2", 0.0)]),
            "job j is down on node n2: its agent cannot read it"
        );
        assert_eq!(words(&[up("n1", 1.0), up("n2", 1.0), up("n2", 1.0)]), "job j has node n2 2 times");
        assert_eq!(words(&[up("n3", 1.0)]), "job j has a target on n3, where no agent runs");
    }

    #[test]
    fn what_prometheus_takes_out_of_order_is_waited_for_like_what_it_refuses() {
        for metric in [
            "prometheus_tsdb_head_out_of_order_samples_appended_total",
            "prometheus_tsdb_out_of_bound_samples_total",
        ] {
            let (_, what) = IRREGULAR.iter().find(|(counter, _)| *counter == metric).expect("looked at");
            assert_eq!(are_none(0.0, metric, what), Ok(()));
            let Err(Trouble::Pending(reason)) = are_none(2.03, metric, what) else { panic!("{metric}") };
            assert_eq!(reason.message, format!("within two minutes 2 samples were {what} ({metric})"));
        }
    }
}
