//! Whether the server would let whoever asks make the roles that the stack brings: it refuses those that grant more than the
//! one who makes them has.

use futures::future::join_all;

use super::rights::CATEGORY;
use crate::cluster::{Act, Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::finding::Finding;
use crate::object::{self, Kind, Object, ObjectRef};
use crate::rights::Verb;

/// Tries all roles among these objects, and all bindings to roles that are not among them, by dry run.
pub(super) async fn attempt(cluster: &Cluster, all: &[Object]) -> Vec<Finding> {
    let mut names: Vec<ObjectRef> = Vec::new();
    let mut tried = Vec::new();
    for object in all.iter().filter(|object| is_tried(object, all)) {
        // A release has it as its chart renders it, and as helm has recorded it.
        if let Some(name) = ObjectRef::of(object).filter(|name| !names.contains(name)) {
            names.push(name.clone());
            tried.push((name, object));
        }
    }
    join_all(tried.into_iter().map(|(name, object)| attempt_one(cluster, name, object))).await
}

/// A binding to a role of the stack cannot be tried before that is there, and grants what the role does.
fn is_tried(object: &Object, all: &[Object]) -> bool {
    let Some(name) = ObjectRef::of(object) else { return false };
    if name.is(&object::ROLE) || name.is(&object::CLUSTER_ROLE) {
        return true;
    }
    if !(name.is(&object::ROLE_BINDING) || name.is(&object::CLUSTER_ROLE_BINDING)) {
        return false;
    }
    let role = &object.data["roleRef"];
    let is_of = |kind: &Kind, namespace: Option<&String>| {
        all.iter().filter_map(ObjectRef::of).any(|other| {
            other.is(kind) && role["name"] == other.name.as_str() && other.namespace.as_ref() == namespace
        })
    };
    if role["kind"] == object::ROLE.kind {
        !is_of(&object::ROLE, name.namespace.as_ref())
    } else {
        !is_of(&object::CLUSTER_ROLE, None)
    }
}

async fn attempt_one(cluster: &Cluster, name: ObjectRef, object: &Object) -> Finding {
    let id = short(&name);
    // One that is there may stay as it is, whoever asks.
    let is_there = matches!(cluster.get(&name).await, Ok(Some(_)));
    let verb = if is_there { Verb::Patch } else { Verb::Create };
    match cluster.allows(act(verb, &name)).await {
        Ok(true) => {}
        Ok(false) => {
            let right = format!("no right to {} {name} at all", verb.name());
            return Finding::skipped(CATEGORY, id, right);
        }
        Err(error) => return Finding::failed(CATEGORY, id, &error.into_preflight()),
    }
    let answer = if is_there {
        cluster.dry_run(object, true).await.map(drop)
    } else {
        cluster.dry_create(object).await
    };
    match answer {
        Ok(()) => Finding::passed(CATEGORY, id, "the server would take it"),
        Err(error) if lacks_namespace(&error) => {
            let namespace = name.namespace.as_deref().unwrap_or_default();
            Finding::skipped(CATEGORY, id, format!("cannot be tried before namespace/{namespace} is there"))
        }
        Err(error) if error.code() == Some(403) => {
            let refused = Error::new(Exit::Preflight, "the server would refuse it").because(error.cause());
            let hint = "whoever makes a role must have all that it grants; see what you have: kubectl auth can-i --list";
            Finding::failed(CATEGORY, id, &refused.hint(hint))
        }
        Err(error) => Finding::failed(CATEGORY, id, &error.into_preflight()),
    }
}

fn act(verb: Verb, name: &ObjectRef) -> Act<'_> {
    let resource = Kind::find(&name.gvk()).map_or("", |kind| kind.plural);
    Act { verb: verb.name(), group: &name.group, resource, namespace: name.namespace.as_deref() }
}

fn lacks_namespace(error: &RequestError) -> bool {
    let details = error.status().and_then(|status| status.details.as_ref());
    error.is_not_found() && details.is_some_and(|details| details.kind == object::NAMESPACE.plural)
}

/// `clusterrole/x`: of these kinds nobody has to be told the group.
fn short(name: &ObjectRef) -> String {
    ObjectRef { group: String::new(), ..name.clone() }.to_string()
}
