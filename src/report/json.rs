//! Events for programs: one JSON object a line on stdout. An error is told on stderr besides, for whoever reads the log.

use super::printer::Printer;
use super::{Reporter, phrases};
use crate::event::{Event, Kind};

/// Writes events as JSON lines.
#[derive(Debug)]
pub struct Json {
    printer: Printer,
    lost: bool,
}

impl Json {
    /// Writes to the printer's stdout.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        Self { printer, lost: false }
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        let line = serde_json::to_string(event).expect("an event has only string keys");
        if let Err(error) = self.printer.data(&format!("{line}\n"))
            && !self.lost
        {
            self.lost = true;
            self.printer.say(&format!("warning: events are lost: failed to write to stdout: {error}"));
        }
        if let Kind::RunFinished { error: Some(message), causes, hint, .. } = &event.kind {
            self.printer.say(&phrases::error_text(message, causes, hint.as_deref(), self.printer.paint()));
        }
    }
}
