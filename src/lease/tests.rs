//! The lease against a server that goes away while it is held, or while another run's is looked at, and against other runs.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::spawn;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::holder::Run;
use super::{Held, Wish, acquire};
use crate::cluster::Cluster;
use crate::cluster::server::{Asked, Server};
use crate::error::{Error, Exit};
use crate::event::{Events, Kind};
use crate::object;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const REFUSED: &str = "Connection refused";

/// Longer than a lease that nobody renews is respected.
const OUTAGE: Duration = Duration::from_secs(40);

fn wanting() -> (Server, JoinHandle<Result<Held, Error>>) {
    let (cluster, server) = Server::start();
    let (events, _) = Events::channel();
    (server, want(cluster, events, false))
}

fn want(cluster: Cluster, events: Events, wait: bool) -> JoinHandle<Result<Held, Error>> {
    let deadline = Instant::now() + Duration::from_mins(10);
    spawn(async move {
        let wish = Wish { command: "up", wait, deadline };
        acquire(&cluster, "blog", &wish, &events, &CancellationToken::new()).await
    })
}

/// The lease of another run.
fn others(version: u32) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {
            "name": "bootstrap-blog", "namespace": "kube-system", "resourceVersion": version.to_string(),
        },
        "spec": {"holderIdentity": "somebody"},
    })
}

/// The lease of a run that this program has made.
fn of(run: &Run) -> Value {
    let mut lease = others(7);
    lease["metadata"]["uid"] = "a-b-c".into();
    lease["metadata"]["annotations"] = json!(run.annotations());
    lease["spec"]["holderIdentity"] = run.identity().into();
    lease
}

/// Keeps the server away for a while, and returns the first request after that.
async fn away(server: &mut Server) -> Asked {
    let began = Instant::now();
    loop {
        let asked = server.next().await;
        if began.elapsed() > OUTAGE {
            return asked;
        }
        asked.fail(REFUSED);
    }
}

async fn find_anothers(server: &mut Server) {
    find(server, &others(7)).await;
}

/// Answers that this lease is there already.
async fn find(server: &mut Server, lease: &Value) {
    let created = server.next().await;
    created.refuse(StatusCode::CONFLICT, "AlreadyExists", "already exists");
    server.next().await.answer(StatusCode::OK, lease);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_called_the_same_is_another() {
    let (mut server, wanting) = wanting();
    let mut found = of(&Run::new("up"));
    find(&mut server, &found).await;
    server.list(LEASES).await.with(&[found.clone()]);
    let watch = server.watch(LEASES).await;
    found["metadata"]["resourceVersion"] = "8".into();
    watch.send("MODIFIED", &found);
    let refused = wanting.await.expect("no panic").err().expect("a refusal");
    assert_eq!(refused.exit(), Exit::Refused);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_each_other_run_is_waited_for_with_one_word() {
    let (cluster, mut server) = Server::start();
    let (sender, mut events) = Events::channel();
    let wanting = want(cluster, sender, true);
    let mut third = others(9);
    third["spec"]["holderIdentity"] = "a third".into();
    for (found, renewed) in [(others(7), others(8)), (others(8), third.clone()), (third, others(10))] {
        find(&mut server, &found).await;
        server.list(LEASES).await.with(&[found]);
        server.watch(LEASES).await.send("MODIFIED", &renewed);
    }
    server.next().await.answer(StatusCode::CREATED, &others(11));
    assert!(wanting.await.expect("no panic").is_ok());
    let mut said = Vec::new();
    while let Ok(event) = events.try_recv() {
        if let Kind::Waiting { what } = event.kind {
            said.push(what);
        }
    }
    assert_eq!(
        said,
        [
            "the end of the run that holds the lease (somebody)",
            "the end of the run that holds the lease (a third)"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_creation_was_answered_in_vain_is_held() {
    let (mut server, wanting) = wanting();
    let created = server.next().await;
    let mine = created.body();
    created.fail("connection reset");
    find(&mut server, &mine).await;
    assert!(wanting.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_gone_or_anothers_is_lost() {
    let same = of(&Run::new("up"));
    for (found, why) in [
        (None, "the lease of this stack is gone: another run may have worked on it"),
        (Some(others(8)), "another run has taken the lease of this stack: somebody"),
        (Some(same), "another run has taken the lease of this stack: bootstrap up of "),
    ] {
        let (mut server, wanting) = wanting();
        server.next().await.answer(StatusCode::CREATED, &others(7));
        let mut held = wanting.await.expect("no panic").expect("the lease");
        let asked = server.next().await;
        match found {
            Some(found) => asked.answer(StatusCode::OK, &found),
            None => asked.refuse(StatusCode::NOT_FOUND, "NotFound", "not found"),
        }
        let lost = held.lost().await;
        assert_eq!(lost.exit(), Exit::Refused);
        assert!(lost.to_string().starts_with(why), "{lost}");
        assert!(!server.is_asked(), "nothing is made anew");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_run_has_taken_is_left_to_it() {
    let (mut server, wanting) = wanting();
    server.next().await.answer(StatusCode::CREATED, &others(7));
    let held = wanting.await.expect("no panic").expect("the lease");
    let releasing = spawn(held.release());
    let asked = server.next().await;
    assert_eq!(asked.method(), Method::GET);
    asked.answer(StatusCode::OK, &of(&Run::new("up")));
    releasing.await.expect("no panic");
    assert!(!server.is_asked());
}

#[tokio::test(start_paused = true)]
async fn a_run_is_not_held_for_dead_while_the_server_is_away() {
    let (mut server, wanting) = wanting();
    find_anothers(&mut server).await;
    server.list(LEASES).await.with(&[others(7)]);
    server.watch(LEASES).await.close();
    let watch = away(&mut server).await.open();
    watch.send("MODIFIED", &others(8));
    let refused = wanting.await.expect("no panic").err().expect("a refusal");
    assert_eq!(refused.exit(), Exit::Refused);
    assert_eq!(refused.to_string(), "another run works on this stack: somebody");
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_given_back_while_the_server_is_away_is_free() {
    let (mut server, wanting) = wanting();
    find_anothers(&mut server).await;
    server.list(LEASES).await.with(&[others(7)]);
    server.watch(LEASES).await.close();
    let expired = away(&mut server).await;
    expired.refuse(StatusCode::GONE, "Expired", "too old resource version");
    server.list(LEASES).await.with(&[]);
    let mut next = server.next().await;
    while next.is_watch() {
        next = server.next().await;
    }
    assert_eq!(next.path(), LEASES, "it is made anew");
    next.answer(StatusCode::CREATED, &others(9));
    assert!(wanting.await.expect("no panic").is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_as_soon_as_the_server_is_back() {
    let (mut server, wanting) = wanting();
    server.next().await.answer(StatusCode::CREATED, &others(7));
    let held = wanting.await.expect("no panic").expect("the lease");
    let mine = of(&held.holder);
    let asked = away(&mut server).await;
    let back = Instant::now();
    asked.answer(StatusCode::OK, &mine);
    let renewal = server.next().await;
    assert!(back.elapsed() < Duration::from_secs(1), "{:?}", back.elapsed());
    // That is what keeps the server from making a lease anew that is gone.
    assert_eq!(renewal.body()["metadata"]["uid"], mine["metadata"]["uid"]);
    renewal.answer(StatusCode::OK, &mine);
    assert!(!held.renewing.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_other_requests_wait_for_each_other() {
    let (cluster, mut server) = Server::start();
    let wanting = want(cluster.clone(), Events::channel().0, false);
    server.next().await.answer(StatusCode::CREATED, &others(7));
    let held = wanting.await.expect("no panic").expect("the lease");
    let mut busy = JoinSet::new();
    for _ in 0..30 {
        let cluster = cluster.clone();
        busy.spawn(async move { cluster.list(&object::NODE.gvk(), None, None).await.is_ok() });
    }
    let began = Instant::now();
    let mut unanswered = Vec::new();
    let mine = of(&held.holder);
    for method in [Method::GET, Method::PUT] {
        let asked = loop {
            let asked = server.next().await;
            if asked.path().starts_with(LEASES) {
                break asked;
            }
            unanswered.push(asked);
        };
        assert_eq!(asked.method(), method);
        asked.answer(StatusCode::OK, &mine);
    }
    assert!(!unanswered.is_empty() && began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_does_not_hold_up_the_end_of_a_run() {
    let (mut server, wanting) = wanting();
    server.next().await.answer(StatusCode::CREATED, &others(7));
    let held = wanting.await.expect("no panic").expect("the lease");
    let began = Instant::now();
    let away = async {
        loop {
            server.next().await.fail(REFUSED);
        }
    };
    tokio::select! {
        biased;
        () = held.release() => {}
        () = away => unreachable!("it is away for ever"),
    }
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
}
