//! The one error of all requests: what was asked for, by the object that it was for, and what came of it.

use std::fmt;
use std::time::Duration;

use kube::client::UpgradeConnectionError;
use kube::core::Status;
use kube::core::response::StatusCause;
use kube::error::DiscoveryError;

use super::stranger;
use crate::error::{Error, Exit};
use crate::object::Object;

/// What the server says, with code 500, when it cannot ask somebody else who may not be there yet:
/// `Internal error occurred: failed calling webhook "x.test.internal": failed to call webhook: Post "https://…": …`
const WEBHOOK_IS_AWAY: &str = "failed calling webhook";

/// What the server says of a field that cannot be changed, with code 422 and for each field on its own; it has no reason of its
/// own for it. Recorded from Kubernetes 1.32 and 1.37.
const IMMUTABLE: [&str; 5] = [
    // spec.selector, spec.template of a Job, roleRef, type: Invalid value: …: field is immutable
    // spec: Forbidden: spec is immutable after creation except resources.requests … for bound claims
    // data: Forbidden: field is immutable when `immutable` is set
    "is immutable",
    // spec.clusterIPs[0]: Invalid value: …: may not change once set
    "may not change once set",
    // spec: Forbidden: updates to statefulset spec for fields other than 'replicas', … are forbidden
    // provisioner: Forbidden: updates to provisioner are forbidden.
    "updates to ",
    // roleRef: Invalid value: …: cannot change roleRef
    "cannot change roleRef",
    // spec: Forbidden: pod updates may not change fields other than …
    "pod updates may not change fields other than",
];

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
    /// Opens a connection to a pod.
    Forward,
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
            Self::Forward => "reach",
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
    #[error("{}", told(.0))]
    Client(kube::Error),
    #[error("{last}; asked {} in {} s", times(*.tries), .took.as_secs())]
    Persistent { last: Box<Cause>, tries: u32, took: Duration, out_of_time: bool },
}

impl RequestError {
    pub(super) fn unnamed(object: &Object) -> Self {
        Self {
            verb: Verb::Apply,
            subject: object.metadata.name.clone().unwrap_or_else(|| "an object".to_owned()),
            cause: Cause::Unnamed,
        }
    }

    pub(super) fn no_answer(verb: Verb, subject: &impl fmt::Display, limit: Duration) -> Self {
        Self { verb, subject: subject.to_string(), cause: Cause::NoAnswer(limit) }
    }

    pub(super) fn unwatchable(subject: &impl fmt::Display) -> Self {
        Self { verb: Verb::Watch, subject: subject.to_string(), cause: Cause::Unwatchable }
    }

    pub(super) fn refused(verb: Verb, subject: &impl fmt::Display, status: Box<Status>) -> Self {
        Self { verb, subject: subject.to_string(), cause: Cause::Refused(status) }
    }

    /// Says how often and for how long it was asked in vain, and whether it was the run's time that was over then.
    pub(super) fn after(mut self, tries: u32, took: Duration, out_of_time: bool) -> Self {
        if tries > 1 || out_of_time {
            self.cause = Cause::Persistent { last: Box::new(self.cause), tries, took, out_of_time };
        }
        self
    }

    pub(super) fn new(verb: Verb, subject: &impl fmt::Display, error: kube::Error) -> Self {
        let cause = match error {
            kube::Error::Api(status) => Cause::Refused(stranger::tell(status)),
            kube::Error::UpgradeConnection(UpgradeConnectionError::ProtocolSwitch(code)) => {
                let reason = code.canonical_reason().unwrap_or_default();
                let message = format!("the server answered {code}");
                Cause::Refused(Box::new(Status::failure(&message, reason).with_code(code.as_u16())))
            }
            // Kube has found out by itself what the server tells of most kinds with 404.
            kube::Error::Discovery(DiscoveryError::MissingKind(_) | DiscoveryError::MissingApiGroup(_)) => {
                let status = Status::failure("its kind is not served", "NotFound");
                Cause::Refused(Box::new(status.with_code(404)))
            }
            other => Cause::Client(other),
        };
        Self { verb, subject: subject.to_string(), cause }
    }

    /// What the last try came to.
    fn root(&self) -> &Cause {
        match &self.cause {
            Cause::Persistent { last, .. } => last,
            cause => cause,
        }
    }

    /// The server's refusal, if it answered at all.
    #[must_use]
    pub fn status(&self) -> Option<&Status> {
        match self.root() {
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

    /// The fields that another manager owns, each with its path, such as `.spec.replicas`, and the server's words; empty when
    /// it is no such conflict.
    #[must_use]
    pub fn field_conflicts(&self) -> Vec<&StatusCause> {
        let details = self.status().and_then(|status| status.details.as_ref());
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        causes.iter().filter(|cause| cause.reason == "FieldManagerConflict").collect()
    }

    /// The paths of the fields that the server would not change, such as `spec.selector`; empty when anything else is wrong,
    /// too.
    #[must_use]
    pub fn immutable_fields(&self) -> Vec<&str> {
        let details =
            self.status().filter(|status| status.code == 422).and_then(|status| status.details.as_ref());
        let causes = details.map(|details| details.causes.as_slice()).unwrap_or_default();
        let is_immutable = |message: &str| IMMUTABLE.iter().any(|words| message.contains(words));
        if causes.iter().all(|cause| is_immutable(&cause.message)) {
            causes.iter().map(|cause| cause.field.as_str()).collect()
        } else {
            Vec::new()
        }
    }

    /// Tells whether the server was not reached, did not answer in time, or was too busy.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self.root() {
            Cause::Refused(status) => is_busy(status),
            cause => cause.is_silence(),
        }
    }

    /// Tells whether the server was not reached, or did not answer in time.
    pub(super) fn is_silence(&self) -> bool {
        self.root().is_silence()
    }

    /// How long the server asks to be left alone.
    pub(super) fn retry_after(&self) -> Duration {
        let details = self.status().and_then(|status| status.details.as_ref());
        details.map_or(Duration::ZERO, |details| Duration::from_secs(details.retry_after_seconds.into()))
    }

    /// Tells whether the same request may be answered otherwise in a moment. A create whose answer was lost may have
    /// happened: asking again then fails with "already exists", which callers understand. So every verb may be tried again.
    pub(super) fn may_pass(&self) -> bool {
        match self.root() {
            Cause::Refused(status) => is_busy(status),
            Cause::Client(
                kube::Error::Service(_) | kube::Error::HyperError(_) | kube::Error::ReadEvents(_),
            )
            | Cause::NoAnswer(_) => true,
            _ => false,
        }
    }

    /// Tells whether asking again can only bring the same answer: no such kind, or no right to it.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self.root() {
            // 410 says that the watch has to begin anew; the others ask for patience.
            Cause::Refused(status) => {
                (400..500).contains(&status.code) && !matches!(status.code, 408..=410 | 429)
            }
            Cause::Unnamed | Cause::Unwatchable => true,
            Cause::NoAnswer(_) | Cause::Client(_) | Cause::Persistent { .. } => false,
        }
    }

    /// What the caller has no right to do, such as `list pods -n monitoring`; `None` when that is not the reason.
    #[must_use]
    pub fn forbidden(&self) -> Option<String> {
        (self.code() == Some(403)).then(|| match self.verb {
            Verb::Forward => format!("create pods/portforward, to reach {}", self.subject),
            verb => format!("{verb} {}", self.subject),
        })
    }

    /// Why, in one line.
    #[must_use]
    pub fn cause(&self) -> String {
        self.cause.to_string()
    }

    /// The message and its cause in one line.
    #[must_use]
    pub fn line(&self) -> String {
        format!("{self}: {}", self.cause)
    }

    /// Makes it the error of a run that has begun: a refusal is final, silence is unexpected, unless the run's time was over.
    #[must_use]
    pub fn into_error(self) -> Error {
        let exit = match &self.cause {
            Cause::Persistent { out_of_time: true, .. } => Exit::Timeout,
            _ if self.is_unreachable() => Exit::Unexpected,
            _ => Exit::Doomed,
        };
        Error::new(exit, self.to_string()).because(self.cause)
    }

    /// Makes it the error of a check before the first change.
    #[must_use]
    pub fn into_preflight(self) -> Error {
        let hint = match self.code() {
            Some(401) => {
                "the cluster refused the credentials (expired certificate or token?): kubectl auth whoami"
            }
            Some(403) => "see which rights are lacking: bootstrap check",
            Some(300..=399) => ADDRESS,
            Some(_) => "kubectl get --raw /readyz?verbose",
            None if matches!(self.root(), Cause::Client(kube::Error::SerdeError(_))) => ADDRESS,
            None => "is the cluster running, and is this the right one? kubectl cluster-info",
        };
        Error::new(Exit::Preflight, self.to_string()).because(self.cause).hint(hint)
    }
}

/// What to look at when something else answers than an API server.
pub(crate) const ADDRESS: &str = "is this the address of its API server? kubectl config view --minify";

impl Cause {
    fn is_silence(&self) -> bool {
        matches!(self, Self::NoAnswer(_) | Self::Client(_))
    }
}

fn times(count: u32) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

/// Tells whether a refusal is of this moment only.
fn is_busy(status: &Status) -> bool {
    match status.code {
        429 | 502 | 503 | 504 => true,
        500 => status.message.contains(WEBHOOK_IS_AWAY),
        _ => false,
    }
}

fn said(status: &Status) -> String {
    let message = &status.message;
    let causes = status.details.as_ref().map(|details| details.causes.as_slice()).unwrap_or_default();
    if message.is_empty() {
        format!("the server answered {} {}", status.code, status.reason)
    } else if status.reason == "Invalid" && !causes.is_empty() {
        let head = message.split(" is invalid: ").next().unwrap_or_default();
        let fields = causes.iter().map(|cause| format!("{}: {}", cause.field, fault(&cause.message)));
        format!("{head} is invalid: {}", fields.collect::<Vec<_>>().join("; "))
    } else {
        message.split(": Invalid value:").next().unwrap_or_default().to_owned()
    }
}

/// What is wrong with a field. The server repeats its whole value before that, sometimes kilobytes of it.
fn fault(cause: &str) -> &str {
    match cause.strip_prefix("Invalid value: ") {
        Some(value) => value.rsplit_once(": ").map_or("invalid value", |(_, fault)| fault),
        None => cause,
    }
}

fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::SerdeError(error) if error.is_eof() => format!("the answer is cut off: {error}"),
        kube::Error::SerdeError(error) => format!("the answer is not one of Kubernetes: {error}"),
        other => innermost(other),
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Recorded from Kubernetes 1.37.
    #[test]
    fn each_invalid_field_is_named_with_its_fault_and_without_its_value() {
        let causes = json!([
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.ports[0].name"},
            {"reason": "FieldValueInvalid", "field": "spec.ports[0].port",
             "message": "Invalid value: 99999: must be between 1 and 65535, inclusive"},
            {"reason": "FieldValueInvalid", "field": "spec.template.metadata.labels",
             "message": "Invalid value: {\"app\":\"y\"}: `selector` does not match template `labels`"},
        ]);
        let message = "Service \"s\" is invalid: [spec.ports[0].name: Required value, spec.ports[0].port: Invalid value: 99999: …]";
        let status = json!({
            "status": "Failure", "code": 422, "reason": "Invalid", "message": message, "details": {"causes": causes},
        });
        assert_eq!(
            said(&serde_json::from_value(status).expect("a status")),
            "Service \"s\" is invalid: spec.ports[0].name: Required value; spec.ports[0].port: must be between 1 and 65535, \
             inclusive; spec.template.metadata.labels: `selector` does not match template `labels`"
        );
    }
}
