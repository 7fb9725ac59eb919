//! The one owner of stdout and stderr: stdout is data, stderr is all that a person is told.
//!
//! A reader that goes away (`| head`) is no error: what comes after it is dropped, and nothing panics.

use std::env;
use std::fmt;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use super::paint::Paint;
use super::phrases;
use crate::error::Error;

/// When to colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set, to whatever it may be.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// Writes to stdout and stderr; its clones share them.
#[derive(Clone, Debug)]
pub struct Printer {
    stdout: Stream,
    stderr: Stream,
    attended: bool,
}

impl Printer {
    /// Takes the streams of the process.
    #[must_use]
    pub fn stdio(color: Color) -> Self {
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let attended = stderr.is_terminal() && !is_dumb() && !is_set("CI");
        Self {
            stdout: Stream::new(color.paint(stdout.is_terminal()), stdout),
            stderr: Stream::new(color.paint(stderr.is_terminal()), stderr),
            attended,
        }
    }

    /// Takes two other places to write to, where nobody watches and nothing is coloured.
    #[must_use]
    pub fn to(stdout: impl Write + Send + 'static, stderr: impl Write + Send + 'static) -> Self {
        let paint = Paint::new(false);
        Self { stdout: Stream::new(paint, stdout), stderr: Stream::new(paint, stderr), attended: false }
    }

    /// Writes data to stdout as it stands, and flushes it.
    ///
    /// # Errors
    /// What the system says, such as a full disk; never that the reader has gone away.
    pub fn data(&self, text: &str) -> io::Result<()> {
        self.stdout.write(text)
    }

    /// Writes one line, or several, to stderr. There is nobody left to tell of a failure.
    pub fn say(&self, text: &str) {
        let _ = self.stderr.write(&format!("{text}\n"));
    }

    /// Writes an error to stderr: its message, its causes, a blank line and its hint.
    pub fn error(&self, error: &Error) {
        self.say(&phrases::error_text(&error.to_string(), &error.causes(), error.hint_text(), self.paint()));
    }

    /// Tells whether there is somebody who can be asked.
    #[must_use]
    pub fn can_ask(&self) -> bool {
        self.attended && io::stdin().is_terminal()
    }

    /// Asks a question on stderr, and waits for the line that is typed. Blocks its thread.
    ///
    /// # Errors
    /// What the system says of stdin.
    pub fn ask(&self, question: &str) -> io::Result<String> {
        self.stderr.write(question)?;
        let mut line = String::new();
        if io::stdin().read_line(&mut line)? == 0 {
            // Nobody has ended the line.
            self.stderr.write("\n")?;
        }
        Ok(line.trim().to_owned())
    }

    /// The colours of stderr.
    #[must_use]
    pub fn paint(&self) -> Paint {
        self.stderr.paint
    }

    /// The colours of stdout.
    #[must_use]
    pub fn data_paint(&self) -> Paint {
        self.stdout.paint
    }

    /// Tells whether somebody watches stderr: it is a terminal that can move its cursor, and `CI` is not set.
    #[must_use]
    pub fn attended(&self) -> bool {
        self.attended
    }
}

impl Color {
    fn paint(self, terminal: bool) -> Paint {
        Paint::new(match self {
            Self::Auto => {
                terminal && !is_dumb() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
            Self::Always => true,
            Self::Never => false,
        })
    }
}

/// One stream, until its reader goes away.
#[derive(Clone)]
struct Stream {
    /// `None` once the reader has gone away.
    writer: Arc<Mutex<Option<Box<dyn Write + Send>>>>,
    paint: Paint,
}

impl Stream {
    fn new(paint: Paint, writer: impl Write + Send + 'static) -> Self {
        Self { writer: Arc::new(Mutex::new(Some(Box::new(writer)))), paint }
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = writer.as_mut() else { return Ok(()) };
        match open.write_all(text.as_bytes()).and_then(|()| open.flush()) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                *writer = None;
                Ok(())
            }
            result => result,
        }
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream").field("paint", &self.paint).finish_non_exhaustive()
    }
}

/// Tells whether the environment says yes, as `CI=true` does, and `CI=false` does not.
fn is_set(variable: &str) -> bool {
    env::var_os(variable).is_some_and(|value| !value.is_empty() && value != "false")
}

/// Tells whether the terminal can do nothing but print.
fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}
