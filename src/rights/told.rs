//! The rights themselves, by what the commands do: a run as such, its objects, its releases, waiting, `verify`, `down`.

use std::collections::BTreeSet;

use super::Need::{Down, Up, Verify, Wish};
use super::Verb::{Create, Delete, Get, List, Patch, Update, Watch};
use super::{Given, Need, Resource, Rights};
use crate::evidence;
use crate::object::{self, Kind, Object, ObjectRef};
use crate::plan::PlannedStep;
use crate::{storage, verify};

/// Where Kubernetes keeps its own pods, and runs their leases.
const SYSTEM: &str = "kube-system";

const NODES: Need = Wish("without nodes a cluster counts as not local, and nothing is known of their state");
const GROUNDS: Need = Wish("whether the cluster is up enough to begin is taken on trust");
const REASONS: Need = Wish("up cannot tell why something is not ready");
const MASKS: Need = Wish("a failure shows no log of a pod that is given a Secret: it could not be masked");
const FREES: Need = Wish("a StatefulSet that is stuck at a broken pod is not helped");
const CLASSES: Need = Wish("whether an Ingress has a class cannot be told");
const OTHERS: Need = Wish("down keeps the namespace: it cannot see what else is in it");
const WHOLE: Need = Wish("checks of verify that look at the whole cluster are skipped");

impl Rights {
    /// Tells which rights the commands need.
    #[must_use]
    pub fn of(given: &Given<'_>) -> Self {
        let mut rights = Self::default();
        rights.run(given);
        for step in &given.plan.steps {
            if step.is_storage && !given.installs_storage {
                rights.look(given, step);
            } else {
                rights.carry_out(given, step);
            }
        }
        rights.claims(given);
        rights.releases(given);
        rights.take_away(given);
        rights.explain(given);
        rights.verify(given);
        rights
    }

    /// What every run does, whatever its plan.
    fn run(&mut self, given: &Given<'_>) {
        let own = Some(given.plan.namespace.as_str());
        // To renew it and to see whether another run does.
        let lease = Resource::of(&object::LEASE, Some(SYSTEM));
        self.want(Up, lease, &[Get, List, Watch, Create, Update, Delete]);
        let inventory = Resource::of(&object::CONFIG_MAP, own);
        self.want(Up, inventory.clone(), &[Get, Create, Patch]);
        self.want(Down, inventory, &[Delete]);
        let namespaces = Resource::of(&object::NAMESPACE, None);
        self.want(Up, namespaces.clone(), &[Get]);
        if new_namespaces(given).next().is_some() {
            // One that is on its way out is waited for, and made anew.
            self.want(Up, namespaces.clone(), &[Create, List, Watch]);
            self.want(Down, namespaces, &[Delete]);
        }
        self.want(Up, Resource::of(&object::STORAGE_CLASS, None), &[List]);
        self.want(Up, Resource::of(&object::ENDPOINT_SLICE, own), &[List]);
        self.want(NODES, Resource::of(&object::NODE, None), &[List, Watch]);
        for resource in [
            Resource::of(&object::POD, Some(SYSTEM)),
            Resource::of(&object::SERVICE, Some(SYSTEM)),
            Resource::of(&object::API_SERVICE, None),
        ] {
            self.want(GROUNDS, resource, &[List, Watch]);
        }
    }

    /// What it takes to see how a step stands.
    fn look(&mut self, given: &Given<'_>, step: &PlannedStep) {
        let objects = step.waves.iter().flatten().map(|manifest| &manifest.name);
        for name in objects.clone() {
            if let Some(resource) = self.known(given, name) {
                self.want(Up, resource, &[Get]);
            }
        }
        let release = step.release.as_ref().map(|planned| planned.namespace.as_str());
        for namespace in objects.filter_map(|name| name.namespace.as_deref()).chain(release) {
            self.want(Up, Resource::of(&object::AUTOSCALER, Some(namespace)), &[List]);
        }
        if let Some(namespace) = release {
            self.want(Up, Resource::of(&object::SECRET, Some(namespace)), &[List]);
        }
    }

    fn carry_out(&mut self, given: &Given<'_>, step: &PlannedStep) {
        self.look(given, step);
        for manifest in step.waves.iter().flatten() {
            // A namespace is made, and used as it is.
            if !manifest.name.is(&object::NAMESPACE) {
                self.bring(given, &manifest.name);
            }
        }
        if step.secret.is_some() {
            let secret = Resource::of(&object::SECRET, Some(&given.plan.namespace));
            self.want(Up, secret.clone(), &[Get, Create, Patch]);
            self.want(Down, secret, &[List, Watch, Delete]);
        }
        if let Some(planned) = &step.release {
            let records = Resource::of(&object::SECRET, Some(&planned.namespace));
            self.want(Up, records, &[Get, List, Create, Update, Delete]);
        }
    }

    /// What it takes to have an object applied and rolled out, by this program or by helm, and to take it away again.
    fn bring(&mut self, given: &Given<'_>, name: &ObjectRef) {
        let Some(resource) = self.known(given, name) else { return };
        let waits = if is_awaited(name) { Up } else { Down };
        self.want(Up, resource.clone(), &[Get, Create, Patch]);
        self.want(waits, resource.clone(), &[List, Watch]);
        self.want(Down, resource, &[Delete]);
        if name.is(&object::SERVICE) {
            let slices = Resource::of(&object::ENDPOINT_SLICE, name.namespace.as_deref());
            self.want(Up, slices, &[List, Watch]);
        }
        if name.is(&object::CLAIM) {
            self.want(Up, Resource::of(&object::STORAGE_CLASS, None), &[List, Watch]);
        }
        if name.is(&object::INGRESS) {
            self.want(CLASSES, Resource::of(&object::INGRESS_CLASS, None), &[List]);
        }
    }

    fn claims(&mut self, given: &Given<'_>) {
        let mut places = storage::namespaces(given.plan);
        let stems = given.releases.values().flatten().flat_map(storage::stems);
        places.extend(stems.filter_map(|stem| stem.namespace));
        places.extend(given.inventory.content.data_namespaces());
        for place in places {
            let resource = Resource::of(&object::CLAIM, Some(&place));
            self.want(Up, resource.clone(), &[List]);
            self.want(Down, resource, &[Watch, Delete]);
            // With the data purged, it waits for the volumes to go.
            self.want(Down, Resource::of(&object::VOLUME, None), &[Get, List, Watch]);
        }
    }

    /// What helm does with the objects of the releases; they are read and waited for like others.
    fn releases(&mut self, given: &Given<'_>) {
        for object in given.releases.values().flatten() {
            if let Some(name) = ObjectRef::of(object) {
                self.bring(given, &name);
            }
        }
        for entry in &given.inventory.content.releases {
            let records = Resource::of(&object::SECRET, Some(&entry.namespace));
            self.want(Up, records, &[Get, List, Update, Delete]);
        }
    }

    /// What `down` looks for: each kind of member in each namespace that has one. What the stack has no more `up` takes away.
    fn take_away(&mut self, given: &Given<'_>) {
        let planned = given.plan.manifests().map(|manifest| &manifest.name);
        let planned = planned.filter(|name| !name.is(&object::NAMESPACE));
        let members = &given.inventory.content.members;
        for name in members {
            if let Some(resource) = self.known(given, name) {
                self.want(Up, resource, &[Get, List, Watch, Delete]);
            }
        }
        let members: BTreeSet<_> = planned.chain(members).collect();
        let places = members.iter().filter_map(|name| name.namespace.as_deref());
        let places: BTreeSet<_> = places.chain([given.plan.namespace.as_str()]).collect();
        for name in members {
            if let Some(resource) = self.known(given, name).filter(|resource| resource.namespace.is_some()) {
                for place in &places {
                    let there = Resource { namespace: Some((*place).to_owned()), ..resource.clone() };
                    self.want(Down, there, &[List]);
                }
            }
        }
        for namespace in new_namespaces(given) {
            self.want(OTHERS, Resource::anything(&namespace), &[List]);
        }
    }

    /// What tells why something is not ready.
    fn explain(&mut self, given: &Given<'_>) {
        let released = given.releases.values().flatten().filter_map(ObjectRef::of);
        let planned = given.plan.manifests().map(|manifest| manifest.name.clone());
        for name in planned.chain(released).filter(evidence::is_explained) {
            let here = |kind: &Kind| Resource::of(kind, name.namespace.as_deref());
            let pods = here(&object::POD);
            self.want(REASONS, pods.part("log"), &[Get]);
            self.want(MASKS, here(&object::SECRET), &[Get]);
            for resource in [pods.clone(), here(&object::EVENT), here(&object::REPLICA_SET)] {
                self.want(REASONS, resource, &[List, Watch]);
            }
            if name.is(&object::STATEFUL_SET) {
                self.want(FREES, pods, &[Delete]);
                // A provisioner's pods are somewhere else.
                for kind in [object::CLAIM, object::VOLUME, object::STORAGE_CLASS] {
                    self.want(REASONS, here(&kind), &[List, Watch]);
                }
                self.want(REASONS, Resource::of(&object::POD, None), &[List, Watch]);
            }
        }
    }

    fn verify(&mut self, given: &Given<'_>) {
        let namespaces = verify::namespaces(given.plan);
        for namespace in &namespaces {
            let pods = Resource::of(&object::POD, Some(namespace));
            // Servers before 1.35 asked for the first alone, later ones for both.
            self.want(Verify, pods.part("portforward"), &[Get, Create]);
            self.want(Verify, pods.clone(), &[List, Watch]);
            self.want(WHOLE, pods.part("log"), &[Get]);
        }
        if !namespaces.is_empty() {
            let pods = Resource::of(&object::POD, None);
            self.want(WHOLE, pods.part("log"), &[Get]);
            for kind in [object::POD, object::NAMESPACE, object::DEPLOYMENT, object::SERVICE, object::NODE] {
                self.want(WHOLE, Resource::of(&kind, None), &[List]);
            }
            let reviews = Resource {
                namespace: None,
                group: "authorization.k8s.io".to_owned(),
                name: "subjectaccessreviews".to_owned(),
            };
            self.want(WHOLE, reviews, &[Create]);
        }
    }

    /// The resource of an object; one that nobody can tell is noted.
    fn known(&mut self, given: &Given<'_>, name: &ObjectRef) -> Option<Resource> {
        let resource = given.resource(name);
        if resource.is_none() {
            self.unknown.insert(name.group_kind());
        }
        resource
    }
}

/// The namespaces that `up` makes, or has made.
fn new_namespaces(given: &Given<'_>) -> impl Iterator<Item = String> {
    let storage = given.plan.steps.iter().filter(|step| step.is_storage && !given.installs_storage);
    let idle: BTreeSet<_> =
        storage.filter_map(|step| Some(step.release.as_ref()?.namespace.clone())).collect();
    let all = given.plan.namespaces().into_iter();
    all.filter(move |name| {
        !given.kept.contains(name) && (*name == given.plan.namespace || !idle.contains(name))
    })
}

/// Tells whether a run may have to wait for an object of this kind.
fn is_awaited(name: &ObjectRef) -> bool {
    evidence::is_explained(name)
        || name.is(&object::API_SERVICE)
        || name.is(&object::CUSTOM_RESOURCE_DEFINITION)
        || Kind::find(&name.gvk()).is_none()
}

/// What a definition of the plan, or of a release, says of a kind that is not served yet.
pub(super) fn defined(given: &Given<'_>, name: &ObjectRef) -> Option<(String, bool)> {
    let planned = given.plan.manifests().map(|manifest| &manifest.object);
    let mut definitions = planned.chain(given.releases.values().flatten()).filter(|object| {
        ObjectRef::of(object).is_some_and(|name| name.is(&object::CUSTOM_RESOURCE_DEFINITION))
    });
    let spec = |object: &Object| object.data["spec"].clone();
    let spec = definitions
        .find(|object| {
            let spec = spec(object);
            spec["group"] == name.group.as_str() && spec["names"]["kind"] == name.kind.as_str()
        })
        .map(spec)?;
    Some((spec["names"]["plural"].as_str()?.to_owned(), spec["scope"] == "Namespaced"))
}
