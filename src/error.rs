//! What can go wrong, as a user is told of it: a message that names the object, its causes, one hint, and the exit code.

use std::collections::BTreeSet;
use std::error::Error as StdError;
use std::fmt;

/// How a run ended, as its exit code says. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Success = 0,
    /// An unexpected error.
    Unexpected = 1,
    /// A usage error, or a stack that does not validate.
    Usage = 2,
    /// A check before the first change failed; nothing was changed.
    Preflight = 3,
    /// Refused: another owner, a field conflict, a held lock, a cluster that was not confirmed.
    Refused = 4,
    /// A step failed for a reason that waiting cannot mend.
    Doomed = 5,
    /// Out of time.
    Timeout = 6,
    /// A check of `verify` failed.
    Verification = 7,
    /// `plan --exit-code` found something to do.
    Changes = 8,
    /// Interrupted by Ctrl-C or SIGTERM.
    Interrupted = 130,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }
}

/// An error with an exit code and, where there is something to run, a hint.
#[derive(Debug)]
pub struct Error {
    exit: Exit,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error that ends the run with `exit`; the message is a lower-case fragment that names the object.
    #[must_use]
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into(), hint: None, source: None }
    }

    /// The one error of all that is in the way, each with what to do about it; `None` when nothing is. `what` says what several
    /// of them are.
    #[must_use]
    pub fn refusing(all: impl IntoIterator<Item = (String, String)>, what: &str) -> Option<Self> {
        let (texts, hints): (Vec<_>, BTreeSet<_>) = all.into_iter().unzip();
        let message = match texts.as_slice() {
            [] => return None,
            [only] => only.clone(),
            all => format!("{} {what}:\n  {}", all.len(), all.join("\n  ")),
        };
        let hint = hints.into_iter().collect::<Vec<_>>().join("\n");
        Some(Self::new(Exit::Refused, message).hint(hint))
    }

    /// Adds the one thing that can be run or changed to get further.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same error with its hint, if there is one, put another way.
    #[must_use]
    pub fn map_hint(mut self, put: impl FnOnce(&str) -> String) -> Self {
        self.hint = self.hint.as_deref().map(put);
        self
    }

    /// Adds what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The same error with another exit code.
    #[must_use]
    pub fn exiting(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }

    /// Puts a place before the message: `step loki: …`.
    #[must_use]
    pub fn within(mut self, place: &str) -> Self {
        self.message = format!("{place}: {}", self.message);
        self
    }

    /// Puts after the message where that is written which it speaks of: `… (loki/statefulset.yaml:1)`.
    #[must_use]
    pub fn written_in(mut self, place: &str) -> Self {
        self.message = format!("{} ({place})", self.message);
        self
    }

    /// The exit code that it asks for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The hint, if there is one.
    #[must_use]
    pub fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The messages of its causes, outermost first.
    #[must_use]
    pub fn causes(&self) -> Vec<String> {
        let mut causes = Vec::new();
        let mut next = self.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        causes
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
