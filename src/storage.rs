//! Which storage class the claims of a stack get, and why. Pure: what is in the cluster decides, and is handed in.

use std::collections::BTreeMap;

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
    names: Vec<ObjectRef>,
}

/// The claims that the StatefulSets and claims of a plan stand for, whatever their class.
#[must_use]
pub fn claims(plan: &Plan) -> Vec<ObjectRef> {
    all(plan, false).into_iter().flat_map(|claim| claim.names).collect()
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
        for name in &claim.names {
            if let Some(class) = class_in_place(live, &claim, name) {
                settled.insert(claim.owner.clone(), (name.clone(), class));
            }
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

/// The class that a StatefulSet's template or a claim has in the cluster.
fn class_in_place(live: &Live, claim: &Claim<'_>, name: &ObjectRef) -> Option<String> {
    let in_set = || {
        let set = live.get(claim.owner)?;
        let templates = set.data["spec"]["volumeClaimTemplates"].as_array()?;
        let template =
            templates.iter().find(|template| template["metadata"]["name"].as_str() == claim.template)?;
        template["spec"]["storageClassName"].as_str()
    };
    let in_claim = || live.get(name)?.data["spec"]["storageClassName"].as_str();
    in_set().or_else(in_claim).map(str::to_owned)
}

fn all(plan: &Plan, unset_only: bool) -> Vec<Claim<'_>> {
    let mut claims = Vec::new();
    for manifest in plan.manifests() {
        let owner = &manifest.name;
        let wanted = |spec: &Value| !unset_only || spec["storageClassName"].is_null();
        let spec = &manifest.object.data["spec"];
        if owner.is(&object::CLAIM) && wanted(spec) {
            claims.push(Claim { owner, template: None, names: vec![owner.clone()] });
        } else if owner.is(&object::STATEFUL_SET) {
            let replicas = spec["replicas"].as_u64().unwrap_or(1);
            for template in spec["volumeClaimTemplates"].as_array().into_iter().flatten() {
                let Some(name) = template["metadata"]["name"].as_str().filter(|_| wanted(&template["spec"]))
                else {
                    continue;
                };
                let claim = |n| format!("{name}-{}-{n}", owner.name);
                let names = (0..replicas)
                    .map(|n| ObjectRef::new(&object::CLAIM, owner.namespace.as_deref(), &claim(n)));
                claims.push(Claim { owner, template: Some(name), names: names.collect() });
            }
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
