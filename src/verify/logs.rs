//! Whether logs arrive: the newest line of one pod on every node, as the log API has it, is found in Loki, once, with the
//! labels by which a person would look for it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use super::alloy::{self, Alloy};
use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::loki::{self, Loki, Stream};
use super::pods;
use crate::cluster::Lines;
use crate::object::{self, ObjectRef};

/// Logs arrive.
pub(super) const NEWEST: Name = Name { category: "logs", id: "newest-line" };

/// How many pods of a node are looked at.
const CANDIDATES: usize = 8;

/// The newest line of a container.
const LAST: Lines = Lines { last: 1, seconds: None, timestamps: true, previous: false };

/// The agents, and where they send to.
pub(super) struct Logs {
    alloy: Rc<Alloy>,
    loki: Rc<Loki>,
    /// The line that is looked for, by node: chosen once, since the newest is soon another.
    chosen: RefCell<BTreeMap<String, Chosen>>,
}

/// A line of a container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chosen {
    pod: ObjectRef,
    container: String,
    node: String,
    /// Nanoseconds since 1970.
    time: i128,
    line: String,
}

/// The checks of this category.
pub(super) fn checks(alloy: &Rc<Alloy>, loki: &Rc<Loki>) -> Vec<Check> {
    let logs = Logs { alloy: Rc::clone(alloy), loki: Rc::clone(loki), chosen: RefCell::default() };
    vec![Check::new(NEWEST, &Rc::new(logs), Logs::arrive).needs([loki::READY, alloy::LOG_PUSH])]
}

impl Subject for Logs {
    fn asked(&self) -> Asked {
        // Loki has what it was given.
        Asked { hint: self.alloy.asked().hint, ..self.loki.asked() }
    }
}

impl Logs {
    async fn arrive(&self) -> Verdict {
        let mut found = Vec::new();
        for node in self.alloy.nodes().await? {
            let chosen = self.choose(node).await?;
            let selector = chosen.selector();
            let streams = self.loki.query(&selector, chosen.time, chosen.time + 1).await?;
            chosen.is_in(&streams)?;
            found.push(format!("{} on {node}", chosen.pod));
        }
        Ok(format!("found once, with its labels: the newest line of {}", found.join(", ")))
    }

    /// The line to look for: the newest of the pods on a node, which tells of the present. The agents' own pods come last.
    async fn choose(&self, node: &str) -> Result<Chosen, Trouble> {
        if let Some(chosen) = self.chosen.borrow().get(node) {
            return Ok(chosen.clone());
        }
        let pods = self.alloy.program.cluster.list_cached(&object::POD.gvk(), None, None).await?;
        let pods = pods.into_iter().filter_map(|pod| serde_json::to_value(pod).ok());
        let pods = pods.filter_map(|pod| serde_json::from_value::<Pod>(pod).ok());
        let here = pods.filter(|pod| pods::node_of(pod) == node && pods::is_ready(pod));
        let (agents, others): (Vec<_>, Vec<_>) =
            here.partition(|pod| pods::has_labels(pod, &self.alloy.program.labels));
        let chosen = match self.newest(&others).await? {
            Some(chosen) => chosen,
            None => self
                .newest(&agents)
                .await?
                .ok_or_else(|| pending(format!("no pod on node {node} has logged anything yet")))?,
        };
        self.chosen.borrow_mut().insert(node.to_owned(), chosen.clone());
        Ok(chosen)
    }

    /// The newest line of the first containers of some pods.
    async fn newest(&self, pods: &[Pod]) -> Result<Option<Chosen>, Trouble> {
        let mut newest: Option<Chosen> = None;
        for pod in pods.iter().take(CANDIDATES) {
            let Some(container) = pods::containers(pod).next() else { continue };
            let name = pods::name_of(pod);
            let log = self.alloy.program.cluster.logs(&name, &container.name, LAST).await?;
            let Some((time, line)) = split(&log) else { continue };
            if newest.as_ref().is_none_or(|newest| time > newest.time) {
                let (container, node) = (container.name.clone(), pods::node_of(pod).to_owned());
                newest = Some(Chosen { pod: name, container, node, time, line });
            }
        }
        Ok(newest)
    }
}

/// A line of the log API, as time in nanoseconds and text; `None` when there is no line.
fn split(log: &str) -> Option<(i128, String)> {
    let line = log.lines().next_back()?;
    let (time, text) = line.split_once(' ')?;
    let time: Timestamp = time.parse().ok()?;
    Some((time.as_nanosecond(), text.to_owned()))
}

impl fmt::Display for Chosen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pod, container, node, time, .. } = self;
        write!(f, "the newest line of {pod}, container {container}, node {node}")?;
        match Timestamp::from_nanosecond(*time) {
            Ok(time) => write!(f, ", of {time:.0}"),
            Err(_) => Ok(()),
        }
    }
}

impl Chosen {
    /// The labels by which a person would look for it.
    fn labels(&self) -> [(&'static str, &str); 4] {
        let namespace = self.pod.namespace.as_deref().unwrap_or_default();
        [
            ("namespace", namespace),
            ("pod", &self.pod.name),
            ("container", &self.container),
            ("node", &self.node),
        ]
    }

    /// What Loki is asked for: the pod alone, so that a wrong label beside it is seen as that.
    fn selector(&self) -> String {
        format!("{{pod=\"{}\"}}", self.pod.name)
    }

    /// Passes when the line is in these streams once, with its labels.
    fn is_in(&self, streams: &[Stream]) -> Result<(), Trouble> {
        let time = self.time.to_string();
        let holds = |stream: &Stream| {
            let same =
                |(at, line): &&(String, String)| *at == time && line.trim_end() == self.line.trim_end();
            stream.values.iter().filter(same).count()
        };
        let container = |stream: &&Stream| {
            stream.labels.get("container").is_none_or(|container| *container == self.container)
        };
        let with_it: Vec<_> = streams.iter().filter(container).filter(|stream| holds(stream) > 0).collect();
        let what = self.to_string();
        let Some(stream) = with_it.first() else {
            return Err(pending(format!("{what}, is not in Loki")));
        };
        let count: usize = with_it.iter().map(|stream| holds(stream)).sum();
        if count > 1 {
            let hint = "is the node read by more than one agent?";
            return Err(failed(format!("{what}, is in Loki {count} times")).hint(hint));
        }
        for (label, value) in self.labels() {
            if stream.labels.get(label).map(String::as_str) != Some(value) {
                let found = stream.labels.get(label).map_or("nothing", String::as_str);
                return Err(failed(format!("{what}, is in Loki with label {label}: {found}, not {value}")));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen() -> Chosen {
        let (time, line) =
            split("2026-11-25T04:00:00.123456789Z plugin/ready: still waiting\n").expect("a line");
        let pod = ObjectRef::new(&object::POD, Some("kube-system"), "dns-1");
        Chosen { pod, container: "dns".to_owned(), node: "n1".to_owned(), time, line }
    }

    fn stream(node: &str, times: usize) -> Stream {
        let chosen = chosen();
        let mut labels: BTreeMap<_, _> =
            chosen.labels().iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        labels.insert("node".to_owned(), node.to_owned());
        Stream { labels, values: vec![(chosen.time.to_string(), chosen.line); times] }
    }

    fn words(streams: &[Stream]) -> String {
        match chosen().is_in(streams) {
            Ok(()) => "found".to_owned(),
            Err(Trouble::Pending(reason) | Trouble::Failed(reason)) => reason.message,
            Err(Trouble::Skipped(why)) => why,
        }
    }

    #[test]
    fn a_line_is_found_once_and_with_its_labels() {
        let what =
            "the newest line of pod/dns-1 -n kube-system, container dns, node n1, of 2026-11-25T04:00:00Z";
        assert_eq!(words(&[stream("n1", 1)]), "found");
        assert_eq!(words(&[]), format!("{what}, is not in Loki"));
        assert_eq!(words(&[stream("n1", 1), stream("n2", 1)]), format!("{what}, is in Loki 2 times"));
        assert_eq!(words(&[stream("n2", 1)]), format!("{what}, is in Loki with label node: n2, not n1"));
    }

    #[test]
    fn the_log_api_gives_a_time_and_the_line() {
        assert_eq!(
            split("2026-11-25T04:00:00.5Z a b\n"),
            Some((1_795_579_200_500_000_000, "a b".to_owned()))
        );
        assert_eq!(split(""), None);
    }
}
