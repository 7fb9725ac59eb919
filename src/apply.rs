//! One object of the stack into the cluster, by server-side apply without force: what a person changed by hand is taken
//! back and said, what another program owns is left and refused.

use jiff::Timestamp;
use kube::core::{ObjectMeta, TypeMeta};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, FIELD_MANAGER, RequestError, namespace_ref};
use crate::error::{Error, Exit};
use crate::event::Change;
use crate::fields::{self, Owner};
use crate::inventory::{Inventory, MADE_BY, PART_OF};
use crate::live::Live;
use crate::manifest::Manifest;
use crate::object::{self, Object};
use crate::plan::Plan;
use crate::wait::{Awaited, Waiter};

/// An object that is as its manifest says.
#[derive(Debug)]
pub struct Applied {
    /// What became of it.
    pub change: Change,
    /// The object as the server has it now.
    pub live: Object,
    /// What a person had changed, and was taken back.
    pub drift: Vec<Drift>,
}

/// A field that a person had changed by hand.
#[derive(Debug, PartialEq, Eq)]
pub struct Drift {
    /// The field and its values, such as `spec.replicas 0 → 1`.
    pub change: String,
    /// The field manager.
    pub manager: String,
    /// How long ago, in words.
    pub age: Option<String>,
}

/// Marks an object as a member of the stack's set.
pub fn mark(object: &mut Object, inventory: &Inventory) {
    object.metadata.labels.get_or_insert_default().insert(PART_OF.to_owned(), inventory.id());
}

/// Refuses objects that are there and not the stack's: nothing foreign is touched.
///
/// # Errors
/// Exit 4 with the list.
pub fn refuse_foreign(plan: &Plan, live: &Live, inventory: &Inventory) -> Result<(), Error> {
    let foreign: Vec<_> = plan
        .manifests()
        // A namespace that is there is used as it is.
        .filter(|manifest| !manifest.name.is(&object::NAMESPACE))
        .filter_map(|manifest| live.get(&manifest.name).map(|found| (manifest, found)))
        .filter(|(_, found)| !inventory.owns(found))
        .map(|(manifest, found)| format!("{}: {} ({})", manifest.place(), manifest.name, made_by(found)))
        .collect();
    if foreign.is_empty() {
        return Ok(());
    }
    let list = foreign.join("\n  ");
    Err(Error::new(
        Exit::Refused,
        format!("these objects are there already and are not of this stack:\n  {list}"),
    )
    .hint("rename or delete them, or leave their step out with --skip STEP"))
}

/// Who an object belongs to, as far as its labels and annotations tell.
fn made_by(object: &Object) -> String {
    let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let annotation = |key: &str| object.metadata.annotations.as_ref().and_then(|all| all.get(key));
    if let Some(set) = label(PART_OF) {
        format!("of ApplySet {set}")
    } else if let Some(release) = annotation("meta.helm.sh/release-name") {
        format!("of Helm release {release}")
    } else if let Some(app) = label("argocd.argoproj.io/instance") {
        format!("of Argo CD application {app}")
    } else if let Some(name) = label("kustomize.toolkit.fluxcd.io/name") {
        format!("of Flux kustomization {name}")
    } else {
        "no mark of an owner".to_owned()
    }
}

/// Applies one object; `before` is how the cluster stood.
///
/// # Errors
/// Exit 4 on a field that another program owns, exit 5 when the server refuses the object.
pub async fn apply(cluster: &Cluster, manifest: &Manifest, before: &Live) -> Result<Applied, Error> {
    let mut wanted = manifest.object.clone();
    let live = before.get(&manifest.name);
    if let Some(live) = live {
        if before.is_autoscaled(&manifest.name) {
            leave_replicas(&mut wanted, live);
        }
        if fields::says_the_same(&wanted, live, FIELD_MANAGER) {
            return Ok(Applied { change: Change::Unchanged, live: live.clone(), drift: Vec::new() });
        }
    }
    let conflict = match cluster.apply(&wanted, false).await {
        Ok(applied) => {
            let drift = live.and_then(|live| scaled_to_zero(&wanted, live)).into_iter().collect();
            return Ok(Applied { change: change(live, &applied), live: applied, drift });
        }
        Err(error) if !error.field_conflicts().is_empty() => error,
        Err(error) => return Err(refused(manifest, error)),
    };
    // The object as it stands now, with the owners of its fields: the one read before may be older than the conflict.
    let now = cluster.get(&manifest.name).await.map_err(RequestError::into_error)?;
    let drift = judge(manifest, &wanted, now.as_ref(), &conflict.field_conflicts())?;
    let applied = cluster.apply(&wanted, true).await.map_err(|error| refused(manifest, error))?;
    Ok(Applied { change: Change::Configured, live: applied, drift })
}

/// A scale to zero is the one change by hand that is no conflict.
fn scaled_to_zero(wanted: &Object, live: &Object) -> Option<Drift> {
    let replicas = wanted.data["spec"]["replicas"].as_u64()?;
    (replicas > 0 && fields::is_scaled_to_zero(live)).then(|| Drift {
        change: format!("spec.replicas 0 → {replicas}"),
        manager: fields::UNNAMED.to_owned(),
        age: None,
    })
}

/// All conflicts are a person's changes, or else one error that names each field that is not.
fn judge(
    manifest: &Manifest,
    wanted: &Object,
    live: Option<&Object>,
    paths: &[&str],
) -> Result<Vec<Drift>, Error> {
    let Some(live) = live else { return Ok(Vec::new()) };
    let now = Timestamp::now();
    let mut drift = Vec::new();
    let mut conflicts = Vec::new();
    for path in paths {
        for owner in fields::owners(live, path) {
            if owner.manager == FIELD_MANAGER && owner.operation == fields::Operation::Apply {
                continue;
            }
            let age = fields::age(&owner, now);
            if fields::is_hand_edit(&owner) {
                let values = (fields::value_at(live, path), fields::value_at(wanted, path));
                drift.push(Drift { change: describe(path, values), manager: owner.manager, age });
            } else {
                conflicts.push(format!(
                    "{} is owned by {}",
                    path.trim_start_matches('.'),
                    owned_by(&owner, age.as_deref())
                ));
            }
        }
    }
    if conflicts.is_empty() {
        return Ok(drift);
    }
    let list = conflicts.join("\n  ");
    let name = &manifest.name;
    let show = format!("kubectl get {name} -o yaml --show-managed-fields");
    let message = format!("{name} ({}) has fields that another program owns:\n  {list}", manifest.place());
    Err(Error::new(Exit::Refused, message)
        .hint(format!("leave them out of {}, or see who sets them: {show}", manifest.file)))
}

fn owned_by(owner: &Owner, age: Option<&str>) -> String {
    match age {
        Some(age) => format!("{} ({age})", owner.manager),
        None => owner.manager.clone(),
    }
}

/// `spec.replicas 0 → 1`; values that are not short, and all of a Secret's, are left out.
fn describe(path: &str, (before, after): (Option<Value>, Option<Value>)) -> String {
    let path = path.trim_start_matches('.');
    match (before.as_ref().and_then(short), after.as_ref().and_then(short)) {
        (Some(before), Some(after)) => format!("{path} {before} → {after}"),
        _ => path.to_owned(),
    }
}

fn short(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    (text.len() <= 80 && !text.contains('\n')).then_some(text)
}

/// The replicas of a workload that an autoscaler steers are the autoscaler's: left out if they are not ours, else sent as
/// they are, since leaving out what is ours would set the default.
fn leave_replicas(wanted: &mut Object, live: &Object) {
    let ours = fields::owners(live, ".spec.replicas").iter().any(|owner| owner.manager == FIELD_MANAGER);
    let Some(spec) = wanted.data["spec"].as_object_mut() else { return };
    if ours && spec.contains_key("replicas") {
        spec.insert("replicas".to_owned(), live.data["spec"]["replicas"].clone());
    } else {
        spec.remove("replicas");
    }
}

fn change(before: Option<&Object>, after: &Object) -> Change {
    match before {
        None => Change::Created,
        Some(before) if before.metadata.resource_version == after.metadata.resource_version => {
            Change::Unchanged
        }
        Some(_) => Change::Configured,
    }
}

fn refused(manifest: &Manifest, error: RequestError) -> Error {
    error.into_error().written_in(&manifest.place())
}

/// Makes a namespace by POST if it is not there, with a mark that says so; one that is there is used as it is. One that is
/// on its way out is waited for, and made anew.
///
/// # Errors
/// The server's refusal, or the deadline.
pub async fn ensure_namespace(
    cluster: &Cluster,
    waiter: &Waiter,
    namespace: &Object,
    stack: &str,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Result<Change, Error> {
    let name = namespace_ref(namespace.metadata.name.as_deref().unwrap_or_default());
    match cluster.get(&name).await.map_err(RequestError::into_error)? {
        Some(found) if found.metadata.deletion_timestamp.is_none() => return Ok(Change::Unchanged),
        Some(found) => {
            let leaving = Awaited { object: name.clone(), seen: Some(found) };
            waiter.until_gone(vec![leaving], deadline, cancel).await.map_err(|error| {
                Error::new(error.exit(), format!("{name} is being deleted: {error}"))
                    .hint(format!("see what holds it: kubectl get {name} -o yaml"))
            })?;
        }
        None => {}
    }
    let mut wanted = namespace.clone();
    wanted.metadata.annotations.get_or_insert_default().insert(MADE_BY.to_owned(), stack.to_owned());
    match cluster.create(&wanted).await {
        Ok(_) => Ok(Change::Created),
        Err(error) if error.already_exists() => Ok(Change::Unchanged),
        Err(error) => Err(error.into_error()),
    }
}

/// A namespace of which nothing is said but its name.
#[must_use]
pub fn bare_namespace(name: &str) -> Object {
    Object {
        types: Some(TypeMeta { api_version: "v1".to_owned(), kind: object::NAMESPACE.kind.to_owned() }),
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        data: Value::Null,
    }
}
