//! Runs that fail, with what a real cluster says.

use bootstrap::event::{
    Diagnosis, Kind, LogExcerpt, PodReason, Tally, Verdict, WarningEvent, sort_by_evidence,
};
use bootstrap::object::{self, ObjectRef};
use bootstrap::status::Status;

use crate::script::{Script, finished, running};

const UID: &str = "5f0f2a5e-0c0e-4d57-9f0c-8f3f5a3b6a11";

/// A container that crashes at once: exit 5.
pub(crate) fn crash() -> Script {
    failed(kube_state_metrics_is_up(), "prometheus", vec![crashing()])
        .then(left(&["grafana"], "prometheus failed"))
        .then(over(
            5,
            "step prometheus: statefulset.apps/prometheus -n monitoring cannot become ready",
            &crashing(),
        ))
}

/// An image that no registry has, on every node: exit 5.
pub(crate) fn missing_image() -> Script {
    let cause = missing();
    failed(running().at(9_000), "prometheus", vec![cause.clone()])
        .at(14_000)
        .then(left(&["kube-state-metrics", "grafana"], "prometheus failed"))
        .then(over(5, "step prometheus: daemonset.apps/agent -n monitoring cannot become ready", &cause))
}

/// Three objects that were not ready in time, for one reason: exit 6.
pub(crate) fn timeout() -> Script {
    let mut unready = vec![
        Diagnosis {
            source: Some("prometheus/service.yaml:1".to_owned()),
            ..Diagnosis::new(service(), Status::InProgress, "no ready endpoints".to_owned())
        },
        Diagnosis::new(
            ObjectRef::new(&object::CLAIM, Some("monitoring"), "storage-prometheus-0"),
            Status::InProgress,
            "waits for its first pod".to_owned(),
        ),
        unschedulable(),
    ];
    sort_by_evidence(&mut unready);
    failed(kube_state_metrics_is_up().at(600_000), "prometheus", unready)
        .then(left(&["grafana"], "prometheus failed"))
        .then(over(
            6,
            "step prometheus: timed out waiting for statefulset.apps/prometheus -n monitoring and 2 others",
            &unschedulable(),
        ))
}

/// A manifest that the server refuses: exit 5.
pub(crate) fn refused() -> Script {
    let message = "failed to apply statefulset.apps/prometheus -n monitoring (prometheus/statefulset.yaml:1)";
    let causes = vec![
        "StatefulSet.apps \"prometheus\" is invalid: spec.template.metadata.labels: `selector` does not match template \
         `labels`"
            .to_owned(),
    ];
    running()
        .at(1_300)
        .then(Kind::StepFailed {
            step: "prometheus".to_owned(),
            message: message.to_owned(),
            causes: causes.clone(),
            took_ms: 1_100,
        })
        .at(6_300)
        .then(left(&["kube-state-metrics", "grafana"], "prometheus failed"))
        .then(Kind::RunFinished {
            exit_code: 5,
            error: Some(format!("step prometheus: {message}")),
            causes,
            hint: None,
            tally: Tally { created: 3, unchanged: 1, ..Tally::default() },
            took_ms: 6_300,
            notes: vec![],
            longest: None,
        })
}

/// Two steps that fail, for reasons that have nothing to do with each other: exit 5.
pub(crate) fn two_failures() -> Script {
    let script = failed(running().at(31_000), "prometheus", vec![crashing()]).at(33_000);
    failed(script, "kube-state-metrics", vec![denied()])
        .then(left(&["grafana"], "prometheus, kube-state-metrics failed"))
        .then(over(
            5,
            "step prometheus: statefulset.apps/prometheus -n monitoring cannot become ready",
            &crashing(),
        ))
}

fn kube_state_metrics_is_up() -> Script {
    let tally = Tally { created: 1, ..Tally::default() };
    running().at(4_800).then(finished("kube-state-metrics", tally, 4_600)).at(62_000)
}

/// Lets a step fail now.
fn failed(script: Script, name: &str, unready: Vec<Diagnosis>) -> Script {
    let first = unready[0].clone();
    let names = match unready.len() {
        1 => first.object.to_string(),
        all => format!("{} and {} others", first.object, all - 1),
    };
    let took_ms = script.now() - 200;
    let mut script = script;
    for diagnosis in unready {
        script = script.then(Kind::Diagnosed { step: name.to_owned(), diagnosis });
    }
    let message = match first.verdict {
        Verdict::Doomed => format!("{names} cannot become ready"),
        Verdict::OutOfTime => format!("timed out waiting for {names}"),
    };
    script.then(Kind::StepFailed { step: name.to_owned(), message, causes: vec![first.reason()], took_ms })
}

fn over(exit_code: u8, error: &str, cause: &Diagnosis) -> Kind {
    Kind::RunFinished {
        exit_code,
        error: Some(error.to_owned()),
        causes: vec![cause.reason()],
        hint: cause.hint.clone(),
        tally: Tally { created: 4, unchanged: 1, ..Tally::default() },
        took_ms: if exit_code == 6 { 600_000 } else { 62_100 },
        notes: vec![],
        longest: None,
    }
}

fn left(steps: &[&str], why: &str) -> Kind {
    Kind::StepsLeft { steps: steps.iter().map(ToString::to_string).collect(), why: why.to_owned() }
}

fn prometheus() -> Diagnosis {
    let object = ObjectRef::new(&object::STATEFUL_SET, Some("monitoring"), "prometheus");
    Diagnosis {
        source: Some("prometheus/statefulset.yaml:1".to_owned()),
        ..Diagnosis::new(object, Status::InProgress, "0 of 1 replicas ready".to_owned())
    }
}

fn service() -> ObjectRef {
    ObjectRef::new(&object::SERVICE, Some("monitoring"), "prometheus")
}

fn crashing() -> Diagnosis {
    let flag = "ts=2026-11-24T04:00:52.417Z level=error component=main msg=\"Error loading config (--config.file=/etc/prometheus/prometheus.yml)\" file=/etc/prometheus/prometheus.yml err=\"parsing YAML file /etc/prometheus/prometheus.yml: yaml: unmarshal errors:\\n  line 14: field scrape_intervall not found in type config.ScrapeConfig\"";
    let start = |line: u32| {
        format!("ts=2026-11-24T04:00:52.{line:03}Z level=info component=main msg=\"start step {line}\"")
    };
    Diagnosis {
        verdict: Verdict::Doomed,
        pods: vec![PodReason {
            pod: "prometheus-0".to_owned(),
            container: Some("prometheus".to_owned()),
            reason: "CrashLoopBackOff".to_owned(),
            message: format!(
                "exit code 2, 3 restarts: back-off 40s restarting failed container=prometheus \
                 pod=prometheus-0_monitoring({UID})"
            ),
        }],
        log: Some(LogExcerpt {
            pod: "prometheus-0".to_owned(),
            container: "prometheus".to_owned(),
            previous: true,
            lines: (1..=18)
                .map(start)
                .chain([flag.to_owned(), "\u{1b}[31mexit\u{1b}[0m\t2".to_owned()])
                .collect(),
        }),
        warnings: vec![WarningEvent {
            about: "pod/prometheus-0".to_owned(),
            reason: "BackOff".to_owned(),
            message: format!(
                "Back-off restarting failed container prometheus in pod prometheus-0_monitoring({UID})"
            ),
            count: 7,
        }],
        hint: Some(
            "kubectl --context k3d-blog logs prometheus-0 -c prometheus -n monitoring --previous".to_owned(),
        ),
        ..prometheus()
    }
}

fn missing() -> Diagnosis {
    let image = "registry.example/observability/agent:v9.9.9";
    let not_found = format!(
        "Back-off pulling image \"{image}\": ErrImagePull: failed to pull and unpack image \"{image}\": failed to resolve \
         reference \"{image}\": {image}: not found"
    );
    let pod = |suffix: &str| PodReason {
        pod: format!("agent-{suffix}"),
        container: Some("agent".to_owned()),
        reason: "ImagePullBackOff".to_owned(),
        message: not_found.clone(),
    };
    Diagnosis {
        source: Some("agent/daemonset.yaml:1".to_owned()),
        verdict: Verdict::Doomed,
        pods: vec![pod("4x8zq"), pod("k2lmn"), pod("zz9t7")],
        warnings: vec![WarningEvent {
            about: "pod/agent-4x8zq".to_owned(),
            reason: "Failed".to_owned(),
            message: format!("Failed to pull image \"{image}\": {image}: not found"),
            count: 2,
        }],
        hint: Some("kubectl --context k3d-blog describe pod/agent-4x8zq -n monitoring".to_owned()),
        ..Diagnosis::new(
            ObjectRef::new(&object::DAEMON_SET, Some("monitoring"), "agent"),
            Status::InProgress,
            "0 of 3 pods ready".to_owned(),
        )
    }
}

fn unschedulable() -> Diagnosis {
    let scheduler = "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 \
                     Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is \
                     not helpful for scheduling, 2 No preemption victims found for incoming pod.";
    let reason = PodReason {
        pod: "prometheus-0".to_owned(),
        container: None,
        reason: "Unschedulable".to_owned(),
        message: scheduler.to_owned(),
    };
    Diagnosis {
        message: format!("0 of 1 replicas ready; {reason}"),
        pods: vec![reason],
        warnings: vec![WarningEvent {
            about: "pod/prometheus-0".to_owned(),
            reason: "FailedScheduling".to_owned(),
            message: scheduler.to_owned(),
            count: 12,
        }],
        hint: Some("kubectl --context k3d-blog describe nodes".to_owned()),
        ..prometheus()
    }
}

fn denied() -> Diagnosis {
    let object = ObjectRef::new(&object::DEPLOYMENT, Some("monitoring"), "kube-state-metrics");
    Diagnosis {
        pods: vec![PodReason {
            pod: "replicaset/kube-state-metrics-7d9f8c".to_owned(),
            container: None,
            reason: "FailedCreate".to_owned(),
            message: "pods \"kube-state-metrics-7d9f8c-\" is forbidden: exceeded quota: small, requested: \
                      requests.cpu=200m, used: requests.cpu=900m, limited: requests.cpu=1"
                .to_owned(),
        }],
        hint: Some("kubectl --context k3d-blog describe resourcequotas -n monitoring".to_owned()),
        ..Diagnosis::new(object, Status::Failed, "0 of 1 replicas ready".to_owned())
    }
}
