//! What holds an object that is to go, and what can be done about it: pure, from the object and what is around it. Whatever
//! it is, nobody's finalizer is taken away here.

use std::collections::BTreeSet;

use crate::event::Diagnosis;
use crate::object::{self, Object, ObjectRef};
use crate::status::{Status, condition, text};

/// So many objects that hold one are named.
const NAMED: usize = 5;

/// What is around an object that is to go.
#[derive(Debug, Default)]
pub(super) struct Around {
    /// What is left in it, where it is a namespace, as far as that can be listed; of a workload, the pods beside it.
    pub(super) contents: Vec<Object>,
    /// The aggregated APIs of the cluster.
    pub(super) apis: Vec<Object>,
}

/// What has to be known before it can be said what holds an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Unknowns {
    /// All that is left in this namespace.
    pub(super) contents: bool,
    /// Its pods, and what stands between them and their workloads.
    pub(super) pods: bool,
    /// Which aggregated APIs do not answer.
    pub(super) apis: bool,
}

/// What holds an object.
struct Hold {
    what: String,
    hint: String,
}

/// Lets what belongs to an object go before it.
const FOREGROUND: &str = "foregroundDeletion";

/// Finalizers of Kubernetes itself, what each waits for, and where to look. To take one of these away by hand would lose what
/// it guards.
const KNOWN: [(&str, &str, &str); 7] = [
    (FOREGROUND, "what belongs to it is not gone yet", "kubectl get pods -n {namespace} -o wide"),
    ("orphan", "what belongs to it was not let go yet", "kubectl describe {object}"),
    ("kubernetes.io/pvc-protection", "a pod uses it", "kubectl describe {object}"),
    ("kubernetes.io/pv-protection", "a claim uses it", "kubectl describe {object}"),
    (
        "external-provisioner.volume.kubernetes.io/finalizer",
        "its provisioner has not deleted the volume yet",
        "kubectl describe {object}",
    ),
    (
        "service.kubernetes.io/load-balancer-cleanup",
        "its load balancer is not gone yet",
        "kubectl describe {object}",
    ),
    (
        "customresourcecleanup.apiextensions.k8s.io",
        "objects of its kind are not gone yet",
        "kubectl get {name} -A",
    ),
];

/// Tells what has to be known about an object.
pub(super) fn unknowns(name: &ObjectRef, object: Option<&Object>) -> Unknowns {
    let Some(object) = object else { return Unknowns::default() };
    let has = |kind| told(object, kind).is_some();
    let is_namespace = name.is(&object::NAMESPACE);
    Unknowns {
        contents: is_namespace && (has("NamespaceContentRemaining") || has("NamespaceFinalizersRemaining")),
        pods: !is_namespace && is_foreground(object),
        apis: is_namespace && has("NamespaceDeletionDiscoveryFailure"),
    }
}

/// Tells what holds an object; the message is empty where nothing is known to.
pub(super) fn explain(name: &ObjectRef, object: Option<&Object>, around: &Around) -> Diagnosis {
    let mut holds = Vec::new();
    if let Some(object) = object {
        let pods = of_pods(object, &around.contents);
        holds.extend(if pods.is_empty() { of_finalizers(name, object) } else { pods });
        if name.is(&object::NAMESPACE) {
            holds.extend(of_namespace(object, around));
        }
    }
    let hint = holds.first().map(|hold| hold.hint.clone());
    let message = holds.into_iter().map(|hold| hold.what).collect::<Vec<_>>().join("; ");
    Diagnosis { hint, ..Diagnosis::new(name.clone(), Status::Terminating, message) }
}

fn of_finalizers(name: &ObjectRef, object: &Object) -> Vec<Hold> {
    let finalizers = object.metadata.finalizers.iter().flatten().enumerate();
    finalizers.map(|(place, finalizer)| of_finalizer(name, place, finalizer)).collect()
}

fn of_finalizer(name: &ObjectRef, place: usize, finalizer: &str) -> Hold {
    let what = format!("held by finalizer {finalizer}");
    if let Some((_, why, command)) = KNOWN.iter().find(|(known, ..)| *known == finalizer) {
        let namespace = name.namespace.as_deref().unwrap_or_default();
        let command = command.replace("{object}", &name.to_string());
        let hint = command.replace("{namespace}", namespace).replace("{name}", &name.name);
        return Hold { what: format!("{what}: {why}"), hint };
    }
    let patch = format!(r#"[{{"op": "remove", "path": "/metadata/finalizers/{place}"}}]"#);
    let hint = format!(
        "what has set {finalizer} is to take it away; if that is gone for good, do it by hand: kubectl patch {name} --type=json \
         -p '{patch}'"
    );
    Hold { what, hint }
}

/// The pods of a workload that waits for them.
fn of_pods(workload: &Object, contents: &[Object]) -> Vec<Hold> {
    if !is_foreground(workload) {
        return Vec::new();
    }
    let mut owners: BTreeSet<_> = workload.metadata.uid.iter().collect();
    let belongs = |object: &Object, owners: &BTreeSet<&String>| {
        object.metadata.owner_references.iter().flatten().any(|owner| owners.contains(&owner.uid))
    };
    let is_pod = |object: &&Object| ObjectRef::of(object).is_some_and(|name| name.is(&object::POD));
    for between in contents.iter().filter(|object| !is_pod(object)) {
        if belongs(between, &owners) {
            owners.extend(&between.metadata.uid);
        }
    }
    let pods = contents.iter().filter(is_pod).filter(|pod| belongs(pod, &owners));
    limited(pods.flat_map(of_pod))
}

fn of_pod(pod: &Object) -> Vec<Hold> {
    let held = of_leftover(pod);
    let Some(name) = ObjectRef::of(pod).filter(|_| held.is_empty()) else { return held };
    let node = text(pod, "/spec/nodeName");
    let place = if node.is_empty() { String::new() } else { format!(" on node {node}") };
    vec![Hold { what: format!("{name}{place} has not ended"), hint: format!("kubectl describe {name}") }]
}

/// What holds a namespace: the APIs without which nobody knows what is in it, and what is left in it.
fn of_namespace(namespace: &Object, around: &Around) -> Vec<Hold> {
    let look =
        format!("kubectl get namespace {} -o yaml", namespace.metadata.name.as_deref().unwrap_or_default());
    let mut holds = Vec::new();
    if let Some(what) = told(namespace, "NamespaceDeletionDiscoveryFailure") {
        let silent: Vec<_> = around.apis.iter().filter_map(of_api).collect();
        let unknown = Hold { what, hint: "kubectl get apiservices".to_owned() };
        holds.extend(if silent.is_empty() { vec![unknown] } else { silent });
    }
    let leftovers = limited(around.contents.iter().flat_map(of_leftover));
    let mut words = vec!["NamespaceDeletionGroupVersionParsingFailure", "NamespaceDeletionContentFailure"];
    if leftovers.is_empty() {
        words.extend(["NamespaceContentRemaining", "NamespaceFinalizersRemaining"]);
    }
    holds.extend(leftovers);
    let words = words.into_iter().filter_map(|kind| told(namespace, kind));
    holds.extend(words.map(|what| Hold { what, hint: look.clone() }));
    holds
}

/// What finalizers hold an object in a namespace that is to go.
fn of_leftover(object: &Object) -> Vec<Hold> {
    let Some(name) = ObjectRef::of(object).filter(|_| object.metadata.deletion_timestamp.is_some()) else {
        return Vec::new();
    };
    let holds = of_finalizers(&name, object).into_iter();
    holds.map(|hold| Hold { what: format!("{name} is {}", hold.what), ..hold }).collect()
}

/// An aggregated API that does not answer.
fn of_api(api: &Object) -> Option<Hold> {
    let name = api.metadata.name.as_deref()?;
    let answers = condition(api, "Available").filter(|available| !available.is("True"))?;
    let (group, reason, message) = (text(api, "/spec/group"), answers.reason, answers.message);
    Some(Hold {
        what: format!(
            "what it has of API group {group} is not known: apiservice {name} does not answer ({reason}: {message})"
        ),
        hint: format!("mend what it leads to, or delete it: kubectl get apiservice {name}"),
    })
}

/// The first of these, with a word on how many more there are.
fn limited(holds: impl Iterator<Item = Hold>) -> Vec<Hold> {
    let mut holds: Vec<_> = holds.collect();
    let more = holds.len().saturating_sub(NAMED);
    holds.truncate(NAMED);
    if let Some(last) = holds.last_mut().filter(|_| more > 0) {
        last.what += &format!("; and {more} more");
    }
    holds
}

fn is_foreground(object: &Object) -> bool {
    object.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == FOREGROUND)
}

/// What an object says with a condition that holds.
fn told(object: &Object, kind: &str) -> Option<String> {
    condition(object, kind)
        .filter(|condition| condition.is("True"))
        .map(|condition| condition.message.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    /// A file of tests/holds: an object that did not go and what was around it, as an API server returned them, and what is
    /// to be said of it.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Case {
        message: String,
        hint: Option<String>,
        object: Object,
        #[serde(default)]
        contents: Vec<Object>,
        #[serde(default)]
        apis: Vec<Object>,
    }

    #[test]
    fn every_hold_is_explained_as_its_file_says() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/holds");
        let mut files = 0;
        for entry in folder.read_dir().expect("a folder") {
            let file = entry.expect("readable").path();
            let text = std::fs::read_to_string(&file).expect("readable");
            let value: serde_json::Value = serde_yaml::from_str(&text).expect("YAML");
            let case: Case = serde_json::from_value(value).expect("a case");
            let name = ObjectRef::of(&case.object).expect("a name");
            let unknown = unknowns(&name, Some(&case.object));
            assert!(case.contents.is_empty() || unknown.contents || unknown.pods, "{}", file.display());
            assert!(case.apis.is_empty() || unknown.apis, "{}", file.display());
            let around = Around { contents: case.contents, apis: case.apis };
            let found = explain(&name, Some(&case.object), &around);
            assert_eq!((found.message, found.hint), (case.message, case.hint), "{}", file.display());
            files += 1;
        }
        assert_eq!(files, 10);
    }

    #[test]
    fn no_more_are_named_than_can_be_read() {
        let hold = |number: usize| Hold { what: number.to_string(), hint: String::new() };
        let named = limited((0..7).map(hold));
        let named: Vec<_> = named.iter().map(|hold| hold.what.as_str()).collect();
        assert_eq!(named, ["0", "1", "2", "3", "4; and 2 more"]);
        assert_eq!(limited((0..5).map(hold))[4].what, "4");
    }
}
