//! One object of the stack into the cluster, by server-side apply without force: what a person changed by hand is taken
//! back and said, what another program owns is left and refused. What is to be done is judged before anything is changed.

use kube::core::{ObjectMeta, TypeMeta};
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, FIELD_MANAGER, RequestError, namespace_ref};
use crate::error::{Error, Exit};
use crate::event::{Change, Events, Kind};
use crate::fields::{self, FieldChange};
use crate::inventory::{Inventory, MADE_BY, PART_OF};
use crate::live::Live;
use crate::manifest::Manifest;
use crate::object::{self, Object};
use crate::wait::{Awaited, Waiter};

pub use crate::apply::judge::judge;

mod judge;
mod replace;
#[cfg(test)]
mod tests;

/// How often an object that changes under our hands is judged anew.
const TRIES: usize = 5;

/// The version of no object: a store is at 1 before anything is written. What is applied to it alone can only be created.
const NEVER: &str = "1";

/// What the user gives leave to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leave {
    /// To take over objects and releases that are there and not the stack's.
    pub adopt: bool,
    /// To take fields from the programs that own them.
    pub force_conflicts: bool,
}

/// What is to be done about one object.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The object as it is to be.
    pub wanted: Object,
    /// What that takes.
    pub action: Action,
    /// What a person has changed, and is taken back.
    pub drift: Vec<Drift>,
    /// The fields that change; empty for an object that is not there.
    pub fields: Vec<FieldChange>,
    /// Why, where that is not plain.
    pub why: Option<String>,
}

/// What it takes to make an object what it is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Nothing,
    /// To make it.
    Create,
    /// To apply it.
    Configure {
        /// Whether fields are taken from their owners.
        force: bool,
    },
    /// To make what others applied ours, and then to apply it.
    Adopt,
    /// To make it anew, and to keep its pods and volumes.
    Replace,
    /// It must not be done.
    Refuse(Refusal),
}

/// Why an object must not be touched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is there, and not the stack's: whose it is, as far as it says.
    Foreign(String),
    /// Other programs own some of its fields: each field, its owner, and since when.
    Conflict(Vec<String>),
    /// Fields that cannot be changed differ.
    Immutable {
        /// What differs, a fragment.
        what: String,
        /// What to do.
        hint: String,
    },
}

/// An object that is as its manifest says.
#[derive(Debug)]
pub struct Applied {
    /// What became of it.
    pub change: Change,
    /// The object as the server has it now.
    pub live: Object,
    /// What a person had changed, and was taken back.
    pub drift: Vec<Drift>,
    /// Why, where that is not plain.
    pub why: Option<String>,
}

/// A field that a person had changed by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The field and its values, such as `spec.replicas 0 → 1`.
    pub change: String,
    /// The field manager.
    pub manager: String,
    /// How long ago, in words.
    pub age: Option<String>,
}

/// What carrying out needs besides the object.
pub struct Means<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// What says whose an object is.
    pub inventory: &'a Inventory,
    /// Waits for what has to go first.
    pub waiter: &'a Waiter,
    /// What the user gives leave to.
    pub leave: Leave,
    /// When waiting is given up.
    pub deadline: Instant,
    /// Ends waiting.
    pub cancel: &'a CancellationToken,
}

/// Marks an object as a member of the stack's set.
pub fn mark(object: &mut Object, inventory: &Inventory) {
    object.metadata.labels.get_or_insert_default().insert(PART_OF.to_owned(), inventory.id());
}

/// Does what was judged; `before` is how the cluster stood. What has changed since is judged anew.
///
/// # Errors
/// Exit 4 on what must not be done, exit 5 when the server refuses the object.
pub async fn carry_out(
    means: &Means<'_>,
    manifest: &Manifest,
    judged: &Judged,
    before: &Live,
) -> Result<Applied, Error> {
    let mut live = before.get(&manifest.name).cloned();
    let was_there = live.is_some();
    let mut judged = judged.clone();
    for _ in 0..TRIES {
        if let Some(applied) = try_once(means, manifest, &judged, live.as_ref()).await? {
            // What was not there, and is as it is to be, was made by a request whose answer was lost.
            let is_made = !was_there && applied.change == Change::Unchanged;
            let change = if is_made { Change::Created } else { applied.change };
            return Ok(Applied { change, ..applied });
        }
        live = read_again(means, manifest).await?;
        // What was to be replaced and is gone is made with the replicas that it had.
        if live.is_some() || judged.action != Action::Replace {
            let now = before.with_only(live.clone());
            judged = judge(means.cluster, manifest, means.inventory, &now, means.leave).await?;
        }
    }
    Err(Error::new(Exit::Unexpected, format!("{} changes faster than it can be applied", manifest.name))
        .written_in(&manifest.place()))
}

/// Reads an object that has changed; one that is being deleted is waited for until it is gone.
async fn read_again(means: &Means<'_>, manifest: &Manifest) -> Result<Option<Object>, Error> {
    let name = &manifest.name;
    let live = means.cluster.get(name).await.map_err(RequestError::into_error)?;
    if live.as_ref().is_none_or(|live| live.metadata.deletion_timestamp.is_none()) {
        return Ok(live);
    }
    let leaving = Awaited { object: name.clone(), seen: live };
    let gone = means.waiter.until_gone(vec![leaving], means.deadline, means.cancel).await;
    gone.map_err(|error| error.into_error().within(&format!("{name} is on its way out")))?;
    Ok(None)
}

/// Does it once; `None` when the object is another by now.
async fn try_once(
    means: &Means<'_>,
    manifest: &Manifest,
    judged: &Judged,
    live: Option<&Object>,
) -> Result<Option<Applied>, Error> {
    let cluster = means.cluster;
    let wanted = &judged.wanted;
    let answer = match (&judged.action, live) {
        (Action::Refuse(refusal), _) => return Err(refusal.clone().into_error(manifest)),
        (Action::Nothing, Some(live)) => Ok(live.clone()),
        (Action::Adopt, Some(live)) => adopt(cluster, manifest, wanted, live).await,
        (Action::Replace, Some(live)) => replace::replace(means, manifest, wanted, live).await?,
        (Action::Configure { force: true }, Some(live)) => {
            cluster.apply(&at(wanted, live.metadata.resource_version.as_deref()), true).await
        }
        (Action::Configure { .. }, Some(_)) => cluster.apply(wanted, false).await,
        (Action::Create, _) | (_, None) => cluster.apply(&at(wanted, Some(NEVER)), false).await,
    };
    match answer {
        Ok(applied) => Ok(Some(Applied {
            change: change(&judged.action, live, &applied),
            live: applied,
            drift: judged.drift.clone(),
            why: judged.why.clone(),
        })),
        Err(error) if error.is_stale() || !error.field_conflicts().is_empty() => Ok(None),
        Err(error) => Err(refused(manifest, error)),
    }
}

/// Makes what kubectl applied ours, so that fields which the manifest does not name go, and then takes the object.
async fn adopt(
    cluster: &Cluster,
    manifest: &Manifest,
    wanted: &Object,
    live: &Object,
) -> Result<Object, RequestError> {
    let mut version = live.metadata.resource_version.clone();
    if let Some(entries) = fields::taken_over(live, FIELD_MANAGER) {
        let patch = json!({ "metadata": {
            "resourceVersion": version,
            "managedFields": entries,
        }});
        version = cluster.merge(&manifest.name, &patch).await?.metadata.resource_version;
    }
    cluster.apply(&at(wanted, version.as_deref()), true).await
}

/// An object that is applied only to what has this version; all else is stale.
fn at(wanted: &Object, version: Option<&str>) -> Object {
    let mut wanted = wanted.clone();
    wanted.metadata.resource_version = version.map(str::to_owned);
    wanted
}

fn change(action: &Action, before: Option<&Object>, after: &Object) -> Change {
    match before {
        _ if *action == Action::Replace => Change::Replaced,
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

impl Refusal {
    /// What is refused of this object, in one line or several.
    #[must_use]
    pub fn text(&self, manifest: &Manifest) -> String {
        let (name, place) = (&manifest.name, manifest.place());
        match self {
            Self::Foreign(owner) => format!("{name} ({place}) is there and not of this stack: {owner}"),
            Self::Conflict(fields) => {
                format!("{name} ({place}) has fields of other programs: {}", fields.join("; "))
            }
            Self::Immutable { what, .. } => format!("{name} ({place}) cannot become what is wanted: {what}"),
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self, manifest: &Manifest) -> String {
        let name = &manifest.name;
        match self {
            Self::Foreign(_) => {
                "take over what is there with --adopt, or leave its step out with --skip STEP".to_owned()
            }
            Self::Conflict(_) => format!(
                "take the fields with --force-conflicts, leave them out of {}, or see who sets them: kubectl get {name} \
                 -o yaml --show-managed-fields",
                manifest.file
            ),
            Self::Immutable { hint, .. } => hint.clone(),
        }
    }

    fn into_error(self, manifest: &Manifest) -> Error {
        Error::new(Exit::Refused, self.text(manifest)).hint(self.hint(manifest))
    }
}

/// Makes a namespace by POST if it is not there, with a mark that says so; one that is there is used as it is. One that is
/// on its way out is waited for, and made anew.
///
/// # Errors
/// The server's refusal, or the deadline.
pub async fn ensure_namespace(
    cluster: &Cluster,
    waiter: &Waiter,
    events: &Events,
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
            await_namespaces(waiter, events, vec![leaving], deadline, cancel).await?;
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

/// Waits until namespaces that are being deleted are gone, with all that is in them.
///
/// # Errors
/// The deadline, above all.
pub async fn await_namespaces(
    waiter: &Waiter,
    events: &Events,
    leaving: Vec<Awaited>,
    deadline: Instant,
    cancel: &CancellationToken,
) -> Result<(), Error> {
    let names = leaving.iter().map(|leaving| leaving.object.to_string()).collect::<Vec<_>>().join(", ");
    events.send(Kind::Waiting { what: format!("{names} to be gone, which is being deleted") });
    let gone = waiter.until_gone(leaving, deadline, cancel).await;
    gone.map_err(|error| error.into_error().within(&format!("{names} is on its way out")))
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
