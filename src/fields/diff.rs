//! What an update would change, field by field: the object as it is against the object as it would be. Pure.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::object::{self, Object, ObjectRef};

/// What stands in place of a secret value.
const MASK: &str = "(masked)";

/// What the server keeps of its own, which nobody asks for.
const BOOKKEEPING: [&str; 6] =
    ["creationTimestamp", "deletionTimestamp", "generation", "managedFields", "resourceVersion", "uid"];

/// The annotations of that kind: a copy of what kubectl applied, and the number that a `DaemonSet`'s template had before it
/// had revisions.
const ANNOTATIONS: [&str; 2] =
    ["kubectl.kubernetes.io/last-applied-configuration", "deprecated.daemonset.template.generation"];

/// The fields that tell items of a list apart, as Kubernetes' own lists have them.
const KEYS: [&str; 4] = ["name", "mountPath", "containerPort", "port"];

/// A field that would be another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// Where it is, such as `spec.template.spec.containers[name="x"].image`.
    pub path: String,
    /// What it is; `None` when it is not there.
    pub before: Option<Value>,
    /// What it would be; `None` when it would go.
    pub after: Option<Value>,
}

/// Compares an object as it is with what the server would make of it. The values of a Secret are masked.
#[must_use]
pub fn diff(before: &Object, after: &Object) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare("", &told(before), &told(after), &mut changes);
    masked(before, changes)
}

/// Compares only what the manifest names: for where the server cannot be asked what it would make of it.
#[must_use]
pub fn diff_of_named(before: &Object, manifest: &Object) -> Vec<FieldChange> {
    let (found, mut wanted) = (told(before), told(manifest));
    fill(&mut wanted, &found);
    let mut changes = Vec::new();
    compare("", &found, &wanted, &mut changes);
    masked(before, changes)
}

/// An object without what is no part of anyone's intent.
fn told(object: &Object) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
    }
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.retain(|key, _| !BOOKKEEPING.contains(&key.as_str()));
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.retain(|key, _| !ANNOTATIONS.contains(&key.as_str()));
            if annotations.is_empty() {
                metadata.remove("annotations");
            }
        }
    }
    value
}

fn masked(object: &Object, mut changes: Vec<FieldChange>) -> Vec<FieldChange> {
    if ObjectRef::of(object).is_some_and(|name| name.is(&object::SECRET)) {
        for change in &mut changes {
            if change.path.starts_with("data") || change.path.starts_with("stringData") {
                mask(&mut change.before);
                mask(&mut change.after);
            }
        }
    }
    changes
}

/// Hides a value, or each value of a map whose keys are no secret.
fn mask(value: &mut Option<Value>) {
    match value {
        Some(Value::Object(map)) => map.values_mut().for_each(|value| *value = json!(MASK)),
        Some(other) => *other = json!(MASK),
        None => {}
    }
}

fn compare(path: &str, before: &Value, after: &Value, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        _ if before == after => {}
        (Value::Object(before), Value::Object(after)) => {
            let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for name in names {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                compare_item(path, before.get(name), after.get(name), changes);
            }
        }
        (Value::Array(before), Value::Array(after)) => match key_of(before, after) {
            Some(key) => compare_by(key, path, before, after, changes),
            None => {
                for place in 0..before.len().max(after.len()) {
                    compare_item(format!("{path}[{place}]"), before.get(place), after.get(place), changes);
                }
            }
        },
        _ => changes.push(FieldChange {
            path: path.to_owned(),
            before: Some(before.clone()),
            after: Some(after.clone()),
        }),
    }
}

/// Compares two lists whose items are told apart by a key.
fn compare_by(key: &str, path: &str, before: &[Value], after: &[Value], changes: &mut Vec<FieldChange>) {
    let same = |item: &Value, other: &&Value| other[key] == item[key];
    let path = |item: &Value| format!("{path}[{key}={}]", item[key]);
    for item in before {
        compare_item(path(item), Some(item), after.iter().find(|other| same(item, other)), changes);
    }
    for item in after.iter().filter(|item| !before.iter().any(|other| same(item, &other))) {
        compare_item(path(item), None, Some(item), changes);
    }
}

fn compare_item(path: String, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<FieldChange>) {
    match (before, after) {
        (Some(before), Some(after)) => compare(&path, before, after, changes),
        (before, after) => changes.push(FieldChange { path, before: before.cloned(), after: after.cloned() }),
    }
}

/// The field by which the items of two lists can be told apart, if there is one.
fn key_of(before: &[Value], after: &[Value]) -> Option<&'static str> {
    let tells_apart = |list: &[Value], key: &str| {
        let values: BTreeSet<_> = list.iter().map(|item| item[key].to_string()).collect();
        values.len() == list.len() && list.iter().all(|item| !item[key].is_null())
    };
    KEYS.into_iter().find(|key| tells_apart(before, key) && tells_apart(after, key))
}

/// Adds to what is wanted all that is found and not named in it.
fn fill(wanted: &mut Value, found: &Value) {
    match (wanted, found) {
        (Value::Object(wanted), Value::Object(found)) => fill_map(wanted, found),
        (Value::Array(wanted), Value::Array(found)) => {
            let Some(key) = key_of(wanted, found) else { return };
            for item in wanted {
                let same = found.iter().find(|other| other[key] == item[key]);
                if let Some(same) = same {
                    fill(item, same);
                }
            }
        }
        _ => {}
    }
}

fn fill_map(wanted: &mut Map<String, Value>, found: &Map<String, Value>) {
    for (name, value) in found {
        match wanted.get_mut(name) {
            Some(inner) => fill(inner, value),
            None => {
                wanted.insert(name.clone(), value.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(kind: &str, fields: &Value) -> Object {
        let mut value = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "x", "uid": "u" } });
        for (name, field) in fields.as_object().expect("fields") {
            value[name] = field.clone();
        }
        serde_json::from_value(value).expect("an object")
    }

    fn paths(changes: &[FieldChange]) -> Vec<&str> {
        changes.iter().map(|change| change.path.as_str()).collect()
    }

    #[test]
    fn a_field_is_named_by_its_path_and_an_item_by_its_name() {
        let with = |image: &str, replicas: u32| {
            let containers = json!([{"name": "a", "image": "same"}, {"name": "b", "image": image}]);
            object(
                "Pod",
                &json!({"spec": {"replicas": replicas, "containers": containers}, "status": {"n": replicas}}),
            )
        };
        let changes = diff(&with("one", 1), &with("two", 2));
        assert_eq!(paths(&changes), ["spec.containers[name=\"b\"].image", "spec.replicas"]);
        assert_eq!((&changes[0].before, &changes[0].after), (&Some(json!("one")), &Some(json!("two"))));
    }

    #[test]
    fn what_comes_and_what_goes_is_told_whole() {
        let before = object("Pod", &json!({"spec": {"volumes": [{"name": "old"}], "hostPID": true}}));
        let after = object("Pod", &json!({"spec": {"volumes": [{"name": "new"}]}}));
        let changes = diff(&before, &after);
        assert_eq!(
            paths(&changes),
            ["spec.hostPID", "spec.volumes[name=\"old\"]", "spec.volumes[name=\"new\"]"]
        );
        assert!(changes[1].after.is_none() && changes[2].before.is_none());
    }

    #[test]
    fn a_secret_value_is_never_told() {
        let before = object("Secret", &json!({"data": {"key": "b25l"}, "type": "a"}));
        let after = object("Secret", &json!({"data": {"key": "dHdv", "more": "dHdv"}, "type": "b"}));
        let changes = diff(&before, &after);
        assert_eq!(paths(&changes), ["data.key", "data.more", "type"]);
        let text = serde_json::to_string(&changes).expect("JSON");
        assert!(!text.contains("b25l") && !text.contains("dHdv"), "{text}");
        let all = diff(&object("Secret", &json!({})), &after);
        assert!(!serde_json::to_string(&all).expect("JSON").contains("dHdv"));
    }

    #[test]
    fn what_a_manifest_does_not_name_is_no_change_of_its() {
        let found = object("Pod", &json!({"spec": {"a": 1, "list": [{"name": "x", "default": true}]}}));
        let wanted = object("Pod", &json!({"spec": {"a": 2, "list": [{"name": "x"}]}}));
        assert_eq!(paths(&diff_of_named(&found, &wanted)), ["spec.a"]);
    }
}
