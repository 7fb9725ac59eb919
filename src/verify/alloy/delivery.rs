//! Whether agents deliver what they read. Each tells that by its own metrics, and in its log why it does not.

use k8s_openapi::api::core::v1::Pod;

use super::{Alloy, pods};
use crate::cluster::Lines;
use crate::verify::check::{Trouble, Verdict, pending};
use crate::verify::counters::Trend;
use crate::verify::{exposition, log_lines};

/// How old the newest delivered sample may be, in seconds.
const OLDEST: f64 = 60.0;

/// Series that an agent leaves out because its configuration says so are none that it fails to deliver.
const INTENDED: &str = r#"reason="dropped_series""#;

/// Where an agent's log may tell why: the last minutes of it.
const LINES: Lines = Lines { last: 500, seconds: Some(180), timestamps: false, previous: false };

/// What an agent's metrics say of one way of delivery.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Delivery {
    /// What was given up.
    lost: Trend,
    /// What was tried again.
    retried: Trend,
    /// Whether something arrived, and lately.
    arrives: bool,
}

impl Alloy {
    pub(super) async fn writes_metrics(&self) -> Verdict {
        let count =
            self.each(log_lines::REMOTE_WRITE, "Prometheus", |pod, text| self.samples(pod, text)).await?;
        Ok(format!("what {count} read arrives in Prometheus"))
    }

    pub(super) async fn pushes_logs(&self) -> Verdict {
        let count = self.each(log_lines::LOG_PUSH, "Loki", |pod, text| self.lines(pod, text)).await?;
        Ok(format!("the logs that {count} read arrive in Loki"))
    }

    /// Looks at every agent; gives how many there are, in words.
    async fn each(
        &self,
        known: &[log_lines::Line],
        store: &str,
        look: impl Fn(&str, &str) -> Delivery,
    ) -> Result<String, Trouble> {
        let agents = self.program.all()?;
        let mut trouble = None;
        // All of them in every round: each one's counters have to stand still for a while, and at the same time.
        for pod in agents.iter().filter(|pod| pods::is_ready(pod)) {
            let name = pods::name_of(pod).to_string();
            let text = self.program.get(pod, "/metrics").await?;
            let delivery = look(&name, &text);
            if delivery.judge(&name, store, "").is_err() {
                let why = self.why(pod, known).await?.or_else(|| refusals(&text)).unwrap_or_default();
                trouble = trouble.or(delivery.judge(&name, store, &why).err());
            }
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None if agents.len() == 1 => Ok("the agent".to_owned()),
            None => Ok(format!("all {} agents", agents.len())),
        }
    }

    fn samples(&self, pod: &str, text: &str) -> Delivery {
        const PREFIX: &str = "prometheus_remote_storage";
        let sum = |metric: &str| exposition::sum(text, &format!("{PREFIX}_{metric}"));
        let dropped = format!("{PREFIX}_samples_dropped_total");
        let dropped = exposition::series(text, &dropped).filter(|(labels, _)| !labels.contains(INTENDED));
        let lost = sum("samples_failed_total") + dropped.map(|(_, value)| value).sum::<f64>();
        let sent = sum("queue_highest_sent_timestamp_seconds");
        let now = jiff::Timestamp::now().as_duration().as_secs_f64();
        Delivery {
            lost: self.counters.look(&format!("{pod} samples lost"), lost),
            retried: self.counters.look(&format!("{pod} samples retried"), sum("samples_retried_total")),
            arrives: now - sent < OLDEST,
        }
    }

    fn lines(&self, pod: &str, text: &str) -> Delivery {
        let sum = |metric: &str| exposition::sum(text, metric);
        let (lost, retried) =
            (sum("loki_write_dropped_entries_total"), sum("loki_write_batch_retries_total"));
        Delivery {
            lost: self.counters.look(&format!("{pod} lines lost"), lost),
            retried: self.counters.look(&format!("{pod} batches retried"), retried),
            arrives: sum("loki_write_sent_entries_total") > 0.0,
        }
    }

    /// The newest line of an agent's log that tells why something was not delivered.
    async fn why(&self, pod: &Pod, known: &[log_lines::Line]) -> Result<Option<String>, Trouble> {
        match self.program.cluster.logs(&pods::name_of(pod), &self.container, LINES).await {
            Ok(log) => Ok(log_lines::newest(&log, known)),
            Err(error) if error.forbidden().is_some() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Delivery {
    /// Tells what is wrong with it, with the cause in its own words.
    fn judge(self, pod: &str, store: &str, cause: &str) -> Result<(), Trouble> {
        let because = if cause.is_empty() { String::new() } else { format!(": {cause}") };
        let hint = format!("kubectl logs {pod}");
        // It may end: an agent that was started anew reads every log again, of which the store refuses what is too old.
        if let Trend::Rising(_) = self.lost {
            return Err(pending(format!("{pod} loses what it should deliver to {store}{because}")).hint(hint));
        }
        if !self.arrives {
            return Err(pending(format!("{pod} delivers nothing to {store}{because}")).hint(hint));
        }
        if let Trend::Rising(_) = self.retried {
            return Err(pending(format!("{pod} has to try again to deliver to {store}{because}")).hint(hint));
        }
        if self.lost == Trend::Unknown || self.retried == Trend::Unknown {
            return Err(pending(format!(
                "{pod} has failed to deliver to {store} before; whether it still does"
            )));
        }
        Ok(())
    }
}

/// What Loki's side has answered that was not well; -1 is no answer at all.
fn refusals(metrics: &str) -> Option<String> {
    let requests = exposition::series(metrics, "loki_write_request_duration_seconds_count");
    let mut bad = requests.filter_map(|(labels, _)| {
        let (status, host) = (exposition::label(labels, "status_code")?, exposition::label(labels, "host")?);
        match status {
            "-1" => Some(format!("{host} was not reached")),
            status if status.starts_with('2') => None,
            status => Some(format!("{host} answered {status}")),
        }
    });
    bad.next()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WELL: Delivery = Delivery { lost: Trend::Clean, retried: Trend::Clean, arrives: true };

    fn judge(delivery: Delivery) -> Result<(), Trouble> {
        delivery.judge("pod/alloy-a", "Loki", "dial tcp: no such host")
    }

    #[test]
    fn what_is_lost_or_tried_again_is_waited_for_until_it_is_history() {
        assert_eq!(judge(WELL), Ok(()));
        assert_eq!(judge(Delivery { lost: Trend::Still, retried: Trend::Still, ..WELL }), Ok(()));
        let lost = judge(Delivery { lost: Trend::Rising(3.0), ..WELL });
        let Err(Trouble::Pending(reason)) = lost else { panic!("{lost:?}") };
        assert_eq!(
            reason.message,
            "pod/alloy-a loses what it should deliver to Loki: dial tcp: no such host"
        );
        for waits in [
            Delivery { arrives: false, ..WELL },
            Delivery { retried: Trend::Rising(1.0), ..WELL },
            Delivery { lost: Trend::Unknown, ..WELL },
        ] {
            assert!(matches!(judge(waits), Err(Trouble::Pending(_))), "{waits:?}");
        }
    }

    #[test]
    fn a_host_that_was_not_reached_is_named() {
        let text = "loki_write_request_duration_seconds_count{host=\"loki:3100\",status_code=\"204\"} 4\n\
            loki_write_request_duration_seconds_count{host=\"nope:3100\",status_code=\"-1\"} 9\n";
        assert_eq!(refusals(text).as_deref(), Some("nope:3100 was not reached"));
        assert_eq!(refusals(text.lines().next().unwrap_or_default()), None);
    }
}
