//! How a request is made: a deadline on each try, a few tries where the server asks for patience, and one error that names
//! the object.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use kube::core::Status;
use kube::runtime::watcher;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};

use crate::error::{Error, Exit};
use crate::object::Object;

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(15);

/// How long the first request of a run may take: a user waits for it, and the answer may be a typing error in the context.
const FIRST_TIMEOUT: Duration = Duration::from_secs(4);

/// How long a request may take with all its tries.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// The pause before the second try; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Lists objects.
    List,
    /// Lists objects and then watches them.
    Watch,
    /// Creates by POST.
    Create,
    /// Applies server-side.
    Apply,
    /// Patches or replaces.
    Update,
    /// Deletes.
    Delete,
    /// Asks what the server serves.
    Discover,
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Apply => "apply",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Discover => "discover",
        })
    }
}

/// A request that failed, by the object that it was for.
#[derive(Debug, thiserror::Error)]
#[error("failed to {verb} {subject}")]
pub struct RequestError {
    /// What was asked for.
    pub verb: Verb,
    subject: String,
    #[source]
    cause: Cause,
}

#[derive(Debug, thiserror::Error)]
enum Cause {
    // Kube's own text prints the message twice, the second time with the whole answer.
    #[error("{}", said(.0))]
    Refused(Box<Status>),
    #[error("no answer within {} s", .0.as_secs())]
    NoAnswer(Duration),
    #[error("the manifest has no apiVersion, kind or metadata.name")]
    Unnamed,
    #[error("its kind cannot be watched")]
    Unwatchable,
    #[error("{}", innermost(.0))]
    Client(kube::Error),
}

impl RequestError {
    pub(super) fn unnamed(object: &Object) -> Self {
        Self {
            verb: Verb::Apply,
            subject: object.metadata.name.clone().unwrap_or_else(|| "an object".to_owned()),
            cause: Cause::Unnamed,
        }
    }

    fn new(verb: Verb, subject: &impl fmt::Display, error: kube::Error) -> Self {
        let cause = match error {
            kube::Error::Api(status) => Cause::Refused(status),
            other => Cause::Client(other),
        };
        Self { verb, subject: subject.to_string(), cause }
    }

    /// That of a watch, which kube wraps in errors of its own.
    pub(super) fn of_watch(subject: &str, error: watcher::Error) -> Self {
        let cause = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => return Self::new(Verb::Watch, &subject, error),
            watcher::Error::WatchError(status) => Cause::Refused(status),
            watcher::Error::NoResourceVersion => Cause::Unwatchable,
        };
        Self { verb: Verb::Watch, subject: subject.to_owned(), cause }
    }

    /// The server's refusal, if it answered at all.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match &self.cause {
            Cause::Refused(status) => Some(status),
            _ => None,
        }
    }

    /// The HTTP status code, if the server answered.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        self.status().map(|status| status.code)
    }

    /// Tells whether the object is not there, or its kind is not served.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Tells whether an object of that name is there already.
    #[must_use]
    pub fn already_exists(&self) -> bool {
        self.status().is_some_and(|status| status.reason == "AlreadyExists")
    }

    /// Tells whether the object has changed since it was read, as told apart from a field conflict.
    #[must_use]
    pub fn is_stale(&self) -> bool {
        self.code() == Some(409) && !self.already_exists() && self.field_conflicts().is_empty()
    }

    /// The paths of the fields that another manager owns, such as `.spec.replicas`; empty when it is no such conflict.
    #[must_use]
    pub fn field_conflicts(&self) -> Vec<&str> {
        self.status()
            .and_then(|status| status.details.as_ref())
            .map(|details| {
                let causes = details.causes.iter();
                causes
                    .filter(|cause| cause.reason == "FieldManagerConflict")
                    .map(|cause| cause.field.as_str())
                    .collect()
            })
            .unwrap_or_default()
    }

    /// Tells whether the server was not reached, did not answer in time, or was too busy.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match &self.cause {
            Cause::NoAnswer(_) | Cause::Client(_) => true,
            Cause::Refused(status) => is_busy(status.code),
            Cause::Unnamed | Cause::Unwatchable => false,
        }
    }

    /// Tells whether asking again can only bring the same answer: no such kind, or no right to it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match &self.cause {
            // 410 says that the watch has to begin anew; the others ask for patience.
            Cause::Refused(status) => {
                (400..500).contains(&status.code) && !matches!(status.code, 408..=410 | 429)
            }
            Cause::Unnamed | Cause::Unwatchable => true,
            Cause::NoAnswer(_) | Cause::Client(_) => false,
        }
    }

    /// Makes it the error of a run that has begun: a refusal is final, silence is unexpected.
    #[must_use]
    pub fn into_error(self) -> Error {
        let exit = if self.is_unreachable() { Exit::Unexpected } else { Exit::Doomed };
        Error::new(exit, self.to_string()).because(self.cause)
    }

    /// Makes it the error of a check before the first change.
    #[must_use]
    pub fn into_preflight(self, context: &str) -> Error {
        let hint = match self.code() {
            Some(401) => format!(
                "the cluster refused the credentials of context `{context}` (expired certificate or token?): kubectl --context {context} auth whoami"
            ),
            Some(403) => format!("see what you may do: kubectl --context {context} auth can-i --list"),
            Some(_) => format!("kubectl --context {context} get --raw /readyz?verbose"),
            None => format!(
                "is the cluster running, and is this the right one? kubectl --context {context} cluster-info"
            ),
        };
        Error::new(Exit::Preflight, self.to_string()).because(self.cause).hint(hint)
    }
}

/// Makes the first request of a run.
pub(super) async fn first<T>(
    verb: Verb,
    subject: &impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    within(FIRST_TIMEOUT, verb, subject, request).await
}

/// Makes a request once, within the time of one try.
pub(super) async fn once<T>(
    verb: Verb,
    subject: &impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    within(TRY_TIMEOUT, verb, subject, request).await
}

async fn within<T>(
    limit: Duration,
    verb: Verb,
    subject: &impl fmt::Display,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, RequestError> {
    match timeout(limit, request).await {
        Ok(result) => result.map_err(|error| RequestError::new(verb, subject, error)),
        Err(_) => Err(RequestError { verb, subject: subject.to_string(), cause: Cause::NoAnswer(limit) }),
    }
}

/// Makes a request, and again while the server is busy or starting, until the request's time is over.
pub(super) async fn with_retries<T, F>(
    slots: &Semaphore,
    verb: Verb,
    subject: &impl fmt::Display,
    mut request: impl FnMut() -> F,
) -> Result<T, RequestError>
where
    F: Future<Output = kube::Result<T>>,
{
    let end = Instant::now() + REQUEST_TIMEOUT;
    let mut pause = FIRST_PAUSE;
    loop {
        let slot = slots.acquire().await;
        // Kube's futures are large, and would be held by all that wait for them.
        let error = match once(verb, subject, Box::pin(request())).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        drop(slot);
        let asked = error
            .status()
            .and_then(|status| status.details.as_ref())
            .map_or(Duration::ZERO, |details| Duration::from_secs(details.retry_after_seconds.into()));
        let pause_now = pause.max(asked);
        if !worth_retrying(&error) || Instant::now() + pause_now > end {
            return Err(error);
        }
        sleep(pause_now).await;
        pause *= 2;
    }
}

/// A create whose answer was lost may have happened: asking again would then fail with "already exists", which callers
/// understand. So every verb may be tried again.
fn worth_retrying(error: &RequestError) -> bool {
    match &error.cause {
        Cause::Refused(status) => is_busy(status.code),
        Cause::Client(kube::Error::Service(_) | kube::Error::HyperError(_)) => true,
        Cause::NoAnswer(_) | Cause::Client(_) | Cause::Unnamed | Cause::Unwatchable => false,
    }
}

fn is_busy(code: u16) -> bool {
    matches!(code, 429 | 502 | 503 | 504)
}

fn said(status: &Status) -> String {
    if status.message.is_empty() {
        format!("the server answered {} {}", status.code, status.reason)
    } else {
        // The server repeats the whole value there, sometimes kilobytes of it.
        status.message.split(": Invalid value:").next().unwrap_or_default().to_owned()
    }
}

/// The innermost cause says it in the system's words ("Connection refused"); the layers above only say that it failed.
fn innermost(error: &kube::Error) -> String {
    let mut inner: &dyn std::error::Error = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}
