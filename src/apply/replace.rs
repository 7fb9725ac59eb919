//! What becomes of an object whose fields cannot be changed: a `StatefulSet` is made anew around its pods and volumes, all
//! else is refused, with what to do.

use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use serde_json::Value;

use super::{Means, Refusal};
use crate::cluster::RequestError;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::object::{self, Object};
use crate::wait::Awaited;

/// Why an object must not be replaced; `None` where it may be.
pub(super) fn refusal(
    manifest: &Manifest,
    wanted: &Object,
    live: &Object,
    fields: &[&str],
) -> Option<Refusal> {
    let name = &manifest.name;
    let differs = format!("{} cannot be changed", fields.join(", "));
    if name.is(&object::CLAIM) {
        let hint = format!(
            "give the claim in {} another name, or what it has: kubectl get {name} -o yaml",
            manifest.file
        );
        return Some(Refusal::Immutable { what: differs, hint });
    }
    if !name.is(&object::STATEFUL_SET) {
        let hint = format!("delete it, and up makes it anew: kubectl delete {name}");
        return Some(Refusal::Immutable { what: differs, hint });
    }
    if let Some((template, old, new)) = other_class(wanted, live) {
        let what = format!("the claims of {template} have the storage class {old}, not {new}, and keep it");
        let hint = format!(
            "write storageClassName: {old} in {}, or move the data and delete it: kubectl delete {name}",
            manifest.file
        );
        return Some(Refusal::Immutable { what, hint });
    }
    if !selects(
        &wanted.data["spec"]["selector"]["matchLabels"],
        &live.data["spec"]["template"]["metadata"]["labels"],
    ) {
        let what =
            format!("{differs}, and the pods that are there do not have the labels of the new spec.selector");
        let hint =
            format!("delete it, and up makes it and its pods anew; volumes stay: kubectl delete {name}");
        return Some(Refusal::Immutable { what, hint });
    }
    None
}

/// The first claim template that is to have another storage class: its name, and the classes.
fn other_class<'o>(wanted: &'o Object, live: &'o Object) -> Option<(&'o str, &'o str, &'o str)> {
    let templates =
        |object: &'o Object| object.data["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    let class = |template: &'o Value| template["spec"]["storageClassName"].as_str();
    templates(wanted).find_map(|template| {
        let name = template["metadata"]["name"].as_str()?;
        let before = templates(live).find(|other| other["metadata"]["name"] == name)?;
        let (old, new) = (class(before)?, class(template)?);
        (old != new).then_some((name, old, new))
    })
}

fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().into_iter().flatten().all(|(key, value)| labels.get(key) == Some(value))
}

/// Deletes a `StatefulSet` and leaves its pods and claims, which the next one of the name takes up.
pub(super) async fn make_way(means: &Means<'_>, manifest: &Manifest, live: &Object) -> Result<(), Error> {
    let same = Preconditions { uid: live.metadata.uid.clone(), ..Preconditions::default() };
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(same),
        ..DeleteParams::default()
    };
    means.cluster.delete(&manifest.name, &params).await.map_err(RequestError::into_error)?;
    let leaving = Awaited { object: manifest.name.clone(), seen: Some(live.clone()) };
    let gone = means.waiter.until_gone(vec![leaving], means.deadline, means.cancel).await;
    let place = format!("failed to replace {} ({})", manifest.name, manifest.place());
    gone.map_err(|error| error.into_error().within(&place))
}
