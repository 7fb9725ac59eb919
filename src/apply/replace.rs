//! What becomes of an object whose fields cannot be changed: a `StatefulSet` is made anew around its pods and volumes, all
//! else is refused, with what to do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::api::{DeleteParams, Preconditions, PropagationPolicy};
use kube::core::{ObjectMeta, Selector, SelectorExt as _};
use serde::Deserialize as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::{Means, NEVER, Refusal, at};
use crate::cluster::RequestError;
use crate::error::Error;
use crate::manifest::Manifest;
use crate::object::{self, Object};
use crate::storage::{self, templates};
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
    let volumes = if storage::deletes_claims(live) {
        "its claims go with it, unless its persistentVolumeClaimRetentionPolicy is another by then"
    } else {
        "volumes stay"
    };
    if let Some(template) = left_behind(wanted, live) {
        let what =
            format!("the claims of {template} would stay behind, and the pods start without their data");
        let hint = format!(
            "keep the claim template {template} in {}, or delete the set, and up makes it anew; {volumes}: kubectl delete \
             {name}",
            manifest.file
        );
        return Some(Refusal::Immutable { what, hint });
    }
    if !selects(&wanted.data["spec"]["selector"], &live.data["spec"]["template"]["metadata"]["labels"]) {
        let what =
            format!("{differs}, and the pods that are there do not have the labels of the new spec.selector");
        let hint = format!("delete it, and up makes it and its pods anew; {volumes}: kubectl delete {name}");
        return Some(Refusal::Immutable { what, hint });
    }
    None
}

/// The first claim template that is to have another storage class: its name, and the classes.
fn other_class<'o>(wanted: &'o Object, live: &'o Object) -> Option<(&'o str, &'o str, &'o str)> {
    let class = |template: &'o Value| template["spec"]["storageClassName"].as_str();
    templates(wanted).find_map(|(name, template)| {
        let (_, before) = templates(live).find(|(other, _)| *other == name)?;
        let (old, new) = (class(before)?, class(template)?);
        (old != new).then_some((name, old, new))
    })
}

/// The first claim template that is to be no more, or to have another name.
fn left_behind<'o>(wanted: &Object, live: &'o Object) -> Option<&'o str> {
    let is_wanted = |name| templates(wanted).any(|(wanted, _)| wanted == name);
    templates(live).map(|(name, _)| name).find(|name| !is_wanted(*name))
}

/// Tells whether a selector selects pods with these labels; one that cannot be read selects none.
fn selects(selector: &Value, labels: &Value) -> bool {
    let selector = LabelSelector::deserialize(selector).ok().and_then(|read| Selector::try_from(read).ok());
    let labels = BTreeMap::deserialize(labels).unwrap_or_default();
    selector.is_some_and(|selector| selector.matches(&labels))
}

/// Deletes a `StatefulSet` as it was judged, leaves its pods and claims, and makes the next one of the name, which takes them
/// up.
pub(super) async fn replace(
    means: &Means<'_>,
    manifest: &Manifest,
    wanted: &Object,
    live: &Object,
) -> Result<Result<Object, RequestError>, Error> {
    let ObjectMeta { uid, resource_version, .. } = live.metadata.clone();
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Orphan),
        preconditions: Some(Preconditions { uid, resource_version }),
        ..DeleteParams::default()
    };
    // Once it is deleted it has to be made again, whatever ends the run.
    let uncut = CancellationToken::new();
    let cluster = means.cluster.until(means.deadline, &uncut);
    if let Err(error) = cluster.delete(&manifest.name, &params).await {
        return Ok(Err(error));
    }
    let leaving = Awaited { object: manifest.name.clone(), seen: Some(live.clone()) };
    let gone = means.waiter.until_gone(vec![leaving], means.deadline, &uncut).await;
    let place = format!("failed to replace {} ({})", manifest.name, manifest.place());
    gone.map_err(|error| error.into_error().within(&place))?;
    Ok(cluster.apply(&at(wanted, Some(NEVER)), false).await)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn labels_and_expressions_of_a_selector_count_alike() {
        let labels = json!({"app": "s", "tier": "data"});
        for (selector, wanted) in [
            (json!({"matchLabels": {"app": "s"}}), true),
            (json!({"matchLabels": {"app": "t"}}), false),
            (json!({"matchExpressions": [{"key": "app", "operator": "In", "values": ["s", "t"]}]}), true),
            (json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["s"]}]}), false),
            (
                json!({
                    "matchLabels": {"app": "s"},
                    "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}],
                }),
                false,
            ),
            (json!({"matchExpressions": [{"key": "app", "operator": "Like", "values": ["s"]}]}), false),
        ] {
            assert_eq!(selects(&selector, &labels), wanted, "{selector}");
        }
    }
}
