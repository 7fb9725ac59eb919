//! The claims that would go with something else, though nobody has said that data may go. Changes nothing.

use futures::future::try_join_all;

use crate::cluster::{Cluster, RequestError};
use crate::delete::survey::{all_of, name_of};
use crate::event::Change;
use crate::helm::Record;
use crate::object::{self, Object, ObjectRef};
use crate::storage;

/// Why these releases and workloads must not go while data is kept, and what to do.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub(super) async fn losses(
    cluster: &Cluster,
    releases: &[Record],
    workloads: &[Object],
    change: Change,
) -> Result<Vec<(String, String)>, RequestError> {
    let mut losses = Vec::new();
    for record in releases {
        let release = &record.release;
        let of = |kind| record.uninstalled().filter_map(ObjectRef::of).filter(move |name| name.is(kind));
        for claim in all_of(cluster, of(&object::CLAIM)).await?.iter().filter(|claim| stays(claim)) {
            let keep = "have its chart annotate it with helm.sh/resource-policy: keep, and run bootstrap up";
            losses.push(loss(&name_of(claim), &release.to_string(), keep, change));
        }
        let sets = all_of(cluster, of(&object::STATEFUL_SET)).await?;
        losses.extend(with_sets(cluster, &sets, change).await?);
    }
    losses.extend(with_sets(cluster, workloads, change).await?);
    Ok(losses)
}

/// The same of these workloads alone.
async fn with_sets(
    cluster: &Cluster,
    workloads: &[Object],
    change: Change,
) -> Result<Vec<(String, String)>, RequestError> {
    let sets = workloads.iter().filter(|workload| storage::stems(workload).next().is_some());
    let lists = sets.map(|set| async move {
        let found = cluster.list(&object::CLAIM.gvk(), set.metadata.namespace.as_deref(), None).await?;
        Ok(found.into_iter().filter(|claim| stays(claim) && goes_with(claim, set)).map(move |claim| {
            let set = name_of(set);
            let retain = r#"{"spec": {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain"}}}"#;
            let keep = format!("kubectl patch {set} --type=merge -p '{retain}'");
            loss(&name_of(&claim), &set.to_string(), &keep, change)
        }))
    });
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
}

fn loss(claim: &ObjectRef, taker: &str, keep: &str, change: Change) -> (String, String) {
    let give_up = match change {
        Change::Pruned => format!("kubectl delete {claim}"),
        _ => "bootstrap down --purge-data".to_owned(),
    };
    (format!("{claim} would go with {taker}"), format!("to keep it, {keep}; to give it up, {give_up}"))
}

fn stays(claim: &Object) -> bool {
    claim.metadata.deletion_timestamp.is_none()
}

/// Tells whether a claim goes when this set does: the set owns it, or will in a moment.
fn goes_with(claim: &Object, set: &Object) -> bool {
    let is_owner = |uid: &String| set.metadata.uid.as_ref() == Some(uid);
    let is_its = |stem: ObjectRef| storage::has_stem(&name_of(claim), &stem);
    claim.metadata.owner_references.iter().flatten().any(|owner| is_owner(&owner.uid))
        || storage::deletes_claims(set) && storage::stems(set).any(is_its)
}
