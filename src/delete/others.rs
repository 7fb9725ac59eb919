//! What somebody else has where something is to go, and would lose with it. Changes nothing.

use kube::core::GroupVersionKind;
use serde_json::Value;

use crate::cluster::{Cluster, RequestError};
use crate::delete::survey::name_of;
use crate::error::Error;
use crate::inventory::Inventory;
use crate::live::{self, Contents};
use crate::object::{self, Object, ObjectRef};

/// Kinds, by their groups, whose objects the server or its controllers make of others.
const DERIVED: [(&str, &str); 5] = [
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("", "Endpoints"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("metrics.k8s.io", "PodMetrics"),
];

/// Why a volume of the stack stays.
pub(crate) const BOUND: &str = "its claim is kept";

/// Why the stack's own namespace stays, where nothing else is left in it.
pub(super) const INVENTORY: &str = "the inventory in it tells of what is kept";

/// What has to hold for an object to go, where that is found out only when all else has gone.
pub(crate) fn condition(object: &Object) -> Option<&'static str> {
    let name = name_of(object);
    if name.is(&object::NAMESPACE) {
        Some("if nothing else is in it")
    } else if name.is(&object::CUSTOM_RESOURCE_DEFINITION) {
        Some("if nobody else has objects of its kind")
    } else {
        None
    }
}

/// Why a namespace must stay: something is in it that neither Kubernetes nor this stack put there, or could be.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub(super) async fn within(
    cluster: &Cluster,
    namespace: &str,
    inventory: &Inventory,
) -> Result<Option<String>, Error> {
    let Contents { objects, unknown } =
        live::all_in(cluster, namespace).await.map_err(RequestError::into_error)?;
    let mut hidden = Vec::new();
    for (kind, error) in unknown {
        match error.code() {
            Some(403) => hidden.push(kind),
            _ => return Err(error.into_error()),
        }
    }
    let is_inventory = |object: &Object| ObjectRef::of(object).as_ref() == Some(&inventory.name);
    let others = objects.iter().filter(|object| !comes_by_itself(object) && !is_inventory(object));
    let others = independent(cluster, others).await.map_err(RequestError::into_error)?;
    let others = named(&others).map(|named| format!("{named} in it"));
    let unseen = hidden.iter().find(|kind| !comes_of_others(&kind.group, &kind.kind)).map(|kind| {
        format!("there is no right to see whether something else is in it, such as a {}", kind.kind)
    });
    Ok(others.or(unseen))
}

/// Why a definition must stay: objects of it that are not of this stack would go with it.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub(super) async fn needing(
    cluster: &Cluster,
    definition: &Object,
    inventory: &Inventory,
) -> Result<Option<String>, Error> {
    let spec = &definition.data["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut versions = spec["versions"].as_array().into_iter().flatten();
    let Some(version) = versions.find(|version| version["served"] == true) else { return Ok(None) };
    let (group, kind) = (text(&spec["group"]), text(&spec["names"]["kind"]));
    let kind = GroupVersionKind::gvk(&group, &text(&version["name"]), &kind);
    let found = match cluster.list(&kind, None, None).await {
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) if error.code() == Some(403) => {
            return Ok(Some("objects of its kind would go with it, and may not be listed".to_owned()));
        }
        answer => answer.map_err(RequestError::into_error)?,
    };
    let others = found.iter().filter(|object| !is_leaving(object) && !inventory.has(object));
    let others = independent(cluster, others).await.map_err(RequestError::into_error)?;
    Ok(named(&others).map(|named| format!("{named} of its kind, and would go with it")))
}

/// The first of these, with a word on how many more there are: `configmap/x -n y and 2 more are`.
fn named(others: &[ObjectRef]) -> Option<String> {
    let first = others.first()?;
    Some(match others.len() {
        1 => format!("{first} is"),
        all => format!("{first} and {} more are", all - 1),
    })
}

/// What every namespace has, what the server derives from other objects, and what is on its way out.
fn comes_by_itself(object: &Object) -> bool {
    let name = name_of(object);
    is_leaving(object)
        || comes_of_others(&name.group, &name.kind)
        || (name.is(&object::CONFIG_MAP) && name.name == "kube-root-ca.crt")
        || (name.is(&object::SERVICE_ACCOUNT) && name.name == "default")
}

fn comes_of_others(group: &str, kind: &str) -> bool {
    DERIVED.contains(&(group, kind))
}

fn is_leaving(object: &Object) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Those of these objects that do not go because another one of their namespace does.
async fn independent(
    cluster: &Cluster,
    objects: impl Iterator<Item = &Object>,
) -> Result<Vec<ObjectRef>, RequestError> {
    let mut independent = Vec::new();
    for object in objects {
        if !belongs_to_another(cluster, object).await? {
            independent.push(name_of(object));
        }
    }
    Ok(independent)
}

/// What only cluster-wide objects own stays for as long as they do.
async fn belongs_to_another(cluster: &Cluster, object: &Object) -> Result<bool, RequestError> {
    for owner in object.metadata.owner_references.iter().flatten() {
        let (group, version) = owner.api_version.rsplit_once('/').unwrap_or(("", &owner.api_version));
        match cluster.is_namespaced(&GroupVersionKind::gvk(group, version, &owner.kind)).await {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            // An owner of a kind that is gone is gone, too.
            Err(error) if error.is_not_found() => return Ok(true),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
