//! What GitHub Actions shows of a command: an annotation for each failure, and a summary in Markdown.
//!
//! The runner looks for commands to itself in both streams of a step (`OutputManager` of actions/runner serves the two), so
//! annotations go to stderr, and stdout stays data.

use std::env;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{self, Path, PathBuf};

use super::ledger::{End, Entry, Ledger};
use super::paint::Paint;
use super::printer::Printer;
use super::{Reporter, closing, failure, findings, phrases};
use crate::event::{Event, Kind};
use crate::finding::{Finding, Outcome};

/// Tells GitHub Actions of a run, or of findings.
#[derive(Debug)]
pub struct GitHub {
    printer: Printer,
    /// The file that the summary is added to, if there is one.
    summary: Option<PathBuf>,
    /// The folder of the stack, if it is one that the workflow may have checked out.
    stack: Option<PathBuf>,
    ledger: Ledger,
    title: String,
    whereabouts: String,
}

impl GitHub {
    /// Annotates through the printer, and adds summaries to this file.
    #[must_use]
    pub fn new(printer: Printer, summary: Option<PathBuf>, stack: Option<PathBuf>) -> Self {
        let title = "bootstrap".to_owned();
        Self { printer, summary, stack, ledger: Ledger::default(), title, whereabouts: String::new() }
    }

    /// The same, as the environment of a workflow's step has it; `None` anywhere else.
    #[must_use]
    pub fn from_env(printer: &Printer, stack: Option<&Path>) -> Option<Self> {
        // The runner makes it relative to the repository again.
        let stack = stack.map(|folder| path::absolute(folder).unwrap_or_else(|_| folder.to_owned()));
        let summary = env::var_os("GITHUB_STEP_SUMMARY").filter(|file| !file.is_empty()).map(PathBuf::from);
        (env::var_os("GITHUB_ACTIONS")? == "true").then(|| Self::new(printer.clone(), summary, stack))
    }

    /// Tells of what `verify` has found.
    pub fn findings(&self, whereabouts: Option<&str>, found: &[Finding]) {
        let failed = found.iter().filter(|finding| finding.outcome == Outcome::Failed);
        for finding in failed {
            let hint = finding.hint.iter().map(|hint| format!("hint: {hint}"));
            let lines: Vec<_> = [finding.message.clone()].into_iter().chain(hint).collect();
            let title = format!("bootstrap verify: {}/{}", finding.category, finding.id);
            self.annotate(&title, None, &lines);
        }
        let rows = found.iter().map(|finding| {
            let outcome = match finding.outcome {
                Outcome::Passed => "passed",
                Outcome::Failed => "**failed**",
                Outcome::Skipped => "skipped",
            };
            let check = format!("{}/{}", finding.category, finding.id);
            format!("| {check} | {outcome} | {} |\n", escaped(&finding.message))
        });
        let table =
            format!("| check | outcome | what was found |\n|---|---|---|\n{}", rows.collect::<String>());
        let head: Vec<_> = whereabouts.map(escaped).into_iter().chain([findings::summary(found)]).collect();
        self.summarize(&format!("### bootstrap verify\n\n{}\n\n{table}\n", head.join(": ")));
    }

    /// Sends an annotation, at a place of the stack if it has one.
    fn annotate(&self, title: &str, source: Option<&str>, lines: &[String]) {
        let place = self.stack.as_ref().zip(source.and_then(|source| source.rsplit_once(':')));
        let place = place.map(|(folder, (file, line))| {
            format!(",file={},line={line}", property(&folder.join(file).to_string_lossy()))
        });
        let place = place.unwrap_or_default();
        self.printer.say(&format!("::error title={}{place}::{}", property(title), data(&lines.join("\n"))));
    }

    fn annotate_failures(&self, error: &str, causes: &[String], hint: Option<&str>) {
        let mut any = false;
        for step in &self.ledger.steps {
            let End::Failed { message, causes } = &step.end else { continue };
            any = true;
            let source = step.diagnoses.first().and_then(|first| first.source.as_deref());
            let lines = failure::brief(message, causes, &step.diagnoses);
            self.annotate(&format!("{}: step {}", self.title, step.name), source, &lines);
        }
        if !any {
            let mut lines = failure::brief(error, causes, &[]);
            lines.extend(hint.map(|hint| format!("hint: {hint}")));
            self.annotate(&self.title, None, &lines);
        }
    }

    /// The run in Markdown: how it ended, its steps, what was found out about those that failed, the error.
    fn markdown(&self, kind: &Kind) -> String {
        let paint = Paint::new(false);
        let Some(closing) = closing::line(kind, &self.ledger, paint) else { return String::new() };
        let mut text = format!("### {}\n\n", escaped(&self.title));
        for line in [&self.whereabouts, &closing.text].into_iter().filter(|line| !line.is_empty()) {
            text += &format!("{}\n\n", escaped(line));
        }
        if !self.ledger.steps.is_empty() {
            let rows: String = self.ledger.steps.iter().map(row).collect();
            text += &format!("| step | result | time |\n|---|---|---:|\n{rows}\n");
        }
        for step in &self.ledger.steps {
            let End::Failed { message, causes } = &step.end else { continue };
            let head = escaped(&failure::head(message, &step.diagnoses));
            let details = failure::text(causes, &step.diagnoses);
            text += &format!("#### {}: {head}\n\n{}", step.name, fenced(&details));
        }
        if let Kind::RunFinished { error: Some(error), causes, hint, .. } = kind
            && self.ledger.failed().is_empty()
        {
            text += &fenced(&phrases::error_text(error, causes, hint.as_deref(), paint));
        }
        text
    }

    fn summarize(&self, markdown: &str) {
        let Some(file) = &self.summary else { return };
        let add = || -> io::Result<()> {
            File::options().append(true).create(true).open(file)?.write_all(markdown.as_bytes())
        };
        if let Err(error) = add() {
            self.printer.say(&format!("warning: failed to add to the step's summary: {error}"));
        }
    }
}

impl Reporter for GitHub {
    fn event(&mut self, event: &Event) {
        self.ledger.observe(event);
        match &event.kind {
            Kind::RunStarted { command, cluster, namespace, .. } => {
                self.title = format!("bootstrap {command}");
                self.whereabouts = format!("{cluster} → {namespace}");
            }
            Kind::RunFinished { error, causes, hint, .. } => {
                if let Some(error) = error {
                    self.annotate_failures(error, causes, hint.as_deref());
                }
                self.summarize(&self.markdown(&event.kind));
            }
            _ => {}
        }
    }
}

/// The row of a step in the table.
fn row(step: &Entry) -> String {
    let result = match &step.end {
        End::Ready(tally) => format!("ready: {}", phrases::tally(*tally)),
        End::Failed { message, .. } => {
            format!("**failed**: {}", escaped(&failure::head(message, &step.diagnoses)))
        }
        End::NotJudged(why) => format!("not judged ({})", escaped(why)),
        End::Open if step.not_judged().is_some() => "not judged".to_owned(),
        End::Open => "not started".to_owned(),
    };
    format!("| {} | {result} | {} |\n", step.name, step.took_ms.map(phrases::duration).unwrap_or_default())
}

/// The message of a command to the runner.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command to the runner.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// Text in Markdown that is nothing but text, in one line.
fn escaped(text: &str) -> String {
    let mut markdown = String::new();
    for c in phrases::clean(text).replace('\n', " ").chars() {
        if "\\`*_{}[]<>#|~".contains(c) {
            markdown.push('\\');
        }
        markdown.push(c);
    }
    markdown
}

/// Text in Markdown that keeps its lines, whatever is in it.
fn fenced(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest.max(2) + 1);
    format!("{fence}text\n{text}\n{fence}\n\n")
}
