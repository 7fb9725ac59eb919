//! Waiting against a server that answers request by request: what is asked, how often, and what is made of the answers.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio::{select, spawn};
use tokio_util::sync::CancellationToken;

use super::{Awaited, Deadline, WaitError, Waiter};
use crate::cluster::server::{Server, Watching};
use crate::event::{Event, Events, Kind};
use crate::object::{Object, ObjectRef};
use crate::verdict::Circumstances;

mod failure;
mod survival;
mod verdicts;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/monitoring/deployments";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/monitoring/endpointslices";

/// Long enough to be reached only where the clock is paused, and shorter than a watch is left idle.
const LONG: Duration = Duration::from_mins(1);

/// A run under test.
struct Run {
    waiter: Waiter,
    server: Server,
    events: UnboundedReceiver<Event>,
    cancel: CancellationToken,
}

impl Run {
    fn start() -> Self {
        Self::under(Circumstances::default())
    }

    fn under(circumstances: Circumstances) -> Self {
        let (cluster, server) = Server::with_surroundings();
        let (sender, events) = Events::channel();
        Self {
            waiter: Waiter::new(cluster, sender, circumstances.into()),
            server,
            events,
            cancel: CancellationToken::new(),
        }
    }

    fn until_current(&self, awaited: Vec<Awaited>) -> JoinHandle<Result<(), WaitError>> {
        self.until_current_for(LONG, awaited)
    }

    fn until_current_for(&self, time: Duration, awaited: Vec<Awaited>) -> JoinHandle<Result<(), WaitError>> {
        let end = Instant::now() + time;
        self.until_current_by(Deadline { end, last: end }, awaited)
    }

    fn until_current_by(
        &self,
        deadline: Deadline,
        awaited: Vec<Awaited>,
    ) -> JoinHandle<Result<(), WaitError>> {
        // A step of the stack that comes with the program, for what it needs to count.
        let (waiter, cancel) = (self.waiter.clone(), self.cancel.clone());
        spawn(async move { waiter.until_current("prometheus-adapter", awaited, deadline, &cancel).await })
    }

    fn until_gone(&self, leaving: Vec<Awaited>) -> JoinHandle<Result<(), WaitError>> {
        let (waiter, cancel) = (self.waiter.clone(), self.cancel.clone());
        spawn(async move { waiter.until_gone(leaving, Instant::now() + LONG, &cancel).await })
    }

    /// What was said of objects: name, status, message.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Kind::ObjectStatus { object, status, message, .. } = event.kind {
                said.push(format!("{} {status:?} {message}", object.name));
            }
        }
        said
    }

    /// What was said to be waited for.
    fn waited(&mut self) -> Vec<String> {
        let mut waited = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            if let Kind::Waiting { what } = event.kind {
                waited.push(what);
            }
        }
        waited
    }

    /// The next thing that is said of an object.
    async fn hear(&mut self) -> String {
        loop {
            let event = select! {
                event = timeout(LONG, self.events.recv()) => event.expect("word in time"),
                asked = self.server.next() => panic!("unexpected request for {}", asked.path()),
            };
            let event = event.expect("the waiter is still there");
            if let Kind::ObjectStatus { object, status, message, .. } = event.kind {
                return format!("{} {status:?} {message}", object.name);
            }
        }
    }

    /// How a wait ends while the server answers for what is around.
    async fn end_of(&mut self, waiting: JoinHandle<Result<(), WaitError>>) -> Result<(), WaitError> {
        select! {
            ended = waiting => ended.expect("no panic"),
            asked = self.server.next() => panic!("unexpected request for {}", asked.path()),
        }
    }

    async fn deployments(&mut self, listed: &[Value]) -> Watching {
        self.server.list(DEPLOYMENTS).await.with(listed);
        self.server.watch(DEPLOYMENTS).await
    }
}

fn seen(object: &Value) -> Awaited {
    let object: Object = serde_json::from_value(object.clone()).expect("an object");
    Awaited { object: ObjectRef::of(&object).expect("a name"), seen: Some(object) }
}

/// A Deployment of one replica at its first generation.
fn deployment(name: &str, version: u32, ready: u32) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {
            "name": name, "namespace": "monitoring", "uid": name, "generation": 1,
            "resourceVersion": version.to_string(),
            "annotations": {"deployment.kubernetes.io/revision": "1"},
        },
        "spec": {"replicas": 1, "template": {"metadata": {"labels": {"app": name}}}},
        "status": {
            "observedGeneration": 1,
            "replicas": 1, "updatedReplicas": 1, "readyReplicas": ready, "availableReplicas": ready,
        },
    })
}

fn claim() -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "monitoring", "uid": "data", "resourceVersion": "5"},
        "spec": {"storageClassName": "local-path"},
        "status": {"phase": "Pending"},
    })
}

#[tokio::test]
async fn what_is_current_by_the_evidence_at_hand_costs_no_request() {
    let mut run = Run::start();
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "config", "namespace": "monitoring"},
    });
    run.until_current(vec![seen(&deployment("grafana", 5, 1)), seen(&config)])
        .await
        .expect("no panic")
        .expect("current");
    assert!(!run.server.is_asked());
    assert_eq!(run.said(), Vec::<String>::new());
}

#[tokio::test]
async fn objects_of_one_kind_share_one_list_and_one_watch() {
    let mut run = Run::start();
    let (one, two) = (deployment("one", 5, 0), deployment("two", 6, 0));
    let first = run.until_current(vec![seen(&one)]);
    let second = run.until_current(vec![seen(&two)]);
    let watch = run.deployments(&[one.clone(), two]).await;
    // The same again is not worth a word.
    watch.send("MODIFIED", &one);
    watch.send("MODIFIED", &deployment("one", 7, 1));
    first.await.expect("no panic").expect("current");
    watch.send("MODIFIED", &deployment("two", 8, 1));
    second.await.expect("no panic").expect("current");
    assert!(!run.server.is_asked());
    assert_eq!(
        run.said(),
        [
            "one InProgress 0 of 1 replicas ready",
            "two InProgress 0 of 1 replicas ready",
            "one Current 1 of 1 replicas ready",
            "two Current 1 of 1 replicas ready",
        ]
    );
}

#[tokio::test]
async fn what_is_older_than_the_apply_does_not_count() {
    let mut run = Run::start();
    let old = deployment("grafana", 5, 1);
    let mut applied = deployment("grafana", 9, 1);
    applied["metadata"]["generation"] = 2.into();
    let waiting = run.until_current(vec![seen(&applied)]);
    let watch = run.deployments(&[old]).await;
    assert_eq!(run.hear().await, "grafana InProgress observed generation 1, want 2");
    let mut done = applied;
    done["metadata"]["resourceVersion"] = "10".into();
    done["status"]["observedGeneration"] = 2.into();
    done["status"]["updatedReplicas"] = 0.into();
    watch.send("MODIFIED", &done);
    assert_eq!(run.hear().await, "grafana InProgress 0 of 1 pods updated");
    assert!(!waiting.is_finished());
    done["metadata"]["resourceVersion"] = "11".into();
    done["status"]["updatedReplicas"] = 1.into();
    watch.send("MODIFIED", &done);
    waiting.await.expect("no panic").expect("current");
}

#[tokio::test]
async fn a_claim_that_waits_for_its_first_pod_costs_one_look_at_the_classes() {
    let mut run = Run::start();
    let waiting = run.until_current(vec![seen(&claim())]);
    let class = json!({"metadata": {"name": "local-path"}, "volumeBindingMode": "WaitForFirstConsumer"});
    run.server.list("/apis/storage.k8s.io/v1/storageclasses").await.with(&[class]);
    waiting.await.expect("no panic").expect("current");
    assert_eq!(run.said(), ["data InProgress Pending", "data Current Pending until its first pod"]);
}

#[tokio::test(start_paused = true)]
async fn an_api_is_asked_for_until_discovery_answers() {
    let mut run = Run::start();
    let service = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1beta1.custom.metrics.k8s.io", "resourceVersion": "5"},
        "spec": {"group": "custom.metrics.k8s.io", "version": "v1beta1"},
        "status": {"conditions": [{"type": "Available", "status": "True"}]},
    });
    let waiting = run.until_current(vec![seen(&service)]);
    let unavailable = run.server.list("/apis/custom.metrics.k8s.io/v1beta1").await;
    unavailable.refuse(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "service unavailable");
    let served =
        json!({"kind": "APIResourceList", "groupVersion": "custom.metrics.k8s.io/v1beta1", "resources": []});
    run.server.list("/apis/custom.metrics.k8s.io/v1beta1").await.answer(StatusCode::OK, &served);
    waiting.await.expect("no panic").expect("current");
    assert!(!run.server.is_asked());
}

#[tokio::test]
async fn a_service_waits_for_the_endpoints_of_the_workload_beside_it() {
    let mut run = Run::start();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "grafana-service", "namespace": "monitoring"},
        "spec": {"selector": {"app": "grafana"}},
    });
    let slice = |ready: bool, version: &str| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": "grafana-service-x", "namespace": "monitoring", "resourceVersion": version,
                "labels": {"kubernetes.io/service-name": "grafana-service"},
            },
            "endpoints": [{"addresses": ["10.42.0.9"], "conditions": {"ready": ready}}],
        })
    };
    let waiting = run.until_current(vec![seen(&service), seen(&deployment("grafana", 5, 1))]);
    run.server.list(SLICES).await.with(&[slice(false, "5")]);
    run.server.watch(SLICES).await.send("MODIFIED", &slice(true, "6"));
    waiting.await.expect("no panic").expect("current");
}

#[tokio::test(start_paused = true)]
async fn what_a_later_list_does_not_hold_is_said_to_be_gone_and_may_come_back() {
    let mut run = Run::start();
    let waiting = run.until_current(vec![seen(&deployment("grafana", 5, 0))]);
    let watch = run.deployments(&[]).await;
    assert_eq!(run.hear().await, "grafana InProgress 0 of 1 replicas ready");
    assert_eq!(run.hear().await, "grafana NotFound not there");
    watch.send("ADDED", &deployment("grafana", 9, 1));
    waiting.await.expect("no panic").expect("current");
}

#[tokio::test]
async fn what_is_deleted_is_gone_when_the_server_says_so() {
    let mut run = Run::start();
    let object = deployment("grafana", 5, 1);
    let waiting = run.until_gone(vec![seen(&object)]);
    let watch = run.deployments(std::slice::from_ref(&object)).await;
    assert!(!waiting.is_finished());
    watch.send("DELETED", &deployment("grafana", 6, 1));
    waiting.await.expect("no panic").expect("gone");
}

#[tokio::test]
async fn what_was_made_anew_under_the_same_name_is_another() {
    let mut run = Run::start();
    let waiting = run.until_gone(vec![seen(&deployment("grafana", 5, 1))]);
    let mut anew = deployment("grafana", 7, 1);
    anew["metadata"]["uid"] = "another".into();
    run.server.list(DEPLOYMENTS).await.with(&[anew]);
    waiting.await.expect("no panic").expect("gone");
}

#[tokio::test]
async fn the_end_of_a_run_warns_of_what_leads_nowhere() {
    let mut run = Run::start();
    let service = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "grafana-service", "namespace": "monitoring"},
        "spec": {"selector": {"app": "grafana"}},
    });
    let (waiter, awaited) = (run.waiter.clone(), vec![seen(&service), seen(&deployment("grafana", 5, 1))]);
    let warning = spawn(async move { waiter.warnings(&awaited).await });
    for _ in 0..2 {
        let asked = run.server.next().await;
        let listed = if asked.path() == SLICES { Vec::new() } else { vec![service.clone()] };
        asked.with(&listed);
    }
    let warnings = warning.await.expect("no panic");
    assert_eq!(warnings, ["service/grafana-service -n monitoring has no ready endpoints"]);
}
