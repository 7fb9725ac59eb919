//! Where a library that may work for minutes says what it does.
//! The caller chooses; nothing else in this crate's library writes to a terminal.

use std::io::Write as _;

/// A sink for lines of progress.
#[derive(Clone, Copy, Debug)]
pub struct Progress(pub(crate) fn(&str));

impl Progress {
    /// Says nothing.
    #[must_use]
    pub fn none() -> Self {
        Self(|_| {})
    }

    /// Writes each line to standard error.
    #[must_use]
    pub fn stderr() -> Self {
        // A closed standard error is no reason to stop the work.
        Self(|line| drop(writeln!(std::io::stderr().lock(), "{line}")))
    }

    /// Says one line.
    pub fn say(self, line: impl AsRef<str>) {
        (self.0)(line.as_ref());
    }
}
