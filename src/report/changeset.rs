//! How a changeset is shown: as text, one line for each object that changes and below it its fields, or as JSON.

use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::paint::Paint;
use super::phrases;
use crate::changeset::{Changeset, Entry, Outcome, StepChanges, StorageClass, Subject};
use crate::fields::FieldChange;

/// How many lines around a changed one are shown of a text.
const CONTEXT: usize = 1;

/// How many lines are shown of a value that comes or goes whole.
const MOST_LINES: usize = 10;

/// Where a plan would be carried out.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Whereabouts<'a> {
    /// The cluster, as in `k3d-blog (k3d, v1.36.4, 3 nodes)`.
    pub cluster: &'a str,
    /// The stack's name.
    pub stack: &'a str,
    /// The stack's namespace.
    pub namespace: &'a str,
}

/// How much is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// How many there are of each outcome.
    Counts,
    /// What would change.
    Changes,
    /// What stays as it is, too, and values whole.
    All,
}

/// The changeset as text.
#[must_use]
pub fn text(changeset: &Changeset, at: &Whereabouts<'_>, extent: Extent, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.strong(&format!("{} → {}", at.cluster, at.namespace)));
    if let Some(StorageClass { class, why }) = &changeset.storage {
        text += &format!("storage class {class}: {why}\n");
    }
    if extent != Extent::Counts {
        let show = Show { namespace: at.namespace, extent, paint };
        for StepChanges { step, entries } in &changeset.steps {
            text += &show.section(step, entries);
        }
        text += &show.section("no more in the stack", &changeset.pruned);
    }
    let counts = counts(changeset);
    text + &if changeset.refused.is_some() {
        format!("{}: {counts}\n", paint.bad("up would do none of it"))
    } else if changeset.has_changes() {
        format!("{}: {counts}\n", paint.strong("to do"))
    } else {
        format!("{}: {counts}\n", paint.good("no changes"))
    }
}

fn counts(changeset: &Changeset) -> String {
    let counts = changeset.counts();
    let counts = counts.iter().map(|(outcome, count)| format!("{count} {}", word(*outcome)));
    counts.collect::<Vec<_>>().join(", ")
}

/// The changeset as JSON.
///
/// # Errors
/// None that is known: all its keys are strings.
pub fn json(changeset: &Changeset, at: &Whereabouts<'_>) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Refused {
        message: String,
        hint: Option<String>,
    }
    #[derive(Serialize)]
    struct Whole<'a> {
        #[serde(flatten)]
        at: &'a Whereabouts<'a>,
        storage_class: &'a Option<StorageClass>,
        steps: &'a [StepChanges],
        pruned: &'a [Entry],
        changes: bool,
        refused: Option<Refused>,
    }
    let refused = changeset
        .refused
        .as_ref()
        .map(|error| Refused { message: error.to_string(), hint: error.hint_text().map(str::to_owned) });
    let whole = Whole {
        at,
        storage_class: &changeset.storage,
        steps: &changeset.steps,
        pruned: &changeset.pruned,
        changes: changeset.has_changes(),
        refused,
    };
    Ok(format!("{}\n", serde_json::to_string_pretty(&whole)?))
}

fn word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Created => "created",
        Outcome::Configured => "configured",
        Outcome::Replaced => "replaced",
        Outcome::Unchanged => "unchanged",
        Outcome::Pruned => "pruned",
        Outcome::Kept => "kept",
        Outcome::Conflict => "conflict",
        Outcome::Foreign => "foreign",
        Outcome::Immutable => "immutable",
    }
}

/// Sets entries as text.
struct Show<'a> {
    namespace: &'a str,
    extent: Extent,
    paint: Paint,
}

impl Show<'_> {
    fn section(&self, title: &str, entries: &[Entry]) -> String {
        let shown: Vec<_> = entries.iter().filter(|entry| self.is_shown(entry)).collect();
        if shown.is_empty() {
            return String::new();
        }
        let lines: String = shown.iter().map(|entry| self.entry(title, entry)).collect();
        format!("{}\n{lines}", self.paint.strong(title))
    }

    fn is_shown(&self, entry: &Entry) -> bool {
        self.extent == Extent::All || entry.outcome != Outcome::Unchanged
    }

    fn entry(&self, step: &str, entry: &Entry) -> String {
        let name = match &entry.subject {
            Subject::Object(object) => phrases::short(object, self.namespace),
            Subject::Release { name, .. } if name == step => "release".to_owned(),
            Subject::Release { name, .. } => format!("release {name}"),
        };
        let paint = self.paint;
        let mark = match entry.outcome {
            Outcome::Created => paint.good("+"),
            Outcome::Configured => paint.attention("~"),
            Outcome::Replaced => paint.attention("±"),
            Outcome::Pruned => paint.bad("-"),
            Outcome::Unchanged | Outcome::Kept => paint.faint("="),
            Outcome::Conflict | Outcome::Foreign | Outcome::Immutable => paint.bad("✗"),
        };
        let why = entry.why.as_ref().map(|why| format!(": {}", phrases::clean(why))).unwrap_or_default();
        let mut text = format!("  {mark} {name} {}{why}\n", word(entry.outcome));
        for drift in &entry.drift {
            text += &format!("      {} {}\n", paint.attention("by hand:"), phrases::clean(drift));
        }
        for change in &entry.fields {
            text += &self.field(change);
        }
        text
    }

    fn field(&self, FieldChange { path, before, after }: &FieldChange) -> String {
        match (before, after) {
            (Some(Value::String(before)), Some(Value::String(after)))
                if before.contains('\n') || after.contains('\n') =>
            {
                format!("      {path}:\n{}", self.lines_of(before, after))
            }
            (Some(before), Some(after)) => match (short(before), short(after)) {
                (Some(before), Some(after)) => format!("      {path}: {before} → {after}\n"),
                _ => format!("      {path}:\n{}{}", self.whole("-", before), self.whole("+", after)),
            },
            (None, Some(value)) => self.one_sided("+", path, value),
            (Some(value), None) => self.one_sided("-", path, value),
            (None, None) => String::new(),
        }
    }

    /// A field that comes, or that goes.
    fn one_sided(&self, sign: &str, path: &str, value: &Value) -> String {
        match short(value) {
            Some(value) => format!("    {} {path}: {value}\n", self.signed(sign, sign)),
            None => format!("    {} {path}:\n{}", self.signed(sign, sign), self.whole(sign, value)),
        }
    }

    /// The lines of a text that change, and what is around them.
    fn lines_of(&self, before: &str, after: &str) -> String {
        let diff = TextDiff::from_lines(before, after);
        let mut text = String::new();
        for group in diff.grouped_ops(CONTEXT) {
            for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let sign = match change.tag() {
                    ChangeTag::Equal => " ",
                    ChangeTag::Delete => "-",
                    ChangeTag::Insert => "+",
                };
                let line = format!("{sign} {}", phrases::clean(change.value()).replace('\n', ""));
                text += format!("        {}", self.signed(sign, line.trim_end())).trim_end();
                text.push('\n');
            }
        }
        text
    }

    /// A value that comes or goes as a whole, as YAML.
    fn whole(&self, sign: &str, value: &Value) -> String {
        let yaml = serde_yaml::to_string(value).unwrap_or_else(|_| value.to_string());
        let lines: Vec<_> = yaml.lines().collect();
        let most = if self.extent == Extent::All { lines.len() } else { MOST_LINES };
        let mut text = String::new();
        for line in lines.iter().take(most) {
            let line = format!("{sign} {}", phrases::clean(line));
            text += &format!("        {}\n", self.signed(sign, line.trim_end()));
        }
        if lines.len() > most {
            text += &format!("        … {} more lines; -v shows them\n", lines.len() - most);
        }
        text
    }

    fn signed(&self, sign: &str, text: &str) -> String {
        match sign {
            "+" => self.paint.good(text),
            "-" => self.paint.bad(text),
            _ => text.to_owned(),
        }
    }
}

/// A value that fits into a line.
fn short(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.contains('\n') => None,
        Value::String(text) => Some(phrases::clean(text)),
        Value::Object(map) if !map.is_empty() => None,
        Value::Array(items) if !items.is_empty() => None,
        other => Some(other.to_string()),
    }
}
