//! What a check is: a name, what it needs, and a probe that is tried until it passes, fails or time is out.

use std::fmt;
use std::rc::Rc;

use futures::future::{FutureExt as _, LocalBoxFuture};

use crate::cluster::RequestError;

/// What one try of a probe has found: what is well, in words, or why not.
pub(super) type Verdict = Result<String, Trouble>;

/// Why a try has not passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It may pass yet; the words tell what is waited for, and become the failure's when time is out.
    Pending(Reason),
    /// Another try can only find the same, or must not be made.
    Failed(Reason),
    /// It cannot be told, and why.
    Skipped(String),
}

/// A reason, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// It may pass yet.
pub(super) fn pending(message: impl Into<String>) -> Trouble {
    Trouble::Pending(Reason { message: message.into(), hint: None })
}

/// It has failed.
pub(super) fn failed(message: impl Into<String>) -> Trouble {
    Trouble::Failed(Reason { message: message.into(), hint: None })
}

impl Trouble {
    /// Adds what to do about it, unless there is something nearer to the cause already.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Self::Pending(reason) | Self::Failed(reason) = &mut self {
            reason.hint.get_or_insert_with(|| hint.into());
        }
        self
    }
}

impl From<RequestError> for Trouble {
    fn from(error: RequestError) -> Self {
        match error.forbidden() {
            Some(right) => Self::Skipped(format!("no right to {right}")),
            None if error.is_final() => failed(error.line()),
            None => pending(error.line()),
        }
    }
}

/// A check's name: category and id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub(super) category: &'static str,
    pub(super) id: &'static str,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category, self.id)
    }
}

/// Whom a check asks.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    /// Its name, such as `statefulset.apps/loki -n monitoring`.
    pub(super) name: String,
    /// What to do where nothing nearer to the cause is known.
    pub(super) hint: String,
}

/// What checks are about.
pub(super) trait Subject: 'static {
    /// Whom its checks ask.
    fn asked(&self) -> Asked;
}

/// One check.
pub(super) struct Check {
    pub(super) name: Name,
    pub(super) asked: Asked,
    /// The checks that must have passed before this one can tell anything; those that do not exist are no hindrance.
    pub(super) needs: Vec<Name>,
    probe: Box<dyn Fn() -> LocalBoxFuture<'static, Verdict>>,
}

impl Check {
    /// A check that asks `subject` by `probe`.
    pub(super) fn new<S: Subject>(
        name: Name,
        subject: &Rc<S>,
        probe: impl AsyncFn(&S) -> Verdict + Copy + 'static,
    ) -> Self {
        let (asked, subject) = (subject.asked(), Rc::clone(subject));
        let probe = move || {
            let subject = Rc::clone(&subject);
            async move { probe(&subject).await }.boxed_local()
        };
        Self { name, asked, needs: Vec::new(), probe: Box::new(probe) }
    }

    /// Says what to do where nothing nearer to the cause is known, in place of what its subject says.
    pub(super) fn hint(mut self, hint: &str) -> Self {
        hint.clone_into(&mut self.asked.hint);
        self
    }

    /// Adds what must have passed before.
    pub(super) fn needs(mut self, names: impl IntoIterator<Item = Name>) -> Self {
        self.needs.extend(names);
        self
    }

    /// Tries once.
    pub(super) fn attempt(&self) -> LocalBoxFuture<'static, Verdict> {
        (self.probe)()
    }
}
