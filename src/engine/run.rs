//! What all steps of a run share, and how it is prepared: everything is read and judged before the first change.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::try_join_all;
use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::apply::{self, mark};
use crate::cluster::{Cluster, RequestError, namespace_ref};
use crate::engine::Options;
use crate::engine::release::{self, Judged};
use crate::error::Error;
use crate::event::{Change, Events, Kind};
use crate::helm::{self, Decision, Helm, Record, Release, Until};
use crate::inventory::Inventory;
use crate::live::Live;
use crate::object::{self, Object, ObjectRef};
use crate::plan::Plan;
use crate::verdict::{Circumstances, Promised};
use crate::wait::Waiter;
use crate::{preflight, secret, storage};

/// What all steps of a run share.
pub(super) struct Run {
    pub(super) cluster: Cluster,
    pub(super) events: Events,
    pub(super) waiter: Waiter,
    pub(super) circumstances: Arc<Circumstances>,
    pub(super) inventory: Mutex<Inventory>,
    /// The cluster as it was before the first change.
    pub(super) live: Live,
    /// The releases as they were before the first change, newest revision each.
    pub(super) records: Vec<Record>,
    /// `None` when no release has anything to do.
    pub(super) helm: Option<Helm>,
    /// What there is to do for each release.
    pub(super) judged: BTreeMap<Release, Judged>,
    /// The revision of each Secret of the stack, also of those whose step is left out.
    pub(super) revisions: Mutex<BTreeMap<String, String>>,
    /// What became of the stack's namespace, which is made before its step.
    pub(super) namespace_change: Change,
    pub(super) stack: String,
    pub(super) deadline: Instant,
    /// Cancelled when the user interrupts the run.
    pub(super) cancel: CancellationToken,
    /// Ends waits: cancelled with the run, or a while after a step has failed. Helm goes on then.
    pub(super) stop: CancellationToken,
}

impl Run {
    /// Reads what is there, decides what has to be done, refuses what is not ours, waits for the cluster to be up, and
    /// writes down what will be made.
    pub(super) async fn prepare(
        cluster: &Cluster,
        mut plan: Plan,
        options: &Options,
        deadline: Instant,
        events: &Events,
        cancel: &CancellationToken,
    ) -> Result<(Self, Plan), Error> {
        let before = |error: RequestError| error.into_preflight(cluster.context());
        let mut live = Live::default();
        let secrets =
            plan.secrets.iter().map(|name| ObjectRef::new(&object::SECRET, Some(&plan.namespace), name));
        let names = plan
            .manifests()
            .map(|manifest| manifest.name.clone())
            .chain(storage::claims(&plan))
            .chain(secrets);
        let names: Vec<_> = names.collect();
        let namespaces = plan.manifests().filter_map(|manifest| manifest.name.namespace.clone());
        let namespaces = namespaces.chain(plan.releases().map(|release| release.namespace.clone())).collect();
        let storage_classes = object::STORAGE_CLASS.gvk();
        let is_ours = |service: &Object| brought_by(&plan, service);
        let (mut inventory, (), classes, records, ()) = tokio::try_join!(
            async { Inventory::load(cluster, &plan.stack, &plan.namespace).await.map_err(before) },
            async {
                live.read(cluster, names.into_iter()).await.map_err(before)?;
                live.read_autoscalers(cluster, &namespaces).await.map_err(before)
            },
            async { cluster.list_cached(&storage_classes, None, None).await.map_err(before) },
            async {
                for planned in plan.releases() {
                    helm::settle(cluster, &planned.release(), &Until { deadline, cancelled: cancel.clone() })
                        .await?;
                }
                read_records(cluster, &plan).await
            },
            preflight::gate(cluster, is_ours, deadline, events, cancel),
        )?;
        let made: Vec<_> = records.iter().flat_map(Record::objects).collect();
        live.read(cluster, made.into_iter()).await.map_err(before)?;

        choose_storage(&mut plan, &live, &classes, &inventory, options, events)?;
        for step in &mut plan.steps {
            for manifest in
                step.waves.iter_mut().flatten().filter(|manifest| !manifest.name.is(&object::NAMESPACE))
            {
                mark(&mut manifest.object, &inventory);
            }
        }
        apply::refuse_foreign(&plan, &live, &inventory)?;
        let mut helm = None;
        let mut all_judged = BTreeMap::new();
        for planned in plan.releases() {
            let judged = release::judge(planned, options.charts.as_deref(), &inventory, &records, &live)?;
            if judged.decision != Decision::Nothing && helm.is_none() {
                let found = Helm::find(cluster.target())?;
                found.version().await?;
                helm = Some(found);
            }
            all_judged.insert(planned.release(), judged);
        }

        let promised = Promised::by(&plan);
        let circumstances = Arc::new(Circumstances { promised, is_local: options.is_local });
        let waiter = Waiter::new(cluster.clone(), events.clone(), Arc::clone(&circumstances));
        let written = plan.manifests().find(|manifest| manifest.name == namespace_ref(&plan.namespace));
        let bare = apply::bare_namespace(&plan.namespace);
        let namespace = written.map_or(&bare, |manifest| &manifest.object);
        let namespace_change =
            apply::ensure_namespace(cluster, &waiter, namespace, &plan.stack, deadline, cancel)
                .await
                .map_err(|error| {
                    written.iter().fold(error, |error, manifest| error.written_in(&manifest.place()))
                })?;
        announce(&mut inventory, &plan);
        inventory.save(cluster).await.map_err(RequestError::into_error)?;
        let revisions = plan.secrets.iter().filter_map(|name| {
            let found = live.get(&ObjectRef::new(&object::SECRET, Some(&plan.namespace), name))?;
            Some((name.clone(), secret::revision_of(found)))
        });
        let run = Self {
            cluster: cluster.clone(),
            events: events.clone(),
            waiter,
            circumstances,
            revisions: Mutex::new(revisions.collect()),
            inventory: Mutex::new(inventory),
            live,
            records,
            helm,
            judged: all_judged,
            namespace_change,
            stack: plan.stack.clone(),
            deadline,
            cancel: cancel.clone(),
            stop: cancel.child_token(),
        };
        Ok((run, plan))
    }
}

/// Reads the newest record of every release of the plan.
///
/// # Errors
/// The server's refusal, or a record that cannot be read.
pub async fn read_records(cluster: &Cluster, plan: &Plan) -> Result<Vec<Record>, Error> {
    let mut names: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for planned in plan.releases() {
        names.entry(planned.namespace.as_str()).or_default().push(planned.spec.release.as_str());
    }
    let lists = names.iter().map(|(namespace, names)| helm::records(cluster, namespace, names));
    Ok(try_join_all(lists).await?.into_iter().flatten().collect())
}

/// An aggregated API that this plan or one of its releases brings is not waited for: this run may have to mend it.
fn brought_by(plan: &Plan, service: &Object) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let release = annotations.and_then(|all| all.get("meta.helm.sh/release-name"));
    let namespace = annotations.and_then(|all| all.get("meta.helm.sh/release-namespace"));
    plan.manifests().any(|manifest| ObjectRef::of(service).as_ref() == Some(&manifest.name))
        || plan
            .releases()
            .any(|planned| Some(&planned.spec.release) == release && Some(&planned.namespace) == namespace)
}

fn choose_storage(
    plan: &mut Plan,
    live: &Live,
    classes: &[Object],
    inventory: &Inventory,
    options: &Options,
    events: &Events,
) -> Result<(), Error> {
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
    if let Some(choice) = choice {
        events.send(Kind::StorageClassChosen { class: choice.class, why: choice.why });
    }
    Ok(())
}

/// Writes down, before anything is made, what kinds of objects will be, where, and which claims hold data.
fn announce(inventory: &mut Inventory, plan: &Plan) {
    for manifest in plan.manifests().filter(|manifest| !manifest.name.is(&object::NAMESPACE)) {
        inventory.expect(&manifest.name);
    }
    for secret in plan.steps.iter().filter_map(|step| step.secret.as_ref()) {
        inventory.expect(&ObjectRef::new(&object::SECRET, Some(&plan.namespace), &secret.name));
    }
    let claims = storage::claims(plan).into_iter();
    inventory.content.claims.extend(claims);
    for step in &plan.steps {
        if !inventory.content.steps.contains(&step.name) {
            inventory.content.steps.push(step.name.clone());
        }
    }
}
