//! The stack on two nodes: an agent on each, a node that leaves and comes back, and a volume that stays behind on one.

use crate::World;

/// Long enough for all that can become ready to be so.
const SHORT: &str = "15s";

pub(crate) fn agents_are_waited_for(world: &World) {
    let nodes = nodes(world);
    assert_eq!(nodes.len(), 2, "{nodes:?}");
    let agent =
        pods_on(world, &nodes[1]).into_iter().find(|pod| pod.starts_with("alloy-")).expect("an agent");
    world.bench.kubectl(["delete", "pod", "-n", "monitoring", &agent]);
    world.bench.succeed(&["up"]);
    let ready = "{range .items[?(@.status.containerStatuses[0].ready==true)]}{.spec.nodeName}{'\\n'}{end}";
    let agents = world.bench.kubectl([
        "get",
        "pods",
        "-n",
        "monitoring",
        "-l=name=alloy",
        &format!("-o=jsonpath={ready}"),
    ]);
    let mut agents: Vec<_> = agents.lines().collect();
    agents.sort_unstable();
    assert_eq!(agents, nodes, "a ready agent on each node, once up has ended");
}

pub(crate) fn drained_node_returns(world: &World) {
    let [first, second] = &nodes(world)[..] else { panic!("two nodes") };
    world.clean();
    {
        // The volumes are made where their pods are, and stay there.
        let _cordoned = Cordoned::new(world, second);
        world.bench.succeed(&["up"]);
    }
    {
        let _cordoned = Cordoned::new(world, first);
        world.bench.kubectl(["delete", "pod", "-n", "monitoring", "-l=app=grafana"]);
        world.bench.kubectl(["rollout", "status", "-n", "monitoring", "deploy/grafana", "--timeout=5m"]);
    }
    let is_grafana = |pod: &String| pod.starts_with("grafana-");
    assert!(pods_on(world, second).iter().any(is_grafana), "there is something to drain");

    let drained = Cordoned(world, second);
    world.bench.kubectl(["drain", second, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=5m"]);
    world.bench.succeed(&["up"]);
    assert!(pods_on(world, first).iter().any(is_grafana), "up has waited for the pod in its new place");
    drop(drained);
    let (pods, revisions) = (world.pods(), world.revisions());
    world.bench.succeed(&["up"]);
    assert_eq!((world.pods(), world.revisions()), (pods, revisions), "the node's return changes nothing");
    world.bench.succeed(&["verify"]);
}

pub(crate) fn volume_on_a_cordoned_node(world: &World) {
    world.bench.succeed(&["up"]);
    let volume = world.bench.field("pvc/data-prometheus-0 -n monitoring", ".spec.volumeName");
    let affinity = ".spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]";
    let node = world.bench.field(&format!("pv/{volume}"), affinity);
    {
        let _cordoned = Cordoned::new(world, &node);
        world.bench.kubectl(["delete", "pod", "-n", "monitoring", "prometheus-0"]);
        let ran = world.bench.run(&["up", "--timeout", SHORT]);
        assert_eq!(ran.code, 6, "{}", ran.stderr);
        let place = format!("persistentvolumeclaim/data-prometheus-0 is on node {node}, which is cordoned");
        for words in
            ["statefulset.apps/prometheus -n monitoring", "Unschedulable", &place, "0/2 nodes are available"]
        {
            assert!(ran.stderr.contains(words), "{words}:\n{}", ran.stderr);
        }
    }
    world.bench.succeed(&["up"]);
    assert_eq!(world.bench.field("statefulset/prometheus -n monitoring", ".status.readyReplicas"), "1");
}

/// A node that takes no new pods until this is dropped, also by a test that fails.
struct Cordoned<'a>(&'a World, &'a str);

impl<'a> Cordoned<'a> {
    fn new(world: &'a World, node: &'a str) -> Self {
        world.bench.kubectl(["cordon", node]);
        Self(world, node)
    }
}

impl Drop for Cordoned<'_> {
    fn drop(&mut self) {
        self.0.bench.kubectl(["uncordon", self.1]);
    }
}

/// The names of all nodes, the first one's first.
pub(crate) fn nodes(world: &World) -> Vec<String> {
    let names = world.bench.kubectl(["get", "nodes", "-o=jsonpath={.items[*].metadata.name}"]);
    names.split_whitespace().map(str::to_owned).collect()
}

/// The names of the stack's pods on a node, those on their way out left aside.
fn pods_on(world: &World, node: &str) -> Vec<String> {
    let fields = "{.metadata.deletionTimestamp}|{.metadata.name}{'\\n'}";
    let path = format!("-o=jsonpath={{range .items[*]}}{fields}{{end}}");
    let on_it = format!("--field-selector=spec.nodeName={node}");
    let pods = world.bench.kubectl(["get", "pods", "-n", "monitoring", &on_it, &path]);
    pods.lines().filter_map(|pod| pod.strip_prefix('|')).map(str::to_owned).collect()
}
