//! What is to be done about one object, found out by dry runs: nothing is changed.

use jiff::Timestamp;
use kube::core::response::StatusCause;
use serde_json::Value;

use super::{Action, Drift, Judged, Leave, Refusal, refused, replace};
use crate::cluster::{Cluster, FIELD_MANAGER, RequestError};
use crate::error::{Error, Exit};
use crate::fields::{self, Owner};
use crate::inventory::{Inventory, PART_OF};
use crate::live::Live;
use crate::manifest::Manifest;
use crate::object::{self, Object};

/// Judges one object against the cluster as it was read. An object that is not there is not asked about: what it needs may
/// come before it.
///
/// # Errors
/// What the server says against the manifest, with its place.
pub async fn judge(
    cluster: &Cluster,
    manifest: &Manifest,
    inventory: &Inventory,
    before: &Live,
    leave: Leave,
) -> Result<Judged, Error> {
    let mut wanted = manifest.object.clone();
    let Some(live) = before.get(&manifest.name) else { return Ok(Judged::to(Action::Create, wanted)) };
    let owner = (!inventory.owns(live)).then(|| made_by(live));
    if let Some(owner) = owner.as_ref().filter(|_| !leave.adopt) {
        return Ok(Judged::to(Action::Refuse(Refusal::Foreign(owner.clone())), wanted));
    }
    if before.is_autoscaled(&manifest.name)
        && let Some(spec) = wanted.data.get_mut("spec").and_then(Value::as_object_mut)
    {
        spec.remove("replicas");
    }
    if owns_replicas(live, owner.is_some()) {
        keep_replicas(&mut wanted, live);
    }
    let case = Case { cluster, manifest, live, wanted, leave };
    match owner {
        Some(owner) => case.adoption(owner).await,
        None => case.change().await,
    }
}

/// An object that is there, and what is wanted of it.
struct Case<'a> {
    cluster: &'a Cluster,
    manifest: &'a Manifest,
    live: &'a Object,
    wanted: Object,
    leave: Leave,
}

impl Case<'_> {
    /// Judges an object of the stack.
    async fn change(self) -> Result<Judged, Error> {
        if fields::says_the_same(&self.wanted, self.live, FIELD_MANAGER) {
            return Ok(Judged::to(Action::Nothing, self.wanted));
        }
        let conflict = match self.cluster.dry_run(&self.wanted, false).await {
            Ok(after) => {
                let drift = scaled_to_zero(&self.wanted, self.live).into_iter().collect();
                return Ok(self.configured(&after, false, drift));
            }
            Err(error) if !error.field_conflicts().is_empty() => error,
            Err(error) => return self.immutable(error, None),
        };
        let Conflicts { drift, others } = self.conflicts(&conflict.field_conflicts());
        if !others.is_empty() && !self.leave.force_conflicts {
            return Ok(Judged::to(Action::Refuse(Refusal::Conflict(others)), self.wanted));
        }
        match self.cluster.dry_run(&self.wanted, true).await {
            Ok(after) => {
                let judged = self.configured(&after, true, drift);
                let why = (!others.is_empty()).then(|| format!("taken: {}", others.join("; ")));
                Ok(Judged { why, ..judged })
            }
            Err(error) => self.immutable(error, None),
        }
    }

    /// Judges an object of somebody else that is to become ours.
    async fn adoption(self, owner: String) -> Result<Judged, Error> {
        let after = match self.cluster.dry_run(&self.wanted, true).await {
            Ok(after) => fields::without_former(after),
            Err(error) => return self.immutable(error, Some(owner)),
        };
        // Of the fields that go, the server puts the defaults back; without the right to replace they are shown as gone. It
        // may have been changed since, which is no matter here.
        let mut replacement = after.clone();
        replacement.metadata.resource_version = None;
        let after = self.cluster.dry_replace(&replacement).await.unwrap_or(after);
        let why = Some(format!("adopted: {owner}"));
        let fields = fields::diff(self.live, &after);
        Ok(Judged { fields, why, ..Judged::to(Action::Adopt, self.wanted) })
    }

    fn configured(self, after: &Object, force: bool, drift: Vec<Drift>) -> Judged {
        let fields = fields::diff(self.live, after);
        let owned = |object| fields::owned(object, FIELD_MANAGER).cloned();
        // What the server keeps in another form than it is written in differs for us, and not for it.
        let is_same = fields.is_empty() && owned(self.live) == owned(after);
        let action = if is_same { Action::Nothing } else { Action::Configure { force } };
        Judged { drift, fields, ..Judged::to(action, self.wanted) }
    }

    /// Finds the way out where the server would not change a field; any other refusal is the manifest's fault.
    fn immutable(mut self, error: RequestError, owner: Option<String>) -> Result<Judged, Error> {
        if error.immutable_fields().is_empty() {
            let is_final = !error.is_unreachable();
            let failed = refused(self.manifest, error);
            return Err(if is_final { failed.exiting(Exit::Preflight) } else { failed });
        }
        let refusal = replace::refusal(self.manifest, &self.wanted, self.live, &error.immutable_fields());
        let action = refusal.map_or(Action::Replace, Action::Refuse);
        if action == Action::Replace {
            keep_replicas(&mut self.wanted, self.live);
        }
        let fields = fields::diff_of_named(self.live, &self.wanted);
        let why = match (&action, owner) {
            (Action::Replace, owner) => {
                let adopted = owner.map(|owner| format!("adopted: {owner}; ")).unwrap_or_default();
                let changed = error.immutable_fields().join(", ");
                Some(format!("{adopted}{changed} cannot be changed; pods and volumes are kept"))
            }
            _ => None,
        };
        Ok(Judged { fields, why, ..Judged::to(action, self.wanted) })
    }

    /// Whose the fields in conflict are.
    fn conflicts(&self, causes: &[&StatusCause]) -> Conflicts {
        let is_other =
            |owner: &Owner| owner.manager != FIELD_MANAGER || owner.operation != fields::Operation::Apply;
        let now = Timestamp::now();
        let mut conflicts = Conflicts::default();
        for cause in causes {
            let path = cause.field.as_str();
            let owners: Vec<_> = fields::owners(self.live, path).into_iter().filter(is_other).collect();
            // It has come since the object was read: only the server knows it.
            if owners.is_empty() {
                conflicts.others.push(format!("{}: {}", path.trim_start_matches('.'), cause.message));
            }
            for owner in owners {
                let age = fields::age(&owner, now);
                if fields::is_hand_edit(&owner) {
                    let is_secret = self.manifest.name.is(&object::SECRET);
                    let value = |object| fields::value_at(object, path).filter(|_| !is_secret);
                    let change = describe(path, (value(self.live), value(&self.wanted)));
                    conflicts.drift.push(Drift { change, manager: owner.manager, age });
                } else {
                    let path = path.trim_start_matches('.');
                    conflicts.others.push(format!("{path} is owned by {}", owned_by(&owner, age.as_deref())));
                }
            }
        }
        conflicts
    }
}

/// The fields that others own and that are wanted otherwise.
#[derive(Default)]
struct Conflicts {
    /// Those that a person changed.
    drift: Vec<Drift>,
    /// Those that another program owns, with its name.
    others: Vec<String>,
}

impl Judged {
    fn to(action: Action, wanted: Object) -> Self {
        Self { wanted, action, drift: Vec::new(), fields: Vec::new(), why: None }
    }
}

/// Who an object belongs to, as far as its labels and annotations tell.
fn made_by(object: &Object) -> String {
    let label = |key: &str| object.metadata.labels.as_ref().and_then(|labels| labels.get(key));
    let annotation = |key: &str| object.metadata.annotations.as_ref().and_then(|all| all.get(key));
    if let Some(set) = label(PART_OF) {
        format!("of ApplySet {set}")
    } else if let Some(release) = annotation("meta.helm.sh/release-name") {
        format!("of Helm release {release}")
    } else if let Some(app) =
        label("argocd.argoproj.io/instance").or_else(|| annotation("argocd.argoproj.io/tracking-id"))
    {
        format!("of Argo CD application {app}")
    } else if let Some(name) =
        label("kustomize.toolkit.fluxcd.io/name").or_else(|| label("helm.toolkit.fluxcd.io/name"))
    {
        format!("of Flux {name}")
    } else {
        "no mark of an owner".to_owned()
    }
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

fn owned_by(owner: &Owner, age: Option<&str>) -> String {
    match age {
        Some(age) => format!("{} ({age})", owner.manager),
        None => owner.manager.clone(),
    }
}

/// `spec.replicas 0 → 1`; values that are not short or not to be told are left out.
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

/// Tells whether the number of replicas is ours, or will be by an adoption: left out of an apply, it would become the default.
fn owns_replicas(live: &Object, is_adopted: bool) -> bool {
    fields::owners(live, ".spec.replicas").iter().any(|owner| {
        owner.manager == FIELD_MANAGER || is_adopted && fields::is_former_manager(&owner.manager)
    })
}

/// Sends the number of replicas that there are where none is named, so that no default takes pods away.
fn keep_replicas(wanted: &mut Object, live: &Object) {
    let replicas = &live.data["spec"]["replicas"];
    if let Some(spec) = wanted.data.get_mut("spec").and_then(Value::as_object_mut)
        && replicas.is_number()
    {
        spec.entry("replicas").or_insert_with(|| replicas.clone());
    }
}
