//! What GitHub Actions is told: annotations on stderr, a summary in a file.

use bootstrap::event::{Kind, Tally};
use bootstrap::report::{GitHub, Reporter};
use insta::assert_snapshot;

use crate::script::{self, Script};
use crate::{failing, findings};

/// What the runner reads, and the summary.
fn told(tell: impl FnOnce(GitHub)) -> (String, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let (printer, stdout, stderr) = script::printer();
    tell(GitHub::new(printer, Some(file.path().to_owned()), Some("deploy/stack".into())));
    assert_eq!(stdout.text(), "", "stdout is for data");
    (stderr.text(), std::fs::read_to_string(file.path()).expect("there"))
}

fn of_run(script: Script) -> (String, String) {
    told(|mut github| {
        for event in script.events() {
            github.event(&event);
        }
    })
}

#[test]
fn a_run_that_went_well_has_a_summary_and_no_annotation() {
    let (annotations, summary) = of_run(script::pulled());
    assert_eq!(annotations, "");
    assert_snapshot!(summary, @"
    ### bootstrap up

    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring

    done in 41.2s: 4 created, 1 unchanged; longest: storage → prometheus 41.1s, of it 21.4s image pulls and 17.9s starts

    | step | result | time |
    |---|---|---:|
    | namespace | ready: 1 created | 0.04s |
    | prometheus | ready: 2 created, 1 unchanged | 41.0s |
    | kube-state-metrics | ready: 1 created | 29.8s |
    | grafana | not started |  |
    ");
}

#[test]
fn a_failure_is_annotated_with_its_cause() {
    let (annotations, _) = of_run(failing::two_failures());
    assert_snapshot!(annotations, @r#"
    ::error title=bootstrap up%3A step prometheus,file=deploy/stack/prometheus/statefulset.yaml,line=1::cannot become ready%0Astatefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1): pod/prometheus-0, container prometheus: CrashLoopBackOff: exit code 2, 3 restarts: back-off 40s restarting failed container=prometheus pod=prometheus-0_monitoring(5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11)%0Ahint: kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring --previous
    ::error title=bootstrap up%3A step kube-state-metrics::cannot become ready%0Adeployment.apps/kube-state-metrics -n monitoring: replicaset/kube-state-metrics-7d9f8c: FailedCreate: pods "kube-state-metrics-7d9f8c-" is forbidden: exceeded quota: small, requested: requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1%0Ahint: kubectl --context k3d-blog describe resourcequotas -n monitoring
    "#);
}

#[test]
fn a_summary_has_the_steps_and_the_diagnosis() {
    let (_, summary) = of_run(failing::missing_image());
    assert_snapshot!(summary, @r#"
    ### bootstrap up

    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring

    failed after 1m02s: 4 created, 1 unchanged

    | step | result | time |
    |---|---|---:|
    | namespace | ready: 1 created | 0.04s |
    | prometheus | **failed**: cannot become ready | 8.8s |
    | kube-state-metrics | not judged (prometheus failed) | 13.8s |
    | grafana | not judged (prometheus failed) |  |

    #### prometheus: cannot become ready

    ```text
    daemonset.apps/agent -n monitoring (agent/daemonset.yaml:1): 0 of 3 pods ready
      pod/agent-4x8zq and 2 others, container agent: ImagePullBackOff: Back-off pulling image "registry.example/observability/agent:v9.9.9": ErrImagePull: failed to pull and unpack image "registry.example/observability/agent:v9.9.9": failed to resolve reference "registry.example/observability/agent:v9.9.9": registry.example/observability/agent:v9.9.9: not found
      event pod/agent-4x8zq: Failed (2 times): Failed to pull image "registry.example/observability/agent:v9.9.9": registry.example/observability/agent:v9.9.9: not found
      hint: kubectl --context k3d-blog describe pod/agent-4x8zq -n monitoring
    ```
    "#);
}

#[test]
fn a_run_without_a_step_to_blame_is_annotated_itself() {
    let (annotations, summary) = of_run(script::interrupted());
    assert_snapshot!(annotations, @"::error title=bootstrap up::interrupted by SIGINT%0Ahint: bootstrap up --context k3d-blog");
    assert!(summary.contains("| grafana | not judged (interrupted) |  |"), "{summary}");
}

#[test]
fn nothing_that_a_cluster_says_is_taken_for_markup_or_for_a_command() {
    let hostile = "100%\r\n::error::x, `a` | <b> ```";
    let script = script::started("up").then(Kind::StepFailed {
        step: "grafana".to_owned(),
        message: hostile.to_owned(),
        causes: vec![hostile.to_owned()],
        took_ms: 1,
    });
    let (annotations, summary) = of_run(script.then(script::over(5, Tally::default(), 10, Some(hostile))));
    assert_snapshot!(annotations, @"::error title=bootstrap up%3A step grafana::100%25%0A::error::x, `a` | <b> ```%0Acaused by: 100%25%0A::error::x, `a` | <b> ```");
    assert_snapshot!(summary, @r#"
    ### bootstrap up

    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring

    failed after 0.01s: nothing was changed

    | step | result | time |
    |---|---|---:|
    | namespace | not started |  |
    | prometheus | not started |  |
    | kube-state-metrics | not started |  |
    | grafana | **failed**: 100% ::error::x, \`a\` \| \<b\> \`\`\` | 0.00s |

    #### grafana: 100% ::error::x, \`a\` \| \<b\> \`\`\`

    ````text
    caused by: 100%
      ::error::x, `a` | <b> ```
    ````
    "#);
}

#[test]
fn failed_checks_are_annotated_and_all_are_in_the_summary() {
    let (annotations, summary) =
        told(|github| github.findings(Some("k3d-blog (k3d, v1.36.4) → monitoring"), &findings::found()));
    assert_snapshot!(annotations, @"::error title=bootstrap verify%3A alloy/remote-write::pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host <&>%0Aand more%0Ahint: kubectl --context blog logs pod/alloy-x7 -n monitoring");
    assert_snapshot!(summary, @r#"
    ### bootstrap verify

    k3d-blog (k3d, v1.36.4) → monitoring: 2 passed, 1 failed, 1 skipped

    | check | outcome | what was found |
    |---|---|---|
    | prometheus/ready | passed | pod/prometheus-0 -n monitoring answers /-/ready |
    | prometheus/retention | passed | Prometheus keeps 7d or 4GB |
    | alloy/remote-write | **failed** | pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host \<&\> and more |
    | node-metrics/host | skipped | needs alloy/remote-write |
    "#);
}
