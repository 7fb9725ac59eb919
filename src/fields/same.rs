//! Whether applying a manifest would change nothing, told without asking the server; in doubt it says no.

use serde_json::{Map, Value};

use crate::fields::path::has_keys;
use crate::object::Object;

/// Tells whether the manager owns exactly the fields that the manifest names, and each has the manifest's value already.
/// Whatever is written otherwise than the server keeps it (quantities, defaults within a map) is a no.
#[must_use]
pub fn says_the_same(manifest: &Object, live: &Object, manager: &str) -> bool {
    if live.metadata.deletion_timestamp.is_some() {
        return false;
    }
    let mut ours = live.metadata.managed_fields.iter().flatten().filter(|entry| {
        entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some("Apply")
    });
    let (Some(entry), None) = (ours.next(), ours.next()) else { return false };
    let Some(types) = &manifest.types else { return false };
    if entry.api_version.as_ref() != Some(&types.api_version) || entry.subresource.is_some() {
        return false;
    }
    let (Ok(wanted), Ok(found)) = (serde_json::to_value(manifest), serde_json::to_value(live)) else {
        return false;
    };
    let wanted = without_names(wanted);
    entry.fields_v1.as_ref().is_some_and(|fields| same(&fields.0, &wanted, &found))
}

/// What names an object is no field of it that anyone owns.
fn without_names(mut object: Value) -> Value {
    if let Some(fields) = object.as_object_mut() {
        fields.remove("apiVersion");
        fields.remove("kind");
        if let Some(metadata) = fields.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("name");
            metadata.remove("namespace");
            if metadata.is_empty() {
                fields.remove("metadata");
            }
        }
    }
    object
}

/// Compares one node: the fields owned below it, what the manifest wants there, and what is there.
fn same(owned: &Value, wanted: &Value, found: &Value) -> bool {
    let Some(owned) = owned.as_object() else { return false };
    let children: Vec<_> = owned.iter().filter(|(key, _)| *key != ".").collect();
    match wanted {
        // A leaf, or a map or list that is owned as a whole.
        _ if children.is_empty() => wanted == found,
        Value::Object(wanted) => same_map(&children, wanted, found),
        Value::Array(wanted) => same_list(&children, wanted, found),
        _ => false,
    }
}

fn same_map(owned: &[(&String, &Value)], wanted: &Map<String, Value>, found: &Value) -> bool {
    owned.len() == wanted.len()
        && owned.iter().all(|(key, below)| {
            let name = key.strip_prefix("f:");
            let pair = name.and_then(|name| Some((wanted.get(name)?, found.get(name)?)));
            pair.is_some_and(|(wanted, found)| same(below, wanted, found))
        })
}

/// Lists whose items have keys or are a set. Their order may matter, so it has to be the same as well.
fn same_list(owned: &[(&String, &Value)], wanted: &[Value], found: &Value) -> bool {
    let Some(found) = found.as_array() else { return false };
    let mut rest = found.iter();
    owned.len() == wanted.len()
        && wanted.iter().all(|item| {
            let mut mine = owned.iter().filter_map(|(key, below)| Some((Selector::of(key, item)?, *below)));
            let (Some((selector, below)), None) = (mine.next(), mine.next()) else { return false };
            rest.find(|candidate| selector.selects(candidate)).is_some_and(|found| same(below, item, found))
        })
}

/// What finds the live item that belongs to an item of the manifest.
enum Selector {
    Keys(Map<String, Value>),
    Value(Value),
}

impl Selector {
    /// Reads a fieldsV1 key, `k:{…}` or `v:…`; `None` when it is not this item's.
    fn of(key: &str, item: &Value) -> Option<Self> {
        let selector = match key.split_once(':')? {
            ("k", text) => Self::Keys(serde_json::from_str(text).ok()?),
            ("v", text) => Self::Value(serde_json::from_str(text).ok()?),
            _ => return None,
        };
        selector.selects(item).then_some(selector)
    }

    fn selects(&self, item: &Value) -> bool {
        match self {
            Self::Keys(keys) => has_keys(item, keys),
            Self::Value(value) => item == value,
        }
    }
}
