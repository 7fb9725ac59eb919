//! What a run would begin on: clocks that agree, nodes, the cluster's own parts, and no other run.

use jiff::SignedDuration;

use super::unanswered;
use crate::cluster::{Cluster, Reading};
use crate::error::{Error, Exit};
use crate::finding::Finding;
use crate::lease::{self, Standing};
use crate::object::Object;
use crate::plan::Plan;
use crate::preflight::{self, Grounds, Matter};
use crate::status::condition;

/// By how much clocks may differ before certificates and leases suffer.
const TOLERATED: SignedDuration = SignedDuration::from_secs(5);

/// What a node says when it runs out of something.
const PRESSURES: [(&str, &str); 3] =
    [("DiskPressure", "disk"), ("MemoryPressure", "memory"), ("PIDPressure", "process ids")];

/// The checks of nodes and of the cluster's own parts.
const PARTS: [(&str, &str); 4] =
    [("nodes", "ready"), ("nodes", "pressure"), ("system", "dns"), ("system", "apis")];

/// Looks at the clock, the nodes and the cluster's own parts.
pub(super) async fn look(cluster: Option<&Cluster>, plan: Option<&Plan>) -> Vec<Finding> {
    let unknown = |(category, id)| Finding::skipped(category, id, "needs cluster/answers");
    let Some(cluster) = cluster else {
        return [("clock", "skew")].into_iter().chain(PARTS).map(unknown).collect();
    };
    let is_ours = |service: &Object| plan.is_some_and(|plan| plan.brings(service));
    let (reading, grounds) = tokio::join!(cluster.clock(), preflight::look(cluster, is_ours));
    let clock = match reading {
        Ok(reading) => clock(reading),
        Err(error) => unanswered("clock", "skew", error),
    };
    let parts = match grounds {
        Ok(grounds) => parts(&grounds).into(),
        Err(error) => vec![unanswered(PARTS[0].0, PARTS[0].1, error)],
    };
    [vec![clock], parts].concat()
}

/// Looks whether another run is at work.
pub(super) async fn lease(cluster: Option<&Cluster>, plan: Option<&Plan>) -> Finding {
    let (category, id) = ("lock", "lease");
    let (cluster, plan) = match (cluster, plan) {
        (None, _) => return Finding::skipped(category, id, "needs cluster/answers"),
        (_, None) => return Finding::skipped(category, id, "needs stack/valid"),
        (Some(cluster), Some(plan)) => (cluster, plan),
    };
    match lease::look(cluster, &plan.stack).await {
        Ok(Standing::Free) => Finding::passed(category, id, "no other run is at work"),
        Ok(Standing::Abandoned(who)) => {
            Finding::passed(category, id, format!("left by a run that is gone, up takes it over: {who}"))
        }
        Ok(Standing::Held(who)) => {
            let held = Error::new(Exit::Refused, format!("another run works on this stack: {who}"));
            Finding::failed(category, id, &held.hint("wait for it: bootstrap up --wait-lock"))
        }
        Err(error) => unanswered(category, id, error),
    }
}

fn clock(reading: Option<Reading>) -> Finding {
    let Some(reading) = reading else {
        return Finding::skipped("clock", "skew", "the server's answers carry no date");
    };
    let ahead = reading.ahead();
    if ahead.abs() <= TOLERATED {
        return Finding::passed("clock", "skew", "this machine and the server agree on the time");
    }
    let side = if ahead.is_positive() { "ahead of" } else { "behind" };
    let message = format!(
        "the server's clock is {} s {side} this machine's; certificates and leases go by it",
        ahead.abs().as_secs()
    );
    let error = Error::new(Exit::Preflight, message);
    Finding::failed("clock", "skew", &error.hint("see whether this machine's is right: timedatectl status"))
}

fn parts(grounds: &Grounds) -> [Finding; 4] {
    let nodes = &grounds.nodes;
    let is_ready = |node: &&Object| condition(node, "Ready").is_some_and(|ready| ready.status == "True");
    let ready = nodes.iter().filter(is_ready).count();
    let pressure = match grounds.unseen(Matter::Nodes) {
        Some(right) => Finding::skipped("nodes", "pressure", format!("no right to {right}")),
        None => pressure(nodes),
    };
    let dns = if grounds.has_dns {
        "cluster DNS has a ready pod"
    } else {
        "no cluster DNS in kube-system to wait for"
    };
    [
        matter(grounds, Matter::Nodes, ("nodes", "ready"), &format!("{ready} of {} are Ready", nodes.len())),
        pressure,
        matter(grounds, Matter::Dns, ("system", "dns"), dns),
        matter(grounds, Matter::Apis, ("system", "apis"), "every aggregated API answers"),
    ]
}

fn matter(
    grounds: &Grounds,
    matter: Matter,
    (category, id): (&'static str, &'static str),
    well: &str,
) -> Finding {
    if let Some(right) = grounds.unseen(matter) {
        return Finding::skipped(category, id, format!("no right to {right}"));
    }
    let lacks: Vec<_> = grounds.lacks(matter).collect();
    let Some((_, hint)) = lacks.first() else { return Finding::passed(category, id, well) };
    let waits: Vec<_> = lacks.iter().map(|(what, _)| format!("up would wait for {what}")).collect();
    Finding::failed(category, id, &Error::new(Exit::Preflight, waits.join("\n")).hint(*hint))
}

fn pressure(nodes: &[Object]) -> Finding {
    let mut told = Vec::new();
    for node in nodes {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        for (kind, what) in PRESSURES {
            if let Some(found) = condition(node, kind).filter(|found| found.status == "True") {
                told.push((name, format!("node/{name} runs out of {what}: {}", found.message)));
            }
        }
    }
    told.sort();
    let Some((first, _)) = told.first() else {
        return Finding::passed("nodes", "pressure", "none runs out of disk, memory or process ids");
    };
    let hint = format!("kubectl describe node/{first}");
    let message = told.iter().map(|(_, told)| told.as_str()).collect::<Vec<_>>().join("\n");
    Finding::failed("nodes", "pressure", &Error::new(Exit::Preflight, message).hint(hint))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::finding::Outcome;

    fn told(server: &str) -> (Outcome, String) {
        let moment = |time: &str| format!("2026-11-25T10:{time}Z").parse::<Timestamp>().expect("a time");
        let asked = moment("00:10.2");
        let found = clock(Some(Reading { asked, server: moment(server), answered: moment("00:10.3") }));
        (found.outcome, found.message)
    }

    #[test]
    fn clocks_that_differ_by_more_than_a_few_seconds_are_told_with_the_side() {
        for near in ["00:10", "00:15", "00:05"] {
            assert_eq!(told(near).0, Outcome::Passed, "{near}");
        }
        let words = "certificates and leases go by it";
        let ahead = format!("the server's clock is 80 s ahead of this machine's; {words}");
        assert_eq!(told("01:31"), (Outcome::Failed, ahead));
        let behind = format!("the server's clock is 9 s behind this machine's; {words}");
        assert_eq!(told("00:00"), (Outcome::Failed, behind));
        assert_eq!(clock(None).outcome, Outcome::Skipped);
    }
}
