//! How things are said, the same in every display: durations, counts, names, reasons, errors.

use console::strip_ansi_codes;

use super::line::Detail;
use super::paint::Paint;
use crate::event::{Change, ReleaseAction, Tally};
use crate::object::ObjectRef;
use crate::status::Status;

/// An error as a user sees it: the message, its causes, a blank line, and a hint for each thing that failed.
pub(super) fn error(message: &str, causes: &[String], hints: &[&str], paint: Paint) -> Vec<Detail> {
    let mut parts = vec![Detail::words(0, format!("{} {}", paint.bad("error:"), clean(message)))];
    parts.extend(causes.iter().map(|cause| Detail::words(2, format!("caused by: {}", clean(cause)))));
    if !hints.is_empty() {
        parts.push(Detail::whole(0, ""));
    }
    parts.extend(hints.iter().map(|hint| {
        let hint = indented(hint, "    ");
        Detail::whole(0, format!("{} {hint}", paint.active("hint:")))
    }));
    parts
}

/// The same as text.
pub(super) fn error_text(message: &str, causes: &[String], hint: Option<&str>, paint: Paint) -> String {
    let hints: Vec<_> = hint.into_iter().collect();
    error(message, causes, &hints, paint).iter().flat_map(Detail::lines).collect::<Vec<_>>().join("\n")
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
    let Tally { created, configured, replaced, unchanged, pruned, deleted, kept } = tally;
    let counts = [
        (created, Change::Created),
        (configured, Change::Configured),
        (replaced, Change::Replaced),
        (pruned, Change::Pruned),
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
        Change::Replaced => "replaced",
        Change::Unchanged => "unchanged",
        Change::Pruned => "pruned",
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

/// A text of the cluster's without colours and control characters; its lines stay lines.
pub(super) fn clean(text: &str) -> String {
    let plain = strip_ansi_codes(text.trim_end());
    let shown = plain.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t'));
    shown.map(|c| if c == '\t' { ' ' } else { c }).collect()
}

/// What is going on with an image: `pulling docker.io/grafana/loki:3.7.8`.
pub(super) fn pulling(image: &str) -> String {
    format!("pulling {image}")
}

/// A text whose lines after the first are indented.
pub(super) fn indented(text: &str, by: &str) -> String {
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
    fn nothing_of_the_clusters_steers_the_terminal() {
        assert_eq!(
            clean("\u{1b}[31mred\u{1b}[0m\tand\r\u{7} more\u{1b}]0;title\u{7}\nend\n"),
            "red and more\nend"
        );
    }

    #[test]
    fn a_cause_of_several_lines_stays_under_its_head() {
        let causes = ["helm says:\nfirst\nsecond\n".to_owned()];
        let shown =
            error_text("failed to install release/x", &causes, Some("helm version"), Paint::new(false));
        insta::assert_snapshot!(shown, @"
        error: failed to install release/x
          caused by: helm says:
            first
            second

        hint: helm version
        ");
    }
}
