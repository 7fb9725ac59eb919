//! How failures look: the same runs on terminals of several sizes, and as plain lines.

use bootstrap::report::Verbosity;
use insta::assert_snapshot;

use crate::script::{self, Script};
use crate::terminal::Watched;
use crate::{failing, plain};

/// The last rows that a run leaves on a terminal of this size, the prompt below them included.
fn screen(script: Script, rows: u16, columns: u16) -> String {
    let shown = Watched::sized(rows, columns, Verbosity::Normal).watch(script).contents();
    assert!(shown.lines().count() < usize::from(rows), "no row is left for the prompt:\n{shown}");
    assert!(shown.contains("✗ "), "the failure's head is out of sight:\n{shown}");
    shown
}

#[test]
fn a_crash_fits_a_small_terminal() {
    assert_snapshot!(screen(failing::crash(), 24, 80), @r#"
    ✗ prometheus          1m01s  cannot become ready
      statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0
        of 1 replicas ready
        pod/prometheus-0, container prometheus: CrashLoopBackOff: exit code 2, 3
          restarts: back-off 40s restarting failed container=prometheus
          pod=prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
        log of pod/prometheus-0, container prometheus (previous):
          … 18 lines before
          | ts=2026-11-24T04:00:52.417Z level=error component=main msg="Error
              loading config (--config.file=/etc/prometheus/prometheus.yml)" …
              field scrape_intervall not found in type config.ScrapeConfig"
          | exit 2
        event pod/prometheus-0: BackOff (7 times): Back-off restarting failed conta…
    failed after 1m02s: 4 created, 1 unchanged
      done: namespace, kube-state-metrics
      failed: prometheus
      not judged: grafana (prometheus failed)

    error: step prometheus: statefulset.apps/prometheus -n monitoring cannot become
      ready

    hint: kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring -
    -previous
    "#);
}

#[test]
fn a_crash_has_its_whole_log_on_a_large_terminal() {
    assert_snapshot!(screen(failing::crash(), 45, 120), @r#"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✓ kube-state-metrics   4.6s  1 created
    ✗ prometheus          1m01s  cannot become ready
      statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0 of 1 replicas ready
        pod/prometheus-0, container prometheus: CrashLoopBackOff: exit code 2, 3 restarts: back-off 40s restarting failed
          container=prometheus pod=prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
        log of pod/prometheus-0, container prometheus (previous):
          | ts=2026-11-24T04:00:52.001Z level=info component=main msg="start step 1"
          | ts=2026-11-24T04:00:52.002Z level=info component=main msg="start step 2"
          | ts=2026-11-24T04:00:52.003Z level=info component=main msg="start step 3"
          | ts=2026-11-24T04:00:52.004Z level=info component=main msg="start step 4"
          | ts=2026-11-24T04:00:52.005Z level=info component=main msg="start step 5"
          | ts=2026-11-24T04:00:52.006Z level=info component=main msg="start step 6"
          | ts=2026-11-24T04:00:52.007Z level=info component=main msg="start step 7"
          | ts=2026-11-24T04:00:52.008Z level=info component=main msg="start step 8"
          | ts=2026-11-24T04:00:52.009Z level=info component=main msg="start step 9"
          | ts=2026-11-24T04:00:52.010Z level=info component=main msg="start step 10"
          | ts=2026-11-24T04:00:52.011Z level=info component=main msg="start step 11"
          | ts=2026-11-24T04:00:52.012Z level=info component=main msg="start step 12"
          | ts=2026-11-24T04:00:52.013Z level=info component=main msg="start step 13"
          | ts=2026-11-24T04:00:52.014Z level=info component=main msg="start step 14"
          | ts=2026-11-24T04:00:52.015Z level=info component=main msg="start step 15"
          | ts=2026-11-24T04:00:52.016Z level=info component=main msg="start step 16"
          | ts=2026-11-24T04:00:52.017Z level=info component=main msg="start step 17"
          | ts=2026-11-24T04:00:52.018Z level=info component=main msg="start step 18"
          | ts=2026-11-24T04:00:52.417Z level=error component=main msg="Error loading config
              (--config.file=/etc/prometheus/prometheus.yml)" file=/etc/prometheus/prometheus.yml err="parsing YAML file
              /etc/prometheus/prometheus.yml: yaml: unmarshal errors:\n  line 14: field scrape_intervall not found in type
              config.ScrapeConfig"
          | exit 2
        event pod/prometheus-0: BackOff (7 times): Back-off restarting failed container prometheus in pod
          prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
    failed after 1m02s: 4 created, 1 unchanged
      done: namespace, kube-state-metrics
      failed: prometheus
      not judged: grafana (prometheus failed)

    error: step prometheus: statefulset.apps/prometheus -n monitoring cannot become ready

    hint: kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring --previous
    "#);
}

#[test]
fn a_crash_in_plain_lines_has_every_line_whole() {
    assert_snapshot!(plain::shown(failing::crash(), Verbosity::Normal), @r#"
       0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
       0.0s  storage class local-path: the cluster's default class
       0.0s  namespace           namespace/monitoring created
       0.0s  namespace           ready: 1 created (0.04s)
       0.2s  kube-state-metrics  helm: installing (not installed)
       1.2s  prometheus          statefulset.apps/prometheus created
       1.2s  prometheus          service/prometheus created
       4.8s  kube-state-metrics  ready: 1 created (4.6s)
      62.0s  prometheus          failed: cannot become ready (1m01s)
               statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0 of 1 replicas ready
                 pod/prometheus-0, container prometheus: CrashLoopBackOff: exit code 2, 3 restarts: back-off 40s restarting failed container=prometheus pod=prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
                 log of pod/prometheus-0, container prometheus (previous):
                   | ts=2026-11-24T04:00:52.001Z level=info component=main msg="start step 1"
                   | ts=2026-11-24T04:00:52.002Z level=info component=main msg="start step 2"
                   | ts=2026-11-24T04:00:52.003Z level=info component=main msg="start step 3"
                   | ts=2026-11-24T04:00:52.004Z level=info component=main msg="start step 4"
                   | ts=2026-11-24T04:00:52.005Z level=info component=main msg="start step 5"
                   | ts=2026-11-24T04:00:52.006Z level=info component=main msg="start step 6"
                   | ts=2026-11-24T04:00:52.007Z level=info component=main msg="start step 7"
                   | ts=2026-11-24T04:00:52.008Z level=info component=main msg="start step 8"
                   | ts=2026-11-24T04:00:52.009Z level=info component=main msg="start step 9"
                   | ts=2026-11-24T04:00:52.010Z level=info component=main msg="start step 10"
                   | ts=2026-11-24T04:00:52.011Z level=info component=main msg="start step 11"
                   | ts=2026-11-24T04:00:52.012Z level=info component=main msg="start step 12"
                   | ts=2026-11-24T04:00:52.013Z level=info component=main msg="start step 13"
                   | ts=2026-11-24T04:00:52.014Z level=info component=main msg="start step 14"
                   | ts=2026-11-24T04:00:52.015Z level=info component=main msg="start step 15"
                   | ts=2026-11-24T04:00:52.016Z level=info component=main msg="start step 16"
                   | ts=2026-11-24T04:00:52.017Z level=info component=main msg="start step 17"
                   | ts=2026-11-24T04:00:52.018Z level=info component=main msg="start step 18"
                   | ts=2026-11-24T04:00:52.417Z level=error component=main msg="Error loading config (--config.file=/etc/prometheus/prometheus.yml)" file=/etc/prometheus/prometheus.yml err="parsing YAML file /etc/prometheus/prometheus.yml: yaml: unmarshal errors:\n  line 14: field scrape_intervall not found in type config.ScrapeConfig"
                   | exit 2
                 event pod/prometheus-0: BackOff (7 times): Back-off restarting failed container prometheus in pod prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
      62.0s  failed after 1m02s: 4 created, 1 unchanged
               done: namespace, kube-state-metrics
               failed: prometheus
               not judged: grafana (prometheus failed)

    error: step prometheus: statefulset.apps/prometheus -n monitoring cannot become ready

    hint: kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring --previous
    "#);
}

#[test]
fn an_image_that_is_missing_everywhere_is_said_once() {
    assert_snapshot!(screen(failing::missing_image(), 24, 80), @r#"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✗ prometheus           8.8s  cannot become ready
      daemonset.apps/agent -n monitoring (agent/daemonset.yaml:1): 0 of 3 pods ready
        pod/agent-4x8zq and 2 others, container agent: ImagePullBackOff: Back-off
          pulling image "registry.example/observability/agent:v9.9.9": ErrImagePul …
          "registry.example/observability/agent:v9.9.9":
          registry.example/observability/agent:v9.9.9: not found
        event pod/agent-4x8zq: Failed (2 times): Failed to pull image "registry.exa…
    failed after 1m02s: 4 created, 1 unchanged
      done: namespace
      failed: prometheus
      not judged: kube-state-metrics, grafana (prometheus failed)

    error: step prometheus: daemonset.apps/agent -n monitoring cannot become ready

    hint: kubectl --context k3d-blog describe pod/agent-4x8zq -n monitoring
    "#);
}

#[test]
fn a_timeout_lists_each_object_the_cause_first() {
    assert_snapshot!(screen(failing::timeout(), 24, 80), @"
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✓ kube-state-metrics   4.6s  1 created
    ✗ prometheus          9m59s  timed out waiting for 3 objects
      statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0
        of 1 replicas ready
        pod/prometheus-0: Unschedulable: 0/3 nodes are available: 1 node(s) had
          untolerated taint {node-role.kubernetes.io/control-plane: }, 2 …
          are available: 1 Preemption is not helpful for scheduling, 2 No preemption
          victims found for incoming pod.
      persistentvolumeclaim/storage-prometheus-0 -n monitoring: waits for its first
        pod
      service/prometheus -n monitoring (prometheus/service.yaml:1): no ready
        endpoints
    out of time after 10m00s: 4 created, 1 unchanged
      done: namespace, kube-state-metrics
      failed: prometheus
      not judged: grafana (prometheus failed)

    error: step prometheus: timed out waiting for statefulset.apps/prometheus -n
      monitoring and 2 others

    hint: kubectl --context k3d-blog describe nodes
    ");
}

#[test]
fn a_timeout_in_plain_lines() {
    assert_snapshot!(plain::shown(failing::timeout(), Verbosity::Normal), @"
       0.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
       0.0s  storage class local-path: the cluster's default class
       0.0s  namespace           namespace/monitoring created
       0.0s  namespace           ready: 1 created (0.04s)
       0.2s  kube-state-metrics  helm: installing (not installed)
       1.2s  prometheus          statefulset.apps/prometheus created
       1.2s  prometheus          service/prometheus created
       4.8s  kube-state-metrics  ready: 1 created (4.6s)
     600.0s  prometheus          failed: timed out waiting for 3 objects (9m59s)
               statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0 of 1 replicas ready
                 pod/prometheus-0: Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.
               persistentvolumeclaim/storage-prometheus-0 -n monitoring: waits for its first pod
               service/prometheus -n monitoring (prometheus/service.yaml:1): no ready endpoints
     600.0s  out of time after 10m00s: 4 created, 1 unchanged
               done: namespace, kube-state-metrics
               failed: prometheus
               not judged: grafana (prometheus failed)

    error: step prometheus: timed out waiting for statefulset.apps/prometheus -n monitoring and 2 others

    hint: kubectl --context k3d-blog describe nodes
    ");
}

#[test]
fn a_refused_manifest_is_named_with_its_place() {
    assert_snapshot!(screen(failing::refused(), 24, 80), @r#"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✗ prometheus           1.1s  failed to apply statefulset.apps/prometheus -n
                                 monitoring (prometheus/statefulset.yaml:1)
      caused by: StatefulSet.apps "prometheus" is invalid:
        spec.template.metadata.labels: `selector` does not match template `labels`
    failed after 6.3s: 3 created, 1 unchanged
      done: namespace
      failed: prometheus
      not judged: kube-state-metrics, grafana (prometheus failed)

    error: step prometheus: failed to apply statefulset.apps/prometheus -n
      monitoring (prometheus/statefulset.yaml:1)
    "#);
}

#[test]
fn each_failed_step_tells_its_own_cause() {
    assert_snapshot!(screen(failing::two_failures(), 40, 80), @r#"
          | ts=2026-11-24T04:00:52.006Z level=info component=main msg="start step 6"
          | ts=2026-11-24T04:00:52.007Z level=info component=main msg="start step 7"
          | ts=2026-11-24T04:00:52.008Z level=info component=main msg="start step 8"
          | ts=2026-11-24T04:00:52.009Z level=info component=main msg="start step 9"
          | ts=2026-11-24T04:00:52.010Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.011Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.012Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.013Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.014Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.015Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.016Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.017Z level=info component=main msg="start step 1…
          | ts=2026-11-24T04:00:52.018Z level=info component=main msg="start step
              18"
          | ts=2026-11-24T04:00:52.417Z level=error component=main msg="Error
              loading config (--config.file=/etc/prometheus/prometheus.yml)" …
              field scrape_intervall not found in type config.ScrapeConfig"
          | exit 2
        event pod/prometheus-0: BackOff (7 times): Back-off restarting failed
          container prometheus in pod
          prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)
    ✗ kube-state-metrics  32.8s  cannot become ready
      deployment.apps/kube-state-metrics -n monitoring: failed: 0 of 1 replicas
        ready
        replicaset/kube-state-metrics-7d9f8c: FailedCreate: pods
          "kube-state-metrics-7d9f8c-" is forbidden: exceeded quota: small,
          requested: requests.cpu=200m, used: requests.cpu=900m, limited:
          requests.cpu=1
        hint: kubectl --context k3d-blog describe resourcequotas -n monitoring
    failed after 1m02s: 4 created, 1 unchanged
      done: namespace
      failed: prometheus, kube-state-metrics
      not judged: grafana (prometheus, kube-state-metrics failed)

    error: step prometheus: statefulset.apps/prometheus -n monitoring cannot become
      ready

    hint: kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring -
    -previous
    "#);
}

#[test]
fn quiet_still_tells_why_it_failed() {
    assert_snapshot!(plain::shown(failing::timeout(), Verbosity::Quiet), @"
     600.0s  prometheus          failed: timed out waiting for 3 objects (9m59s)
               statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): 0 of 1 replicas ready
                 pod/prometheus-0: Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.
               persistentvolumeclaim/storage-prometheus-0 -n monitoring: waits for its first pod
               service/prometheus -n monitoring (prometheus/service.yaml:1): no ready endpoints
     600.0s  k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring: out of time after 10m00s: 4 created, 1 unchanged
               done: namespace, kube-state-metrics
               failed: prometheus
               not judged: grafana (prometheus failed)

    error: step prometheus: timed out waiting for statefulset.apps/prometheus -n monitoring and 2 others

    hint: kubectl --context k3d-blog describe nodes
    ");
}

#[test]
fn steps_that_a_run_leaves_without_a_word_are_not_judged() {
    let shown = plain::shown(script::ousted(), Verbosity::Quiet);
    assert!(shown.contains("not judged: prometheus, kube-state-metrics\n"), "{shown}");
}
