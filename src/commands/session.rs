//! A command that changes the cluster: its events go to a reporter, its signals to a token, its end to an exit code.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Common;
use crate::commands::options;
use crate::engine::Summary;
use crate::error::{Error, Exit};
use crate::event::{Events, Kind, milliseconds};
use crate::report::{self, Printer};

/// Runs `work`, which gets the seam for its events and the token that a signal cancels, while a reporter shows the events.
/// The first Ctrl-C or SIGTERM asks for a clean end, the second ends at once.
pub(super) async fn conduct(
    common: &Common,
    printer: &Printer,
    work: impl AsyncFnOnce(Events, CancellationToken) -> Result<Summary, Error>,
) -> Exit {
    let (events, receiver) = Events::channel();
    let reporter = tokio::spawn(report::run(receiver, printer.clone(), options(common)));
    let cancel = CancellationToken::new();
    let work = work(events.clone(), cancel.clone());
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
        tally: summary.tally,
        took_ms: milliseconds(events.elapsed()),
        notes: summary.notes,
    });
    // The reporter ends when the last sender is gone.
    drop(events);
    let _ = reporter.await;
    exit
}

/// Passes the first signal on; returns at the second.
async fn second_signal(events: &Events, cancel: &CancellationToken) -> Error {
    let (interrupt, terminate) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = (interrupt, terminate) else {
        // Without handlers the signals end the process at once, which the next run mends.
        return std::future::pending().await;
    };
    let name = next(&mut interrupt, &mut terminate).await;
    events.send(Kind::Stopping { signal: name });
    cancel.cancel();
    next(&mut interrupt, &mut terminate).await;
    Error::new(Exit::Interrupted, "interrupted twice; what was under way is left as it is")
        .hint("the next run mends it: bootstrap up")
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}
