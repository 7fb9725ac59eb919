//! `up` on a node that has the stack: it mends what differs and touches nothing else.

use crate::World;

pub(crate) fn second_up_changes_nothing(world: &World) {
    world.await_apis();
    let (pods, revisions) = (world.pods(), world.revisions());
    let ran = world.bench.succeed(&["up"]);
    assert_eq!(ran.stderr.trim().lines().count(), 1, "one line:\n{}", ran.stderr);
    assert!(ran.stderr.contains("unchanged"), "{}", ran.stderr);
    assert_eq!(world.pods(), pods, "no pod was restarted");
    assert_eq!(world.revisions(), revisions, "no new revision");
}

pub(crate) fn drift_is_taken_back(world: &World) {
    let (pods, revisions) = (others(&world.pods(), "grafana-"), world.revisions());
    world.bench.kubectl(["scale", "-n", "monitoring", "deploy/grafana", "--replicas=0"]);
    let ran = world.bench.succeed(&["up"]);
    // Of a scale to 0 the server keeps no name; of any other a name, and no time.
    assert!(ran.stderr.contains("spec.replicas 0 → 1 (kubectl scale"), "{}", ran.stderr);
    assert_eq!(world.bench.field("deploy/grafana -n monitoring", ".status.readyReplicas"), "1");
    world.bench.kubectl(["scale", "-n", "monitoring", "deploy/grafana", "--replicas=2"]);
    let ran = world.bench.succeed(&["up"]);
    assert!(ran.stderr.contains("spec.replicas 2 → 1 (kubectl)"), "{}", ran.stderr);
    assert_eq!(others(&world.pods(), "grafana-"), pods, "no other pod was restarted");
    assert_eq!(world.revisions(), revisions, "no new revision");
    second_up_changes_nothing(world);
}

pub(crate) fn missing_object_is_put_back(world: &World) {
    let pods = others(&world.pods(), "kube-state-metrics-");
    world.bench.kubectl(["delete", "-n", "monitoring", "deploy/kube-state-metrics", "--cascade=foreground"]);
    let ran = world.bench.succeed(&["up"]);
    assert!(
        ran.stderr.contains("deployment.apps/kube-state-metrics -n monitoring was missing"),
        "{}",
        ran.stderr
    );
    assert_eq!(world.bench.field("deploy/kube-state-metrics -n monitoring", ".status.readyReplicas"), "1");
    assert_eq!(others(&world.pods(), "kube-state-metrics-"), pods, "no other pod was restarted");
    second_up_changes_nothing(world);
}

pub(crate) fn configuration_restarts_its_reader(world: &World) {
    let pods = others(&world.pods(), "prometheus-0");
    let folder = tempfile::tempdir().expect("a folder");
    let stack = folder.path().join("stack");
    let stack = stack.to_str().expect("a path");
    world.bench.succeed(&["eject", stack]);
    let file = format!("{stack}/prometheus/prometheus.yml");
    let text = std::fs::read_to_string(&file).expect("ejected");
    std::fs::write(&file, format!("{text}\n# changed\n")).expect("written");
    let ran = world.bench.succeed(&["up", "--stack", stack]);
    assert!(ran.stderr.contains("configmap/prometheus-config configured"), "{}", ran.stderr);
    assert_eq!(others(&world.pods(), "prometheus-0"), pods, "only its reader was restarted");
    // Back to the embedded stack.
    world.bench.succeed(&["up"]);
    second_up_changes_nothing(world);
}

/// The pods whose names do not begin so.
fn others(pods: &str, prefix: &str) -> Vec<String> {
    pods.lines().filter(|pod| !pod.starts_with(prefix)).map(str::to_owned).collect()
}
