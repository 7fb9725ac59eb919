//! What kubectl applied to an object becomes ours, as if we had: only then do fields go that a manifest does not name any
//! more. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{FieldsV1, ManagedFieldsEntry};
use serde_json::{Map, Value, json};

use crate::fields::path::Item;
use crate::object::Object;

/// The managers by which kubectl makes whole objects, other than by hand edits: `kubectl apply`, in both of its ways,
/// and `kubectl create`.
const FORMER: [(&str, &str); 4] = [
    ("kubectl-client-side-apply", "Update"),
    ("before-first-apply", "Update"),
    ("kubectl-create", "Update"),
    ("kubectl", "Apply"),
];

/// The managedFields of an object with what kubectl applied moved to `manager`; `None` where there is nothing to move.
#[must_use]
pub fn taken_over(live: &Object, manager: &str) -> Option<Vec<ManagedFieldsEntry>> {
    let version = live.types.as_ref().map(|types| types.api_version.as_str());
    let entries = live.metadata.managed_fields.clone()?;
    let is_own =
        |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some(manager) && operation(entry) == "Apply";
    // The fields of another version have other names.
    let (former, mut others): (Vec<_>, Vec<_>) =
        entries.into_iter().partition(|entry| is_former(entry) && entry.api_version.as_deref() == version);
    let first = former.first()?.clone();
    let place = others.iter().position(|entry| is_own(entry) && entry.subresource.is_none());
    let own = place.map(|place| others.remove(place));
    let mut fields = Value::Object(Map::new());
    for entry in former.iter().chain(&own) {
        if let Some(FieldsV1(more)) = &entry.fields_v1 {
            unite(&mut fields, more);
        }
    }
    others.push(ManagedFieldsEntry {
        manager: Some(manager.to_owned()),
        operation: Some("Apply".to_owned()),
        fields_v1: Some(FieldsV1(fields)),
        ..first
    });
    Some(others)
}

/// Tells whether `taken_over` would move an entry of this manager.
#[must_use]
pub fn is_former_manager(manager: &str) -> bool {
    FORMER.iter().any(|(former, _)| *former == manager)
}

/// What the server answered to a dry run of an apply, without the fields that would go if what kubectl applied were ours.
#[must_use]
pub fn without_former(mut answer: Object) -> Object {
    let entries = answer.metadata.managed_fields.take().unwrap_or_default();
    let (former, others): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_former);
    let fields_of = |entries: Vec<ManagedFieldsEntry>| {
        entries.into_iter().filter_map(|entry| Some(entry.fields_v1?.0)).collect::<Vec<_>>()
    };
    let (gone, kept) = (fields_of(former), fields_of(others));
    let Ok(mut value) = serde_json::to_value(&answer) else { return answer };
    for fields in &gone {
        remove(&mut value, fields, &kept.iter().collect::<Vec<_>>());
    }
    serde_json::from_value(value).unwrap_or(answer)
}

fn is_former(entry: &ManagedFieldsEntry) -> bool {
    let manager = entry.manager.as_deref().unwrap_or_default();
    let has_subresource = entry.subresource.as_ref().is_some_and(|subresource| !subresource.is_empty());
    !has_subresource && FORMER.contains(&(manager, operation(entry)))
}

fn operation(entry: &ManagedFieldsEntry) -> &str {
    entry.operation.as_deref().unwrap_or_default()
}

fn unite(fields: &mut Value, more: &Value) {
    let (Some(fields), Some(more)) = (fields.as_object_mut(), more.as_object()) else { return };
    for (key, below) in more {
        unite(fields.entry(key).or_insert_with(|| json!({})), below);
    }
}

/// Removes the fields of a fieldsV1 from a value, but for those that are kept as well.
fn remove(value: &mut Value, fields: &Value, kept: &[&Value]) {
    for (key, below) in fields.as_object().into_iter().flatten().filter(|(key, _)| *key != ".") {
        let kept: Vec<_> = kept.iter().filter_map(|fields| fields.get(key)).collect();
        let is_leaf = below.as_object().is_none_or(|below| below.keys().all(|key| key == "."));
        let (is_item, owns_itself) = (!key.starts_with("f:"), below.get(".").is_some());
        // An item goes as a whole: without its name it would not be found again.
        let goes_whole = kept.is_empty() && (is_leaf || is_item && owns_itself);
        let Some(child) = child(value, key) else { continue };
        if !goes_whole {
            remove(child, below, &kept);
        }
        if goes_whole || kept.is_empty() && owns_itself && is_empty(child) {
            remove_child(value, key);
        }
    }
}

fn is_empty(value: &Value) -> bool {
    value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

fn child<'v>(value: &'v mut Value, key: &str) -> Option<&'v mut Value> {
    match value {
        Value::Object(map) => map.get_mut(key.strip_prefix("f:")?),
        Value::Array(items) => {
            let selector = Item::of_key(key)?;
            items.iter_mut().find(|item| selector.selects(item))
        }
        _ => None,
    }
}

fn remove_child(value: &mut Value, key: &str) {
    match value {
        Value::Object(map) => {
            map.remove(key.strip_prefix("f:").unwrap_or_default());
        }
        Value::Array(items) => {
            let selector = Item::of_key(key);
            items.retain(|item| selector.as_ref().is_none_or(|selector| !selector.selects(item)));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(fields: &[(&str, &str, Value)]) -> Object {
        let entries: Vec<_> = fields
            .iter()
            .map(|(manager, operation, fields)| {
                json!({"manager": manager, "operation": operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
                    "fieldsV1": fields})
            })
            .collect();
        serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "managedFields": entries, "annotations": {"note": "by hand"}},
            "data": {"a": "1", "b": "2", "c": "3"},
            "spec": {"containers": [{"name": "x", "image": "i", "args": ["one"]}, {"name": "y"}], "hostPID": true},
        }))
        .expect("an object")
    }

    #[test]
    fn what_kubectl_applied_is_added_to_what_is_ours() {
        let live = object(&[
            ("bootstrap", "Apply", json!({"f:data": {"f:a": {}}})),
            ("kubectl-client-side-apply", "Update", json!({"f:data": {".": {}, "f:b": {}}})),
            ("kubectl-edit", "Update", json!({"f:data": {"f:c": {}}})),
        ]);
        let entries = taken_over(&live, "bootstrap").expect("something to move");
        let told: Vec<_> = entries
            .iter()
            .map(|entry| {
                (entry.manager.as_deref().unwrap_or_default(), entry.fields_v1.clone().expect("fields").0)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("kubectl-edit", json!({"f:data": {"f:c": {}}})),
                ("bootstrap", json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}})),
            ]
        );
        assert!(taken_over(&object(&[("helm", "Apply", json!({"f:data": {}}))]), "bootstrap").is_none());
    }

    #[test]
    fn a_field_goes_that_only_kubectl_applied() {
        let container = |fields: Value| json!({"k:{\"name\":\"x\"}": fields});
        let answer = object(&[
            (
                "bootstrap",
                "Apply",
                json!({"f:data": {"f:a": {}},
                    "f:spec": {"f:containers": container(json!({".": {}, "f:name": {}, "f:image": {}}))}}),
            ),
            (
                "kubectl-client-side-apply",
                "Update",
                json!({
                    "f:data": {".": {}, "f:a": {}, "f:b": {}},
                    "f:spec": {
                        "f:hostPID": {},
                        "f:containers": {
                            "k:{\"name\":\"x\"}": {".": {}, "f:name": {}, "f:args": {}},
                            "k:{\"name\":\"y\"}": {".": {}, "f:name": {}},
                        },
                    },
                }),
            ),
            ("kubectl-edit", "Update", json!({"f:metadata": {"f:annotations": {"f:note": {}}}})),
        ]);
        let left = without_former(answer);
        assert_eq!(left.data["data"], json!({"a": "1", "c": "3"}));
        assert_eq!(left.data["spec"], json!({"containers": [{"name": "x", "image": "i"}]}));
        assert!(left.metadata.annotations.is_some(), "a hand edit is left");
    }
}
