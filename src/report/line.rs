//! What is told in one go: a line, and what belongs below it. How it is set is up to the displays.

use super::phrases;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// Nothing changed, or not yet.
    Detail,
    /// A change that a live display sums up.
    Change,
    /// Stays in sight.
    Notable,
    /// Said even to those who want quiet.
    Always,
}

/// What kind of news a line is, at a glance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// News as any other.
    None,
    /// Something is done.
    Good,
    /// Something is to be looked at.
    Attention,
    /// Something went wrong.
    Bad,
}

/// One line, and what belongs below it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) weight: Weight,
    pub(super) mark: Mark,
    /// Milliseconds since the run began.
    pub(super) at_ms: u64,
    pub(super) step: Option<String>,
    pub(super) text: String,
    pub(super) took_ms: Option<u64>,
    pub(super) details: Vec<Detail>,
}

/// Something below a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Detail {
    /// How far it stands to the right of the others.
    pub(super) indent: usize,
    pub(super) body: Body,
}

/// What a detail consists of, which decides how it may be fitted into a narrow place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Something to copy, which stays in one piece.
    Whole(String),
    /// Sentences, which may be broken between words.
    Words(String),
    /// The same, and less important.
    Event(String),
    /// The end of a log, of which the last lines tell most.
    Log(Vec<String>),
}

impl Line {
    pub(super) fn new(text: String) -> Self {
        Self {
            weight: Weight::Notable,
            mark: Mark::None,
            at_ms: 0,
            step: None,
            text,
            took_ms: None,
            details: Vec::new(),
        }
    }

    pub(super) fn of(step: &str, text: String) -> Self {
        Self::maybe_of(Some(step), text)
    }

    pub(super) fn maybe_of(step: Option<&str>, text: String) -> Self {
        Self { step: step.map(str::to_owned), ..Self::new(text) }
    }

    pub(super) fn weighing(self, weight: Weight) -> Self {
        Self { weight, ..self }
    }

    pub(super) fn marked(self, mark: Mark) -> Self {
        Self { mark, ..self }
    }
}

impl Detail {
    pub(super) fn whole(indent: usize, text: impl Into<String>) -> Self {
        Self { indent, body: Body::Whole(text.into()) }
    }

    pub(super) fn words(indent: usize, text: impl Into<String>) -> Self {
        Self { indent, body: Body::Words(text.into()) }
    }

    /// Its lines where there is room enough, in full.
    pub(super) fn lines(&self) -> Vec<String> {
        let pad = " ".repeat(self.indent);
        match &self.body {
            Body::Whole(text) | Body::Words(text) | Body::Event(text) => {
                let text = phrases::indented(text, &format!("{pad}  "));
                format!("{pad}{text}").split('\n').map(str::to_owned).collect()
            }
            Body::Log(lines) => lines.iter().map(|line| format!("{pad}{}", log_line(line))).collect(),
        }
    }
}

/// A line of a log; the bar tells it from what we say ourselves, also for a program that looks for commands to itself.
pub(super) fn log_line(line: &str) -> String {
    format!("| {line}").trim_end().to_owned()
}
