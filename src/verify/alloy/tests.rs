use serde_json::json;

use super::*;

fn pod(name: &str, node: &str, ready: &str) -> Pod {
    let pod = json!({
        "metadata": {"name": name, "namespace": "m"},
        "spec": {"nodeName": node, "containers": []},
        "status": {"conditions": [{"type": "Ready", "status": ready}]},
    });
    serde_json::from_value(pod).expect("a pod")
}

fn words(verdict: &Verdict) -> &str {
    match verdict {
        Ok(message) => message,
        Err(Trouble::Pending(reason) | Trouble::Failed(reason)) => &reason.message,
        Err(Trouble::Skipped(why)) => why,
    }
}

#[test]
fn each_node_that_is_to_have_an_agent_has_one() {
    let all = [pod("a", "n1", "True"), pod("b", "n2", "True")];
    let nodes = ["n1".to_owned(), "n2".to_owned()].into();
    assert_eq!(words(&runs_on_every_node("ds", 2, &nodes, &all)), "one ready pod on each of 2 nodes");
    assert_eq!(words(&runs_on_every_node("ds", 3, &nodes, &all)), "ds has pods on 2 of 3 nodes");
    // The set itself wants no second one.
    assert_eq!(words(&runs_on_every_node("ds", 1, &nodes, &all[..1])), "ds has no pod on node n2");
    let one_down = [pod("a", "n1", "True"), pod("b", "n2", "False")];
    let verdict = runs_on_every_node("ds", 2, &nodes, &one_down);
    assert_eq!(words(&verdict), "ds has no ready pod on node n2: pod/b -n m: not ready");
    assert!(matches!(runs_on_every_node("ds", 0, &nodes, &[]), Err(Trouble::Failed(_))));
}

#[test]
fn a_pod_that_is_being_replaced_does_not_count_beside_its_successor() {
    let pods = [pod("old", "n1", "False"), pod("new", "n1", "True")];
    assert_eq!(
        words(&runs_on_every_node("ds", 1, &["n1".to_owned()].into(), &pods)),
        "one ready pod on the one node"
    );
}

#[test]
fn only_a_taint_of_somebody_elses_keeps_agents_off() {
    let node = |key: &str, effect: &str| {
        let node = json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n"},
            "spec": {"taints": [{"key": key, "effect": effect}]},
        });
        serde_json::from_value::<Object>(node).expect("a node")
    };
    assert!(lets_agents_stay(&node("node.kubernetes.io/unreachable", "NoExecute")));
    assert!(lets_agents_stay(&node("dedicated", "NoSchedule")));
    assert!(!lets_agents_stay(&node("dedicated", "NoExecute")));
}

#[test]
fn a_node_with_two_agents_is_named_with_both() {
    let agents = [pod("a", "n1", "True"), pod("b", "n2", "True"), pod("other", "n2", "True")];
    assert_eq!(share_no_node(&agents[..2]), Ok(()));
    let verdict = share_no_node(&agents).map(|()| String::new());
    assert!(matches!(verdict, Err(Trouble::Failed(_))), "{verdict:?}");
    assert_eq!(words(&verdict), "node n2 is read by more than one agent: pod/b -n m and pod/other -n m");
}

#[test]
fn a_node_that_sends_more_than_one_agent_does_is_named() {
    let nodes: BTreeSet<_> = ["n1".to_owned(), "n2".to_owned()].into();
    let samples = |of: &[(&str, f64, f64)]| -> BTreeMap<String, Samples> {
        let entry = |(node, in_minute, age): &(&str, f64, f64)| {
            ((*node).to_owned(), Samples { in_minute: *in_minute, age: *age })
        };
        of.iter().map(entry).collect()
    };
    let once = samples(&[("n1", 4.0, 3.0), ("n2", 5.0, 14.0)]);
    let well = "no more than 4 samples a minute from each node, as one agent sends them";
    assert_eq!(words(&read_once(&nodes, &once, 4.0)), well);
    let twice = samples(&[("n1", 4.0, 3.0), ("n2", 8.0, 3.0)]);
    let verdict = read_once(&nodes, &twice, 4.0);
    // Its pod was replaced a moment ago, or the other agent is none of ours: the first may pass.
    assert!(matches!(verdict, Err(Trouble::Pending(_))), "{verdict:?}");
    assert_eq!(
        words(&verdict),
        "node n2 is read by more than one agent: 8 samples a minute where 4 are expected"
    );
    let begins = samples(&[("n1", 2.0, 3.0)]);
    assert!(matches!(read_once(&nodes, &begins, 4.0), Err(Trouble::Pending(_))));
    // Whether anything arrives is told by others.
    let ended = samples(&[("n1", 2.0, 31.0)]);
    assert_eq!(words(&read_once(&nodes, &ended, 4.0)), well);
    assert_eq!(words(&read_once(&nodes, &BTreeMap::new(), 4.0)), well);
}
