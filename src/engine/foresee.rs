//! What was decided, as a changeset that can be shown. Pure.

use crate::apply::{Action, Judged, Refusal};
use crate::changeset::{Changeset, Entry, Outcome, StepChanges, StorageClass, Subject};
use crate::delete;
use crate::engine::prepare::Prepared;
use crate::engine::release::JudgedRelease;
use crate::event::Change;
use crate::helm::{self, Decision};
use crate::object::{self, Object, ObjectRef};
use crate::plan::{PlannedRelease, PlannedStep};

/// Tells all that was decided.
pub(super) fn changeset(prepared: &Prepared) -> Changeset {
    let new: Vec<_> = prepared.new_namespaces().collect();
    let mut steps: Vec<_> = prepared.plan.steps.iter().map(|step| of_step(prepared, step)).collect();
    // A namespace that no manifest writes comes with the first step.
    let is_told = |name: &ObjectRef| prepared.plan.manifests().any(|manifest| manifest.name == *name);
    let untold =
        new.into_iter().filter(|name| !is_told(name)).map(|name| plain(name, Outcome::Created, None));
    if let Some(first) = steps.first_mut() {
        first.entries.splice(0..0, untold);
    }
    Changeset {
        storage: prepared
            .storage
            .as_ref()
            .map(|choice| StorageClass { class: choice.class.clone(), why: choice.why.clone() }),
        steps,
        pruned: pruned(prepared),
        refused: prepared.refused(),
    }
}

fn of_step(prepared: &Prepared, step: &PlannedStep) -> StepChanges {
    let mut entries = Vec::new();
    if let Some(spec) = &step.secret {
        let name = ObjectRef::new(&object::SECRET, Some(&prepared.plan.namespace), &spec.name);
        if let Some(judged) = prepared.secrets.get(&spec.name) {
            let outcome = match judged.change {
                Change::Created => Outcome::Created,
                Change::Configured => Outcome::Configured,
                Change::Kept => Outcome::Kept,
                _ => Outcome::Unchanged,
            };
            entries.push(plain(name, outcome, judged.why.clone()));
        }
    }
    for manifest in step.waves.iter().flatten() {
        let name = &manifest.name;
        let there = if prepared.live.get(name).is_some() { Outcome::Unchanged } else { Outcome::Created };
        let as_it_is = || plain(name.clone(), there, None);
        entries.push(prepared.objects.get(name).map_or_else(as_it_is, |judged| of_object(name, judged)));
    }
    if let Some(planned) = &step.release
        && let Some(judged) = prepared.releases.get(&planned.release())
    {
        entries.push(of_release(planned, judged));
    }
    StepChanges { step: step.name.clone(), entries }
}

fn of_object(name: &ObjectRef, judged: &Judged) -> Entry {
    let (outcome, refusal) = match &judged.action {
        Action::Nothing => (Outcome::Unchanged, None),
        Action::Create => (Outcome::Created, None),
        Action::Configure { .. } | Action::Adopt => (Outcome::Configured, None),
        Action::Replace => (Outcome::Replaced, None),
        Action::Refuse(Refusal::Foreign(owner)) => (Outcome::Foreign, Some(owner.clone())),
        Action::Refuse(Refusal::Conflict(fields)) => (Outcome::Conflict, Some(fields.join("; "))),
        Action::Refuse(Refusal::Immutable { what, .. }) => (Outcome::Immutable, Some(what.clone())),
    };
    let drift = judged.drift.iter().map(|drift| {
        let age = drift.age.as_ref().map(|age| format!(", {age}")).unwrap_or_default();
        format!("{} ({}{age})", drift.change, drift.manager)
    });
    Entry {
        fields: judged.fields.clone(),
        drift: drift.collect(),
        ..plain(name.clone(), outcome, refusal.or_else(|| judged.why.clone()))
    }
}

fn of_release(planned: &PlannedRelease, judged: &JudgedRelease) -> Entry {
    let (outcome, why, drift) = match &judged.decision {
        Decision::Nothing => (Outcome::Unchanged, None, Vec::new()),
        Decision::Run(work) => {
            let outcome = if work.change == Change::Created { Outcome::Created } else { Outcome::Configured };
            let drift = work.drift.iter().map(|drift| {
                let manager = drift.manager.as_deref().unwrap_or(crate::fields::UNNAMED);
                format!("{}: {} ({manager})", drift.object, drift.change)
            });
            (outcome, Some(work.why.clone()), drift.collect())
        }
        Decision::Refuse(refusal) => {
            let outcome = match refusal {
                helm::Refusal::Foreign(_) | helm::Refusal::Unusable(_) => Outcome::Foreign,
                helm::Refusal::Data(_) => Outcome::Immutable,
                helm::Refusal::Conflict(_) => Outcome::Conflict,
            };
            (outcome, Some(refusal.text().to_owned()), Vec::new())
        }
    };
    let (name, namespace) = (planned.spec.release.clone(), planned.namespace.clone());
    Entry { subject: Subject::Release { name, namespace }, outcome, why, fields: Vec::new(), drift }
}

fn pruned(prepared: &Prepared) -> Vec<Entry> {
    let leftovers = &prepared.leftovers;
    let releases = leftovers.releases.iter().map(|entry| {
        let (name, namespace) = (entry.name.clone(), entry.namespace.clone());
        let subject = Subject::Release { name, namespace };
        Entry { subject, outcome: Outcome::Pruned, why: None, fields: Vec::new(), drift: Vec::new() }
    });
    let entry = |object: &Object, outcome, why: Option<&str>| {
        ObjectRef::of(object).map(|name| plain(name, outcome, why.map(str::to_owned)))
    };
    let objects = leftovers.objects().chain(&leftovers.namespaces);
    let objects = objects.filter_map(|object| entry(object, Outcome::Pruned, delete::condition(object)));
    let holds = Some("it holds data; down --purge-data deletes it");
    let claims = leftovers.claims.iter().filter_map(|object| entry(object, Outcome::Kept, holds));
    let bound = Some(delete::BOUND);
    let volumes = leftovers.volumes.iter().filter_map(|object| entry(object, Outcome::Kept, bound));
    releases.chain(objects).chain(claims).chain(volumes).collect()
}

fn plain(name: ObjectRef, outcome: Outcome, why: Option<String>) -> Entry {
    Entry { subject: Subject::Object(name), outcome, why, fields: Vec::new(), drift: Vec::new() }
}
