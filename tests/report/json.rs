use bootstrap::event::VERSION;
use bootstrap::report::{Options, Output, Verbosity};
use insta::{assert_json_snapshot, assert_snapshot};
use serde_json::Value;
use tokio::sync::mpsc;

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
    bootstrap::report::run(receiver, printer, options).await;
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
        "unchanged": 0
      },
      "took_ms": 40,
      "version": 1
    }
    "#);
}

#[tokio::test]
async fn an_error_is_in_its_event_and_on_stderr() {
    let (lines, stderr) = shown(script::timeout()).await;
    assert_eq!(lines.last().expect("a last event")["exit_code"], 6);
    assert_snapshot!(stderr, @"
    error: step prometheus was not ready in time
      caused by: 2 objects were not ready after 10m

    hint: kubectl --context k3d-blog describe pod/prometheus-0 -n monitoring
    ");
}
