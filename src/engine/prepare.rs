//! What a run will do, decided before anything is changed. `up` carries it out, `plan` shows it: there is no other way.

use std::collections::BTreeMap;

use futures::future::try_join_all;

use crate::apply::{self, Action, Judged, mark};
use crate::cluster::{Cluster, namespace_ref};
use crate::delete::Removal;
use crate::engine::Options;
use crate::engine::release::{self, JudgedRelease};
use crate::engine::survey::Survey;
use crate::error::Error;
use crate::event::Change;
use crate::helm::{Decision, Record, Release};
use crate::inventory::Inventory;
use crate::live::Live;
use crate::manifest;
use crate::object::{self, ObjectRef};
use crate::plan::Plan;
use crate::secret::{self, Values};
use crate::storage::{self, Choice};

/// Stands in the plan for the revision of a Secret that is yet to be made; a run has the real one.
const NEW_REVISION: &str = "(a new one)";

/// What a run will do.
pub(super) struct Prepared {
    /// The steps, without the one for storage if it has nothing to do, their objects as they are to be.
    pub(super) plan: Plan,
    pub(super) storage: Option<Choice>,
    pub(super) inventory: Inventory,
    /// The cluster as it was before the first change.
    pub(super) live: Live,
    pub(super) records: Vec<Record>,
    /// What there is to do for each object; a namespace is used as it is.
    pub(super) objects: BTreeMap<ObjectRef, Judged>,
    pub(super) secrets: BTreeMap<String, secret::Judged>,
    pub(super) releases: BTreeMap<Release, JudgedRelease>,
    /// What the stack has no more.
    pub(super) leftovers: Removal,
    /// Why some of it cannot go, and what to do.
    data_losses: Vec<(String, String)>,
}

impl Prepared {
    /// Decides what to do.
    pub(super) async fn decide(
        cluster: &Cluster,
        mut plan: Plan,
        survey: Survey,
        options: &Options,
    ) -> Result<Self, Error> {
        let Survey { inventory, live, storage_classes, records } = survey;
        let before = plan.clone();
        let storage = choose_storage(&mut plan, &live, &storage_classes, &inventory, options)?;
        let secrets = judge_secrets(&plan, &inventory, &live, options.values)?;
        let revision =
            |judged: &secret::Judged| judged.revision.as_deref().unwrap_or(NEW_REVISION).to_owned();
        let revisions = secrets.iter().map(|(name, judged)| (name.clone(), revision(judged))).collect();
        let namespace = plan.namespace.clone();
        for manifest in plan.manifests_mut().filter(|manifest| !manifest.name.is(&object::NAMESPACE)) {
            mark(&mut manifest.object, &inventory);
            manifest::add_secret_revisions(&mut manifest.object, &namespace, &revisions);
        }
        let mut releases = BTreeMap::new();
        for planned in plan.releases() {
            let judged = release::judge(planned, options, &inventory, &records, &live)?;
            releases.insert(planned.release(), judged);
        }
        let judging =
            plan.manifests().filter(|manifest| !manifest.name.is(&object::NAMESPACE)).map(|manifest| async {
                let judged = apply::judge(cluster, manifest, &inventory, &live, options.leave).await?;
                Ok::<_, Error>((manifest.name.clone(), judged))
            });
        let (objects, mut leftovers) =
            tokio::try_join!(try_join_all(judging), leftovers(cluster, &inventory, &before, options),)?;
        let objects = objects.into_iter().collect();
        leftovers.spare(records.iter().flat_map(Record::objects));
        let data_losses = leftovers.data_losses(cluster, Change::Pruned).await?;
        Ok(Self {
            plan,
            storage,
            inventory,
            live,
            records,
            objects,
            secrets,
            releases,
            leftovers,
            data_losses,
        })
    }

    /// All that must not be done, in one error.
    pub(super) fn refused(&self) -> Option<Error> {
        let objects =
            self.plan.manifests().filter_map(|manifest| match &self.objects.get(&manifest.name)?.action {
                Action::Refuse(refusal) => Some((refusal.text(manifest), refusal.hint(manifest))),
                _ => None,
            });
        let releases = self.releases.iter().filter_map(|(release, judged)| match &judged.decision {
            Decision::Refuse(refusal) => Some((refusal.text().to_owned(), refusal.hint(release))),
            _ => None,
        });
        let made: Vec<_> = self.records.iter().flat_map(Record::objects).collect();
        let losses = self.leftovers.losses(&self.plan, &made);
        let all = objects.chain(releases).chain(losses).chain(self.data_losses.clone());
        Error::refusing(all, "objects and releases are in the way")
    }

    /// The namespaces that this run makes.
    pub(super) fn new_namespaces(&self) -> impl Iterator<Item = ObjectRef> {
        self.plan
            .namespaces()
            .into_iter()
            .map(|name| namespace_ref(&name))
            .filter(|name| self.live.get(name).is_none())
    }
}

fn choose_storage(
    plan: &mut Plan,
    live: &Live,
    classes: &[object::Object],
    inventory: &Inventory,
    options: &Options,
) -> Result<Option<Choice>, Error> {
    let storage = plan.steps.iter().find(|step| step.is_storage);
    let installed = storage
        .and_then(|step| step.release.as_ref())
        .is_some_and(|release| inventory.release(&release.spec.release, &release.namespace).is_some());
    let choice = storage::choose(plan, live, classes, &options.storage_class, installed)?;
    if !choice.as_ref().is_some_and(|choice| choice.install) {
        for name in
            plan.steps.iter().filter(|step| step.is_storage).map(|step| step.name.clone()).collect::<Vec<_>>()
        {
            plan.leave_out(&name);
        }
    }
    Ok(choice)
}

/// The Secrets of all steps, also of those that are left out: their pods may not be.
fn judge_secrets(
    plan: &Plan,
    inventory: &Inventory,
    live: &Live,
    values: Values,
) -> Result<BTreeMap<String, secret::Judged>, Error> {
    let mut judged = BTreeMap::new();
    for name in plan.secret_refs() {
        let found = live.get(&name);
        let spec =
            plan.steps.iter().filter_map(|step| step.secret.as_ref()).find(|spec| spec.name == name.name);
        let one = match spec {
            Some(spec) => Some(secret::judge(inventory, &name, spec, found, values)?),
            None => found.map(secret::Judged::as_it_is),
        };
        judged.extend(one.map(|one| (name.name, one)));
    }
    Ok(judged)
}

/// What the stack has no more. A run of some steps leaves all else alone.
async fn leftovers(
    cluster: &Cluster,
    inventory: &Inventory,
    plan: &Plan,
    options: &Options,
) -> Result<Removal, Error> {
    if !options.prune {
        return Ok(Removal::default());
    }
    Removal::leftovers(cluster, inventory, plan).await
}
