//! The gate against a server that answers request by request: what is waited for, what is said of it, and for how long.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::spawn;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{gate, supported};
use crate::cluster::server::{Server, Watching};
use crate::error::{Error, Exit};
use crate::event::{Event, Events, Kind};

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/kube-system/pods";
const SERVICES: &str = "/api/v1/namespaces/kube-system/services";
const APIS: &str = "/apis/apiregistration.k8s.io/v1/apiservices";

/// A run that waits at the gate, and the cluster that it looks at.
struct Scene {
    server: Server,
    events: UnboundedReceiver<Event>,
    waiting: JoinHandle<Result<bool, Error>>,
    cancel: CancellationToken,
    began: Instant,
}

impl Scene {
    fn start(timeout: Duration) -> Self {
        let (cluster, server) = Server::start();
        let (sender, events) = Events::channel();
        let cancel = CancellationToken::new();
        let (began, cancelled) = (Instant::now(), cancel.clone());
        let waiting = spawn(async move {
            let is_ours = |service: &crate::object::Object| {
                service.metadata.name.as_deref() == Some("v1beta1.custom.metrics.k8s.io")
            };
            gate(&cluster, is_ours, began + timeout, &sender, &cancelled).await
        });
        Self { server, events, waiting, cancel, began }
    }

    /// Answers the four lists of a look at the cluster.
    async fn look(&mut self, objects: &[Value]) {
        for _ in 0..4 {
            let asked = self.server.next().await;
            let kind = kind_at(asked.path());
            let listed: Vec<_> = objects.iter().filter(|object| object["kind"] == kind).cloned().collect();
            asked.with(&listed);
        }
    }

    /// Answers the lists that come before the watches, and opens these: nodes, pods, Services, `APIServices`.
    async fn watch(&mut self, objects: &[Value]) -> Vec<Watching> {
        let mut open = Vec::new();
        while open.len() < 4 {
            let asked = self.server.next().await;
            let kind = kind_at(asked.path());
            if asked.is_watch() {
                open.push((kind, asked.open()));
            } else {
                let listed: Vec<_> =
                    objects.iter().filter(|object| object["kind"] == kind).cloned().collect();
                asked.with(&listed);
            }
        }
        open.sort_by_key(|(kind, _)| {
            ["Node", "Pod", "Service", "APIService"].iter().position(|it| it == kind)
        });
        open.into_iter().map(|(_, watching)| watching).collect()
    }

    /// What was said, in order.
    fn said(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        while let Ok(event) = self.events.try_recv() {
            match event.kind {
                Kind::Waiting { what } => said.push(format!("waiting for {what}")),
                Kind::Warning { message } => said.push(format!("warning: {message}")),
                _ => {}
            }
        }
        said
    }

    /// How the wait ended, and after how many seconds.
    async fn end(&mut self) -> (Result<bool, Error>, u64) {
        let result = (&mut self.waiting).await.expect("no panic");
        (result, self.began.elapsed().as_secs())
    }
}

fn kind_at(path: &str) -> &'static str {
    match path {
        NODES => "Node",
        PODS => "Pod",
        SERVICES => "Service",
        APIS => "APIService",
        other => panic!("unexpected request for {other}"),
    }
}

fn node(ready: &str) -> Value {
    having("v1", "Node", json!({"name": "one"}), "Ready", ready)
}

fn dns(ready: &str) -> Value {
    let metadata =
        json!({"name": "coredns-x", "namespace": "kube-system", "labels": {"k8s-app": "kube-dns"}});
    having("v1", "Pod", metadata, "Ready", ready)
}

fn api(name: &str, available: &str) -> Value {
    having("apiregistration.k8s.io/v1", "APIService", json!({"name": name}), "Available", available)
}

fn having(api_version: &str, kind: &str, mut metadata: Value, condition: &str, status: &str) -> Value {
    metadata["resourceVersion"] = "5".into();
    json!({
        "apiVersion": api_version, "kind": kind, "metadata": metadata,
        "status": {"conditions": [{"type": condition, "status": status}]},
    })
}

#[test]
fn a_server_that_is_old_or_no_kubernetes_is_refused() {
    assert!(supported("v1.37.2").is_ok());
    assert!(supported("v1.32.0+k3s1").is_ok());
    let error = supported("v1.31.4+k3s1").expect_err("too old");
    assert_eq!(error.to_string(), "the server is Kubernetes v1.31.4+k3s1; 1.32 is the oldest that works");
    let error = supported("latest").expect_err("no version of Kubernetes");
    assert_eq!(error.to_string(), "what answers is no Kubernetes: it says that its version is `latest`");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_up_costs_four_requests_and_no_word() {
    let mut scene = Scene::start(Duration::from_mins(10));
    // An API that the stack brings is its own to mend.
    scene.look(&[node("True"), dns("True"), api("v1beta1.custom.metrics.k8s.io", "False")]).await;
    let (result, took) = scene.end().await;
    assert!(!result.expect("the gate is open"), "it has not waited");
    assert_eq!((took, scene.server.is_asked(), scene.said()), (0, false, Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn what_is_waited_for_is_said_whole_at_each_change() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let before = [node("False"), dns("False"), api("v1beta1.metrics.k8s.io", "False")];
    scene.look(&before).await;
    let watches = scene.watch(&before).await;
    watches[0].send("MODIFIED", &node("False"));
    watches[0].send("MODIFIED", &node("True"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    watches[1].send("MODIFIED", &dns("True"));
    tokio::time::sleep(Duration::from_secs(1)).await;
    watches[3].send("MODIFIED", &api("v1beta1.metrics.k8s.io", "True"));
    let (result, took) = scene.end().await;
    assert!(result.expect("the gate is open"), "it has waited");
    assert_eq!(took, 2);
    assert_eq!(
        scene.said(),
        [
            "waiting for a node to be Ready, cluster DNS to have a ready pod, apiservice v1beta1.metrics.k8s.io to be available",
            "waiting for cluster DNS to have a ready pod, apiservice v1beta1.metrics.k8s.io to be available",
            "waiting for apiservice v1beta1.metrics.k8s.io to be available",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn three_minutes_without_a_node_or_dns_are_the_end_and_name_both() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let objects = [dns("False"), api("v1beta1.metrics.k8s.io", "False")];
    scene.look(&objects).await;
    let _open = scene.watch(&objects).await;
    let (result, took) = scene.end().await;
    let error = result.expect_err("no node");
    assert_eq!(error.to_string(), "waited 180 s for a node to be Ready, cluster DNS to have a ready pod");
    assert_eq!(
        (error.exit(), error.hint_text(), took),
        (Exit::Preflight, Some("kubectl describe nodes"), 180)
    );
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_of_the_run_is_the_gates_too() {
    let mut scene = Scene::start(Duration::from_secs(7));
    scene.look(&[]).await;
    let _open = scene.watch(&[]).await;
    let (result, took) = scene.end().await;
    assert_eq!(result.expect_err("no node").to_string(), "waited 7 s for a node to be Ready");
    assert_eq!(took, 7);
}

#[tokio::test(start_paused = true)]
async fn an_api_of_others_is_a_warning_after_a_minute() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let objects = [node("True"), dns("True"), api("v1beta1.metrics.k8s.io", "False")];
    scene.look(&objects).await;
    let _open = scene.watch(&objects).await;
    let (result, took) = scene.end().await;
    result.expect("it goes on");
    assert_eq!(took, 60);
    let waited = "apiservice v1beta1.metrics.k8s.io to be available";
    assert_eq!(
        scene.said(),
        [
            format!("waiting for {waited}"),
            format!("warning: waited 60 s for {waited}, and went on without it")
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_minute_of_an_api_begins_when_its_pods_could() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let objects = [node("True"), dns("False"), api("v1beta1.metrics.k8s.io", "False")];
    scene.look(&objects).await;
    let watches = scene.watch(&objects).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    watches[1].send("MODIFIED", &dns("True"));
    let (result, took) = scene.end().await;
    result.expect("it goes on");
    assert_eq!(took, 80);
    let warning =
        "warning: waited 60 s for apiservice v1beta1.metrics.k8s.io to be available, and went on without it";
    assert_eq!(scene.said().last().map(String::as_str), Some(warning));
}

#[tokio::test(start_paused = true)]
async fn an_api_of_others_leaves_a_short_run_half_of_its_time() {
    let mut scene = Scene::start(Duration::from_secs(30));
    let objects = [node("True"), dns("True"), api("v1beta1.metrics.k8s.io", "False")];
    scene.look(&objects).await;
    let _open = scene.watch(&objects).await;
    let (result, took) = scene.end().await;
    result.expect("it goes on");
    assert_eq!(took, 15);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_listed_is_taken_on_trust_and_asked_for_once_more_at_most() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let mut asked_for_nodes = 0;
    let answering = async {
        let mut open = Vec::new();
        loop {
            let asked = scene.server.next().await;
            match kind_at(asked.path()) {
                "Node" => {
                    asked_for_nodes += 1;
                    asked.refuse(StatusCode::FORBIDDEN, "Forbidden", "nodes is forbidden");
                }
                _ if asked.is_watch() => open.push(asked.open()),
                "Pod" => asked.with(&[dns("False")]),
                _ => asked.with(&[]),
            }
        }
    };
    let error = tokio::select! {
        biased;
        result = &mut scene.waiting => result.expect("no panic").expect_err("no DNS"),
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(error.to_string(), "waited 180 s for cluster DNS to have a ready pod");
    assert_eq!(asked_for_nodes, 2);
}

#[tokio::test(start_paused = true)]
async fn dns_that_must_not_be_looked_at_is_taken_on_trust() {
    let mut scene = Scene::start(Duration::from_mins(10));
    let mut service = dns("True");
    service["kind"] = "Service".into();
    for _ in 0..4 {
        let asked = scene.server.next().await;
        match kind_at(asked.path()) {
            "Node" => asked.with(&[node("True")]),
            "Service" => asked.with(std::slice::from_ref(&service)),
            "Pod" => asked.refuse(StatusCode::FORBIDDEN, "Forbidden", "pods is forbidden"),
            _ => asked.with(&[]),
        }
    }
    let (result, took) = scene.end().await;
    result.expect("the gate is open");
    assert_eq!(took, 0);
}

#[tokio::test(start_paused = true)]
async fn an_interruption_ends_the_wait() {
    let mut scene = Scene::start(Duration::from_mins(10));
    scene.look(&[]).await;
    let _open = scene.watch(&[]).await;
    scene.cancel.cancel();
    let (result, took) = scene.end().await;
    assert_eq!((result.expect_err("interrupted").exit(), took), (Exit::Interrupted, 0));
}
