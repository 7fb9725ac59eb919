//! How findings are shown: as text that grows line by line, as JSON, and as `JUnit` XML.

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus};

use super::paint::Paint;
use super::{junit, phrases};
use crate::finding::{Finding, Outcome};

/// Wide enough for most ids, so that messages begin in one column.
const ID_WIDTH: usize = 14;

/// Writes findings as text, one line each, under the name of their category.
#[derive(Debug)]
pub struct Text {
    paint: Paint,
    category: Option<&'static str>,
}

impl Text {
    /// Nothing is written yet.
    #[must_use]
    pub fn new(paint: Paint) -> Self {
        Self { paint, category: None }
    }

    /// The lines of one finding: its category where a new one begins, itself, and its hint.
    pub fn lines(&mut self, finding: &Finding) -> String {
        self.lines_in(finding, ID_WIDTH)
    }

    /// The lines of whole categories, each as wide as its ids.
    pub fn block(&mut self, found: &[Finding]) -> String {
        let categories = found.chunk_by(|one, next| one.category == next.category);
        categories
            .flat_map(|category| {
                let ids = category.iter().map(|finding| finding.id.len());
                let width = ids.max().unwrap_or_default().max(ID_WIDTH);
                category.iter().map(move |finding| (finding, width))
            })
            .map(|(finding, width)| self.lines_in(finding, width))
            .collect()
    }

    fn lines_in(&mut self, finding: &Finding, width: usize) -> String {
        let paint = self.paint;
        let mut text = String::new();
        if self.category != Some(finding.category) {
            self.category = Some(finding.category);
            text += &format!("{}\n", paint.strong(finding.category));
        }
        let mark = match finding.outcome {
            Outcome::Passed => paint.good("✓"),
            Outcome::Failed => paint.bad("✗"),
            Outcome::Skipped => paint.faint("-"),
        };
        let indent = " ".repeat(width + 5);
        let message = match finding.outcome {
            Outcome::Skipped => format!("skipped: {}", finding.message),
            _ => finding.message.clone(),
        };
        let message = phrases::indented(&message, &indent);
        text += &format!("  {mark} {:width$} {message}\n", finding.id);
        if let Some(hint) = &finding.hint {
            text += &format!("{indent}{} {}\n", paint.active("hint:"), phrases::indented(hint, &indent));
        }
        text
    }
}

/// How many findings there are of each outcome: `21 passed, 1 failed, 3 skipped`.
#[must_use]
pub fn summary(findings: &[Finding]) -> String {
    let count = |outcome| findings.iter().filter(|finding| finding.outcome == outcome).count();
    format!(
        "{} passed, {} failed, {} skipped",
        count(Outcome::Passed),
        count(Outcome::Failed),
        count(Outcome::Skipped)
    )
}

/// The findings as a JSON array, in their order.
///
/// # Errors
/// None that is known: a finding is plain text.
pub fn json(findings: &[Finding]) -> serde_json::Result<String> {
    Ok(format!("{}\n", serde_json::to_string_pretty(findings)?))
}

/// The findings as `JUnit` XML: one suite, one case a finding, its category as the class name.
///
/// # Errors
/// None that is known: a finding is plain text.
pub fn junit(suite: &str, findings: &[Finding]) -> Result<String, quick_junit::SerializeError> {
    junit::xml(suite, findings.iter().map(case).collect())
}

fn case(finding: &Finding) -> TestCase {
    let mut status = match finding.outcome {
        Outcome::Passed => TestCaseStatus::success(),
        Outcome::Failed => TestCaseStatus::non_success(NonSuccessKind::Failure),
        Outcome::Skipped => TestCaseStatus::skipped(),
    };
    if finding.outcome != Outcome::Passed {
        status.set_message(finding.message.as_str());
    }
    if let Some(hint) = &finding.hint {
        status.set_description(format!("hint: {hint}"));
    }
    let mut case = TestCase::new(finding.id.as_ref(), status);
    case.set_classname(finding.category);
    case
}
