//! What a run brings, step by step, so that nobody gives up for want of what comes yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::evidence;
use crate::object::{self, Kind, ObjectRef};
use crate::plan::{Plan, PlannedStep};

/// What the steps of a run bring, now or later. Clones know alike which releases are done.
#[derive(Clone, Debug, Default)]
pub struct Promised(pub(super) Vec<Promise>);

/// What one step brings.
#[derive(Clone, Debug, Default)]
pub(super) struct Promise {
    pub(super) step: String,
    /// The steps that must be Current before it, also for the sake of others.
    pub(super) needs: BTreeSet<String>,
    /// The objects that others refer to, with their keys where they have any.
    pub(super) objects: BTreeMap<ObjectRef, BTreeSet<String>>,
    /// Whether it has a release that is not done yet: nobody knows what that brings.
    pub(super) is_open: Arc<AtomicBool>,
}

impl Promised {
    /// What a plan brings.
    #[must_use]
    pub fn by(plan: &Plan) -> Self {
        let mut promises: Vec<Promise> = Vec::new();
        for step in &plan.steps {
            let before = promises.iter().filter(|promise| step.needs.contains(&promise.step));
            let further = before.flat_map(|promise| promise.needs.iter().cloned()).collect::<Vec<_>>();
            promises.push(Promise {
                step: step.name.clone(),
                needs: step.needs.iter().cloned().chain(further).collect(),
                objects: objects(step, &plan.namespace),
                is_open: Arc::new(step.release.is_some().into()),
            });
        }
        Self(promises)
    }

    /// Takes in that the release of a step has brought what it brings.
    pub fn release_is_done(&self, step: &str) {
        for promise in self.0.iter().filter(|promise| promise.step == step) {
            promise.is_open.store(false, Ordering::Relaxed);
        }
    }

    /// What comes while a step waits: nothing of those that need it.
    pub(super) fn within(&self, step: &str) -> Self {
        Self(self.0.iter().filter(|promise| !promise.needs.contains(step)).cloned().collect())
    }

    /// What runs of the steps that must be Current before a step.
    pub(crate) fn needed(&self, step: &str) -> Vec<ObjectRef> {
        let its = self.0.iter().filter(|promise| promise.step == step);
        let needs: BTreeSet<_> = its.flat_map(|promise| &promise.needs).collect();
        let needed = self.0.iter().filter(|promise| needs.contains(&promise.step));
        needed
            .flat_map(|promise| promise.objects.keys())
            .filter(|name| evidence::has_pods(name))
            .cloned()
            .collect()
    }

    /// Tells whether an object comes yet, with a key if one is asked for.
    pub(super) fn brings(&self, kind: &Kind, namespace: Option<&str>, name: &str, key: Option<&str>) -> bool {
        let name = ObjectRef::new(kind, namespace, name);
        self.0.iter().any(|promise| {
            let object = promise.objects.get(&name);
            promise.is_open.load(Ordering::Relaxed)
                || object.is_some_and(|keys| key.is_none_or(|key| keys.contains(key)))
        })
    }
}

fn objects(step: &PlannedStep, namespace: &str) -> BTreeMap<ObjectRef, BTreeSet<String>> {
    let manifests = step.waves.iter().flatten().map(|manifest| {
        let fields = ["data", "binaryData", "stringData"].map(|field| &manifest.object.data[field]);
        let keys = fields.into_iter().filter_map(|field| field.as_object()).flat_map(|map| map.keys());
        (manifest.name.clone(), keys.cloned().collect())
    });
    let secret = step.secret.iter().map(|secret| {
        let name = ObjectRef::new(&object::SECRET, Some(namespace), &secret.name);
        (name, secret.data.keys().cloned().collect())
    });
    manifests.chain(secret).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(name: &str, needs: &[&str], is_open: bool) -> Promise {
        Promise {
            step: name.to_owned(),
            needs: needs.iter().map(|&need| need.to_owned()).collect(),
            is_open: Arc::new(is_open.into()),
            ..Promise::default()
        }
    }

    #[test]
    fn a_release_that_needs_the_step_brings_it_nothing_and_another_may_until_it_is_done() {
        let run = Promised(vec![
            step("prometheus", &[], false),
            step("loki", &[], true),
            step("adapter", &["prometheus"], true),
        ]);
        let brings = |promised: &Promised| promised.brings(&object::SECRET, Some("n"), "token", None);
        let prometheus = run.within("prometheus");
        assert!(brings(&prometheus));
        run.release_is_done("loki");
        assert!(!brings(&prometheus), "the adapter comes after it");
        assert!(brings(&run.within("loki")), "the adapter may come before");
    }
}
