//! A claim on a volume: bound, or waiting for its first consumer on purpose.

use super::{Assessment, Surroundings, text};
use crate::object::Object;

pub(super) fn claim(object: &Object, around: &Surroundings<'_>) -> Assessment {
    match text(object, "/status/phase") {
        "Bound" => Assessment::current("Bound"),
        "Lost" => Assessment::failed("its volume is lost"),
        _ => pending(text(object, "/spec/storageClassName"), around),
    }
}

/// A volume that is made when a pod is scheduled cannot be waited for by those that the pod waits for.
fn pending(class: &str, around: &Surroundings<'_>) -> Assessment {
    if class.is_empty() {
        return Assessment::in_progress("Pending, without a storage class");
    }
    let Some(classes) = &around.storage_classes else { return Assessment::in_progress("Pending") };
    match classes.iter().find(|known| known.metadata.name.as_deref() == Some(class)) {
        None => Assessment::in_progress(format!("Pending, there is no storage class `{class}`")),
        Some(found) if text(found, "/volumeBindingMode") == "WaitForFirstConsumer" => {
            Assessment::current("Pending until its first pod")
        }
        Some(_) => Assessment::in_progress("Pending"),
    }
}
