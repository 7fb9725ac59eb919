//! How things are said, the same in every display: durations, counts, names, reasons, errors.

use std::fmt::Write;

use super::paint::Paint;
use crate::event::{Change, ReleaseAction, Tally, Unready};
use crate::object::ObjectRef;
use crate::status::Status;

/// An error as a user sees it: the message, its causes, a blank line, one hint.
pub(super) fn error(message: &str, causes: &[String], hint: Option<&str>, paint: Paint) -> String {
    let mut text = format!("{} {message}", paint.bad("error:"));
    for cause in causes {
        let _ = write!(text, "\n  caused by: {}", indented(cause, "    "));
    }
    if let Some(hint) = hint {
        let _ = write!(text, "\n\n{} {}", paint.active("hint:"), indented(hint, "      "));
    }
    text
}

/// A duration as people read it: `0.14s`, `4.1s`, `2m05s`.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("0.{:02}s", milliseconds / 10),
        1_000..60_000 => format!("{}.{}s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        _ => format!("{}m{:02}s", milliseconds / 60_000, milliseconds % 60_000 / 1_000),
    }
}

/// A duration that is still growing: `4s`, `2m05s`.
pub(super) fn growing(milliseconds: u64) -> String {
    if milliseconds < 60_000 { format!("{}s", milliseconds / 1_000) } else { duration(milliseconds) }
}

/// What was changed, leaving out what was not there: `3 created, 1 unchanged`.
pub(super) fn tally(tally: Tally) -> String {
    let Tally { created, configured, unchanged, deleted, kept } = tally;
    let counts = [
        (created, Change::Created),
        (configured, Change::Configured),
        (deleted, Change::Deleted),
        (unchanged, Change::Unchanged),
        (kept, Change::Kept),
    ];
    let said = counts.iter().filter(|(count, _)| *count > 0);
    said.map(|(count, change)| format!("{count} {}", self::change(*change))).collect::<Vec<_>>().join(", ")
}

/// A number of things: `1 object`, `31 objects`.
pub(super) fn count(number: u32, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// What became of an object.
pub(super) fn change(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Configured => "configured",
        Change::Unchanged => "unchanged",
        Change::Deleted => "deleted",
        Change::Kept => "kept",
    }
}

/// What helm does; a release is named where its step does not bear the name.
pub(super) fn release_starts(action: ReleaseAction, release: &str, step: Option<&str>) -> String {
    let what = match action {
        ReleaseAction::Install => "installing",
        ReleaseAction::Upgrade => "upgrading",
        ReleaseAction::Rollback => "rolling back",
        ReleaseAction::Uninstall => "uninstalling",
    };
    if step == Some(release) { format!("helm: {what}") } else { format!("helm: {what} {release}") }
}

/// What became of a release, named as above.
pub(super) fn release_changed(change: Change, release: &str, step: Option<&str>) -> String {
    let what = self::change(change);
    if step == Some(release) { format!("release {what}") } else { format!("release {release} {what}") }
}

/// A status and what is missing: `failed: …`; for an object on its way just what is missing.
pub(super) fn status(status: Status, message: &str) -> String {
    let word = match status {
        Status::InProgress if message.is_empty() => "in progress",
        Status::InProgress => return message.to_owned(),
        Status::Current => "current",
        Status::Failed => "failed",
        Status::Terminating => "terminating",
        Status::NotFound => "not found",
        Status::Unknown => "unknown",
    };
    if message.is_empty() { word.to_owned() } else { format!("{word}: {message}") }
}

/// An object's name without the namespace that the first line of the run has named already.
pub(super) fn short(object: &ObjectRef, namespace: &str) -> String {
    if object.namespace.as_deref() == Some(namespace) {
        ObjectRef { namespace: None, ..object.clone() }.to_string()
    } else {
        object.to_string()
    }
}

/// What was not ready, one line for each object and each pod's reason; what has failed comes first, then what gives a
/// reason, then the rest.
pub(super) fn unready(unready: &[Unready], paint: Paint) -> Vec<String> {
    let mut ordered: Vec<&Unready> = unready.iter().collect();
    ordered.sort_by_key(|one| (one.status != Status::Failed, one.pods.is_empty()));
    let mut lines = Vec::new();
    for Unready { object, status, message, pods } in ordered {
        lines.push(format!("{}: {}", paint.strong(&object.to_string()), self::status(*status, message)));
        for pod in pods {
            let mut line = format!("  pod {}", pod.pod);
            if let Some(container) = &pod.container {
                let _ = write!(line, ", container {container}");
            }
            let _ = write!(line, ": {}", paint.attention(&pod.reason));
            if !pod.message.is_empty() {
                let _ = write!(line, ": {}", pod.message);
            }
            lines.push(line);
        }
    }
    lines
}

/// A text whose lines after the first are indented.
fn indented(text: &str, by: &str) -> String {
    text.trim_end().lines().collect::<Vec<_>>().join(&format!("\n{by}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_as_many_digits_as_matter() {
        assert_eq!([0, 140, 999].map(duration), ["0.00s", "0.14s", "0.99s"]);
        assert_eq!([1_000, 4_123, 59_999].map(duration), ["1.0s", "4.1s", "59.9s"]);
        assert_eq!([60_000, 125_400, 3_600_000].map(duration), ["1m00s", "2m05s", "60m00s"]);
    }

    #[test]
    fn a_cause_of_several_lines_stays_under_its_head() {
        let causes = ["helm says:\nfirst\nsecond\n".to_owned()];
        let shown = error("failed to install release/x", &causes, Some("helm version"), Paint::new(false));
        insta::assert_snapshot!(shown, @"
        error: failed to install release/x
          caused by: helm says:
            first
            second

        hint: helm version
        ");
    }
}
