//! Which rights the commands need on a cluster for one plan. Pure: told from the plan, from what its charts render, and from
//! what is there.
//!
//! `tests/node/rights.rs` holds this against what the API server was really asked for, as its audit log has it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use kube::core::GroupVersionKind;

use crate::helm::Release;
use crate::inventory::Inventory;
use crate::object::{Kind, Object, ObjectRef};
use crate::plan::Plan;

#[cfg(test)]
mod tests;
mod told;

/// What is done with a resource, in the words of roles and in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Lists objects.
    List,
    /// Watches objects.
    Watch,
    /// Makes an object.
    Create,
    /// Replaces an object.
    Update,
    /// Applies an object, or changes parts of it.
    Patch,
    /// Deletes an object.
    Delete,
}

impl Verb {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// What of a kind something is done with: all of it in one namespace, or all there is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The namespace; `None` for all of them, and for what is in none.
    pub namespace: Option<String>,
    /// The API group, empty for the core group.
    pub group: String,
    /// Its name in the plural, with a subresource behind a slash.
    pub name: String,
}

impl Resource {
    /// That of a well-known kind.
    #[must_use]
    pub fn of(kind: &Kind, namespace: Option<&str>) -> Self {
        Self {
            namespace: namespace.filter(|_| kind.namespaced).map(str::to_owned),
            group: kind.group.to_owned(),
            name: kind.plural.to_owned(),
        }
    }

    /// A part of its objects that has rights of its own.
    #[must_use]
    pub fn part(&self, name: &str) -> Self {
        Self { name: format!("{}/{name}", self.name), ..self.clone() }
    }

    /// Whatever a namespace may hold.
    #[must_use]
    pub fn anything(namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), group: ANY.to_owned(), name: ANY.to_owned() }
    }
}

/// Stands for every group and every resource.
const ANY: &str = "*";

impl fmt::Display for Resource {
    /// Writes `deployments.apps -n monitoring`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if !self.group.is_empty() && self.group != ANY {
            write!(f, ".{}", self.group)?;
        }
        match &self.namespace {
            Some(namespace) => write!(f, " -n {namespace}"),
            None => Ok(()),
        }
    }
}

/// What a right is needed for; the first that holds counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// `up`, and `plan` and `status`, which only read.
    Up,
    /// `down`.
    Down,
    /// `verify`.
    Verify,
    /// Nothing that could not be done without; these words tell what is missing then.
    Wish(&'static str),
}

/// All rights that the commands need, and those that they can do without.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    wanted: BTreeMap<Resource, BTreeMap<Verb, Need>>,
    unknown: BTreeSet<String>,
}

/// What rights depend on.
#[derive(Clone, Copy)]
pub struct Given<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Whether its step for storage is carried out; it is read in any case.
    pub installs_storage: bool,
    /// What the releases consist of, those of the plan and those of the inventory, each object with its namespace.
    pub releases: &'a BTreeMap<Release, Vec<Object>>,
    /// What the stack has in the cluster.
    pub inventory: &'a Inventory,
    /// The namespaces that are there and that `up` has not made: they are used as they are.
    pub kept: &'a BTreeSet<String>,
    /// The resources of kinds that are not well known, as far as the server serves them.
    pub resources: &'a Resources,
}

/// By kind, the name of its resource, and whether its objects live in namespaces.
pub type Resources = HashMap<GroupVersionKind, (String, bool)>;

impl Rights {
    /// Every resource that something is done with, in one order, and what is.
    pub fn iter(&self) -> impl Iterator<Item = (&Resource, &BTreeMap<Verb, Need>)> {
        self.wanted.iter()
    }

    /// The kinds that no server serves yet and no definition of the plan tells of, as `Kind.group`.
    pub fn unknown(&self) -> impl Iterator<Item = &str> {
        self.unknown.iter().map(String::as_str)
    }

    fn want(&mut self, need: Need, resource: Resource, verbs: &[Verb]) {
        let wanted = self.wanted.entry(resource).or_default();
        for verb in verbs {
            let before = wanted.entry(*verb).or_insert(need);
            *before = need.min(*before);
        }
    }
}

impl Given<'_> {
    /// The resource that an object is one of; `None` when nobody can tell.
    fn resource(&self, name: &ObjectRef) -> Option<Resource> {
        if let Some(kind) = Kind::find(&name.gvk()) {
            return Some(Resource::of(kind, name.namespace.as_deref()));
        }
        let (plural, namespaced) =
            self.resources.get(&name.gvk()).cloned().or_else(|| told::defined(self, name))?;
        let namespace = name.namespace.clone().filter(|_| namespaced);
        Some(Resource { namespace, group: name.group.clone(), name: plural })
    }
}
