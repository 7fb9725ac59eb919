//! Who owns a field of a live object, read from its managedFields; whether a manifest says what the object says already, and
//! what it would change. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::core::ObjectMeta;
use serde_json::{Map, Value};

use crate::fields::path::Path;
use crate::object::Object;

pub use crate::fields::diff::{FieldChange, diff, diff_of_named};
pub use crate::fields::same::says_the_same;
pub use crate::fields::takeover::{is_former_manager, taken_over, without_former};

mod diff;
mod path;
mod same;
mod takeover;

/// A field manager's entry that lists a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The manager's name.
    pub manager: String,
    /// How it came to own the field.
    pub operation: Operation,
    /// The subresource that it wrote through, such as `scale`.
    pub subresource: Option<String>,
    /// When it last changed anything of the object; the server does not say it of a `kubectl scale`.
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

/// The fields that a manager has applied, as a fieldsV1.
#[must_use]
pub fn owned<'o>(object: &'o Object, manager: &str) -> Option<&'o Value> {
    let mut entries = object.metadata.managed_fields.iter().flatten();
    let is_it = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
    };
    entries.find(is_it)?.fields_v1.as_ref().map(|fields| &fields.0)
}

/// The keys of a field at the top of an object, such as `data`, that anyone owns. The server leaves out keys that are gone.
pub fn owned_keys<'o>(metadata: &'o ObjectMeta, field: &str) -> impl Iterator<Item = &'o str> {
    let field = format!("f:{field}");
    let entries = metadata.managed_fields.iter().flatten().filter_map(|entry| entry.fields_v1.as_ref());
    let keys = entries.filter_map(move |fields| fields.0[&field].as_object()).flat_map(Map::keys);
    keys.filter_map(|key| key.strip_prefix("f:"))
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

/// Who is named for a scale to zero.
pub const UNNAMED: &str = "kubectl scale or the like: of a scale to 0 the server keeps no name";

/// Tells whether someone scaled it to zero: of a scale to 0, and only of that, the server keeps neither manager nor time.
#[must_use]
pub fn is_scaled_to_zero(object: &Object) -> bool {
    object.data["spec"]["replicas"] == 0 && owners(object, ".spec.replicas").is_empty()
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
