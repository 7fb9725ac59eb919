//! `up` on a node that has nothing of the stack.

use devcluster::Tool;

use crate::World;

/// Every object of the article, and of the releases, by the name that kubectl has for it.
const OBJECTS: &[&str] = &[
    "namespace/monitoring",
    "configmap/prometheus-config -n monitoring",
    "service/prometheus -n monitoring",
    "statefulset/prometheus -n monitoring",
    "persistentvolumeclaim/data-prometheus-0 -n monitoring",
    "configmap/loki-config -n monitoring",
    "service/loki -n monitoring",
    "statefulset/loki -n monitoring",
    "persistentvolumeclaim/data-loki-0 -n monitoring",
    "configmap/monitoring-env -n monitoring",
    "serviceaccount/alloy-sa -n monitoring",
    "clusterrole/alloy-cluster-role",
    "clusterrolebinding/alloy-cluster-binding",
    "configmap/alloy-config -n monitoring",
    "daemonset/alloy -n monitoring",
    "secret/grafana-secrets -n monitoring",
    "configmap/grafana-datasources -n monitoring",
    "configmap/grafana-dashboard-provider -n monitoring",
    "configmap/grafana-dashboards-json -n monitoring",
    "service/grafana-service -n monitoring",
    "deployment/grafana -n monitoring",
    "ingress/grafana-ingress -n monitoring",
    "deployment/kube-state-metrics -n monitoring",
    "service/kube-state-metrics -n monitoring",
    "deployment/prometheus-adapter -n monitoring",
    "apiservice/v1beta1.custom.metrics.k8s.io",
    "configmap/bootstrap-observability -n monitoring",
];

pub(crate) fn up_brings_everything(world: &World) {
    world.clean();
    let ran = world.bench.succeed(&["up", "--timeout", "3m"]);
    assert!(
        ran.stderr.contains("node-test (devcluster, v1."),
        "the first line names the cluster:\n{}",
        ran.stderr
    );
    for object in OBJECTS {
        let mut arguments = vec!["get", "-o=name"];
        arguments.extend(object.split(' '));
        world.bench.kubectl(arguments);
    }
    let ready = world.bench.kubectl([
        "get",
        "pods",
        "-n",
        "monitoring",
        "-o=jsonpath={range .items[*]}{.metadata.name} {.status.conditions[?(@.type=='Ready')].status}{'\\n'}{end}",
    ]);
    assert_eq!(ready.lines().count(), 6, "{ready}");
    assert!(ready.lines().all(|pod| pod.ends_with(" True")), "{ready}");
    let lease = world.bench.kubectl(["get", "leases", "-n", "kube-system", "-o=name"]);
    assert!(!lease.contains("bootstrap"), "the lease is given back:\n{lease}");
    let status = world.bench.succeed(&["status"]).stdout;
    let steps: Vec<_> = status.lines().filter(|line| line.contains(" object")).collect();
    assert!(steps.len() == 9 && steps.iter().all(|line| line.contains("Current")), "{status}");
}

pub(crate) fn helm_3_works(world: &World) {
    world.clean();
    let helm = world.helm(Tool::Helm3);
    let run = |arguments: &[&str]| {
        let output =
            world.bench.command(arguments).env("BOOTSTRAP_HELM", &helm).output().expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        world.bench.keep(&said);
        assert!(output.status.success(), "{said}");
        said
    };
    run(&["up"]);
    let before = world.revisions();
    run(&["up"]);
    assert_eq!(world.revisions(), before, "no new revision");
    world.bench.kubectl(["scale", "-n", "monitoring", "deploy/kube-state-metrics", "--replicas=0"]);
    let said = run(&["up"]);
    assert!(said.contains("spec.replicas 0 → 1 (kubectl"), "{said}");
    assert_eq!(world.bench.field("deploy/kube-state-metrics -n monitoring", ".status.readyReplicas"), "1");
    run(&["down", "--purge-data"]);
}
