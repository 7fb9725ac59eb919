//! The lease against a server that goes away while it is held, or while another run's is looked at.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::spawn;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Held, Wish, acquire};
use crate::cluster::server::{Asked, Server};
use crate::error::{Error, Exit};
use crate::event::Events;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const REFUSED: &str = "Connection refused";

/// Longer than a lease that nobody renews is respected.
const OUTAGE: Duration = Duration::from_secs(40);

fn wanting() -> (Server, JoinHandle<Result<Held, Error>>) {
    let (cluster, server) = Server::start();
    let (events, _) = Events::channel();
    let deadline = Instant::now() + Duration::from_mins(10);
    let wanting = spawn(async move {
        let wish = Wish { command: "up", wait: false, deadline };
        acquire(&cluster, "blog", &wish, &events, &CancellationToken::new()).await
    });
    (server, wanting)
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
    let created = server.next().await;
    created.refuse(StatusCode::CONFLICT, "AlreadyExists", "already exists");
    server.next().await.answer(StatusCode::OK, &others(7));
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
    let mut mine = others(8);
    mine["spec"]["holderIdentity"] = held.holder.as_str().into();
    let asked = away(&mut server).await;
    let back = Instant::now();
    asked.answer(StatusCode::OK, &mine);
    server.next().await.answer(StatusCode::OK, &mine);
    assert!(back.elapsed() < Duration::from_secs(1), "{:?}", back.elapsed());
    assert!(!held.lost.is_cancelled());
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
