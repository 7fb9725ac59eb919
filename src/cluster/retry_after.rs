//! How long a busy server asks to be left alone. It says so in a header, often without a Status (a server that sheds load
//! answers 429 in plain text), and kube keeps no header of a refusal: this puts the number into the Status.

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Limited};
use kube::core::Status;
use kube::core::response::StatusDetails;
use tower::BoxError;

use super::stranger;

/// A refusal is a few lines.
const LARGEST: usize = 64 << 10;

/// Makes a refusal that has the header an error that holds its number; all other answers are left as they are.
pub(super) async fn keep<B>(response: Response<B>) -> Result<Response<B>, BoxError>
where
    B: Body<Error: Into<BoxError>>,
{
    let code = response.status();
    let asked = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let Some(seconds) = asked.filter(|_| is_busy(code)) else { return Ok(response) };
    let body = Limited::new(response.into_body(), LARGEST).collect().await;
    let bytes = body.map(Collected::to_bytes).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let reason = code.canonical_reason().unwrap_or_default();
    let mut status = serde_json::from_str::<Status>(&text)
        .unwrap_or_else(|_| Status::failure(&stranger::words(code, &text), reason).with_code(code.as_u16()));
    let details = status.details.get_or_insert_with(|| StatusDetails {
        name: String::new(),
        group: String::new(),
        kind: String::new(),
        uid: String::new(),
        causes: Vec::new(),
        retry_after_seconds: 0,
    });
    details.retry_after_seconds = details.retry_after_seconds.max(seconds);
    Err(Box::new(kube::Error::Api(Box::new(status))))
}

fn is_busy(code: StatusCode) -> bool {
    matches!(code, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
}
