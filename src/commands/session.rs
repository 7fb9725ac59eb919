//! A command that changes the cluster: its events go to a reporter, its signals to a token, its end to an exit code. One that
//! changes nothing just ends at a signal.

use std::future::pending;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::commands::options;
use crate::engine::Summary;
use crate::error::{Error, Exit};
use crate::event::{Events, Kind, milliseconds};
use crate::report::{self, GitHub, Junit, Printer, ReportFile, Reporter};

/// Runs `work`, which gets the seam for its events and the token that a signal cancels, while a reporter shows the events;
/// it returns what the user may want to know at the end. With `junit`, a report is written there in any case, or nothing
/// is done at all.
/// The first Ctrl-C or SIGTERM asks for a clean end, the second ends at once.
pub(super) async fn conduct(
    common: &Common,
    printer: &Printer,
    junit: Option<&Path>,
    work: impl AsyncFnOnce(Events, CancellationToken) -> Result<Summary, Error>,
) -> Exit {
    let (events, receiver) = Events::channel();
    let mut others: Vec<Box<dyn Reporter>> = Vec::new();
    let opened = junit.map(ReportFile::create).transpose().map(|file| {
        others.extend(file.map(|file| Box::new(Junit::new(file, printer.clone())) as Box<dyn Reporter>));
    });
    let github = GitHub::from_env(printer, common.stack.as_deref());
    others.extend(github.map(|github| Box::new(github) as Box<dyn Reporter>));
    let reporter = tokio::spawn(report::run(receiver, printer.clone(), options(common), others));
    let cancel = CancellationToken::new();
    let work = async {
        opened?;
        work(events.clone(), cancel.clone()).await
    };
    let result = tokio::select! {
        result = work => result,
        error = second_signal(&events, &cancel) => Err(error),
    };
    let (exit, summary, error) = match result {
        Ok(summary) => (Exit::Success, summary, None),
        Err(error) => (error.exit(), Summary::default(), Some(error)),
    };
    events.send(Kind::RunFinished {
        exit_code: exit.code(),
        error: error.as_ref().map(ToString::to_string),
        causes: error.as_ref().map(Error::causes).unwrap_or_default(),
        hint: error.as_ref().and_then(Error::hint_text).map(str::to_owned),
        tally: events.tally(),
        took_ms: milliseconds(events.elapsed()),
        notes: summary.notes,
        longest: summary.longest,
    });
    // The reporter ends when the last sender is gone.
    drop(events);
    let _ = reporter.await;
    exit
}

/// Runs what changes nothing, until it is done or a signal ends it.
pub(super) async fn watch(work: impl Future<Output = anyhow::Result<Exit>>) -> anyhow::Result<Exit> {
    let mut signals = Signals::take();
    tokio::select! {
        result = work => result,
        _ = signals.next() => Err(Error::new(Exit::Interrupted, "interrupted").into()),
    }
}

/// Passes the first signal on; returns at the second.
async fn second_signal(events: &Events, cancel: &CancellationToken) -> Error {
    let mut signals = Signals::take();
    let name = signals.next().await;
    events.send(Kind::Stopping { signal: name });
    cancel.cancel();
    signals.next().await;
    Error::new(Exit::Interrupted, "interrupted twice; what was under way is left as it is")
        .hint("run the same again, which goes on from there")
}

/// The signals that ask a command to end.
struct Signals(Option<(Signal, Signal)>);

impl Signals {
    /// Takes them over from the system. Where that fails they end the process at once, which the next run mends.
    fn take() -> Self {
        Self(signal(SignalKind::interrupt()).and_then(|it| Ok((it, signal(SignalKind::terminate())?))).ok())
    }

    /// Awaits the next, and gives its name.
    async fn next(&mut self) -> &'static str {
        let Some((interrupt, terminate)) = &mut self.0 else { return pending().await };
        tokio::select! {
            _ = interrupt.recv() => "SIGINT",
            _ = terminate.recv() => "SIGTERM",
        }
    }
}
