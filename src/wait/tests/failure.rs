//! How waiting ends when all is not well, and what it bears.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::select;
use tokio::time::Instant;

use super::super::WaitError;
use super::{DEPLOYMENTS, LONG, Run, deployment, seen};
use crate::status::Status;

#[tokio::test(start_paused = true)]
async fn a_timeout_names_the_object_and_what_its_pod_waits_for() {
    let mut run = Run::start();
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": "grafana-6d5-x", "uid": "pod", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "grafana-6d5", "uid": "set"},
        ]},
        "status": {"phase": "Pending", "containerStatuses": [{
            "name": "grafana", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image \"i\""}},
        }]},
    });
    let set = json!({"metadata": {"name": "grafana-6d5", "uid": "set", "annotations": {"deployment.kubernetes.io/revision": "1"}, "ownerReferences": [
        {"apiVersion": "apps/v1", "kind": "Deployment", "name": "grafana", "uid": "grafana"},
    ]}});
    run.server.put("pods", &[pod]);
    run.server.put("replicasets", &[set]);
    let object = deployment("grafana", 5, 0);
    let ready = deployment("ready", 6, 1);
    let waiting = run.until_current(vec![seen(&object), seen(&ready)]);
    let _watch = run.deployments(&[object, ready]).await;
    let error = run.end_of(waiting).await.expect_err("a timeout");
    assert_eq!(error.to_string(), "timed out waiting for deployment.apps/grafana -n monitoring");
    let WaitError::TimedOut(unready) = error else { panic!("not a timeout: {error}") };
    assert_eq!(unready[0].message, "0 of 1 replicas ready");
    assert_eq!(unready[0].pods.len(), 1);
    assert_eq!(unready[0].pods[0].pod, "grafana-6d5-x");
    assert_eq!(unready[0].pods[0].reason, "ImagePullBackOff");
}

#[tokio::test(start_paused = true)]
async fn a_search_for_reasons_that_is_not_answered_does_not_hold_the_timeout_up() {
    let mut run = Run::start();
    let object = deployment("grafana", 5, 0);
    let began = Instant::now();
    let waiting = run.until_current(vec![seen(&object)]);
    let _watch = run.deployments(&[object]).await;
    let error = waiting.await.expect("no panic").expect_err("a timeout");
    assert_eq!(error.unready().len(), 1);
    assert!(began.elapsed() < LONG + Duration::from_secs(6), "took {:?}", began.elapsed());
}

#[tokio::test]
async fn a_failed_job_ends_the_wait_at_once() {
    let mut run = Run::start();
    let job = |conditions: &Value, version: &str| {
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {"name": "migrate", "namespace": "monitoring", "uid": "j", "resourceVersion": version},
            "spec": {"completions": 1},
            "status": {"conditions": conditions},
        })
    };
    let started = job(&json!([]), "5");
    let waiting = run.until_current(vec![seen(&started), seen(&deployment("slow", 6, 0))]);
    let failed = json!([{"type": "Failed", "status": "True", "message": "the backoff limit is reached"}]);
    let answering = async {
        let mut open = Vec::new();
        loop {
            let asked = run.server.next().await;
            match asked.path().rsplit('/').next() {
                _ if asked.is_watch() => open.push(asked),
                Some("jobs") => asked.with(&[job(&failed, "7")]),
                _ => asked.with(&[]),
            }
        }
    };
    let error = select! {
        ended = waiting => ended.expect("no panic").expect_err("a failure"),
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(error.to_string(), "job.batch/migrate -n monitoring cannot become ready");
    assert_eq!(error.unready()[0].message, "the backoff limit is reached");
}

#[tokio::test]
async fn cancelling_ends_the_wait_and_dropping_ends_the_watch() {
    let mut run = Run::start();
    let object = deployment("grafana", 5, 0);
    let waiting = run.until_current(vec![seen(&object)]);
    let watch = run.deployments(&[object]).await;
    run.cancel.cancel();
    assert!(matches!(waiting.await.expect("no panic"), Err(WaitError::Cancelled)));
    let Run { waiter, server: _server, .. } = run;
    drop(waiter);
    watch.ended().await;
}

#[tokio::test]
async fn a_kind_that_must_not_be_watched_is_an_error_that_names_it() {
    let mut run = Run::start();
    let waiting = run.until_current(vec![seen(&deployment("grafana", 5, 0))]);
    run.server.list(DEPLOYMENTS).await.refuse(
        StatusCode::FORBIDDEN,
        "Forbidden",
        "User \"eve\" cannot list resource",
    );
    let error = waiting.await.expect("no panic").expect_err("a refusal");
    assert_eq!(error.to_string(), "failed to watch deployments.apps -n monitoring");
    let cause = std::error::Error::source(&error).expect("a cause").to_string();
    assert_eq!(cause, "User \"eve\" cannot list resource");
}

#[tokio::test]
async fn a_kind_that_is_not_served_is_an_error_that_names_it() {
    let mut run = Run::start();
    let object = json!({
        "apiVersion": "example.com/v1", "kind": "Widget",
        "metadata": {"name": "w", "namespace": "monitoring"},
        "status": {"conditions": [{"type": "Ready", "status": "False"}]},
    });
    let waiting = run.until_current(vec![seen(&object)]);
    run.server.next().await.refuse(StatusCode::NOT_FOUND, "NotFound", "404 page not found");
    let error = waiting.await.expect("no panic").expect_err("a refusal");
    assert_eq!(error.to_string(), "failed to discover widget.example.com -n monitoring");
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_still_pulls_an_image_has_not_failed() {
    let mut run = Run::start();
    let mut late = deployment("grafana", 5, 0);
    late["status"]["conditions"] =
        json!([{"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}]);
    run.server.put(
        "pods",
        &[json!({
            "metadata": {"name": "p", "uid": "pod", "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "s", "uid": "set"},
            ]},
            "status": {"phase": "Pending", "containerStatuses": [{
                "name": "grafana", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": "ContainerCreating"}},
            }]},
        })],
    );
    run.server.put(
        "replicasets",
        &[json!({"metadata": {"name": "s", "uid": "set", "annotations": {"deployment.kubernetes.io/revision": "1"}, "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "Deployment", "name": "grafana", "uid": "grafana"},
        ]}})],
    );
    run.server.put(
        "events",
        &[json!({
            "metadata": {"name": "e"},
            "involvedObject": {"uid": "pod", "fieldPath": "spec.containers{grafana}"},
            "reason": "Pulling", "type": "Normal", "message": "Pulling image \"i\"",
        })],
    );
    let waiting = run.until_current(vec![seen(&late)]);
    let watch = run.deployments(&[late]).await;
    // Until pods and events are known, nothing is said of it.
    assert_eq!(run.hear().await, "grafana InProgress 0 of 1 replicas ready; an image is still being pulled");
    watch.send("MODIFIED", &deployment("grafana", 9, 1));
    waiting.await.expect("no panic").expect("current");
    assert_eq!(run.said(), ["grafana Current 1 of 1 replicas ready"]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_go_is_named_with_what_holds_it() {
    let mut run = Run::start();
    let mut object = deployment("grafana", 5, 1);
    object["metadata"]["deletionTimestamp"] = "2026-11-24T03:00:00Z".into();
    object["metadata"]["finalizers"] = json!(["example.com/hold"]);
    let waiting = run.until_gone(vec![seen(&object)]);
    let _watch = run.deployments(&[object]).await;
    let error = waiting.await.expect("no panic").expect_err("a timeout");
    assert_eq!(error.unready()[0].status, Status::Terminating);
    assert_eq!(error.unready()[0].message, "held by finalizer example.com/hold");
    let error = error.into_error();
    assert_eq!(error.to_string(), "timed out waiting for deployment.apps/grafana -n monitoring to go");
    let held = "deployment.apps/grafana -n monitoring: held by finalizer example.com/hold";
    assert_eq!(error.causes(), [held]);
    assert_eq!(
        run.waited(),
        ["deployment.apps/grafana -n monitoring to go: held by finalizer example.com/hold"]
    );
}
