//! Which storage class the claims would get.

use super::{Options, unanswered};
use crate::cluster::{Cluster, RequestError};
use crate::finding::Finding;
use crate::inventory::Inventory;
use crate::live::Live;
use crate::object::{self, Object};
use crate::plan::Plan;
use crate::storage;

const CATEGORY: &str = "storage";
const ID: &str = "class";

/// Chooses the class as `up` would and writes it into the plan; tells whether it would be installed.
pub(super) async fn choose(
    cluster: Option<&Cluster>,
    plan: Option<&mut Plan>,
    options: &Options,
) -> (bool, Finding) {
    let (cluster, plan) = match (cluster, plan) {
        (None, _) => return (false, Finding::skipped(CATEGORY, ID, "needs cluster/answers")),
        (_, None) => return (false, Finding::skipped(CATEGORY, ID, "needs stack/valid")),
        (Some(cluster), Some(plan)) => (cluster, plan),
    };
    let (classes, live) = match read(cluster, plan).await {
        Ok(read) => read,
        Err(error) => return (false, unanswered(CATEGORY, ID, error)),
    };
    let inventory = match Inventory::load(cluster, &plan.stack, &plan.namespace).await {
        Ok(inventory) => inventory,
        Err(error) => return (false, Finding::failed(CATEGORY, ID, &error)),
    };
    let mut storage =
        plan.steps.iter().filter(|step| step.is_storage).filter_map(|step| step.release.as_ref());
    let installed =
        storage.any(|release| inventory.release(&release.spec.release, &release.namespace).is_some());
    match storage::choose(plan, &live, &classes, &options.storage_class, installed) {
        Ok(None) => (false, Finding::passed(CATEGORY, ID, "no claim wants a storage class")),
        Ok(Some(choice)) => {
            let (class, why) = (choice.class, choice.why);
            let after = if choice.install { ", which up installs" } else { "" };
            (choice.install, Finding::passed(CATEGORY, ID, format!("storage class {class} ({why}){after}")))
        }
        Err(error) => (false, Finding::failed(CATEGORY, ID, &error)),
    }
}

/// The classes, and what of the claims is there.
async fn read(cluster: &Cluster, plan: &Plan) -> Result<(Vec<Object>, Live), RequestError> {
    let kind = object::STORAGE_CLASS.gvk();
    let sets = plan.manifests().map(|manifest| &manifest.name).filter(|name| name.is(&object::STATEFUL_SET));
    let mut live = Live::default();
    let (classes, ()) = tokio::try_join!(cluster.list_cached(&kind, None, None), async {
        live.read(cluster, sets.cloned()).await?;
        live.read_claims(cluster, &storage::namespaces(plan)).await
    })?;
    Ok((classes, live))
}
