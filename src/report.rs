//! What a person or a program sees of a run: reporters turn events into a display, and never touch the cluster.

mod closing;
mod failure;
mod fit;
mod ledger;
mod line;
mod narrator;
mod paint;
mod phrases;
mod running;
mod screen;

pub mod changeset;
pub mod findings;
pub mod github;
pub mod json;
pub mod junit;
pub mod plain;
pub mod printer;
pub mod terminal;

use std::iter;
use std::panic;
use std::time::{Duration, Instant};

use console::Term;
use tokio::runtime::Handle;
use tokio::select;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

pub use self::github::GitHub;
pub use self::junit::{Junit, ReportFile};
pub use self::paint::Paint;
pub use self::printer::{Color, Printer};

use self::json::Json;
use self::plain::Plain;
use self::terminal::Terminal;
use crate::event::Event;

/// How often a display is told that time goes by.
const TICK: Duration = Duration::from_millis(100);

/// For whom a run is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Output {
    /// For a person: a live display where somebody watches, else plain lines.
    #[default]
    Human,
    /// For a log: one line for each change of state.
    Plain,
    /// For a program: one JSON event a line on stdout.
    Json,
}

/// How much is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Errors and the closing line.
    Quiet,
    /// What changes.
    #[default]
    Normal,
    /// What stays as it is, too, and each status on the way.
    Verbose,
}

/// How a run is to be shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// For whom.
    pub output: Output,
    /// How much.
    pub verbosity: Verbosity,
}

/// Shows a run, event by event.
pub trait Reporter: Send {
    /// Shows one event.
    fn event(&mut self, event: &Event);

    /// Shows that time has gone by: `now` is how long the run has been going.
    fn tick(&mut self, now: Duration) {
        let _ = now;
    }
}

/// Shows a run until the last sender of its events is gone; `others` are told of it besides.
///
/// It works on a thread of its own: a terminal that is held with Ctrl-S, or a pipe that nobody empties, must not hold up
/// the run, which has a lease to renew.
pub async fn run(
    events: UnboundedReceiver<Event>,
    printer: Printer,
    options: Options,
    others: Vec<Box<dyn Reporter>>,
) {
    let runtime = Handle::current();
    let reporters = move || iter::once(reporter(printer, options)).chain(others).collect();
    let shown = spawn_blocking(move || runtime.block_on(show(events, reporters())));
    if let Err(error) = shown.await
        && let Ok(reason) = error.try_into_panic()
    {
        panic::resume_unwind(reason);
    }
}

async fn show(mut events: UnboundedReceiver<Event>, mut reporters: Vec<Box<dyn Reporter>>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut began: Option<Instant> = None;
    loop {
        select! {
            biased;
            event = events.recv() => {
                let Some(event) = event else { return };
                let elapsed = Duration::from_millis(event.elapsed_ms);
                began = began.or_else(|| Instant::now().checked_sub(elapsed));
                for reporter in &mut reporters {
                    reporter.event(&event);
                }
            }
            _ = ticks.tick() => if let Some(began) = began {
                for reporter in &mut reporters {
                    reporter.tick(began.elapsed());
                }
            }
        }
    }
}

fn reporter(printer: Printer, Options { output, verbosity }: Options) -> Box<dyn Reporter> {
    match output {
        Output::Human if printer.attended() => {
            Box::new(Terminal::new(Term::buffered_stderr(), printer.paint(), verbosity))
        }
        Output::Human | Output::Plain => Box::new(Plain::new(printer, verbosity)),
        Output::Json => Box::new(Json::new(printer)),
    }
}
