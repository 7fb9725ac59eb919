//! Who owns a field of a live object, read from its managedFields, and whether a manifest says what the object says already.
//! Pure.

use jiff::Timestamp;
use serde_json::Value;

use crate::fields::path::Path;
use crate::object::Object;

pub use crate::fields::same::says_the_same;

mod path;
mod same;

/// A field manager's entry that lists a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The manager's name.
    pub manager: String,
    /// How it came to own the field.
    pub operation: Operation,
    /// The subresource that it wrote through, such as `scale`.
    pub subresource: Option<String>,
    /// When it last changed anything of the object.
    pub time: Option<Timestamp>,
}

/// How a manager writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Server-side apply: it means to keep the field as it is.
    Apply,
    /// Any other write.
    Update,
}

/// The owners of a field, given in the form of the server's conflicts: `.spec.template.spec.containers[name="x"].image`.
#[must_use]
pub fn owners(object: &Object, path: &str) -> Vec<Owner> {
    let path = Path(path);
    let entries = object.metadata.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| path.is_owned(&fields.0)))
        .map(|entry| Owner {
            manager: entry.manager.clone().unwrap_or_default(),
            operation: match entry.operation.as_deref() {
                Some("Apply") => Operation::Apply,
                _ => Operation::Update,
            },
            subresource: entry.subresource.clone().filter(|subresource| !subresource.is_empty()),
            time: entry.time.as_ref().map(|time| time.0),
        })
        .collect()
}

/// The value of a field, given in the same form.
#[must_use]
pub fn value_at(object: &Object, path: &str) -> Option<Value> {
    if path.starts_with(".metadata") {
        return Path(path).value(&serde_json::to_value(object).ok()?).cloned();
    }
    Path(path).value(&object.data).cloned()
}

/// Tells whether a person wrote it with kubectl (`edit`, `scale`, `set`, `patch`, …), as told apart from a program's own rule.
#[must_use]
pub fn is_hand_edit(owner: &Owner) -> bool {
    owner.operation == Operation::Update
        && (owner.manager == "kubectl" || owner.manager.starts_with("kubectl-"))
}

/// How long ago an owner last wrote, in words such as `3 min ago`.
#[must_use]
pub fn age(owner: &Owner, now: Timestamp) -> Option<String> {
    let seconds = now.as_second() - owner.time?.as_second();
    Some(match seconds {
        // The server's clock may be ahead of ours.
        ..5 => "just now".to_owned(),
        5..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86_400 => format!("{} h ago", seconds / 3600),
        86_400..172_800 => "1 day ago".to_owned(),
        _ => format!("{} days ago", seconds / 86_400),
    })
}
