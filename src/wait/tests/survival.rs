//! What waiting survives: expired versions, closed and dead connections, a server that is busy, silent or away.

use std::time::Duration;

use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::WaitError;
use super::{DEPLOYMENTS, LONG, Run, deployment, seen};
use crate::cluster::server::Watching;

/// A wait for one Deployment that is not ready yet.
type Waiting = JoinHandle<Result<(), WaitError>>;

fn waiting() -> (Run, Waiting) {
    let run = Run::start();
    let waiting = run.until_current(vec![seen(&deployment("grafana", 5, 0))]);
    (run, waiting)
}

/// The same, once its watch is open.
async fn watching() -> (Run, Waiting, Watching) {
    let (mut run, waiting) = waiting();
    let watch = run.deployments(&[deployment("grafana", 5, 0)]).await;
    (run, waiting, watch)
}

async fn becomes_current(waiting: Waiting) {
    waiting.await.expect("no panic").expect("current");
}

fn expired() -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": 410, "reason": "Expired", "message": "too old resource version: 1 (9)",
    })
}

#[tokio::test(start_paused = true)]
async fn a_version_that_expires_in_an_open_watch_is_listed_anew() {
    let (mut run, waiting, watch) = watching().await;
    watch.send("ERROR", &expired());
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 9, 1)]);
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_is_refused_as_expired_is_listed_anew() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    let again = run.server.next().await;
    assert!(again.is_watch());
    again.answer(StatusCode::GONE, &expired());
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 9, 1)]);
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_list_whose_next_page_has_expired_begins_anew() {
    let (mut run, waiting) = waiting();
    run.server.list(DEPLOYMENTS).await.answer(
        StatusCode::OK,
        &json!({
            "kind": "List", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "continue": "page-2"},
            "items": [deployment("first", 6, 1)],
        }),
    );
    let page = run.server.list(DEPLOYMENTS).await;
    assert!(page.uri().contains("continue=page-2"), "{}", page.uri());
    page.answer(StatusCode::GONE, &expired());
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 9, 1)]);
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_closed_watch_goes_on_from_the_last_change() {
    let (mut run, waiting, watch) = watching().await;
    watch.send("MODIFIED", &deployment("grafana", 17, 0));
    watch.close();
    let again = run.server.next().await;
    assert!(again.is_watch() && again.uri().contains("resourceVersion=17"), "{}", again.uri());
    again.open().send("MODIFIED", &deployment("grafana", 18, 1));
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn half_a_line_is_no_change_and_is_asked_for_again() {
    let (mut run, waiting, watch) = watching().await;
    watch.send_text(r#"{"type": "MODIFIED", "object": {"apiVersion": "apps/v1", "kind": "Deploy"#);
    watch.close();
    let again = run.server.next().await;
    assert!(again.is_watch() && again.uri().ends_with("resourceVersion=1"), "{}", again.uri());
    again.open().send("MODIFIED", &deployment("grafana", 18, 1));
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_read_is_found_by_a_list() {
    let (mut run, waiting, watch) = watching().await;
    watch.send_text("{\"type\": \"MODIFIED\", \"object\": 17}\n");
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 9, 1)]);
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_closed_at_once_is_not_begun_in_a_hurry() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    let began = Instant::now();
    for _ in 0..20 {
        let again = run.server.next().await;
        assert!(again.is_watch());
        again.open().close();
    }
    assert!(began.elapsed() > Duration::from_secs(15), "20 watches in {:?}", began.elapsed());
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_list_that_is_not_answered_is_asked_for_again() {
    let (mut run, waiting) = waiting();
    let began = Instant::now();
    let unanswered = run.server.list(DEPLOYMENTS).await;
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 9, 1)]);
    becomes_current(waiting).await;
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
    drop(unanswered);
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_does_not_begin_is_asked_for_again() {
    let (mut run, waiting) = waiting();
    run.server.list(DEPLOYMENTS).await.with(&[deployment("grafana", 5, 0)]);
    let began = Instant::now();
    let unanswered = run.server.next().await;
    run.server.watch(DEPLOYMENTS).await.send("MODIFIED", &deployment("grafana", 9, 1));
    becomes_current(waiting).await;
    assert!(began.elapsed() < Duration::from_secs(16), "{:?}", began.elapsed());
    drop(unanswered);
}

#[tokio::test(start_paused = true)]
async fn a_connection_without_a_sign_of_life_is_given_up_and_bookmarks_are_one() {
    let mut run = Run::start();
    let waiting = run.until_current_for(LONG * 10, vec![seen(&deployment("grafana", 5, 0))]);
    let watch = run.deployments(&[deployment("grafana", 5, 0)]).await;
    let began = Instant::now();
    for minute in 1..=3_u32 {
        tokio::time::sleep_until(began + LONG * minute).await;
        let version = (100 + minute).to_string();
        watch.send(
            "BOOKMARK",
            &json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"resourceVersion": version}}),
        );
    }
    assert!(!run.server.is_asked());
    let again = run.server.next().await;
    assert!(again.is_watch() && again.uri().contains("resourceVersion=103"), "{}", again.uri());
    let given_up = began.elapsed();
    assert!(given_up > 4 * LONG && given_up < 5 * LONG, "{given_up:?}");
    again.open().send("MODIFIED", &deployment("grafana", 109, 1));
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_left_alone_for_as_long_as_its_header_asks() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    let again = run.server.next().await;
    assert!(again.is_watch());
    let began = Instant::now();
    again.shed(StatusCode::TOO_MANY_REQUESTS, 7);
    let later = run.server.next().await;
    // What is known is still known: a busy server is not asked for a list on top.
    assert!(later.is_watch(), "{}", later.uri());
    assert!((7..9).contains(&began.elapsed().as_secs()), "{:?}", began.elapsed());
    later.open().send("MODIFIED", &deployment("grafana", 9, 1));
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_back_within_two_seconds_of_the_server_however_long_it_was_away() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    let began = Instant::now();
    while began.elapsed() < LONG / 2 {
        run.server.next().await.fail("Connection refused");
    }
    let back = Instant::now();
    let again = run.server.next().await;
    assert!(back.elapsed() < Duration::from_secs(2), "{:?}", back.elapsed());
    again.open().send("MODIFIED", &deployment("grafana", 9, 1));
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_has_just_come_back_may_not_know_our_rights_yet() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    run.server.next().await.fail("Connection refused");
    let forbidden = "RBAC: clusterrole.rbac.authorization.k8s.io \"cluster-admin\" not found";
    run.server.next().await.refuse(StatusCode::FORBIDDEN, "Forbidden", forbidden);
    run.deployments(&[deployment("grafana", 9, 1)]).await;
    becomes_current(waiting).await;
}

#[tokio::test(start_paused = true)]
async fn rights_that_are_taken_away_end_the_wait_all_the_same() {
    let (mut run, waiting, watch) = watching().await;
    watch.close();
    let answering = async {
        loop {
            let asked = run.server.next().await;
            asked.refuse(StatusCode::FORBIDDEN, "Forbidden", "User \"eve\" cannot list resource");
        }
    };
    let began = Instant::now();
    let error = tokio::select! {
        biased;
        ended = waiting => ended.expect("no panic").expect_err("a refusal"),
        () = answering => unreachable!("it answers for ever"),
    };
    assert_eq!(error.to_string(), "failed to watch deployments.apps -n monitoring");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
