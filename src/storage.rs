//! Which claims a stack has, which storage class they get, and why. Pure: what is in the cluster decides, and is handed in.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::error::{Error, Exit};
use crate::live::Live;
use crate::manifest;
use crate::object::{self, Object, ObjectRef};
use crate::plan::Plan;

/// The class that a stack's storage step installs.
pub const INSTALLABLE: &str = "openebs-hostpath";

/// The word that leaves the choice to the cluster.
pub const AUTO: &str = "auto";

const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

/// The storage class of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub class: String,
    /// Why this one.
    pub why: String,
    /// Whether the storage step has to bring it.
    pub install: bool,
}

/// A claim of the plan that names no class, and the object that it is written in.
struct Claim<'a> {
    owner: &'a ObjectRef,
    /// The claim template; `None` where the object is the claim itself.
    template: Option<&'a str>,
    /// The claim, or the stem of those that the template makes.
    name: ObjectRef,
}

/// The claim templates of an object, each with its name; only a `StatefulSet` has any.
pub(crate) fn templates(object: &Object) -> impl Iterator<Item = (&str, &Value)> {
    let templates = object.data["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
    templates.filter_map(|template| Some((template["metadata"]["name"].as_str()?, template)))
}

/// The stems of the claims that an object's pods get, each of which ends with the number of its pod: `data-loki` of
/// `data-loki-0`.
pub fn stems(object: &Object) -> impl Iterator<Item = ObjectRef> {
    let name = ObjectRef::of(object).filter(|name| name.is(&object::STATEFUL_SET));
    name.into_iter().flat_map(|set| templates(object).map(move |(template, _)| stem(&set, template)))
}

fn stem(set: &ObjectRef, template: &str) -> ObjectRef {
    ObjectRef::new(&object::CLAIM, set.namespace.as_deref(), &format!("{template}-{}", set.name))
}

/// Tells whether a claim has this stem.
#[must_use]
pub fn has_stem(claim: &ObjectRef, stem: &ObjectRef) -> bool {
    let number = claim.name.strip_prefix(&stem.name).and_then(|rest| rest.strip_prefix('-'));
    let is_number = |text: &str| text.parse::<u32>().is_ok_and(|number| number.to_string() == text);
    claim.namespace == stem.namespace && number.is_some_and(is_number)
}

/// Tells whether a `StatefulSet` takes its claims with it when it is deleted.
#[must_use]
pub fn deletes_claims(set: &Object) -> bool {
    set.data["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] == "Delete"
        && templates(set).next().is_some()
}

/// The claim that a volume is bound to, or is to be.
#[must_use]
pub fn claim_of(volume: &Object) -> Option<ObjectRef> {
    let claim = &volume.data["spec"]["claimRef"];
    Some(ObjectRef::new(&object::CLAIM, Some(claim["namespace"].as_str()?), claim["name"].as_str()?))
}

/// The namespaces in which a plan has claims.
#[must_use]
pub fn namespaces(plan: &Plan) -> BTreeSet<String> {
    all(plan, false).into_iter().filter_map(|claim| claim.name.namespace).collect()
}

/// Chooses the class for the claims of `plan` that name none and writes it into them; `None` when there is no such claim.
///
/// `asked` is a class or [`AUTO`]; `installed` tells whether the storage step's release is in place already.
///
/// # Errors
/// Exit 3 when the cluster has no class, exit 4 when a claim that is there has another one than was asked for.
pub fn choose(
    plan: &mut Plan,
    live: &Live,
    classes: &[Object],
    asked: &str,
    installed: bool,
) -> Result<Option<Choice>, Error> {
    let mut settled = BTreeMap::new();
    for claim in all(plan, true) {
        if let Some(in_place) = class_in_place(live, &claim) {
            settled.insert(claim.owner.clone(), in_place);
        }
    }
    if all(plan, true).is_empty() && asked == AUTO {
        return Ok(None);
    }
    let has = |class: &str| classes.iter().any(|found| found.metadata.name.as_deref() == Some(class));
    let can_install = plan.steps.iter().any(|step| step.is_storage);
    if asked != AUTO {
        for (claim, class) in settled.values() {
            if class != asked {
                return Err(Error::new(
                    Exit::Refused,
                    format!("{claim} has the storage class {class}, not {asked}, and a claim's class cannot be changed"),
                )
                .hint(format!("go on with --storage-class {class}, or give the data up: bootstrap down --purge-data")));
            }
        }
        if !(has(asked) || asked == INSTALLABLE && can_install) {
            return Err(Error::new(
                Exit::Preflight,
                format!("the cluster has no storage class {asked}; {}", list(classes)),
            )
            .hint("kubectl get storageclass"));
        }
    }
    let (class, why) = if asked != AUTO {
        (asked.to_owned(), "asked for".to_owned())
    } else if let Some((claim, class)) = settled.values().next() {
        (class.clone(), format!("{claim} has it"))
    } else if has(INSTALLABLE) {
        (INSTALLABLE.to_owned(), "the cluster has it".to_owned())
    } else if let Some(class) = default_class(classes) {
        (class, "the cluster's default".to_owned())
    } else {
        let hint = if can_install {
            "--storage-class openebs-hostpath installs one"
        } else {
            "name one with --storage-class CLASS"
        };
        return Err(Error::new(
            Exit::Preflight,
            format!("the cluster has no default storage class; {}", list(classes)),
        )
        .hint(hint));
    };
    let install = class == INSTALLABLE && can_install && (installed || !has(&class));
    // Each claim that is there keeps its own class; the choice is for the others.
    for step in &mut plan.steps {
        for manifest in step.waves.iter_mut().flatten() {
            let class = settled.get(&manifest.name).map_or(&class, |(_, class)| class);
            manifest::set_storage_class(&mut manifest.object, class);
        }
    }
    Ok(Some(Choice { class, why, install }))
}

/// The class that a StatefulSet's template or a claim has in the cluster, and what shows it: a claim, else the set.
fn class_in_place(live: &Live, claim: &Claim<'_>) -> Option<(ObjectRef, String)> {
    let class = |spec: &Value| spec["storageClassName"].as_str().map(str::to_owned);
    let is_it = |name: &ObjectRef| match claim.template {
        Some(_) => has_stem(name, &claim.name),
        None => *name == claim.name,
    };
    let there = live.claims().filter(|(name, _)| is_it(name)).min_by_key(|(name, _)| *name);
    let in_set = || {
        let (_, template) =
            templates(live.get(claim.owner)?).find(|(name, _)| Some(*name) == claim.template)?;
        class(&template["spec"])
    };
    let in_claim = || class(&there?.1.data["spec"]);
    let class = in_set().or_else(in_claim)?;
    Some((there.map_or(claim.owner, |(name, _)| name).clone(), class))
}

fn all(plan: &Plan, unset_only: bool) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for manifest in plan.manifests() {
        let owner = &manifest.name;
        let wanted = |spec: &Value| !unset_only || spec["storageClassName"].is_null();
        let spec = &manifest.object.data["spec"];
        if owner.is(&object::CLAIM) && wanted(spec) {
            claims.push(Claim { owner, template: None, name: owner.clone() });
        } else if owner.is(&object::STATEFUL_SET) {
            let templates = templates(&manifest.object).filter(|(_, template)| wanted(&template["spec"]));
            claims.extend(templates.map(|(template, _)| Claim {
                owner,
                template: Some(template),
                name: stem(owner, template),
            }));
        }
    }
    claims
}

fn default_class(classes: &[Object]) -> Option<String> {
    let is_default = |class: &&Object| {
        let annotations = class.metadata.annotations.as_ref();
        annotations.and_then(|all| all.get(IS_DEFAULT)).is_some_and(|value| value == "true")
    };
    // With several defaults the server takes the newest, too.
    let newest =
        classes.iter().filter(is_default).max_by_key(|class| class.metadata.creation_timestamp.clone());
    newest.and_then(|class| class.metadata.name.clone())
}

fn list(classes: &[Object]) -> String {
    let names: Vec<_> = classes.iter().filter_map(|class| class.metadata.name.as_deref()).collect();
    if names.is_empty() { "it has none".to_owned() } else { format!("it has: {}", names.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Selection;
    use crate::stack::Stack;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).expect("an object")
    }

    fn class(name: &str, default: bool) -> Object {
        object(json!({
            "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass",
            "metadata": {"name": name, "annotations": {IS_DEFAULT: default.to_string()}},
        }))
    }

    fn claim(name: &str, class: &str) -> Object {
        object(json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "namespace": "monitoring"}, "spec": {"storageClassName": class},
        }))
    }

    fn plan() -> Plan {
        Plan::new(&Stack::embedded().expect("valid"), &Selection::default()).expect("a plan")
    }

    fn choice(live: Vec<Object>, classes: &[Object], asked: &str) -> Result<(String, bool), String> {
        let live: Live = live.into_iter().collect();
        let choice = choose(&mut plan(), &live, classes, asked, false);
        choice
            .map(|choice| choice.map(|choice| (choice.class, choice.install)).unwrap_or_default())
            .map_err(|e| e.to_string())
    }

    #[test]
    fn what_is_there_decides() {
        let both = [class("local-path", true), class("openebs-hostpath", false)];
        assert_eq!(choice(vec![], &both, AUTO), Ok(("openebs-hostpath".to_owned(), false)));
        assert_eq!(choice(vec![], &both[..1], AUTO), Ok(("local-path".to_owned(), false)));
        assert_eq!(
            choice(vec![claim("data-loki-0", "local-path")], &both, AUTO),
            Ok(("local-path".to_owned(), false))
        );
    }

    #[test]
    fn a_claim_of_any_number_decides() {
        let classes = [class("local-path", true)];
        let scaled =
            vec![claim("data-loki-12", "slow"), claim("data-loki-x", "fast"), claim("data-loki-01", "fast")];
        assert_eq!(choice(scaled, &classes, AUTO), Ok(("slow".to_owned(), false)));
    }

    #[test]
    fn the_installable_class_is_installed_when_asked_for_or_needed_again() {
        let classes = [class("local-path", true)];
        assert_eq!(choice(vec![], &classes, INSTALLABLE), Ok((INSTALLABLE.to_owned(), true)));
        let kept = vec![claim("data-prometheus-0", INSTALLABLE)];
        assert_eq!(choice(kept, &classes, AUTO), Ok((INSTALLABLE.to_owned(), true)));
    }

    #[test]
    fn no_class_and_another_class_are_refused() {
        assert_eq!(
            choice(vec![], &[class("manual", false)], AUTO).expect_err("none"),
            "the cluster has no default storage class; it has: manual"
        );
        let there = vec![claim("data-loki-0", "local-path")];
        let classes = [class("local-path", true), class("fast", false)];
        assert_eq!(
            choice(there, &classes, "fast").expect_err("refused"),
            "persistentvolumeclaim/data-loki-0 -n monitoring has the storage class local-path, not fast, and a claim's class \
             cannot be changed"
        );
    }

    #[test]
    fn each_claim_in_place_keeps_its_own_class() {
        let live: Live = vec![claim("data-loki-0", "slow")].into_iter().collect();
        let mut plan = plan();
        choose(&mut plan, &live, &[class("local-path", true)], AUTO, false).expect("a choice");
        let class_of = |name: &str| {
            let manifest = plan
                .manifests()
                .find(|manifest| manifest.name.name == name && manifest.name.is(&object::STATEFUL_SET));
            let manifest = manifest.expect("in the plan");
            manifest.object.data["spec"]["volumeClaimTemplates"][0]["spec"]["storageClassName"].clone()
        };
        assert_eq!(class_of("loki"), json!("slow"));
    }
}
