//! A run as lines of a log: one for each change of state, with the seconds since the start in front, no control characters.

use std::fmt::Write;
use std::time::Duration;

use super::line::{Detail, Line, Mark, Weight};
use super::narrator::Narrator;
use super::phrases;
use super::printer::Printer;
use super::running::Running;
use super::{Reporter, Verbosity};
use crate::event::{Event, milliseconds};

/// After how long a silence a log is told what is waited for; each time the silence doubles.
const SILENCE: Duration = Duration::from_secs(30);

/// Writes plain lines to stderr.
#[derive(Debug)]
pub struct Plain {
    printer: Printer,
    narrator: Narrator,
    running: Running,
    quiet: bool,
    spoke: Duration,
    silence: Duration,
}

impl Plain {
    /// Writes to the printer's stderr.
    #[must_use]
    pub fn new(printer: Printer, verbosity: Verbosity) -> Self {
        let least = match verbosity {
            Verbosity::Quiet => Weight::Always,
            Verbosity::Normal => Weight::Change,
            Verbosity::Verbose => Weight::Detail,
        };
        let narrator = Narrator::new(least, printer.paint());
        let quiet = verbosity == Verbosity::Quiet;
        Self {
            printer,
            narrator,
            running: Running::default(),
            quiet,
            spoke: Duration::ZERO,
            silence: SILENCE,
        }
    }

    fn say(&self, line: &Line) {
        let mut text = format!("{:>7}  ", seconds(line.at_ms));
        if let Some(step) = &line.step {
            let _ = write!(text, "{step:<column$}  ", column = self.narrator.column());
        }
        text += match line.mark {
            Mark::Good => "ready: ",
            Mark::Bad => "failed: ",
            Mark::None | Mark::Attention => "",
        };
        text += &line.text;
        if let Some(took) = line.took_ms {
            let _ = write!(text, " ({})", phrases::duration(took));
        }
        for detail in line.details.iter().flat_map(Detail::lines) {
            let _ = write!(text, "\n{:11}{detail}", "");
        }
        self.printer.say(&text);
    }
}

impl Reporter for Plain {
    fn event(&mut self, event: &Event) {
        self.running.observe(event);
        let lines = self.narrator.lines(event);
        if !lines.is_empty() {
            self.spoke = Duration::from_millis(event.elapsed_ms);
            self.silence = SILENCE;
        }
        for line in &lines {
            self.say(line);
        }
        if let Some(error) = self.narrator.error(event) {
            let error: Vec<_> = error.iter().flat_map(Detail::lines).collect();
            self.printer.say(&format!("\n{}", error.join("\n")));
        }
    }

    fn tick(&mut self, now: Duration) {
        if self.quiet || now.saturating_sub(self.spoke) < self.silence {
            return;
        }
        self.spoke = now;
        self.silence *= 2;
        for line in self.narrator.heartbeat(milliseconds(now), self.running.activities(milliseconds(now))) {
            self.say(&line);
        }
    }
}

fn seconds(milliseconds: u64) -> String {
    format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100)
}
