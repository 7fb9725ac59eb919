//! Whether helm has something to do for a release, and what. Pure: decides from what others have read.

use jiff::Timestamp;
use serde_json::Value;

use crate::error::{Error, Exit};
use crate::event::Change;
use crate::fields::{self, Owner};
use crate::helm::{Record, Release, Status};
use crate::inventory::ReleaseEntry;
use crate::live::Live;
use crate::object::{Object, ObjectRef};

/// Objects with it outlive the release, or are not there at all times: helm does not mend them either.
const KEPT_ANNOTATIONS: [&str; 2] = ["helm.sh/resource-policy", "helm.sh/hook"];

/// Where a manifest says how many pods it wants.
const REPLICAS: &str = ".spec.replicas";

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The release.
    pub release: &'a Release,
    /// The digest of the chart and values that the stack wants.
    pub digest: &'a str,
    /// What the inventory remembers.
    pub remembered: Option<&'a ReleaseEntry>,
    /// Helm's newest record.
    pub record: Option<&'a Record>,
    /// The objects of the record's manifest, those that are there.
    pub live: &'a Live,
    /// The time, for the age of changes.
    pub now: Timestamp,
}

/// What is to be done about a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is as it should be: helm need not be started.
    Nothing,
    /// Helm is to be run.
    Run(Work),
}

/// What helm is to do: the repair first, then `upgrade --install`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Why, such as `not installed` or `deployment.apps/x -n monitoring was missing`.
    pub why: String,
    /// What a helm that was killed has left, and how to get out of it.
    pub repair: Option<Repair>,
    /// What people changed by hand and is taken back; then helm needs to force conflicts.
    pub drift: Vec<Drift>,
    /// What becomes of the release.
    pub change: Change,
}

/// How a release that helm refuses to touch is made usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repair {
    /// It never worked: it is taken away.
    Uninstall,
    /// It goes back to this revision.
    Rollback(u32),
}

/// A field that was changed behind helm's back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// The object.
    pub object: ObjectRef,
    /// The field and its values, such as `spec.replicas 0 → 1`.
    pub change: String,
    /// Who changed it: the field manager.
    pub manager: String,
    /// How long ago, in words.
    pub age: Option<String>,
}

/// Decides what is to be done about a release.
///
/// # Errors
/// Exit 4 when the release is not ours, or another program scales one of its workloads.
pub fn decide(seen: &Seen<'_>) -> Result<Decision, Error> {
    let Some(record) = seen.record else {
        return Ok(run("not installed".to_owned(), None, Vec::new(), Change::Created));
    };
    let Some(entry) = seen.remembered else {
        let message = format!(
            "{} (chart {} {}) was not made by this program",
            seen.release, record.chart, record.version
        );
        let hint = format!("helm uninstall {} -n {}", seen.release.name, seen.release.namespace);
        return Err(Error::new(Exit::Refused, message).hint(hint));
    };
    if let Some((why, Repair::Uninstall)) = broken(record) {
        return Ok(run(why, Some(Repair::Uninstall), Vec::new(), Change::Created));
    }
    let drift = scaled(seen, record)?;
    let broken = broken(record);
    let repair = broken.as_ref().map(|(_, repair)| *repair);
    let why = broken
        .map(|(why, _)| why)
        .or_else(|| differs(seen, record, entry))
        .or_else(|| missing(seen, record))
        .or_else(|| drift.first().map(|drift| format!("{} was scaled", drift.object)));
    Ok(why.map_or(Decision::Nothing, |why| run(why, repair, drift, Change::Configured)))
}

fn run(why: String, repair: Option<Repair>, drift: Vec<Drift>, change: Change) -> Decision {
    Decision::Run(Work { why, repair, drift, change })
}

/// Tells why helm would refuse an upgrade, and the way out.
fn broken(record: &Record) -> Option<(String, Repair)> {
    let left = |status| format!("revision {} was left {status}", record.revision);
    match (record.status, record.deployed) {
        (Status::Deployed | Status::Superseded | Status::Unknown, _) | (Status::Failed, Some(_)) => None,
        (Status::Failed, None) => Some(("it was never installed whole".to_owned(), Repair::Uninstall)),
        (Status::Uninstalled, _) => Some(("it was uninstalled".to_owned(), Repair::Uninstall)),
        (status @ Status::Uninstalling, _) | (status, None) => Some((left(status), Repair::Uninstall)),
        (status, Some(revision)) => Some((left(status), Repair::Rollback(revision))),
    }
}

/// Tells how the release differs from what the inventory remembers and the stack wants.
fn differs(seen: &Seen<'_>, record: &Record, entry: &ReleaseEntry) -> Option<String> {
    if record.status != Status::Deployed {
        return Some(format!("revision {} is {}", record.revision, record.status));
    }
    let Some(digest) = &entry.digest else { return Some("an earlier run did not finish it".to_owned()) };
    if digest != seen.digest {
        return Some("chart or values changed".to_owned());
    }
    match entry.revision {
        Some(revision) if revision == record.revision => None,
        Some(revision) => {
            Some(format!("someone else made revision {}, after our {revision}", record.revision))
        }
        None => Some("an earlier run did not finish it".to_owned()),
    }
}

fn missing(seen: &Seen<'_>, record: &Record) -> Option<String> {
    let mut names = mended(record).filter_map(ObjectRef::of);
    names.find(|name| seen.live.get(name).is_none()).map(|name| format!("{name} was missing"))
}

/// The objects that helm puts back when they are gone.
fn mended(record: &Record) -> impl Iterator<Item = &Object> {
    let kept = |object: &Object| {
        let annotations = object.metadata.annotations.as_ref();
        annotations
            .is_some_and(|annotations| KEPT_ANNOTATIONS.iter().any(|key| annotations.contains_key(*key)))
    };
    record.manifest.iter().filter(move |object| !kept(object))
}

/// The workloads that a person scaled.
fn scaled(seen: &Seen<'_>, record: &Record) -> Result<Vec<Drift>, Error> {
    let mut drift = Vec::new();
    for object in mended(record) {
        let wanted = &object.data["spec"]["replicas"];
        let Some(name) = ObjectRef::of(object) else { continue };
        let Some(live) = seen.live.get(&name) else { continue };
        let found = &live.data["spec"]["replicas"];
        if wanted.is_null() || found == wanted || seen.live.is_autoscaled(&name) {
            continue;
        }
        // Without an owner, or owned by helm itself, it can be put right without asking anyone.
        let owners = fields::owners(live, REPLICAS);
        let others: Vec<_> = owners.iter().filter(|owner| owner.manager != "helm").collect();
        if let Some(other) = others.iter().find(|owner| !fields::is_hand_edit(owner)) {
            return Err(conflict(seen, &name, found, wanted, other));
        }
        let owner = others.first();
        drift.push(Drift {
            change: format!("spec.replicas {found} → {wanted}"),
            manager: owner.map_or("helm", |owner| &owner.manager).to_owned(),
            age: owner.and_then(|owner| fields::age(owner, seen.now)),
            object: name,
        });
    }
    Ok(drift)
}

fn conflict(seen: &Seen<'_>, name: &ObjectRef, found: &Value, wanted: &Value, owner: &Owner) -> Error {
    let message = format!(
        "{name} of {} has spec.replicas {found}, not {wanted}, set by {}",
        seen.release, owner.manager
    );
    Error::new(Exit::Refused, message)
}
