//! `JUnit` XML, which CI systems read: one suite, and a case for each step of `up` or each finding of `verify`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};

use super::ledger::{End, Entry, Ledger};
use super::printer::Printer;
use super::{Reporter, failure};
use crate::error::{Error, Exit};
use crate::event::{Event, Kind};

/// A file for a report, opened before anything is done that a report would be missed of.
#[derive(Debug)]
pub struct ReportFile {
    path: PathBuf,
    file: File,
}

impl ReportFile {
    /// Opens the file, and empties it: an old report must not pass for the new one.
    ///
    /// # Errors
    /// Exit 2 when it cannot be written.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let file = File::create(path).map_err(|error| {
            Error::new(Exit::Usage, format!("failed to write the report {}", path.display())).because(error)
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Writes the report.
    ///
    /// # Errors
    /// What the system says, such as a full disk.
    pub fn write(&mut self, xml: &str) -> Result<(), Error> {
        self.file.write_all(xml.as_bytes()).and_then(|()| self.file.flush()).map_err(|error| {
            Error::new(Exit::Unexpected, format!("failed to write the report {}", self.path.display()))
                .because(error)
        })
    }
}

/// Writes a report of a run when it is over, however it ends.
#[derive(Debug)]
pub struct Junit {
    file: ReportFile,
    printer: Printer,
    ledger: Ledger,
    suite: String,
    class: String,
}

impl Junit {
    /// Writes to this file; should that fail, the printer says so.
    #[must_use]
    pub fn new(file: ReportFile, printer: Printer) -> Self {
        let suite = "bootstrap".to_owned();
        Self { file, printer, ledger: Ledger::default(), class: suite.clone(), suite }
    }
}

impl Reporter for Junit {
    fn event(&mut self, event: &Event) {
        self.ledger.observe(event);
        match &event.kind {
            Kind::RunStarted { command, stack, .. } => {
                self.suite = format!("bootstrap {command}");
                self.class.clone_from(stack);
            }
            Kind::RunFinished { error, causes, hint, took_ms, .. } => {
                let mut cases: Vec<_> =
                    self.ledger.steps.iter().map(|step| case(step, &self.class)).collect();
                // Without a step to blame the run itself is the case that went wrong.
                if let Some(error) = error
                    && self.ledger.failed().is_empty()
                {
                    cases.push(of_run(error, causes, hint.as_deref(), *took_ms, &self.class));
                }
                let written = xml(&self.suite, cases).map_err(|error| {
                    Error::new(Exit::Unexpected, "failed to make the report").because(error)
                });
                if let Err(error) = written.and_then(|xml| self.file.write(&xml)) {
                    self.printer.error(&error);
                }
            }
            _ => {}
        }
    }
}

/// A report of one suite with these cases.
pub(super) fn xml(suite: &str, cases: Vec<TestCase>) -> Result<String, quick_junit::SerializeError> {
    let mut report = quick_junit::Report::new(suite);
    let mut suite = TestSuite::new(suite);
    suite.add_test_cases(cases);
    report.add_test_suite(suite);
    report.to_string()
}

fn case(step: &Entry, class: &str) -> TestCase {
    let mut status = match &step.end {
        End::Ready(_) => TestCaseStatus::success(),
        End::Failed { .. } => TestCaseStatus::non_success(NonSuccessKind::Failure),
        End::NotJudged(_) | End::Open => TestCaseStatus::skipped(),
    };
    match &step.end {
        End::Ready(_) => {}
        End::Failed { message, causes } => {
            status.set_message(message.as_str()).set_description(failure::text(causes, &step.diagnoses));
        }
        End::NotJudged(why) => {
            status.set_message(format!("not judged: {why}"));
        }
        End::Open => {
            status.set_message(if step.not_judged().is_some() { "not judged" } else { "not started" });
        }
    }
    let mut case = TestCase::new(step.name.as_str(), status);
    case.set_classname(class);
    if let Some(took_ms) = step.took_ms {
        case.set_time(Duration::from_millis(took_ms));
    }
    case
}

fn of_run(error: &str, causes: &[String], hint: Option<&str>, took_ms: u64, class: &str) -> TestCase {
    let mut status = TestCaseStatus::non_success(NonSuccessKind::Error);
    let hint = hint.map(|hint| format!("hint: {hint}"));
    let text: Vec<_> = causes.iter().map(|cause| format!("caused by: {cause}")).chain(hint).collect();
    status.set_message(error).set_description(text.join("\n"));
    let mut case = TestCase::new("the run itself", status);
    case.set_classname(class).set_time(Duration::from_millis(took_ms));
    case
}
