//! A run as somebody watches it: a live line for each step that runs, and above them what is done and what matters.
//!
//! The only user of indicatif. Nothing is drawn before the first tick, so that a run of a moment is one line and no flicker.

use std::fmt;
use std::time::Duration;

use console::{measure_text_width, truncate_str};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

use super::line::{Line, Mark, Weight};
use super::narrator::Narrator;
use super::paint::Paint;
use super::running::{Activity, Running};
use super::screen::Screen;
use super::{Reporter, Verbosity, fit, phrases};
use crate::event::{Event, Kind, milliseconds};

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// The width of the column of durations.
const TOOK: usize = 5;

/// Below this width columns are not aligned, since every cell counts.
const NARROW: usize = 60;

/// The rows that the end of a run needs below a failure: how it ended, which steps, the error, the hint, the prompt.
const CLOSING: usize = 11;

/// The cells at the end of a live line that the terminal needs to echo `^C`.
const ECHO: usize = 2;

/// Draws on a terminal.
pub struct Terminal<T: TermLike> {
    screen: Screen<T>,
    live: MultiProgress,
    bars: Vec<ProgressBar>,
    narrator: Narrator,
    running: Running,
    paint: Paint,
    verbosity: Verbosity,
    frame: usize,
    now_ms: u64,
    over: bool,
}

impl<T: TermLike + Clone + 'static> Terminal<T> {
    /// Draws on this terminal.
    #[must_use]
    pub fn new(term: T, paint: Paint, verbosity: Verbosity) -> Self {
        let least = match verbosity {
            Verbosity::Quiet => Weight::Always,
            Verbosity::Normal => Weight::Notable,
            Verbosity::Verbose => Weight::Detail,
        };
        let screen = Screen::new(term);
        let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
        Self {
            screen,
            live: MultiProgress::with_draw_target(target),
            bars: Vec::new(),
            narrator: Narrator::new(least, paint),
            running: Running::default(),
            paint,
            verbosity,
            frame: 0,
            now_ms: 0,
            over: false,
        }
    }
}

impl<T: TermLike + 'static> Reporter for Terminal<T> {
    fn event(&mut self, event: &Event) {
        self.running.observe(event);
        self.now_ms = self.now_ms.max(event.elapsed_ms);
        let lines: Vec<String> = self.narrator.lines(event).iter().map(|line| self.set(line)).collect();
        if matches!(event.kind, Kind::RunFinished { .. }) {
            let error = self.narrator.error(event).map(|error| {
                let rows = fit::details(&error, self.width(), usize::MAX);
                format!("\n{}", rows.join("\n"))
            });
            self.close(lines.into_iter().chain(error));
        } else if !lines.is_empty() {
            self.show(&lines);
        }
    }

    fn tick(&mut self, now: Duration) {
        if self.verbosity == Verbosity::Quiet || self.over {
            return;
        }
        self.now_ms = milliseconds(now);
        self.frame += 1;
        self.draw();
    }
}

impl<T: TermLike> Terminal<T> {
    /// Puts lines above the live ones.
    fn show(&mut self, lines: &[String]) {
        let live = self.live_lines();
        let Self { screen, live: multi, bars, .. } = self;
        screen.at_once(|| {
            if !bars.is_empty() {
                set_bars(multi, bars, &live);
            }
            let _ = multi.println(lines.join("\n"));
        });
    }

    fn draw(&mut self) {
        let live = self.live_lines();
        let Self { screen, live: multi, bars, .. } = self;
        screen.at_once(|| set_bars(multi, bars, &live));
    }

    /// Wipes the live lines away for good, and writes what is below the rest.
    fn close(&mut self, lines: impl Iterator<Item = String>) {
        self.over = true;
        let text = lines.collect::<Vec<_>>().join("\n");
        let Self { screen, live: multi, bars, .. } = self;
        screen.at_once(|| {
            set_bars(multi, bars, &[]);
            screen.close_with(&text);
        });
    }

    fn width(&self) -> usize {
        usize::from(self.screen.width())
    }

    /// How wide the names of steps are set.
    fn column(&self) -> usize {
        if self.width() < NARROW { 0 } else { self.narrator.column() }
    }

    /// Sets a line that stays.
    fn set(&self, line: &Line) -> String {
        let mark = match line.mark {
            Mark::None => " ".to_owned(),
            Mark::Good => self.paint.good("✓"),
            Mark::Attention => self.paint.attention("!"),
            Mark::Bad => self.paint.bad("✗"),
        };
        let (head, hang) = match &line.step {
            Some(step) => {
                let took = line.took_ms.map(phrases::duration).unwrap_or_default();
                let head = format!("{mark} {}", self.cells(step, &took));
                let hang = if self.width() < NARROW { 2 } else { measure_text_width(&head) };
                (head, hang)
            }
            None if line.mark == Mark::None => (String::new(), 2),
            None => (format!("{mark} "), 2),
        };
        let mut rows = fit::rows(&format!("{head}{}", line.text), self.width(), hang);
        let room = usize::from(self.screen.height()).saturating_sub(CLOSING + rows.len());
        let details = fit::details(&line.details, self.width().saturating_sub(2), room);
        rows.extend(details.iter().map(|row| format!("  {row}")));
        rows.join("\n")
    }

    /// The name of a step and a duration, each in its column where there is room for columns.
    fn cells(&self, step: &str, took: &str) -> String {
        if self.width() >= NARROW {
            return format!("{step:<column$}  {took:>TOOK$}  ", column = self.column());
        }
        match took {
            "" => format!("{step} "),
            took => format!("{step} {took} "),
        }
    }

    fn live_lines(&self) -> Vec<String> {
        let room = self.width().saturating_sub(ECHO);
        let untold =
            self.narrator.untold().map(|line| truncate_str(&self.paint.strong(line), room, "…").into_owned());
        let activities = self.running.activities(self.now_ms);
        untold.into_iter().chain(activities.iter().map(|activity| self.live_line(activity, room))).collect()
    }

    fn live_line(&self, activity: &Activity, room: usize) -> String {
        let spinner = self.paint.active(SPINNER[self.frame % SPINNER.len()]);
        let took = phrases::growing(self.now_ms.saturating_sub(activity.began_ms));
        let cells =
            if activity.step.is_empty() { format!("{took} ") } else { self.cells(&activity.step, &took) };
        let left = room.saturating_sub(2 + measure_text_width(&cells));
        let what = self.paint.faint(&truncate_str(&activity.what, left, "…"));
        truncate_str(format!("{spinner} {cells}{what}").trim_end(), room, "…").into_owned()
    }
}

impl<T: TermLike> Drop for Terminal<T> {
    /// Leaves no live line behind, however the run ended.
    fn drop(&mut self) {
        if !self.over {
            self.close(std::iter::empty());
        }
    }
}

impl<T: TermLike> fmt::Debug for Terminal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("running", &self.running).finish_non_exhaustive()
    }
}

/// Makes the bars show these lines, one each.
fn set_bars(live: &MultiProgress, bars: &mut Vec<ProgressBar>, lines: &[String]) {
    if bars.len() > lines.len() {
        for bar in bars.drain(lines.len()..) {
            live.remove(&bar);
        }
        let _ = live.clear();
    }
    while bars.len() < lines.len() {
        let style = ProgressStyle::with_template("{msg}").expect("the template is a constant");
        bars.push(live.add(ProgressBar::new_spinner().with_style(style)));
    }
    for (bar, line) in bars.iter().zip(lines) {
        bar.set_message(line.clone());
    }
}
