//! What leads to pods: Service and Ingress. Most of what can be missing here is a warning, for others may bring it.

use serde_json::Value;

use super::{Assessment, Surroundings, text, workload};
use crate::object::{self, Object, ObjectRef};

/// Names an Ingress' class as clusters did before the field was there.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

pub(super) fn service(object: &Object, around: &Surroundings<'_>) -> Assessment {
    if !must_reach(object, &around.together) || has_ready_endpoints(object, around) == Some(true) {
        Assessment::current("")
    } else {
        Assessment::in_progress("no ready endpoints")
    }
}

/// Tells whether a Service selects pods of a workload that is waited for together with it, and that wants any.
#[must_use]
pub fn must_reach(service: &Object, together: &[&Object]) -> bool {
    ObjectRef::of(service).is_some_and(|name| name.is(&object::SERVICE))
        && together.iter().any(|other| {
            ObjectRef::of(other).is_some_and(|name| {
                [object::DEPLOYMENT, object::STATEFUL_SET, object::DAEMON_SET]
                    .iter()
                    .any(|kind| name.is(kind))
                    && name.namespace == service.metadata.namespace
                    && workload::wants_pods(&name, other)
            }) && selects(service, other)
        })
}

fn selects(service: &Object, workload: &Object) -> bool {
    let selector = service.data.pointer("/spec/selector").and_then(Value::as_object);
    let labels = workload.data.pointer("/spec/template/metadata/labels");
    selector.is_some_and(|selector| {
        !selector.is_empty()
            && selector.iter().all(|(key, value)| labels.and_then(|labels| labels.get(key)) == Some(value))
    })
}

pub(super) fn service_warnings(object: &Object, around: &Surroundings<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let selects_pods =
        object.data.pointer("/spec/selector").and_then(Value::as_object).is_some_and(|it| !it.is_empty());
    if selects_pods && has_ready_endpoints(object, around) == Some(false) {
        warnings.push("has no ready endpoints".to_owned());
    }
    if text(object, "/spec/type") == "LoadBalancer" && !has_address(object) {
        warnings.push("has no external address: no load balancer has taken it yet".to_owned());
    }
    warnings
}

pub(super) fn ingress_warnings(object: &Object, around: &Surroundings<'_>) -> Vec<String> {
    if has_address(object) {
        return Vec::new();
    }
    let annotations = object.metadata.annotations.as_ref();
    let by_annotation = annotations.and_then(|all| all.get(CLASS_ANNOTATION)).map(String::as_str);
    let class = match text(object, "/spec/ingressClassName") {
        "" => by_annotation,
        class => Some(class),
    };
    let known = around.ingress_classes.as_ref();
    let is_there = known.is_some_and(|known| known.iter().any(|it| it.metadata.name.as_deref() == class));
    vec![match class {
        None => "has no class, and the cluster has no default one".to_owned(),
        Some(class) if known.is_some() && !is_there && by_annotation.is_none() => {
            format!("names the class `{class}`, which the cluster does not have")
        }
        Some(_) => "has no address: no controller has taken it yet".to_owned(),
    }]
}

/// Whether any endpoint of the Service is ready; `None` when its endpoint slices are not known.
fn has_ready_endpoints(service: &Object, around: &Surroundings<'_>) -> Option<bool> {
    let slices = around.endpoint_slices.as_ref()?;
    let of_service = slices.iter().filter(|slice| {
        let labels = slice.metadata.labels.as_ref();
        slice.metadata.namespace == service.metadata.namespace
            && labels.and_then(|labels| labels.get("kubernetes.io/service-name"))
                == service.metadata.name.as_ref()
    });
    let mut endpoints =
        of_service.filter_map(|slice| slice.data.get("endpoints").and_then(Value::as_array)).flatten();
    // The API's rule: an unknown condition is to be taken for ready.
    Some(endpoints.any(|endpoint| endpoint.pointer("/conditions/ready") != Some(&Value::Bool(false))))
}

fn has_address(object: &Object) -> bool {
    object
        .data
        .pointer("/status/loadBalancer/ingress")
        .and_then(Value::as_array)
        .is_some_and(|it| !it.is_empty())
}
