//! What is made of the pods and events around an object while it is waited for.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::super::{Deadline, WaitError};
use super::{LONG, Run, deployment, seen};
use crate::cluster::server::Asked;
use crate::event::Kind;
use crate::plan::{Plan, Selection};
use crate::stack::Stack;
use crate::verdict::{Circumstances, Promised};

const PODS: &str = "/api/v1/namespaces/monitoring/pods";
const STATEFUL_SETS: &str = "/apis/apps/v1/namespaces/monitoring/statefulsets";
const EVENTS: &str = "/api/v1/namespaces/monitoring/events";

/// The only pod of the Deployment `grafana`, with its only container in a state.
fn pod(version: u32, restarts: u32, state: &Value, last: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": "grafana-1", "namespace": "monitoring", "uid": "pod", "resourceVersion": version.to_string(),
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "grafana", "uid": "set"}],
        },
        "spec": {"nodeName": "n", "containers": [{"name": "grafana", "image": "example.com/grafana:1"}]},
        "status": {"phase": "Pending", "containerStatuses": [{
            "name": "grafana", "image": "example.com/grafana:1", "imageID": "", "ready": false,
            "restartCount": restarts, "state": state, "lastState": last,
        }]},
    })
}

fn waiting(reason: &str, message: &str) -> Value {
    json!({"waiting": {"reason": reason, "message": message}})
}

fn ended(code: i32) -> Value {
    json!({"terminated": {"exitCode": code, "reason": "Error"}})
}

fn replica_set() -> Value {
    json!({"metadata": {
        "name": "grafana", "namespace": "monitoring", "uid": "set",
        "annotations": {"deployment.kubernetes.io/revision": "1"},
        "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "grafana", "uid": "grafana"}],
    }})
}

fn pulling(reason: &str, version: u32, at: &str) -> Value {
    json!({
        "metadata": {"name": reason, "namespace": "monitoring", "uid": reason, "resourceVersion": version.to_string()},
        "involvedObject": {"uid": "pod", "fieldPath": "spec.containers{grafana}"},
        "reason": reason, "type": "Normal", "message": "example.com/grafana:1", "lastTimestamp": at,
    })
}

#[tokio::test]
async fn an_image_that_does_not_exist_ends_the_wait_at_once() {
    let mut run = Run::start();
    run.server.put("replicasets", &[replica_set()]);
    let creating = waiting("ContainerCreating", "");
    run.server.put("pods", &[pod(3, 0, &creating, &json!({}))]);
    let object = deployment("grafana", 5, 0);
    let waiting_for = run.until_current(vec![seen(&object)]);
    let _watch = run.deployments(&[object]).await;
    let pods = run.server.watch_around(PODS).await;
    assert!(!waiting_for.is_finished());
    let missing = waiting("ErrImagePull", "failed to resolve reference \"example.com/grafana:1\": not found");
    pods.send("MODIFIED", &pod(7, 0, &missing, &json!({})));
    let error = run.end_of(waiting_for).await.expect_err("a verdict");
    let WaitError::Failed(failed) = error else { panic!("not a verdict: {error}") };
    assert_eq!(failed[0].pods[0].reason, "ErrImagePull");
    assert_eq!(
        failed[0].hint.as_deref(),
        Some("kubectl --context test describe pod/grafana-1 -n monitoring")
    );
}

#[tokio::test]
async fn a_pull_that_failed_before_the_run_is_a_verdict_when_it_fails_again() {
    let mut run = Run::start();
    let old = |version: u32, reason: &str| {
        let mut pod = pod(version, 0, &waiting(reason, "example.com/grafana:1: not found"), &json!({}));
        pod["metadata"]["creationTimestamp"] = "2026-11-24T03:00:00Z".into();
        pod
    };
    run.server.put("replicasets", &[replica_set()]);
    run.server.put("pods", &[old(3, "ImagePullBackOff")]);
    let object = deployment("grafana", 5, 0);
    let waiting_for = run.until_current(vec![seen(&object)]);
    let _watch = run.deployments(&[object]).await;
    let pods = run.server.watch_around(PODS).await;
    while !run.hear().await.contains("not found") {}
    assert!(!waiting_for.is_finished());
    pods.send("MODIFIED", &old(7, "ErrImagePull"));
    let error = run.end_of(waiting_for).await.expect_err("a verdict");
    assert_eq!(error.unready()[0].pods[0].reason, "ErrImagePull");
}

#[tokio::test]
async fn a_registry_that_is_busy_is_a_trouble_and_no_verdict() {
    let mut run = Run::start();
    run.server.put("replicasets", &[replica_set()]);
    let busy = waiting("ErrImagePull", "unexpected status: 429 Too Many Requests");
    run.server.put("pods", &[pod(3, 0, &busy, &json!({}))]);
    let object = deployment("grafana", 5, 0);
    let waiting_for = run.until_current(vec![seen(&object)]);
    let watch = run.deployments(&[object]).await;
    while !run.hear().await.contains("429 Too Many Requests") {}
    watch.send("MODIFIED", &deployment("grafana", 9, 1));
    run.end_of(waiting_for).await.expect("current");
}

#[tokio::test]
async fn the_third_crash_alike_is_a_verdict_and_one_that_differs_is_none() {
    for (last_code, hopeless) in [(1, true), (2, false)] {
        let mut run = Run::start();
        run.server.put("replicasets", &[replica_set()]);
        run.server.put("pods", &[pod(3, 1, &waiting("CrashLoopBackOff", ""), &ended(1))]);
        let object = deployment("grafana", 5, 0);
        let waiting_for = run.until_current(vec![seen(&object)]);
        let watch = run.deployments(&[object]).await;
        let pods = run.server.watch_around(PODS).await;
        while !run.hear().await.contains("1 restart") {}
        pods.send("MODIFIED", &pod(7, 3, &waiting("CrashLoopBackOff", ""), &ended(last_code)));
        if hopeless {
            let log = "/api/v1/namespaces/monitoring/pods/grafana-1/log";
            let asked = run.server.next().await;
            assert_eq!((asked.path(), asked.uri().contains("previous=true")), (log, true));
            asked.refuse(StatusCode::FORBIDDEN, "Forbidden", "no");
            let error = run.end_of(waiting_for).await.expect_err("a verdict");
            assert_eq!(error.unready()[0].pods[0].message, "exit code 1, 3 restarts");
        } else {
            while !run.hear().await.contains("3 restarts") {}
            watch.send("MODIFIED", &deployment("grafana", 9, 1));
            run.end_of(waiting_for).await.expect("current");
        }
    }
}

#[tokio::test]
async fn a_crash_is_no_verdict_while_what_runs_beside_it_is_not_ready() {
    let mut run = Run::start();
    run.server.put("replicasets", &[replica_set()]);
    run.server.put("pods", &[pod(3, 3, &waiting("CrashLoopBackOff", ""), &ended(1))]);
    let (object, beside) = (deployment("grafana", 5, 0), deployment("db", 6, 0));
    let waiting_for = run.until_current(vec![seen(&object), seen(&beside)]);
    let watch = run.deployments(&[object, beside]).await;
    while !run.hear().await.contains("3 restarts; deployment.apps/db -n monitoring is not ready either") {}
    watch.send("MODIFIED", &deployment("db", 9, 1));
    run.server.next().await.refuse(StatusCode::FORBIDDEN, "Forbidden", "no logs");
    let error = run.end_of(waiting_for).await.expect_err("a verdict");
    assert_eq!(error.unready()[0].pods[0].message, "exit code 1, 3 restarts");
}

#[tokio::test]
async fn a_crash_is_no_verdict_while_what_its_step_needs_is_not_ready() {
    let plan = Plan::new(&Stack::embedded().expect("valid"), &Selection::default()).expect("a plan");
    let circumstances = Circumstances { promised: Promised::by(&plan), is_local: true };
    let mut run = Run::under(circumstances);
    run.server.put("replicasets", &[replica_set()]);
    run.server.put("pods", &[pod(3, 3, &waiting("CrashLoopBackOff", ""), &ended(1))]);
    let object = deployment("grafana", 5, 0);
    let waiting_for = run.until_current(vec![seen(&object)]);
    let deployments = run.deployments(&[object]).await;
    let needed = json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {"name": "prometheus", "namespace": "monitoring", "uid": "p", "generation": 1, "resourceVersion": "5"},
        "spec": {"replicas": 1},
        "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 0},
    });
    run.server.list(STATEFUL_SETS).await.with(&[needed]);
    let _needed = run.server.watch(STATEFUL_SETS).await;
    while !run.hear().await.contains("statefulset.apps/prometheus -n monitoring is not ready either") {}
    deployments.send("MODIFIED", &deployment("grafana", 9, 1));
    run.end_of(waiting_for).await.expect("current");
}

#[tokio::test(start_paused = true)]
async fn the_time_in_which_an_image_is_pulled_does_not_count() {
    let mut run = Run::start();
    run.server.put("replicasets", &[replica_set()]);
    run.server.put("pods", &[pod(3, 0, &waiting("ContainerCreating", ""), &json!({}))]);
    run.server.put("events", &[pulling("Pulling", 3, "2026-11-25T03:00:00Z")]);
    let object = deployment("grafana", 5, 0);
    let (began, given) = (Instant::now(), Duration::from_secs(10));
    let deadline = Deadline { end: began + given, last: began + LONG };
    let waiting_for = run.until_current_by(deadline, vec![seen(&object)]);
    let _watch = run.deployments(&[object]).await;
    let events = run.server.watch_around(EVENTS).await;
    sleep(3 * given).await;
    assert!(!waiting_for.is_finished());
    events.send("ADDED", &pulling("Pulled", 4, "2026-11-25T03:00:30Z"));
    run.end_of(waiting_for).await.expect_err("a timeout");
    let took = began.elapsed();
    assert!(took >= 4 * given && took < 5 * given, "took {took:?}");
    let mut pulls = Vec::new();
    while let Ok(event) = run.events.try_recv() {
        if let Kind::ImagePull { image, took_ms, .. } = event.kind {
            pulls.push((image, took_ms.map(|took| took / 10_000)));
        }
    }
    let image = "example.com/grafana:1".to_owned();
    assert_eq!(pulls, [(image.clone(), None), (image, Some(3))]);
}

/// The StatefulSet `loki`, whose only pod is of an older revision as long as it is not ready.
fn stuck_set(version: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "StatefulSet",
        "metadata": {
            "name": "loki", "namespace": "monitoring", "uid": "loki", "generation": 2,
            "resourceVersion": version.to_string(),
        },
        "spec": {"replicas": 1},
        "status": {
            "observedGeneration": 2, "replicas": 1, "readyReplicas": ready, "availableReplicas": ready,
            "updatedReplicas": ready,
            "updateRevision": "new", "currentRevision": if ready > 0 { "new" } else { "old" },
        },
    })
}

/// That pod, whose container is in a state.
fn old_pod(state: &Value) -> Value {
    json!({
        "metadata": {
            "name": "loki-0", "namespace": "monitoring", "uid": "pod",
            "labels": {"controller-revision-hash": "old"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "loki", "uid": "loki"}],
        },
        "spec": {"nodeName": "n", "containers": [{"name": "loki", "image": "i"}]},
        "status": {
            "phase": "Pending", "startTime": "2026-11-24T03:00:00Z",
            "containerStatuses": [{
                "name": "loki", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state,
            }],
        },
    })
}

/// Asserts that a pod is deleted by which a StatefulSet is stuck, and gives the request.
async fn is_deleted(run: &mut Run) -> Asked {
    let asked = run.server.next().await;
    let path = "/api/v1/namespaces/monitoring/pods/loki-0";
    assert_eq!((asked.method(), asked.path()), (&Method::DELETE, path));
    asked
}

#[tokio::test]
async fn a_stateful_set_that_is_stuck_at_an_old_pod_is_freed_of_it() {
    let broken = old_pod(&waiting("ImagePullBackOff", "not found"));
    let mut never_ready = old_pod(&json!({"running": {}}));
    never_ready["status"]["conditions"] =
        json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-24T03:00:01Z"}]);
    for pod in [broken, never_ready] {
        let mut run = Run::start();
        run.server.put("pods", &[pod]);
        let waiting_for = run.until_current(vec![seen(&stuck_set(5, 0))]);
        run.server.list(STATEFUL_SETS).await.with(&[stuck_set(5, 0)]);
        let watch = run.server.watch(STATEFUL_SETS).await;
        let done = json!({"kind": "Status", "apiVersion": "v1", "status": "Success"});
        is_deleted(&mut run).await.answer(StatusCode::OK, &done);
        watch.send("MODIFIED", &stuck_set(9, 1));
        run.end_of(waiting_for).await.expect("current");
    }
}

#[tokio::test]
async fn an_old_pod_that_was_ready_once_or_may_not_be_deleted_stays() {
    let mut was_ready = old_pod(&json!({"running": {}}));
    was_ready["status"]["conditions"] =
        json!([{"type": "Ready", "status": "False", "lastTransitionTime": "2026-11-24T03:10:00Z"}]);
    for (pod, is_broken) in [(was_ready, false), (old_pod(&waiting("ImagePullBackOff", "not found")), true)] {
        let mut run = Run::start();
        run.server.put(
            "events",
            &[json!({
                "metadata": {"name": "e", "namespace": "monitoring", "uid": "e", "resourceVersion": "3"},
                "involvedObject": {"uid": "pod", "fieldPath": "spec.containers{loki}"},
                "reason": "Unhealthy", "type": "Warning", "message": "Readiness probe failed: no",
            })],
        );
        run.server.put("pods", &[pod]);
        let waiting_for = run.until_current(vec![seen(&stuck_set(5, 0))]);
        run.server.list(STATEFUL_SETS).await.with(&[stuck_set(5, 0)]);
        let watch = run.server.watch(STATEFUL_SETS).await;
        if is_broken {
            is_deleted(&mut run).await.refuse(StatusCode::FORBIDDEN, "Forbidden", "eve cannot delete pods");
        } else {
            while !run.hear().await.contains("loki-0, container loki: Unhealthy") {}
        }
        watch.send("MODIFIED", &stuck_set(9, 1));
        run.end_of(waiting_for).await.expect("current");
        let mut warned = Vec::new();
        while let Ok(event) = run.events.try_recv() {
            if let Kind::Warning { message } = event.kind {
                warned.push(message);
            }
        }
        assert_eq!(warned.len(), usize::from(is_broken), "{warned:?}");
        assert!(
            warned.iter().all(|warning| warning.ends_with("cannot be freed: eve cannot delete pods")),
            "{warned:?}"
        );
    }
}

#[tokio::test]
async fn a_wait_goes_on_without_what_may_not_be_watched() {
    let mut run = Run::start();
    run.server.forbid("pods");
    let object = deployment("grafana", 5, 0);
    let waiting_for = run.until_current(vec![seen(&object)]);
    let watch = run.deployments(&[object]).await;
    run.server.watch_around(EVENTS).await;
    watch.send("MODIFIED", &deployment("grafana", 9, 1));
    run.end_of(waiting_for).await.expect("current");
}
