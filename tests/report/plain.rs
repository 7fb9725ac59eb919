use std::time::Duration;

use bootstrap::report::plain::Plain;
use bootstrap::report::{Reporter, Verbosity};
use insta::assert_snapshot;

use crate::script::{self, Script};

pub(crate) fn shown(script: Script, verbosity: Verbosity) -> String {
    let (printer, stdout, stderr) = script::printer();
    let mut reporter = Plain::new(printer, verbosity);
    for event in script.events() {
        reporter.event(&event);
    }
    assert_eq!(stdout.text(), "", "stdout is for data");
    let text = stderr.text();
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'), "control characters in {text:?}");
    text
}

#[test]
fn a_fresh_up_is_one_line_for_each_change() {
    assert_snapshot!(shown(script::fresh(), Verbosity::Normal), @"
    0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    0.0s  storage class local-path: the cluster's default class
    0.0s  namespace           namespace/monitoring created
    0.0s  namespace           ready: 1 created (0.04s)
    0.2s  kube-state-metrics  helm: installing (not installed)
    1.2s  prometheus          statefulset.apps/prometheus created
    1.2s  prometheus          service/prometheus created
    4.3s  prometheus          ready: 2 created, 1 unchanged (4.1s)
    4.8s  kube-state-metrics  release created, revision 1
    4.8s  kube-state-metrics  ready: 1 created (4.6s)
    4.9s  done in 4.9s: 4 created, 1 unchanged
            Grafana: http://grafana.localhost:8080
            password: bootstrap credentials --show
    ");
}

#[test]
fn verbose_adds_what_stays_and_each_status() {
    assert_snapshot!(shown(script::fresh(), Verbosity::Verbose), @"
    0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    0.0s  storage class local-path: the cluster's default class
    0.0s  namespace           started
    0.0s  namespace           namespace/monitoring created
    0.0s  namespace           ready: 1 created (0.04s)
    0.2s  prometheus          started
    0.2s  kube-state-metrics  started
    0.2s  kube-state-metrics  helm: installing (not installed)
    1.2s  prometheus          configmap/prometheus-config unchanged
    1.2s  prometheus          statefulset.apps/prometheus created
    1.2s  prometheus          service/prometheus created
    1.2s  prometheus          statefulset.apps/prometheus: 0 of 1 replicas ready
    4.3s  prometheus          statefulset.apps/prometheus: current
    4.3s  prometheus          ready: 2 created, 1 unchanged (4.1s)
    4.8s  kube-state-metrics  release created, revision 1
    4.8s  kube-state-metrics  ready: 1 created (4.6s)
    4.9s  done in 4.9s: 4 created, 1 unchanged
            Grafana: http://grafana.localhost:8080
            password: bootstrap credentials --show
    ");
}

#[test]
fn quiet_is_the_closing_line() {
    assert_snapshot!(shown(script::fresh(), Verbosity::Quiet), @"
    4.9s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring: done in 4.9s: 4 created, 1 unchanged
            Grafana: http://grafana.localhost:8080
            password: bootstrap credentials --show
    ");
}

#[test]
fn a_second_up_is_one_line() {
    let text = shown(script::again(), Verbosity::Normal);
    assert_eq!(text.lines().count(), 1);
    assert_snapshot!(text, @"
       0.1s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring: nothing to do, 2 objects and 1 release unchanged (0.14s)
    ");
}

#[test]
fn drift_says_who_and_what_was_missing() {
    assert_snapshot!(shown(script::drift(), Verbosity::Normal), @"
    0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    0.0s  grafana             deployment.apps/grafana -n monitoring: spec.replicas 0 → 1 (kubectl, 3 min ago), taken back
    0.0s  grafana             deployment.apps/grafana configured
    0.0s  kube-state-metrics  helm: upgrading (deployment.apps/kube-state-metrics was missing)
    2.1s  grafana             ready: 1 configured, 4 unchanged (2.1s)
    2.1s  kube-state-metrics  release configured, revision 2
    2.1s  kube-state-metrics  ready: 1 configured (2.1s)
    2.1s  done in 2.2s: 2 configured, 4 unchanged
            Grafana: http://grafana.localhost:8080
            password: bootstrap credentials --show
    ");
}

#[test]
fn a_pull_is_told_when_it_took_a_while() {
    assert_snapshot!(shown(script::pulled(), Verbosity::Normal), @"
     0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
     0.0s  storage class local-path: the cluster's default class
     0.0s  namespace           namespace/monitoring created
     0.0s  namespace           ready: 1 created (0.04s)
     0.2s  kube-state-metrics  helm: installing (not installed)
     1.2s  prometheus          statefulset.apps/prometheus created
     1.2s  prometheus          service/prometheus created
    22.9s  prometheus          pulled docker.io/prom/prometheus:v3.16.0 (21.4s)
    30.0s  kube-state-metrics  release created, revision 1
    30.0s  kube-state-metrics  ready: 1 created (29.8s)
    41.2s  prometheus          ready: 2 created, 1 unchanged (41.0s)
    41.2s  done in 41.2s: 4 created, 1 unchanged; longest: storage → prometheus 41.1s, of it 21.4s image pulls and 17.9s starts
             Grafana: http://grafana.localhost:8080
    ");
}

#[test]
fn an_interrupted_run_says_what_is_done_and_what_is_left() {
    assert_snapshot!(shown(script::interrupted(), Verbosity::Normal), @"
       0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
       0.0s  storage class local-path: the cluster's default class
       0.0s  namespace           namespace/monitoring created
       0.0s  namespace           ready: 1 created (0.04s)
       0.2s  kube-state-metrics  helm: installing (not installed)
       1.2s  prometheus          statefulset.apps/prometheus created
       1.2s  prometheus          service/prometheus created
       2.0s  SIGINT: stopping once what has begun is at a clean end; again stops at once
       2.3s  interrupted after 2.3s: 3 created, 1 unchanged
               done: namespace
               not judged: prometheus, kube-state-metrics, grafana (interrupted)

    error: interrupted by SIGINT

    hint: bootstrap up --context k3d-blog
    ");
}

#[test]
fn down_says_what_it_keeps() {
    assert_snapshot!(shown(script::down(), Verbosity::Normal), @"
    0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    0.1s  helm: uninstalling kube-state-metrics (the inventory lists it)
    0.9s  release kube-state-metrics deleted
    1.5s  statefulset.apps/prometheus deleted
    1.6s  persistentvolumeclaim/storage-loki-0 -n monitoring kept (--purge-data deletes it)
    1.6s  done in 1.7s: 2 deleted, 1 kept
    ");
}

#[test]
fn a_warning_stays_in_its_place() {
    assert_snapshot!(shown(script::warning(), Verbosity::Normal), @"
    0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    0.0s  waiting for a node to be Ready
    3.0s  grafana             deployment.apps/grafana created
    3.0s  warning: ingress.networking.k8s.io/grafana-ingress has no address
    5.0s  grafana             ready: 1 created (2.0s)
    5.0s  done in 5.0s: 1 created
            Grafana: http://grafana.localhost:8080
            password: bootstrap credentials --show
    ");
}

#[test]
fn a_long_silence_is_broken_ever_more_rarely() {
    let (printer, _, stderr) = script::printer();
    let mut reporter = Plain::new(printer, Verbosity::Normal);
    for event in script::running().events() {
        reporter.event(&event);
    }
    let before = stderr.text().len();
    for second in 2..=300 {
        reporter.tick(Duration::from_secs(second));
    }
    assert_snapshot!(&stderr.text()[before..], @"
     32.0s  prometheus          still: statefulset.apps/prometheus: 0 of 1 replicas ready (31.8s)
     32.0s  kube-state-metrics  still: helm: installing (31.8s)
     92.0s  prometheus          still: statefulset.apps/prometheus: 0 of 1 replicas ready (1m31s)
     92.0s  kube-state-metrics  still: helm: installing (1m31s)
    212.0s  prometheus          still: statefulset.apps/prometheus: 0 of 1 replicas ready (3m31s)
    212.0s  kube-state-metrics  still: helm: installing (3m31s)
    ");
}
