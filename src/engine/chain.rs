//! Where the time of a run went: pure, from what each step needs and when it began and ended.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::event::{Chain, StepTimes, Times};

/// A step that took less than this part of its chain is no news.
const WORTH_NAMING: u64 = 50;

/// What each step of a plan needs.
pub(super) type Needs<'a> = BTreeMap<&'a str, &'a BTreeSet<String>>;

/// The steps that the end of the run waited for: from the one that ended last, back along what each needed last.
pub(super) fn longest(needs: &Needs<'_>, times: &Times) -> Option<Chain> {
    let ended = |name: &str| Some((times.of(name)?.ended_ms?, name.to_owned()));
    let mut walk = Vec::new();
    let mut next = needs.keys().filter_map(|name| ended(name)).max();
    while let Some((_, name)) = next {
        next = needs.get(name.as_str())?.iter().filter_map(|need| ended(need)).max();
        walk.push(name);
    }
    walk.reverse();
    let steps: Vec<_> = walk.iter().filter_map(|name| Some((name, Shares::of(times.of(name)?)?))).collect();
    let (first, last) = (times.of(walk.first()?)?, times.of(walk.last()?)?);
    let took_ms = last.ended_ms?.saturating_sub(first.began_ms);
    Some(Chain {
        steps: steps
            .iter()
            .filter(|(_, shares)| shares.took * WORTH_NAMING >= took_ms)
            .map(|(name, _)| (*name).clone())
            .collect(),
        took_ms,
        pulls_ms: steps.iter().map(|(_, shares)| shares.pulls).sum(),
        starts_ms: steps.iter().map(|(_, shares)| shares.starts).sum(),
    })
}

/// What the time of one step went into, in milliseconds.
struct Shares {
    took: u64,
    pulls: u64,
    starts: u64,
}

impl Shares {
    fn of(times: &StepTimes) -> Option<Self> {
        let ended_ms = times.ended_ms?;
        let waited = times.applied_ms..ended_ms;
        Some(Self {
            took: ended_ms.saturating_sub(times.began_ms),
            pulls: covered(&times.pulls, &(times.began_ms..ended_ms)),
            starts: waited.end.saturating_sub(waited.start) - covered(&times.pulls, &waited),
        })
    }
}

/// How much of a span these spans cover, which may overlap.
fn covered(spans: &[Range<u64>], whole: &Range<u64>) -> u64 {
    let mut spans: Vec<_> =
        spans.iter().map(|span| span.start.max(whole.start)..span.end.min(whole.end)).collect();
    spans.sort_by_key(|span| span.start);
    let mut sum = 0;
    let mut reached = whole.start;
    for span in spans {
        sum += span.end.saturating_sub(span.start.max(reached));
        reached = reached.max(span.end);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Change, Kind, Tally};
    use crate::object::{self, ObjectRef};

    /// The times of steps that each begin, have all applied after a second, and end.
    fn times(steps: &[(&str, u64, u64)], pulls: &[(&str, u64, u64)]) -> Times {
        let mut times = Times::default();
        let object = ObjectRef::new(&object::DEPLOYMENT, Some("n"), "d");
        for (step, began, ended) in steps {
            let step = (*step).to_owned();
            let applied = Kind::ObjectChanged {
                step: Some(step.clone()),
                object: object.clone(),
                change: Change::Created,
                why: None,
            };
            times.observe(*began, &Kind::StepStarted { step: step.clone() });
            times.observe(began + 1_000, &applied);
            for (_, from, to) in pulls.iter().filter(|(of, ..)| *of == step) {
                let (object, image) = (object.clone(), "image".to_owned());
                let took_ms = Some(to - from);
                times.observe(*to, &Kind::ImagePull { step: step.clone(), object, image, took_ms });
            }
            let took_ms = ended - began;
            times.observe(*ended, &Kind::StepFinished { step, tally: Tally::default(), took_ms });
        }
        times
    }

    fn chain(needs: &[(&str, &[&str])], times: &Times) -> Option<Chain> {
        let needs: Vec<(&str, BTreeSet<String>)> = needs
            .iter()
            .map(|(step, needs)| (*step, needs.iter().map(ToString::to_string).collect()))
            .collect();
        longest(&needs.iter().map(|(step, needs)| (*step, needs)).collect(), times)
    }

    const NEEDS: &[(&str, &[&str])] = &[
        ("namespace", &[]),
        ("storage", &["namespace"]),
        ("secrets", &["namespace"]),
        ("web", &["secrets", "storage"]),
        ("agent", &["namespace"]),
    ];

    #[test]
    fn it_goes_back_along_what_was_waited_for_last() {
        let steps = [
            ("namespace", 0, 40),
            ("storage", 50, 9_000),
            ("secrets", 50, 2_000),
            ("agent", 50, 30_000),
            ("web", 9_000, 38_050),
        ];
        let chain = chain(NEEDS, &times(&steps, &[])).expect("steps have ended");
        assert_eq!(chain.steps, ["storage", "web"], "the namespace took next to nothing");
        assert_eq!(chain.took_ms, 38_050);
    }

    #[test]
    fn images_that_are_pulled_side_by_side_count_once() {
        let pulls = [("agent", 2_000, 8_000), ("agent", 3_000, 9_000), ("agent", 20_000, 21_000)];
        let chain = chain(&[("agent", &[])], &times(&[("agent", 0, 30_000)], &pulls)).expect("it has ended");
        assert_eq!((chain.pulls_ms, chain.starts_ms), (8_000, 21_000), "a second went into applying");
    }

    #[test]
    fn what_is_pulled_while_it_is_applied_is_no_start() {
        let pulls = [("agent", 500, 4_000)];
        let chain = chain(&[("agent", &[])], &times(&[("agent", 0, 10_000)], &pulls)).expect("it has ended");
        assert_eq!((chain.pulls_ms, chain.starts_ms), (3_500, 6_000));
    }

    #[test]
    fn a_run_without_steps_has_no_chain() {
        assert_eq!(chain(NEEDS, &Times::default()), None);
    }
}
