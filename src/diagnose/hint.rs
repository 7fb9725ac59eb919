//! The one thing to run for each reason.

use crate::event::PodReason;
use crate::object::ObjectRef;

/// What to run next about an object, by the first reason that is known.
pub(super) fn of(object: &ObjectRef, reason: Option<&PodReason>) -> String {
    let Some(PodReason { pod, container, reason, message }) = reason else {
        return format!("kubectl describe {object}");
    };
    let within = object.namespace.as_ref().map(|namespace| format!(" -n {namespace}")).unwrap_or_default();
    let container = container.as_deref().unwrap_or_default();
    if pod.contains(" -n ") {
        return format!("kubectl describe {pod}");
    }
    match reason.as_str() {
        "CrashLoopBackOff" => format!("kubectl logs pod/{pod} -c {container} --previous{within}"),
        "Error" | "OOMKilled" | "Unhealthy" | "NotReady" => {
            format!("kubectl logs pod/{pod} -c {container}{within}")
        }
        "CreateContainerConfigError" | "FailedMount" => format!("kubectl get configmaps,secrets{within}"),
        "Unschedulable" => "kubectl describe nodes".to_owned(),
        "ProvisioningFailed" => "kubectl get storageclasses".to_owned(),
        "FailedCreate" if message.contains("exceeded quota") => {
            format!("kubectl describe resourcequotas{within}")
        }
        // Where there is no pod to name, what should have made it is named, with its kind.
        _ if pod.contains('/') => format!("kubectl describe {pod}{within}"),
        _ => format!("kubectl describe pod/{pod}{within}"),
    }
}
