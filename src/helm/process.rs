//! One run of a program: in a process group of its own, without stdin, its words kept, and a deadline that asks before it kills.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::{Error, Exit};

/// How long a program may take to end after SIGINT; helm was seen to take 0.02 s, and its hooks may take longer.
const GRACE: Duration = Duration::from_secs(10);

/// How long a call that cannot be interrupted cleanly may go on after the user asked to stop.
const LET_FINISH: Duration = Duration::from_secs(10);

/// How much of what a program printed is kept, from its end; the objects of the largest charts have a few megabytes.
const PRINTED: u64 = 64 << 20;

/// How much of what it said on stderr is.
const SAID: u64 = 8 << 10;

/// How many lines of it an error shows.
const LINES: usize = 8;

/// When a call must end, even if it is not done.
#[derive(Clone, Debug)]
pub struct Until {
    /// When time is out.
    pub deadline: Instant,
    /// Cancelled when the user asks to stop.
    pub cancelled: CancellationToken,
}

impl Until {
    /// A deadline that no one cancels.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self { deadline: Instant::now() + time, cancelled: CancellationToken::new() }
    }
}

/// What happens to a running program when it is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OnStop {
    /// It gets SIGINT at once, and makes a clean end of it.
    Interrupt,
    /// It is let finish for a while first: these calls take a moment only, and SIGINT would leave half of the work.
    LetFinish,
}

/// How a program ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// Whether it ended with 0.
    pub(super) success: bool,
    /// What it printed.
    pub(super) output: String,
    /// The last lines that it wrote to stderr.
    pub(super) words: String,
    /// Whether it was asked to end, and why.
    stopped: Option<Exit>,
}

/// What helm says where only its text tells who is to blame, each recorded from Helm 4.3.1.
const REFUSALS: [&str; 3] = [
    // … ServiceAccount "x" in namespace "ns" exists and cannot be imported into the current release: invalid ownership metadata; …
    "invalid ownership metadata",
    // UPGRADE FAILED: conflict occurred while applying object ns/x apps/v1, Kind=Deployment: Apply failed with 1 conflict: …
    "conflict occurred while applying object",
    // UPGRADE FAILED: another operation (install/upgrade/rollback) is in progress
    "another operation (install/upgrade/rollback) is in progress",
];

/// What helm says when the API server went away under it or could not do its part just now, in the words of Go's network code and of
/// the server. The tests have a sample of each.
const PASSING: [&str; 12] = [
    "connection reset by peer",
    "connect: connection refused",
    "\": EOF",
    "\": unexpected EOF",
    "i/o timeout",
    "TLS handshake timeout",
    "context deadline exceeded",
    "the server is currently unable to handle the request",
    "the server has received too many requests",
    "the server was unable to return a response in the time allotted",
    "etcdserver: ",
    "failed calling webhook",
];

impl Ended {
    /// Tells whether it was asked to end because its time was out.
    pub(super) fn is_late(&self) -> bool {
        self.stopped == Some(Exit::Timeout)
    }

    /// Makes it the error of a call that did not succeed.
    pub(super) fn into_error(self, message: &str, until: &Until) -> Error {
        let late = Instant::now() + super::MARGIN >= until.deadline;
        let exit = match self.stopped {
            Some(exit) => exit,
            None if late => Exit::Timeout,
            None if REFUSALS.iter().any(|text| self.words.contains(text)) => Exit::Refused,
            None if self.may_pass() => Exit::Unexpected,
            None => Exit::Doomed,
        };
        let error = Error::new(exit, message);
        if self.words.is_empty() { error } else { error.because(self.words) }
    }

    /// Tells whether it was the API server's failure and may pass; a chart repository that is not reached is another matter.
    fn may_pass(&self) -> bool {
        let says = |text: &str| self.words.contains(text);
        !says("chart repository") && PASSING.iter().any(|text| says(text))
    }
}

/// Runs a program to its end. On cancellation and at the deadline it gets SIGINT and time to end; only then is it killed,
/// because a killed helm leaves its release locked. If this future is dropped, the program gets SIGINT too.
///
/// # Errors
/// When it cannot be started or waited for.
pub(super) async fn run(
    command: &mut Command,
    stdin: Stdio,
    until: &Until,
    on_stop: OnStop,
) -> io::Result<Ended> {
    // Files, not pipes: a program that outlives us, or its own children, can go on writing without harm.
    let (output, words) = (tempfile::tempfile()?, tempfile::tempfile()?);
    let child = command
        .stdin(stdin)
        .stdout(output.try_clone()?)
        .stderr(words.try_clone()?)
        // A terminal sends Ctrl-C to the whole foreground group; helm shall hear of it from us, once.
        .process_group(0)
        .spawn()?;
    let mut running = Running(child);
    let (success, stopped) = running.finish(until, on_stop).await?;
    Ok(Ended { success, stopped, output: tail(output, PRINTED)?, words: last_lines(&tail(words, SAID)?) })
}

/// A program that has not been seen to end.
struct Running(Child);

impl Running {
    async fn finish(&mut self, until: &Until, on_stop: OnStop) -> io::Result<(bool, Option<Exit>)> {
        let stopped = tokio::select! {
            biased;
            status = self.0.wait() => return Ok((status?.success(), None)),
            () = until.cancelled.cancelled() => Exit::Interrupted,
            () = sleep_until(until.deadline) => Exit::Timeout,
        };
        if stopped == Exit::Interrupted
            && on_stop == OnStop::LetFinish
            && let Ok(status) = timeout(LET_FINISH, self.0.wait()).await
        {
            return Ok((status?.success(), Some(stopped)));
        }
        self.signal(Signal::INT);
        if let Ok(status) = timeout(GRACE, self.0.wait()).await {
            return Ok((status?.success(), Some(stopped)));
        }
        self.signal(Signal::KILL);
        Ok((self.0.wait().await?.success(), Some(stopped)))
    }

    /// Signals the program and its children; credential plugins are such.
    fn signal(&self, signal: Signal) {
        // There is no id any more once the program has been waited for, so the number cannot be someone else's by now.
        if let Some(group) = self.0.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

fn tail(mut file: File, kept: u64) -> io::Result<String> {
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(kept)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The last lines without what helm says of itself: warnings about kubeconfig's mode, log lines.
fn last_lines(text: &str) -> String {
    let told =
        |line: &&str| !line.is_empty() && !line.starts_with("WARNING: ") && !line.starts_with("level=");
    let lines: Vec<_> = text.lines().map(str::trim_end).filter(told).collect();
    let kept = lines[lines.len().saturating_sub(LINES)..].join("\n");
    kept.strip_prefix("Error: ").map_or(kept.clone(), str::to_owned)
}
