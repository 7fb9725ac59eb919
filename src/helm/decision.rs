//! Whether helm has something to do for a release, and what. Pure: decides from what others have read.

use jiff::Timestamp;
use serde_json::Value;

use crate::apply::Leave;
use crate::event::Change;
use crate::fields::{self, Owner};
use crate::helm::record::POLICY;
use crate::helm::{Record, Release, Status};
use crate::inventory::ReleaseEntry;
use crate::live::Live;
use crate::object::{self, Object, ObjectRef};
use crate::storage;

/// Objects with it outlive the release, or are not there at all times: helm does not mend them either.
const KEPT_ANNOTATIONS: [&str; 2] = [POLICY, "helm.sh/hook"];

/// Where a manifest says how many pods it wants.
const REPLICAS: &str = ".spec.replicas";

/// All that a decision depends on.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The release.
    pub release: &'a Release,
    /// The name of the chart that the stack wants.
    pub chart: &'a str,
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
    /// What the user gives leave to.
    pub leave: Leave,
}

/// What is to be done about a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is as it should be: helm need not be started.
    Nothing,
    /// Helm is to be run.
    Run(Work),
    /// It must not be done.
    Refuse(Refusal),
}

/// Why a release must not be touched: what is in the way, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was not made by this program.
    Foreign(String),
    /// It was not made by this program, and cannot be taken over as it stands.
    Unusable(String),
    /// Another program scales one of its workloads.
    Conflict(String),
    /// Its repair would delete data.
    Data(String),
}

impl Refusal {
    /// What is in the way.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Self::Foreign(what) | Self::Unusable(what) | Self::Conflict(what) | Self::Data(what) => what,
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self, release: &Release) -> String {
        let Release { name, namespace } = release;
        match self {
            Self::Foreign(_) => {
                "take over what is there with --adopt, or leave its step out with --skip STEP".to_owned()
            }
            Self::Unusable(_) => format!("see what it is: helm status {name} -n {namespace}"),
            Self::Conflict(_) => {
                "take the fields with --force-conflicts, or leave replicas out of the values".to_owned()
            }
            Self::Data(_) => format!(
                "let helm forget {release}, and bootstrap up goes on with what is there: kubectl delete secrets -n {namespace} -l \
                 owner=helm,name={name}"
            ),
        }
    }
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
    /// Whether fields and objects are taken from others.
    pub force: bool,
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
    /// Who changed it: the field manager. The server forgets who scales something to zero.
    pub manager: Option<String>,
    /// How long ago, in words.
    pub age: Option<String>,
}

/// Decides what is to be done about a release.
#[must_use]
pub fn decide(seen: &Seen<'_>) -> Decision {
    let Some(record) = seen.record else {
        return install("not installed".to_owned(), None);
    };
    let Some(entry) = seen.remembered.filter(|entry| entry.may_have(record.revision)) else {
        return adoption(seen, record);
    };
    if let Some((why, Repair::Uninstall)) = broken(record) {
        return reinstall(seen, record, why);
    }
    let Scaled { drift, others } = scaled(seen, record);
    if !others.is_empty() && !seen.leave.force_conflicts {
        return Decision::Refuse(Refusal::Conflict(others.join("; ")));
    }
    let broken = broken(record);
    let repair = broken.as_ref().map(|(_, repair)| *repair);
    let why = broken
        .map(|(why, _)| why)
        .or_else(|| differs(seen, record, entry))
        .or_else(|| missing(seen, record))
        .or_else(|| others.first().map(|other| format!("taken: {other}")))
        .or_else(|| drift.first().map(|drift| format!("{} was scaled", drift.object)));
    let force = !drift.is_empty() || !others.is_empty();
    let change = Change::Configured;
    why.map_or(Decision::Nothing, |why| Decision::Run(Work { why, repair, drift, force, change }))
}

/// Decides about a release that somebody else made.
fn adoption(seen: &Seen<'_>, record: &Record) -> Decision {
    let Record { chart, version, status, .. } = record;
    let what = format!("{} (chart {chart} {version}) was not made by this program", seen.release);
    if !seen.leave.adopt {
        return Decision::Refuse(Refusal::Foreign(what));
    }
    if chart != seen.chart {
        let wanted = seen.chart;
        return Decision::Refuse(Refusal::Unusable(format!("{what}, and {wanted} is another chart")));
    }
    let is_usable = matches!((status, record.deployed), (Status::Deployed, _) | (Status::Failed, Some(_)));
    if !is_usable {
        return Decision::Refuse(Refusal::Unusable(format!("{what}, and is {status}")));
    }
    let why = "adopted: it was not made by this program".to_owned();
    let (repair, drift) = (None, Vec::new());
    Decision::Run(Work { why, repair, drift, force: true, change: Change::Configured })
}

/// Takes a release away that cannot be mended otherwise, and installs it anew, unless data would go with it.
fn reinstall(seen: &Seen<'_>, record: &Record, why: String) -> Decision {
    let holds_data = |name: &ObjectRef| {
        let live = seen.live.get(name);
        live.is_some_and(|live| name.is(&object::CLAIM) || storage::deletes_claims(live))
    };
    match record.uninstalled().filter_map(ObjectRef::of).find(holds_data) {
        None => install(why, Some(Repair::Uninstall)),
        Some(name) => {
            let data = if name.is(&object::CLAIM) { name.to_string() } else { format!("the data of {name}") };
            Decision::Refuse(Refusal::Data(format!("{data} would go with {}: {why}", seen.release)))
        }
    }
}

/// Installs a release, after what is left of it has been taken away.
fn install(why: String, repair: Option<Repair>) -> Decision {
    Decision::Run(Work { why, repair, drift: Vec::new(), force: false, change: Change::Created })
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

/// The workloads that have another number of replicas than the release says.
#[derive(Default)]
struct Scaled {
    /// Those that a person scaled.
    drift: Vec<Drift>,
    /// Those that another program did, each with its owner.
    others: Vec<String>,
}

fn scaled(seen: &Seen<'_>, record: &Record) -> Scaled {
    let mut scaled = Scaled::default();
    for object in mended(record) {
        let wanted = &object.data["spec"]["replicas"];
        let Some(name) = ObjectRef::of(object) else { continue };
        let Some(live) = seen.live.get(&name) else { continue };
        let found = &live.data["spec"]["replicas"];
        if wanted.is_null() || found == wanted || seen.live.is_autoscaled(&name) {
            continue;
        }
        // Scaled to zero, the field has no owner and can be put right without asking anyone.
        let owners = fields::owners(live, REPLICAS);
        let others: Vec<_> = owners.iter().filter(|owner| owner.manager != "helm").collect();
        if let Some(other) = others.iter().find(|owner| !fields::is_hand_edit(owner)) {
            scaled.others.push(conflict(seen, &name, found, wanted, other));
            continue;
        }
        let owner = others.first();
        scaled.drift.push(Drift {
            change: format!("spec.replicas {found} → {wanted}"),
            manager: owner.map(|owner| owner.manager.clone()),
            age: owner.and_then(|owner| fields::age(owner, seen.now)),
            object: name,
        });
    }
    scaled
}

fn conflict(seen: &Seen<'_>, name: &ObjectRef, found: &Value, wanted: &Value, owner: &Owner) -> String {
    let age = fields::age(owner, seen.now).map(|age| format!(" ({age})")).unwrap_or_default();
    let (release, manager) = (seen.release, &owner.manager);
    format!("{name} of {release} has spec.replicas {found}, not {wanted}, owned by {manager}{age}")
}
