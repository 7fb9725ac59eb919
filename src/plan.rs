//! What `up` will do, in which order: pure, from a stack and the user's choice of steps.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use kube::core::GroupVersionKind;
use serde_json::{Map, Value};

use crate::error::{Error, Exit};
use crate::helm::Release;
use crate::inventory::Inventory;
use crate::manifest::{self, Manifest};
use crate::object::{self, Object, ObjectRef};
use crate::stack::{ReleaseSpec, SecretSpec, Stack, Step};
use crate::yaml::{self, YamlError};

mod rotation;

/// Which steps of a stack are wanted.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// These and all that they need; every step when empty.
    pub only: Vec<String>,
    /// These are left out and count as there.
    pub skip: Vec<String>,
}

/// What will be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The stack's name.
    pub stack: String,
    /// The stack's namespace.
    pub namespace: String,
    /// The steps, each after all that it needs.
    pub steps: Vec<PlannedStep>,
    /// The names of all Secrets that the stack makes, also in steps that are left out.
    pub secrets: Vec<String>,
}

/// A step with everything read that it brings.
#[derive(Clone, Debug)]
pub struct PlannedStep {
    /// Its name.
    pub name: String,
    /// The planned steps that must be Current before it starts.
    pub needs: BTreeSet<String>,
    /// Its objects, in waves: each wave is applied side by side, after the one before.
    pub waves: Vec<Vec<Manifest>>,
    /// The Secret that it makes once.
    pub secret: Option<SecretSpec>,
    /// Its Helm release.
    pub release: Option<PlannedRelease>,
    /// Whether its release brings the storage class that is installed on request only.
    pub is_storage: bool,
    /// How long it may take; the run's own time when `None`.
    pub timeout: Option<Duration>,
}

/// A release with its values read.
#[derive(Clone, Debug)]
pub struct PlannedRelease {
    /// What the stack says of it.
    pub spec: ReleaseSpec,
    /// The namespace that it lives in.
    pub namespace: String,
    /// The values, by file name; the later ones over the earlier.
    pub values: Vec<(String, String)>,
}

impl Plan {
    /// Orders the wanted steps of a stack and reads what they bring.
    ///
    /// # Errors
    /// Exit 2: a step that is none, a cycle, a manifest that cannot be read, two objects of one name.
    pub fn new(stack: &Stack, selection: &Selection) -> Result<Self, Error> {
        let wanted = wanted(stack, selection)?;
        let mut steps = Vec::new();
        for step in order(stack)? {
            steps.push(PlannedStep::read(stack, step)?);
        }
        let secrets =
            stack.steps.iter().filter_map(|step| Some(step.secret.as_ref()?.name.clone())).collect();
        let mut plan = Self { stack: stack.name.clone(), namespace: stack.namespace.clone(), steps, secrets };
        let defined = defined(&plan);
        plan.place(|name| defined.contains(&name.group_kind()))?;
        manifest::add_config_hashes(plan.manifests_mut());
        for step in &stack.steps {
            if !wanted.contains(step.name.as_str()) {
                plan.leave_out(&step.name);
            }
        }
        Ok(plan)
    }

    /// The kinds of objects that name no namespace, of which the cluster has to say whether they live in one.
    #[must_use]
    pub fn unplaced(&self) -> HashSet<GroupVersionKind> {
        let unplaced = self.manifests().filter(|manifest| manifest.name.namespace.is_none());
        let kinds = unplaced.map(|manifest| manifest.name.gvk());
        kinds.filter(|kind| object::Kind::find(kind).is_none()).collect()
    }

    /// Puts the objects that name no namespace and live in one into the stack's.
    ///
    /// # Errors
    /// Exit 2: two objects of one name.
    pub fn place(&mut self, is_namespaced: impl Fn(&ObjectRef) -> bool) -> Result<(), Error> {
        let namespace = self.namespace.clone();
        for manifest in self.manifests_mut().filter(|manifest| is_namespaced(&manifest.name)) {
            manifest.set_default_namespace(&namespace);
        }
        check_names(self)
    }

    /// Leaves out a step and counts it as there: what needed it needs what it needed.
    pub fn leave_out(&mut self, name: &str) {
        let Some(place) = self.steps.iter().position(|step| step.name == name) else { return };
        let gone = self.steps.remove(place);
        for step in &mut self.steps {
            if step.needs.remove(name) {
                step.needs.extend(gone.needs.iter().cloned());
            }
        }
    }

    /// Gives every claim that names no storage class this one; tells whether there is such a claim.
    pub fn set_storage_class(&mut self, class: &str) -> bool {
        self.manifests_mut()
            .map(|manifest| u32::from(manifest::set_storage_class(&mut manifest.object, class)))
            .sum::<u32>()
            > 0
    }

    /// Every object of the plan.
    pub fn manifests(&self) -> impl Iterator<Item = &Manifest> {
        self.steps.iter().flat_map(|step| step.waves.iter().flatten())
    }

    /// The same, to be changed.
    pub fn manifests_mut(&mut self) -> impl Iterator<Item = &mut Manifest> {
        self.steps.iter_mut().flat_map(|step| step.waves.iter_mut().flatten())
    }

    /// The names of the namespaces that must be there.
    #[must_use]
    pub fn namespaces(&self) -> BTreeSet<String> {
        let written = self.manifests().filter(|manifest| manifest.name.is(&object::NAMESPACE));
        let written = written.map(|manifest| manifest.name.name.clone());
        let of_releases = self.releases().map(|release| release.namespace.clone());
        written.chain(of_releases).chain([self.namespace.clone()]).collect()
    }

    /// Tells whether an object of the cluster is one of this plan or of one of its releases.
    #[must_use]
    pub fn brings(&self, object: &Object) -> bool {
        let annotations = object.metadata.annotations.as_ref();
        let release = annotations.and_then(|all| all.get("meta.helm.sh/release-name"));
        let namespace = annotations.and_then(|all| all.get("meta.helm.sh/release-namespace"));
        self.manifests().any(|manifest| ObjectRef::of(object).as_ref() == Some(&manifest.name))
            || self.releases().any(|planned| {
                Some(&planned.spec.release) == release && Some(&planned.namespace) == namespace
            })
    }

    /// The Secrets that the stack makes, also in steps that are left out.
    pub fn secret_refs(&self) -> impl Iterator<Item = ObjectRef> {
        self.secrets.iter().map(|name| self.secret_ref(name))
    }

    fn secret_ref(&self, name: &str) -> ObjectRef {
        ObjectRef::new(&object::SECRET, Some(&self.namespace), name)
    }

    /// The hosts under which the plan's Ingresses answer.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let ingresses = self.manifests().filter(|manifest| manifest.name.is(&object::INGRESS));
        let rules =
            ingresses.filter_map(|manifest| manifest.object.data["spec"]["rules"].as_array()).flatten();
        rules.filter_map(|rule| rule["host"].as_str())
    }

    /// Every release of the plan.
    pub fn releases(&self) -> impl Iterator<Item = &PlannedRelease> {
        self.steps.iter().filter_map(|step| step.release.as_ref())
    }
}

impl PlannedRelease {
    /// Its name.
    #[must_use]
    pub fn release(&self) -> Release {
        Release { name: self.spec.release.clone(), namespace: self.namespace.clone() }
    }

    /// The chart's name, without the address of its repository.
    #[must_use]
    pub fn chart_name(&self) -> &str {
        self.spec.chart.rsplit('/').next().unwrap_or_default()
    }
}

impl PlannedStep {
    fn read(stack: &Stack, step: &Step) -> Result<Self, Error> {
        let mut waves: [Vec<Manifest>; 5] = Default::default();
        for manifest in manifest::of_step(stack, step)? {
            waves[wave(&manifest.name)].push(manifest);
        }
        let release = step.release.as_ref().map(|spec| {
            let values = spec.values.iter().map(|path| Ok((path.clone(), values(stack, path)?)));
            Ok::<_, Error>(PlannedRelease {
                spec: spec.clone(),
                namespace: spec.namespace.clone().unwrap_or_else(|| stack.namespace.clone()),
                values: values.collect::<Result<_, Error>>()?,
            })
        });
        Ok(Self {
            name: step.name.clone(),
            needs: step.needs.iter().cloned().collect(),
            waves: waves.into_iter().filter(|wave| !wave.is_empty()).collect(),
            secret: step.secret.clone(),
            release: release.transpose()?,
            is_storage: step.is_storage,
            timeout: step.timeout,
        })
    }
}

/// Reads a file of values. Helm takes one mapping; of a second document it would know nothing.
fn values(stack: &Stack, path: &str) -> Result<String, Error> {
    let text = stack.files.read(path)?;
    let documents = yaml::documents::<Map<String, Value>>(path, &text)?;
    match documents.get(1) {
        Some(second) => Err(YamlError::at(path, &second.referenced, "helm reads one document only").into()),
        None => Ok(text.into_owned()),
    }
}

/// CRDs and namespaces, then what pods read, then who may do what, then workloads, then what points at them.
fn wave(name: &ObjectRef) -> usize {
    let is = |kinds: &[&object::Kind]| kinds.iter().any(|kind| name.is(kind));
    if is(&[&object::NAMESPACE, &object::CUSTOM_RESOURCE_DEFINITION]) {
        0
    } else if is(&[&object::ROLE_BINDING, &object::CLUSTER_ROLE_BINDING]) {
        // Of one who has no more rights than the role grants, the server takes a binding only once the role is there.
        2
    } else if is(&[
        &object::DEPLOYMENT,
        &object::STATEFUL_SET,
        &object::DAEMON_SET,
        &object::REPLICA_SET,
        &object::JOB,
        &object::CRON_JOB,
        &object::POD,
    ]) {
        3
    } else if is(&[&object::INGRESS, &object::API_SERVICE, &object::AUTOSCALER])
        || name.group == object::VALIDATING_WEBHOOK.group
        || object::Kind::find(&name.gvk()).is_none()
    {
        4
    } else {
        1
    }
}

/// The steps in an order in which each stands after all that it needs, as near to the file's as can be.
fn order(stack: &Stack) -> Result<Vec<&Step>, Error> {
    let mut placed: Vec<&Step> = Vec::new();
    let mut left: Vec<&Step> = stack.steps.iter().collect();
    while !left.is_empty() {
        let is_placed = |name: &String| placed.iter().any(|step| step.name == *name);
        let Some(next) = left.iter().position(|step| step.needs.iter().all(is_placed)) else {
            let line = left[0].line;
            let names = cycle(&left).join(" → ");
            return Err(Error::new(
                Exit::Usage,
                format!("stack.yaml:{line}: the steps need each other: {names}"),
            ));
        };
        placed.push(left.remove(next));
    }
    Ok(placed)
}

/// Walks along the needs of steps that are all waiting for each other until one comes up again.
fn cycle(steps: &[&Step]) -> Vec<String> {
    let by_name: BTreeMap<_, _> = steps.iter().map(|step| (step.name.as_str(), step)).collect();
    let mut walk = vec![steps[0].name.as_str()];
    loop {
        let here = by_name[walk[walk.len() - 1]];
        let Some(next) = here.needs.iter().map(String::as_str).find(|need| by_name.contains_key(need)) else {
            break;
        };
        if let Some(start) = walk.iter().position(|name| *name == next) {
            walk.drain(..start);
            walk.push(next);
            break;
        }
        walk.push(next);
    }
    walk.into_iter().map(str::to_owned).collect()
}

fn wanted<'a>(stack: &'a Stack, selection: &'a Selection) -> Result<BTreeSet<&'a str>, Error> {
    let find = |name: &str| {
        stack.steps.iter().find(|step| step.name == name).ok_or_else(|| {
            let there_are: Vec<_> = stack.steps.iter().map(|step| step.name.as_str()).collect();
            Error::new(
                Exit::Usage,
                format!("no step `{name}` in the stack; there are: {}", there_are.join(", ")),
            )
        })
    };
    let mut wanted = BTreeSet::new();
    let mut open = Vec::new();
    for name in &selection.only {
        open.push(find(name)?);
    }
    if selection.only.is_empty() {
        open.extend(&stack.steps);
    }
    while let Some(step) = open.pop() {
        if wanted.insert(step.name.as_str()) {
            for need in &step.needs {
                open.push(find(need)?);
            }
        }
    }
    for name in &selection.skip {
        wanted.remove(find(name)?.name.as_str());
    }
    Ok(wanted)
}

/// The kinds that the stack itself defines and whose objects live in namespaces, as [`ObjectRef::group_kind`] has them.
fn defined(plan: &Plan) -> BTreeSet<String> {
    let definitions =
        plan.manifests().filter(|manifest| manifest.name.is(&object::CUSTOM_RESOURCE_DEFINITION));
    let specs = definitions.map(|manifest| &manifest.object.data["spec"]);
    let namespaced = specs.filter(|spec| spec["scope"] == "Namespaced");
    let names =
        namespaced.filter_map(|spec| Some((spec["names"]["kind"].as_str()?, spec["group"].as_str()?)));
    names.map(|(kind, group)| format!("{kind}.{group}")).collect()
}

fn check_names(plan: &Plan) -> Result<(), Error> {
    let mut seen: BTreeMap<_, &Manifest> = BTreeMap::new();
    let inventory = Inventory::new(&plan.stack, &plan.namespace).name;
    for manifest in plan.manifests() {
        let name = &manifest.name;
        if name.is_same(&inventory) {
            return Err(manifest.wrong("the stack's inventory has this name"));
        }
        let identity = (name.group_kind(), name.namespace.clone(), name.name.clone());
        if let Some(first) = seen.insert(identity, manifest) {
            return Err(manifest.wrong(&format!("it is in {} already", first.place())));
        }
    }
    let mut secrets = BTreeSet::new();
    for step in &plan.steps {
        if let Some(secret) = &step.secret {
            let name = ObjectRef::new(&object::SECRET, Some(&plan.namespace), &secret.name);
            if !secrets.insert(&secret.name)
                || seen.contains_key(&(name.group_kind(), name.namespace.clone(), name.name.clone()))
            {
                return Err(Error::new(Exit::Usage, format!("{name} is in the stack twice")));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn plan_of(steps: &[(&str, &[&str])], selection: &Selection) -> Result<Vec<String>, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let mut text = "name: s\nnamespace: n\nsteps:\n".to_owned();
        for (name, needs) in steps {
            let manifest = format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\n");
            std::fs::write(folder.path().join(format!("{name}.yaml")), manifest).expect("written");
            let needs = needs.join(", ");
            writeln!(text, "  - {{name: {name}, needs: [{needs}], manifests: [{name}.yaml]}}")
                .expect("written");
        }
        std::fs::write(folder.path().join("stack.yaml"), text).expect("written");
        let plan = Plan::new(&Stack::load(folder.path())?, selection)?;
        Ok(plan
            .steps
            .iter()
            .map(|step| format!("{} < {}", step.name, Vec::from_iter(step.needs.clone()).join(" ")))
            .collect())
    }

    const STEPS: [(&str, &[&str]); 4] = [("c", &["b"]), ("b", &["a"]), ("a", &[]), ("d", &["a"])];

    #[test]
    fn each_step_stands_after_all_that_it_needs() {
        let plan = plan_of(&STEPS, &Selection::default()).expect("a plan");
        assert_eq!(plan, ["a < ", "b < a", "c < b", "d < a"]);
    }

    #[test]
    fn only_brings_what_it_needs_and_skip_counts_as_there() {
        let only = Selection { only: vec!["b".to_owned()], ..Selection::default() };
        assert_eq!(plan_of(&STEPS, &only).expect("a plan"), ["a < ", "b < a"]);
        let skip = Selection { skip: vec!["b".to_owned()], ..Selection::default() };
        assert_eq!(plan_of(&STEPS, &skip).expect("a plan"), ["a < ", "c < a", "d < a"]);
        let unknown = Selection { only: vec!["x".to_owned()], ..Selection::default() };
        assert_eq!(
            plan_of(&STEPS, &unknown).expect_err("no x").to_string(),
            "no step `x` in the stack; there are: c, b, a, d"
        );
    }

    #[test]
    fn a_cycle_is_named() {
        let steps: [(&str, &[&str]); 3] = [("a", &["c"]), ("b", &["a"]), ("c", &["b"])];
        let error = plan_of(&steps, &Selection::default()).expect_err("a cycle");
        assert_eq!(error.to_string(), "stack.yaml:4: the steps need each other: a → c → b → a");
    }

    #[test]
    fn a_binding_stands_after_its_role_and_before_the_pods_that_use_it() {
        let plan = Plan::new(&Stack::embedded().expect("valid"), &Selection::default()).expect("a plan");
        let alloy = plan.steps.iter().find(|step| step.name == "alloy").expect("in the stack");
        let waves: Vec<Vec<_>> = alloy
            .waves
            .iter()
            .map(|wave| wave.iter().map(|manifest| manifest.name.kind.as_str()).collect())
            .collect();
        let of = |kind| waves.iter().position(|wave| wave.contains(&kind)).expect("in the step");
        assert!(of("ClusterRole") < of("ClusterRoleBinding"), "{waves:?}");
        assert!(of("ClusterRoleBinding") < of("DaemonSet"), "{waves:?}");
    }

    #[test]
    fn the_embedded_stack_is_a_plan() {
        let stack = Stack::embedded().expect("valid");
        let plan = Plan::new(&stack, &Selection::default()).expect("a plan");
        assert_eq!(plan.steps.len(), 10);
    }
}
