//! How a request is made: a deadline on each try, and further tries for as long as a server takes to restart or asks for
//! patience.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::OptionFuture;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{RequestError, Verb};

#[cfg(test)]
mod tests;

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the first request of a run may take: a user waits for it, and the answer may be a typing error in the context.
const FIRST_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a request may take with all its tries: an API server that restarts may be away for half a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a try may take when the run's own time is over: what is asked then is why, and gives the lease back.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause before the second try; each further one is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How long a refusal is doubted after the server was away: at first it knows no roles, and lets nobody in.
const DOUBT: Duration = Duration::from_secs(10);

/// How many requests are in flight at a time: each needs a connection of its own, and a handshake costs as much as several
/// requests do.
const IN_FLIGHT: usize = 6;

/// What all requests to one cluster have in common. Cheap to clone.
#[derive(Clone)]
pub(super) struct Patience {
    slots: Arc<Semaphore>,
    contact: Arc<watch::Sender<Contact>>,
    /// The end of the run, if it is one.
    end: Option<End>,
}

/// Whether the server answers.
#[derive(Debug, Default)]
pub struct Contact {
    /// When a connection to it was last lost.
    lost: Option<Instant>,
    /// Why it does not answer.
    silent: Option<String>,
}

impl Contact {
    /// Why the server does not answer; `None` while it does.
    #[must_use]
    pub fn silence(&self) -> Option<&str> {
        self.silent.as_deref()
    }
}

/// When a run ends.
#[derive(Clone)]
struct End {
    deadline: Instant,
    cancelled: CancellationToken,
}

impl Default for Patience {
    fn default() -> Self {
        Self { slots: Arc::new(Semaphore::new(IN_FLIGHT)), contact: Arc::default(), end: None }
    }
}

/// The pauses between tries.
pub(super) struct Pauses(Duration);

impl Default for Pauses {
    fn default() -> Self {
        Self(FIRST_PAUSE)
    }
}

impl Pauses {
    /// The next one, which is at least as long as the server asks for.
    pub(super) fn next(&mut self, asked: Duration) -> Duration {
        let pause = self.0.max(asked);
        self.0 = (self.0 * 2).min(LAST_PAUSE);
        pause
    }
}

impl Patience {
    /// The same, for a run that ends at `deadline`, or when it is cancelled.
    pub(super) fn until(&self, deadline: Instant, cancelled: CancellationToken) -> Self {
        Self { end: Some(End { deadline, cancelled }), ..self.clone() }
    }

    /// The same, with slots of its own.
    pub(super) fn apart(&self) -> Self {
        Self { slots: Arc::new(Semaphore::new(IN_FLIGHT)), ..self.clone() }
    }

    /// Makes a request, and again while the server is away, busy or starting, until the request's time or the run is over.
    pub(super) async fn ask<T, F>(
        &self,
        verb: Verb,
        subject: &impl fmt::Display,
        mut request: impl FnMut() -> F,
    ) -> Result<T, RequestError>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let mut pauses = Pauses::default();
        let mut began = None;
        let mut tries = 0;
        loop {
            let slot = self.slots.acquire().await;
            // The wait for a slot is the time of other requests.
            let began = *began.get_or_insert_with(Instant::now);
            // Kube's futures are large, and would be held by all that wait for them.
            let result = self.once(verb, subject, Box::pin(request())).await;
            drop(slot);
            self.note(&result);
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            tries += 1;
            if !error.may_pass() && !self.doubts(&error) {
                return Err(error);
            }
            let next = Instant::now() + pauses.next(error.retry_after());
            let out_of_time = self.end.as_ref().is_some_and(|end| next > end.deadline);
            if out_of_time || next > began + REQUEST_TIMEOUT || !self.pause(next).await {
                return Err(error.after(tries, began.elapsed(), out_of_time));
            }
        }
    }

    /// Waits until then; tells whether the run still goes on.
    async fn pause(&self, until: Instant) -> bool {
        let cancelled = self.end.as_ref().map(|end| end.cancelled.cancelled());
        tokio::select! {
            () = sleep_until(until) => true,
            Some(()) = OptionFuture::from(cancelled) => false,
        }
    }

    /// Makes a request once, within the time of one try.
    pub(super) async fn once<T>(
        &self,
        verb: Verb,
        subject: &impl fmt::Display,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, RequestError> {
        let left = self.end.as_ref().map(|end| end.deadline.saturating_duration_since(Instant::now()));
        let limit = left.map_or(TRY_TIMEOUT, |left| left.clamp(LAST_TIMEOUT, TRY_TIMEOUT));
        within(limit, verb, subject, request).await
    }

    /// Whether the server answers, and word of each change.
    pub(super) fn contact(&self) -> watch::Receiver<Contact> {
        self.contact.subscribe()
    }

    /// Notes whether the server has answered.
    pub(super) fn note<T>(&self, result: &Result<T, RequestError>) {
        match result {
            Err(error) if error.is_silence() => {
                self.note_loss();
                // The newest reason: a connection that was reset says less than one that is refused since.
                self.contact.send_if_modified(|contact| contact.silent.replace(error.cause()).is_none());
            }
            _ => self.note_answer(),
        }
    }

    /// Notes that the server has answered, be it a refusal.
    pub(super) fn note_answer(&self) {
        self.contact.send_if_modified(|contact| contact.silent.take().is_some());
    }

    /// Notes that the server has closed a connection.
    pub(super) fn note_loss(&self) {
        self.contact.send_if_modified(|contact| {
            contact.lost = Some(Instant::now());
            false
        });
    }

    /// Tells whether a refusal may only mean that the server has just come back.
    pub(super) fn doubts(&self, error: &RequestError) -> bool {
        let lost = self.contact.borrow().lost;
        matches!(error.code(), Some(401 | 403)) && lost.is_some_and(|lost| lost.elapsed() < DOUBT)
    }
}

/// Makes the first request of a run, without patience.
pub(super) async fn first<T>(
    verb: Verb,
    subject: &impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    within(FIRST_TIMEOUT, verb, subject, request).await
}

async fn within<T>(
    limit: Duration,
    verb: Verb,
    subject: &impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match timeout(limit, request).await {
        Ok(result) => result.map_err(|error| RequestError::new(verb, subject, error)),
        Err(_) => Err(RequestError::no_answer(verb, subject, limit)),
    }
}
