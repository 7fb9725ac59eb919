//! Counters of failures: that they are not zero may be history; that they rise is not. So they are looked at twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::check::{Verdict, failed, pending};
use super::exposition;
use crate::object::ObjectRef;

/// How long a counter must stand still to count as history: longer than the 15 s between two scrapes.
const SETTLED: Duration = Duration::from_secs(16);

/// What was seen of counters before.
#[derive(Default)]
pub(super) struct Counters(RefCell<HashMap<String, Seen>>);

struct Seen {
    first: f64,
    last: f64,
    since: Instant,
}

/// How a counter goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Trend {
    /// It is zero.
    Clean,
    /// It is not zero; whether it rises is not known yet.
    Unknown,
    /// It has risen by so much while it was looked at.
    Rising(f64),
    /// It is not zero, and has stood still long enough.
    Still,
}

impl Counters {
    /// Takes in a reading of a counter.
    pub(super) fn look(&self, counter: &str, value: f64) -> Trend {
        let now = Instant::now();
        if value == 0.0 {
            return Trend::Clean;
        }
        let mut all = self.0.borrow_mut();
        let seen = all.entry(counter.to_owned()).or_insert(Seen { first: value, last: value, since: now });
        if value < seen.last {
            // The program has started anew.
            *seen = Seen { first: value, last: value, since: now };
        } else if value > seen.last {
            (seen.last, seen.since) = (value, now);
        }
        if now - seen.since >= SETTLED {
            seen.first = seen.last;
            Trend::Still
        } else if seen.last > seen.first {
            Trend::Rising(seen.last - seen.first)
        } else {
            Trend::Unknown
        }
    }
}

/// Passes when none of these counters, which tell that writing to a volume fails, rises in a program's metrics.
pub(super) fn volume_is_written(
    counters: &Counters,
    pod: &ObjectRef,
    metrics: &str,
    failures: &[&str],
) -> Verdict {
    let mut unknown = None;
    for failure in failures {
        match counters.look(failure, exposition::sum(metrics, failure)) {
            Trend::Clean | Trend::Still => {}
            Trend::Unknown => unknown = Some(failure),
            Trend::Rising(_) => {
                let hint = format!("is its volume full? kubectl logs {pod}");
                return Err(failed(format!("{pod} fails to write to its volume: {failure} rises")).hint(hint));
            }
        }
    }
    match unknown {
        Some(failure) => Err(pending(format!("{failure} of {pod} is not zero; whether it still rises"))),
        None => Ok("nothing fails to be written to its volume".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_counter_that_stands_still_is_history_and_one_that_rises_is_not() {
        let counters = Counters::default();
        assert_eq!(counters.look("a", 0.0), Trend::Clean);
        assert_eq!(counters.look("a", 5.0), Trend::Unknown);
        advance(Duration::from_secs(5)).await;
        assert_eq!(counters.look("a", 7.0), Trend::Rising(2.0));
        advance(Duration::from_secs(10)).await;
        assert_eq!(counters.look("a", 7.0), Trend::Rising(2.0));
        advance(Duration::from_secs(10)).await;
        assert_eq!(counters.look("a", 7.0), Trend::Still);
        assert_eq!(counters.look("a", 1.0), Trend::Unknown, "after a restart");
    }
}
