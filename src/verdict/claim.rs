//! Why a claim has no volume.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Circumstances, Reason, creation, pods, words};
use crate::event::PodReason;
use crate::evidence::{Evidence, claims_of, newest};
use crate::object::{self, Object, ObjectRef};

/// What is said of a claim itself.
pub(super) fn reasons(
    name: &ObjectRef,
    live: &Object,
    evidence: &Evidence,
    around: &Circumstances,
) -> Vec<Reason> {
    let class = live.data["spec"]["storageClassName"].as_str();
    of_one(&creation::short(name), &live.metadata, class, evidence, around)
}

/// What is said of the claims of a pod that are not bound.
pub(super) fn of_pod(pod: &Pod, evidence: &Evidence, around: &Circumstances) -> Vec<Reason> {
    let is_its = |claim: &&PersistentVolumeClaim| {
        claims_of(pod).any(|name| claim.metadata.name.as_deref() == Some(name))
    };
    let is_bound = |claim: &PersistentVolumeClaim| {
        claim.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"))
    };
    let unbound = evidence.claims.iter().filter(is_its).filter(|claim| !is_bound(claim));
    unbound
        .flat_map(|claim| {
            let name =
                format!("persistentvolumeclaim/{}", claim.metadata.name.as_deref().unwrap_or_default());
            let class = claim.spec.as_ref().and_then(|spec| spec.storage_class_name.as_deref());
            of_one(&name, &claim.metadata, class, evidence, around)
        })
        .collect()
}

/// What hinders a pod that makes a volume, in a namespace of its own.
fn of_provisioner(pod: &Pod, evidence: &Evidence, around: &Circumstances) -> Vec<Reason> {
    let mut reasons = pods::of_one(pod, evidence, None, around);
    reasons.retain(|reason| reason.is_trouble);
    for Reason { what, .. } in &mut reasons {
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        what.pod = format!("pod/{} -n {namespace}", what.pod);
    }
    reasons
}

fn of_one(
    name: &str,
    metadata: &ObjectMeta,
    class: Option<&str>,
    evidence: &Evidence,
    around: &Circumstances,
) -> Vec<Reason> {
    let failure = newest(evidence.about(metadata).filter(|event| pods::is(event, "ProvisioningFailed")));
    let message = failure.and_then(|event| event.message.clone()).unwrap_or_default();
    let of = |reason: &str, message: String| PodReason {
        pod: name.to_owned(),
        container: None,
        reason: reason.to_owned(),
        message,
    };
    let comes_yet = |class: &str| around.promised.brings(&object::STORAGE_CLASS, None, class, None);
    let is_missing = |class: &str| {
        evidence.storage_classes.as_ref().is_some_and(|known| !known.iter().any(|known| known == class))
    };
    if let Some(class) = class.filter(|class| !class.is_empty() && is_missing(class)) {
        // In the server's words, which may come later.
        let message = format!("storageclass.storage.k8s.io \"{class}\" not found");
        return vec![Reason::trouble(of("ProvisioningFailed", message), !comes_yet(class))];
    }
    let uid = metadata.uid.as_deref().unwrap_or_default();
    let its = evidence.provisioning_pods.iter().filter(|pod| pods::name_of(pod).contains(uid));
    let mut reasons: Vec<_> = its.flat_map(|pod| of_provisioner(pod, evidence, around)).collect();
    let said_missing = words::missing_class(&message);
    // It has come meanwhile.
    let is_over = said_missing.is_some() && evidence.storage_classes.is_some();
    if !message.is_empty() && !is_over {
        reasons.push(Reason::passing(of("ProvisioningFailed", message)));
    }
    reasons
}
