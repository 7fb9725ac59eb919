//! Answers that no API server gives by itself: from a proxy, a login page, a server of another kind.

use http::header::LOCATION;
use http::{Response, StatusCode};
use kube::core::Status;
use tower::BoxError;

/// What kube writes for a reason into a refusal that is no Status.
const UNPARSED: &str = "Failed to parse error data";

/// How much of a text is told.
const TOLD: usize = 200;

/// Makes an error of a redirect, which kube would read as an answer; all other answers are left as they are.
pub(super) async fn refuse_redirect<B>(response: Response<B>) -> Result<Response<B>, BoxError> {
    let code = response.status();
    if !code.is_redirection() {
        return Ok(response);
    }
    let place = response.headers().get(LOCATION).and_then(|place| place.to_str().ok()).unwrap_or("nowhere");
    // What comes after the path may let somebody in.
    let place = place.split(['?', '#']).next().unwrap_or_default();
    let message = format!("the server answered {code}, and points to {place}");
    Err(Box::new(kube::Error::Api(Box::new(status(code, &message)))))
}

/// The same refusal, told in a line if it is no Status.
pub(super) fn tell(mut refusal: Box<Status>) -> Box<Status> {
    if refusal.reason == UNPARSED
        && let Ok(code) = StatusCode::from_u16(refusal.code)
    {
        *refusal = status(code, &words(code, &refusal.message));
    }
    refusal
}

/// What a server has answered that sent this text with a refusal.
pub(super) fn words(code: StatusCode, text: &str) -> String {
    let first: String = text.trim().lines().next().unwrap_or_default().chars().take(TOLD).collect();
    if first.is_empty() {
        format!("the server answered {code}")
    } else if first.starts_with('<') {
        format!("the server answered {code}, with a web page")
    } else {
        format!("the server answered {code}: {first}")
    }
}

fn status(code: StatusCode, message: &str) -> Status {
    Status::failure(message, code.canonical_reason().unwrap_or_default()).with_code(code.as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_that_is_no_status_is_told_in_a_line() {
        let told = |text: &str| tell(Box::new(Status::failure(text, UNPARSED).with_code(502))).message;
        assert_eq!(told("<html>\n<head>"), "the server answered 502 Bad Gateway, with a web page");
        assert_eq!(told(" \n"), "the server answered 502 Bad Gateway");
        assert_eq!(told("no backend\nat all"), "the server answered 502 Bad Gateway: no backend");
        let own = Box::new(Status::failure("pods is forbidden", "Forbidden").with_code(403));
        assert_eq!(tell(own).message, "pods is forbidden");
    }
}
