//! What time it is on the server, as far as its answers tell.

use http::header::DATE;
use jiff::fmt::rfc2822;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;

use super::{Cluster, RequestError, Verb};

/// The server's answers name whole seconds, rounded down.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// The server's time between two moments of our own.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    /// When the server was asked.
    pub asked: Timestamp,
    /// The date of its answer.
    pub server: Timestamp,
    /// When the answer was there.
    pub answered: Timestamp,
}

impl Reading {
    /// By how much the server's clock is ahead of ours at least; negative when it is behind.
    #[must_use]
    pub fn ahead(&self) -> SignedDuration {
        let before = self.server.duration_since(self.asked) + RESOLUTION;
        let after = self.server.duration_since(self.answered);
        if after.is_positive() {
            after
        } else if before.is_negative() {
            before
        } else {
            SignedDuration::ZERO
        }
    }
}

impl Cluster {
    /// Reads the server's clock; `None` when its answers carry no date.
    ///
    /// # Errors
    /// No answer in time.
    pub async fn clock(&self) -> Result<Option<Reading>, RequestError> {
        let read = || async {
            let request =
                http::Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
            let asked = Timestamp::now();
            let answer = self.client.send(request).await?;
            let answered = Timestamp::now();
            let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok());
            let server = date.and_then(|date| rfc2822::DateTimeParser::new().parse_timestamp(date).ok());
            Ok(server.map(|server| Reading { asked, server, answered }))
        };
        self.ask(Verb::Get, &"the server's time", read).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ahead(asked: &str, server: &str, answered: &str) -> i64 {
        let moment = |time: &str| format!("2026-11-25T10:00:{time}Z").parse().expect("a time");
        let reading = Reading { asked: moment(asked), server: moment(server), answered: moment(answered) };
        i64::try_from(reading.ahead().as_millis()).expect("small")
    }

    #[test]
    fn only_what_the_answer_proves_is_a_difference() {
        assert_eq!(ahead("10.2", "10", "10.3"), 0);
        assert_eq!(ahead("10.9", "10", "11.1"), 0);
        assert_eq!(ahead("10.9", "11", "11.1"), 0);
        assert_eq!(ahead("10.2", "20", "12.3"), 7_700);
        assert_eq!(ahead("20.5", "10", "20.6"), -9_500);
    }
}
