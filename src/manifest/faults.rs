//! What no manifest may have, though it is an object: pure.

use serde_json::Value;

use crate::object::{self, Kind, Object, ObjectRef};

/// What is wrong with an object of this name; `None` if it can be applied.
pub(super) fn find(name: &ObjectRef, object: &Object) -> Option<String> {
    if name.namespace.as_deref() == Some("") {
        let name = ObjectRef { namespace: None, ..name.clone() };
        return Some(format!("{name}: metadata.namespace is empty; name one, or leave it out"));
    }
    if let Some(known) = Kind::find(&name.gvk())
        && !known.namespaced
        && name.namespace.is_some()
    {
        return Some(format!("{name}: a {} has no namespace", known.kind));
    }
    let metadata = &object.metadata;
    let of_the_server = [
        ("generateName", metadata.generate_name.is_some()),
        ("managedFields", metadata.managed_fields.is_some()),
        ("resourceVersion", metadata.resource_version.is_some()),
        ("uid", metadata.uid.is_some()),
    ];
    if let Some((field, _)) = of_the_server.into_iter().find(|(_, is_there)| *is_there) {
        return Some(format!("{name}: metadata.{field} cannot be applied; leave it out"));
    }
    let fault = if name.is(&object::SECRET) { of_secret(&object.data) } else { None };
    fault.map(|fault| format!("{name}: {fault}"))
}

/// What is wrong with what a Secret holds. The server would say it with the value, which is nobody's business.
fn of_secret(secret: &Value) -> Option<String> {
    let fields = ["data", "stringData"].map(|field| (field, &secret[field]));
    fields.into_iter().filter(|(_, held)| !held.is_null()).find_map(|(field, held)| match held.as_object() {
        Some(entries) => {
            let (key, _) = entries.iter().find(|(_, value)| !value.is_string() && !value.is_null())?;
            Some(format!("{field}.{key} is no string; put it in quotes"))
        }
        None => Some(format!("{field} is no mapping")),
    })
}
