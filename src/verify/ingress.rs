//! Whether the hosts of the stack's Ingresses answer through the controller that has taken them, if one has.

use std::rc::Rc;

use http::Request;
use http::header::HOST;
use serde_json::Value;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::grafana;
use crate::cluster::{Cluster, Port};
use crate::object::{self, Object, ObjectRef};

const ANSWERS: Name = Name { category: "ingress", id: "answers" };

/// The port of a controller's Service that browsers use.
const HTTP: u64 = 80;

/// An Ingress as the stack wants it.
pub(super) struct Ingress {
    pub(super) cluster: Cluster,
    pub(super) name: ObjectRef,
    pub(super) host: String,
}

/// The checks of this category.
pub(super) fn checks(ingress: &Rc<Ingress>) -> Vec<Check> {
    vec![Check::new(ANSWERS, ingress, Ingress::answers).needs([grafana::READY])]
}

impl Subject for Ingress {
    fn asked(&self) -> Asked {
        Asked { name: self.name.to_string(), hint: format!("kubectl describe {}", self.name) }
    }
}

impl Ingress {
    async fn answers(&self) -> Verdict {
        let Some(found) = self.cluster.get(&self.name).await? else {
            return Err(failed(format!("{} is not there", self.name)).hint(super::program::UP));
        };
        let addresses = addresses(&found.data["status"]["loadBalancer"]);
        if addresses.is_empty() {
            return Err(Trouble::Skipped(format!("no controller has taken {}", self.name)));
        }
        let services = self.cluster.list_cached(&object::SERVICE.gvk(), None, None).await?;
        let Some(service) = services.iter().find(|service| has_one_of(service, &addresses)) else {
            let at = addresses.join(", ");
            return Err(Trouble::Skipped(format!("no Service of type LoadBalancer has the address {at}")));
        };
        let port = self.behind(service).await?;
        let request = Request::get("/").header(HOST, self.host.as_str()).body(String::new());
        let answer = self.cluster.http(&port, &request.map_err(|error| failed(error.to_string()))?).await?;
        match answer.status {
            200..400 => Ok(format!("http://{}/ answers through {}", self.host, port.pod)),
            404 => Err(pending(format!("{} does not know {} yet: it answered 404", port.pod, self.host))),
            status => Err(pending(format!("{} answered {status} for {}", port.pod, self.host))),
        }
    }

    /// A ready pod behind the port of a Service that browsers use.
    async fn behind(&self, service: &Object) -> Result<Port, Trouble> {
        let (name, namespace) = (service.metadata.name.as_deref(), service.metadata.namespace.as_deref());
        let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
        let labels = format!("kubernetes.io/service-name={name}");
        let kind = object::ENDPOINT_SLICE.gvk();
        let slices = self.cluster.list_cached(&kind, Some(namespace), Some(&labels)).await?;
        let wanted = port_name(service);
        slices.iter().find_map(|slice| ready_pod(slice, wanted)).ok_or_else(|| {
            pending(format!("service/{name} -n {namespace} has no ready pod behind port {HTTP}"))
        })
    }
}

/// The addresses of a status, IPs and names.
fn addresses(status: &Value) -> Vec<String> {
    let all = status["ingress"].as_array().into_iter().flatten();
    all.filter_map(|one| one["ip"].as_str().or(one["hostname"].as_str())).map(str::to_owned).collect()
}

fn has_one_of(service: &Object, wanted: &[String]) -> bool {
    service.data["spec"]["type"] == "LoadBalancer"
        && port_of(service).is_some()
        && addresses(&service.data["status"]["loadBalancer"]).iter().any(|address| wanted.contains(address))
}

fn port_of(service: &Object) -> Option<&Value> {
    service.data["spec"]["ports"].as_array()?.iter().find(|port| port["port"].as_u64() == Some(HTTP))
}

/// The name by which EndpointSlices call the port; one that is alone needs none.
fn port_name(service: &Object) -> &str {
    port_of(service).and_then(|port| port["name"].as_str()).unwrap_or_default()
}

/// A ready pod of a slice, and the port of this name on it.
fn ready_pod(slice: &Object, port: &str) -> Option<Port> {
    let ports = slice.data["ports"].as_array()?;
    let port = ports.iter().find(|found| found["name"].as_str().unwrap_or_default() == port)?;
    let endpoints = slice.data["endpoints"].as_array()?.iter();
    let ready = endpoints.filter(|endpoint| endpoint["conditions"]["ready"] != false);
    let target = ready.map(|endpoint| &endpoint["targetRef"]).find(|target| target["kind"] == "Pod")?;
    let pod = ObjectRef::new(&object::POD, target["namespace"].as_str(), target["name"].as_str()?);
    Some(Port { pod, port: u16::try_from(port["port"].as_u64()?).ok()? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).expect("an object")
    }

    #[test]
    fn the_controller_is_the_one_with_the_address_of_the_ingress() {
        let service = object(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "traefik"},
            "spec": {"type": "LoadBalancer", "ports": [{"name": "web", "port": 80}, {"name": "websecure", "port": 443}]},
            "status": {"loadBalancer": {"ingress": [{"ip": "172.18.0.2"}, {"ip": "172.18.0.3"}]}},
        }));
        assert!(has_one_of(&service, &["172.18.0.3".to_owned()]));
        assert!(!has_one_of(&service, &["172.18.0.9".to_owned()]));
        assert_eq!(port_name(&service), "web");
    }

    #[test]
    fn a_pod_that_is_not_ready_is_passed_over() {
        let target = |name: &str| json!({"kind": "Pod", "namespace": "kube-system", "name": name});
        let slice = object(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "traefik-x"},
            "ports": [{"name": "websecure", "port": 8443}, {"name": "web", "port": 8000}],
            "endpoints": [
                {"conditions": {"ready": false}, "targetRef": target("a")},
                {"conditions": {"ready": true}, "targetRef": target("b")},
            ],
        }));
        let port = ready_pod(&slice, "web").expect("a pod");
        assert_eq!(port.to_string(), "port 8000 of pod/b -n kube-system");
        assert_eq!(ready_pod(&slice, "metrics"), None);
    }
}
