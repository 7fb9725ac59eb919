use bootstrap::event::VERSION;
use bootstrap::report::{Options, Output, Verbosity};
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::failing;
use crate::script::{self, Script};

/// Runs a script through the channel, as a command does.
async fn shown(script: Script) -> (Vec<Value>, String) {
    let (printer, stdout, stderr) = script::printer();
    let (sender, receiver) = mpsc::unbounded_channel();
    for event in script.events() {
        sender.send(event).expect("the receiver is there");
    }
    drop(sender);
    let options = Options { output: Output::Json, verbosity: Verbosity::Quiet };
    bootstrap::report::run(receiver, printer, options, Vec::new()).await;
    let lines =
        stdout.text().lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    (lines, stderr.text())
}

#[tokio::test]
async fn each_line_is_one_event_that_carries_its_version() {
    let (lines, stderr) = shown(script::fresh()).await;
    assert_eq!(lines.len(), script::fresh().events().len());
    assert!(lines.iter().all(|line| line["version"] == VERSION && line["event"].is_string()), "{lines:?}");
    assert_eq!(stderr, "");
    assert_json_snapshot!(lines[4], @r#"
    {
      "at": "2026-11-24T04:00:00Z",
      "elapsed_ms": 90,
      "event": "step_finished",
      "step": "namespace",
      "tally": {
        "configured": 0,
        "created": 1,
        "deleted": 0,
        "kept": 0,
        "pruned": 0,
        "replaced": 0,
        "unchanged": 0
      },
      "took_ms": 40,
      "version": 1
    }
    "#);
}

#[tokio::test]
async fn a_diagnosis_is_an_event_of_its_own_before_the_failure() {
    let (lines, _) = shown(failing::missing_image()).await;
    let place = lines.iter().position(|line| line["event"] == "diagnosed").expect("a diagnosis");
    assert_eq!(lines[place + 1]["event"], "step_failed");
    assert_json_snapshot!(lines[place], @r#"
    {
      "at": "2026-11-24T04:00:00Z",
      "elapsed_ms": 9000,
      "event": "diagnosed",
      "hint": "kubectl --context k3d-blog describe pod/agent-4x8zq -n monitoring",
      "log": null,
      "message": "0 of 3 pods ready",
      "object": {
        "group": "apps",
        "kind": "DaemonSet",
        "name": "agent",
        "namespace": "monitoring",
        "version": "v1"
      },
      "pods": [
        {
          "container": "agent",
          "message": "Back-off pulling image \"registry.example/observability/agent:v9.9.9\": ErrImagePull: failed to pull and unpack image \"registry.example/observability/agent:v9.9.9\": failed to resolve reference \"registry.example/observability/agent:v9.9.9\": registry.example/observability/agent:v9.9.9: not found",
          "pod": "agent-4x8zq",
          "reason": "ImagePullBackOff"
        },
        {
          "container": "agent",
          "message": "Back-off pulling image \"registry.example/observability/agent:v9.9.9\": ErrImagePull: failed to pull and unpack image \"registry.example/observability/agent:v9.9.9\": failed to resolve reference \"registry.example/observability/agent:v9.9.9\": registry.example/observability/agent:v9.9.9: not found",
          "pod": "agent-k2lmn",
          "reason": "ImagePullBackOff"
        },
        {
          "container": "agent",
          "message": "Back-off pulling image \"registry.example/observability/agent:v9.9.9\": ErrImagePull: failed to pull and unpack image \"registry.example/observability/agent:v9.9.9\": failed to resolve reference \"registry.example/observability/agent:v9.9.9\": registry.example/observability/agent:v9.9.9: not found",
          "pod": "agent-zz9t7",
          "reason": "ImagePullBackOff"
        }
      ],
      "source": "agent/daemonset.yaml:1",
      "status": "InProgress",
      "step": "prometheus",
      "verdict": "doomed",
      "version": 1,
      "warnings": [
        {
          "about": "pod/agent-4x8zq",
          "count": 2,
          "message": "Failed to pull image \"registry.example/observability/agent:v9.9.9\": registry.example/observability/agent:v9.9.9: not found",
          "reason": "Failed"
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn an_error_is_in_its_event_and_on_stderr() {
    let (lines, stderr) = shown(failing::timeout()).await;
    assert_eq!(lines.last().expect("a last event")["exit_code"], 6);
    assert_snapshot!(stderr, @"
    error: step prometheus: timed out waiting for statefulset.apps/prometheus -n monitoring and 2 others
      caused by: pod/prometheus-0: Unschedulable: 0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 Insufficient memory. no new claims to deallocate, preemption: 0/3 nodes are available: 1 Preemption is not helpful for scheduling, 2 No preemption victims found for incoming pod.

    hint: kubectl --context k3d-blog describe nodes
    ");
}
