//! Whether applying a manifest would change nothing, told without asking the server; in doubt it says no.

use serde_json::{Map, Value, json};

use crate::fields::path::Item;
use crate::object::{Kind, Object};

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
    let known = manifest.types.as_ref().and_then(|types| types.try_into().ok());
    let defaults = Defaults::of(known.as_ref().and_then(Kind::find).is_some());
    entry.fields_v1.as_ref().is_some_and(|fields| defaults.same(&fields.0, &wanted, &found))
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

/// What the server adds to a map or list that is owned as a whole, wherever the manifest leaves it out: always the same,
/// so it tells of no change. Only of its own kinds is that known.
struct Defaults(Vec<(&'static str, Value)>);

impl Defaults {
    fn of(is_well_known: bool) -> Self {
        let in_claim_templates = [
            ("kind", json!("PersistentVolumeClaim")),
            ("volumeMode", json!("Filesystem")),
            ("status", json!({ "phase": "Pending" })),
        ];
        // Of claim templates, and of references to a pod's own fields.
        let version = ("apiVersion", json!("v1"));
        Self(if is_well_known {
            in_claim_templates.into_iter().chain([version]).collect()
        } else {
            Vec::new()
        })
    }

    /// Compares one node: the fields owned below it, what the manifest wants there, and what is there.
    fn same(&self, owned: &Value, wanted: &Value, found: &Value) -> bool {
        let Some(owned) = owned.as_object() else { return false };
        let children: Vec<_> = owned.iter().filter(|(key, _)| *key != ".").collect();
        match wanted {
            // A leaf, or a map or list that is owned as a whole.
            _ if children.is_empty() => self.equal(wanted, found),
            Value::Object(wanted) => self.same_map(&children, wanted, found),
            Value::Array(wanted) => self.same_list(&children, wanted, found),
            _ => false,
        }
    }

    fn same_map(&self, owned: &[(&String, &Value)], wanted: &Map<String, Value>, found: &Value) -> bool {
        owned.len() == wanted.len()
            && owned.iter().all(|(key, below)| {
                let name = key.strip_prefix("f:");
                let pair = name.and_then(|name| Some((wanted.get(name)?, found.get(name)?)));
                pair.is_some_and(|(wanted, found)| self.same(below, wanted, found))
            })
    }

    /// Lists whose items have keys or are a set. Their order may matter, so it has to be the same as well.
    fn same_list(&self, owned: &[(&String, &Value)], wanted: &[Value], found: &Value) -> bool {
        let Some(found) = found.as_array() else { return false };
        let mut rest = found.iter();
        owned.len() == wanted.len()
            && wanted.iter().all(|item| {
                let mut mine = owned.iter().filter_map(|(key, below)| Some((selector(key, item)?, *below)));
                let (Some((selector, below)), None) = (mine.next(), mine.next()) else { return false };
                let live = rest.find(|candidate| selector.selects(candidate));
                live.is_some_and(|found| self.same(below, item, found))
            })
    }

    /// Compares what is owned as a whole.
    fn equal(&self, wanted: &Value, found: &Value) -> bool {
        match (wanted, found) {
            (Value::Object(wanted), Value::Object(found)) => {
                let is_default =
                    |key: &str, value: &Value| self.0.iter().any(|(k, v)| *k == key && v == value);
                wanted.iter().all(|(key, value)| found.get(key).is_some_and(|found| self.equal(value, found)))
                    && found.iter().all(|(key, value)| wanted.contains_key(key) || is_default(key, value))
            }
            (Value::Array(wanted), Value::Array(found)) => {
                wanted.len() == found.len()
                    && wanted.iter().zip(found).all(|(wanted, found)| self.equal(wanted, found))
            }
            _ => wanted == found,
        }
    }
}

/// Reads what finds the live item that belongs to an item of the manifest; `None` when it is another's.
fn selector(key: &str, item: &Value) -> Option<Item> {
    Item::of_key(key).filter(|selector| selector.selects(item))
}
