//! How often and for how long a server is asked that does not answer, is busy, or has just come back.

use std::cell::Cell;

use http::StatusCode;
use kube::core::Status;
use kube::core::response::StatusDetails;

use super::*;
use crate::error::Exit;

fn away() -> kube::Error {
    kube::Error::Service("Connection refused (os error 111)".into())
}

fn refusal(code: StatusCode, retry_after: u32) -> kube::Error {
    let details =
        serde_json::from_value::<StatusDetails>(serde_json::json!({"retryAfterSeconds": retry_after}));
    let status = Status::failure("not now", "Reason").with_code(code.as_u16());
    kube::Error::Api(Box::new(status.with_details(details.expect("details"))))
}

/// Asks a server that answers with errors of this kind until so much time is over; how it ended, how often it was asked,
/// and how long that took.
async fn ask(
    patience: &Patience,
    mended_after: Duration,
    error: impl Fn() -> kube::Error,
) -> (Result<(), RequestError>, u32, Duration) {
    let (began, asked) = (Instant::now(), Cell::new(0));
    let answer = patience.ask(Verb::Apply, &"configmap/one -n x", || {
        asked.set(asked.get() + 1);
        let mended = began.elapsed() >= mended_after;
        let error = error();
        async move { if mended { Ok(()) } else { Err(error) } }
    });
    (answer.await, asked.get(), began.elapsed())
}

const NEVER: Duration = Duration::from_hours(1);

#[tokio::test(start_paused = true)]
async fn a_server_may_be_away_for_half_a_minute() {
    let (answer, _, took) = ask(&Patience::default(), Duration::from_secs(30), away).await;
    answer.expect("an answer");
    assert!(took < Duration::from_secs(31), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_asked_in_vain_says_what_how_often_and_for_how_long() {
    let (answer, asked, took) = ask(&Patience::default(), NEVER, away).await;
    let error = answer.expect_err("no answer");
    assert_eq!(error.to_string(), "failed to apply configmap/one -n x");
    assert_eq!(
        error.line(),
        "failed to apply configmap/one -n x: Connection refused (os error 111); asked 48 times in 44 s"
    );
    assert!(asked == 48 && took <= REQUEST_TIMEOUT, "{asked} times in {took:?}");
    assert_eq!(error.into_error().exit(), Exit::Unexpected);
}

#[tokio::test(start_paused = true)]
async fn what_the_run_has_no_time_for_is_not_asked_again() {
    let cancel = CancellationToken::new();
    let patience = Patience::default().until(Instant::now() + Duration::from_secs(10), cancel);
    let (answer, _, took) = ask(&patience, NEVER, away).await;
    assert!(took <= Duration::from_secs(10), "{took:?}");
    assert_eq!(answer.expect_err("no answer").into_error().exit(), Exit::Timeout);
    // What is asked after the end is asked once, with a deadline of its own.
    tokio::time::sleep(Duration::from_secs(20)).await;
    let (_, asked, _) = ask(&patience, NEVER, away).await;
    assert_eq!(asked, 1);
    let began = Instant::now();
    let silent = patience.once(Verb::Get, &"x", std::future::pending::<kube::Result<()>>()).await;
    assert_eq!(silent.expect_err("no answer").line(), "failed to get x: no answer within 5 s");
    assert_eq!(began.elapsed(), LAST_TIMEOUT);
}

#[tokio::test(start_paused = true)]
async fn what_an_interrupted_run_asks_in_vain_is_not_asked_again() {
    let cancel = CancellationToken::new();
    let patience = Patience::default().until(Instant::now() + NEVER, cancel.clone());
    let interrupt = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        cancel.cancel();
    };
    let ((answer, _, took), ()) = tokio::join!(ask(&patience, NEVER, away), interrupt);
    assert!(answer.is_err());
    assert_eq!(took, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_is_asked_again() {
    let (patience, asked) = (Patience::default(), Cell::new(0));
    let answer = patience.ask(Verb::Get, &"x", || {
        asked.set(asked.get() + 1);
        let first = asked.get() == 1;
        async move { if first { std::future::pending().await } else { Ok(()) } }
    });
    answer.await.expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_busy_server_is_left_alone_for_as_long_as_it_asks_or_given_up_at_once() {
    let busy = |seconds| move || refusal(StatusCode::TOO_MANY_REQUESTS, seconds);
    let (answer, asked, took) = ask(&Patience::default(), Duration::from_secs(8), busy(4)).await;
    answer.expect("an answer");
    assert_eq!((asked, took), (3, Duration::from_secs(8)));
    let (answer, asked, took) = ask(&Patience::default(), NEVER, busy(600)).await;
    assert_eq!(answer.expect_err("a refusal").code(), Some(429));
    assert_eq!((asked, took), (1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_final_unless_the_server_has_just_come_back() {
    let forbidden = || refusal(StatusCode::FORBIDDEN, 0);
    let patience = Patience::default();
    let (answer, asked, _) = ask(&patience, NEVER, forbidden).await;
    assert!(answer.is_err() && asked == 1);
    patience.note_loss();
    let (answer, _, _) = ask(&patience, Duration::from_secs(3), forbidden).await;
    answer.expect("an answer");
    let (answer, _, took) = ask(&patience, NEVER, forbidden).await;
    assert!(answer.is_err() && took < DOUBT, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_away_may_come_back_and_one_that_refuses_will_not() {
    let internal = |message: &'static str| {
        move || {
            let status = Status::failure(message, "InternalError").with_code(500);
            kube::Error::Api(Box::new(status))
        }
    };
    let away =
        internal("Internal error occurred: failed calling webhook \"x.test.internal\": connection refused");
    let (answer, _, _) = ask(&Patience::default(), Duration::from_secs(20), away).await;
    answer.expect("an answer");
    let other = internal("Internal error occurred: no");
    let (answer, asked, _) = ask(&Patience::default(), NEVER, other).await;
    assert!(answer.is_err() && asked == 1);
}
