//! What adds kinds to the API: CRDs and aggregated APIs. Their conditions run ahead of discovery, so both must agree.

use serde_json::Value;

use super::{Assessment, Surroundings, condition, text};
use crate::object::{self, Object, ObjectRef};

/// Something that discovery can answer for: an API's group and version, or one resource in it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// API group.
    pub group: String,
    /// Version within the group.
    pub version: String,
    /// The resource's name in the plural; `None` for the group and version as such.
    pub resource: Option<String>,
}

/// What discovery must answer for before the object is Current; empty while its own conditions are not yet met, and for
/// kinds that add nothing to the API.
#[must_use]
pub fn discovery(object: &Object) -> Vec<Served> {
    let Some(name) = ObjectRef::of(object) else { return Vec::new() };
    if name.is(&object::CUSTOM_RESOURCE_DEFINITION) && definition_unmet(object).is_none() {
        let versions = object.data.pointer("/spec/versions").and_then(Value::as_array);
        let served = versions.into_iter().flatten().filter(|version| version["served"] == true);
        served
            .map(|version| Served {
                group: text(object, "/spec/group").to_owned(),
                version: version["name"].as_str().unwrap_or_default().to_owned(),
                resource: Some(text(object, "/spec/names/plural").to_owned()),
            })
            .collect()
    } else if name.is(&object::API_SERVICE) && api_service_unmet(object).is_none() {
        vec![Served {
            group: text(object, "/spec/group").to_owned(),
            version: text(object, "/spec/version").to_owned(),
            resource: None,
        }]
    } else {
        Vec::new()
    }
}

pub(super) fn definition(object: &Object, around: &Surroundings<'_>) -> Assessment {
    definition_unmet(object).unwrap_or_else(|| served("Established", object, around))
}

pub(super) fn api_service(object: &Object, around: &Surroundings<'_>) -> Assessment {
    api_service_unmet(object).unwrap_or_else(|| served("Available", object, around))
}

fn definition_unmet(object: &Object) -> Option<Assessment> {
    match condition(object, "NamesAccepted") {
        // Names that are taken stay taken; before they are looked at there is no condition.
        Some(names) if names.is("False") => return Some(Assessment::failed(names.said())),
        Some(names) if names.is("True") => {}
        _ => return Some(Assessment::in_progress("its names are not accepted yet")),
    }
    match condition(object, "Established") {
        Some(established) if established.is("True") => None,
        Some(established) => Some(Assessment::in_progress(established.said())),
        None => Some(Assessment::in_progress("not established yet")),
    }
}

fn api_service_unmet(object: &Object) -> Option<Assessment> {
    match condition(object, "Available") {
        Some(available) if available.is("True") => None,
        Some(available) => Some(Assessment::in_progress(available.said())),
        None => Some(Assessment::in_progress("not available yet")),
    }
}

fn served(met: &str, object: &Object, around: &Surroundings<'_>) -> Assessment {
    if discovery(object).iter().all(|wanted| around.served.contains(wanted)) {
        Assessment::current(met)
    } else {
        Assessment::in_progress(format!("{met}, not yet served by discovery"))
    }
}
