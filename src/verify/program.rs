//! A program of the stack that answers HTTP: which pods it is, and asking one of them.

use std::rc::Rc;

use http::Request;
use k8s_openapi::api::core::v1::Pod;
use serde::de::DeserializeOwned;

use super::check::{Asked, Trouble, Verdict, failed, pending};
use super::pods::{self, Labels, Pods};
use crate::cluster::{Answer, Cluster, Port};

/// What mends most of what is not as the stack says.
pub(super) const UP: &str = "bootstrap up";

/// A program, by its pods.
pub(super) struct Program {
    pub(super) cluster: Cluster,
    pub(super) pods: Rc<Pods>,
    /// What brings its pods, such as `statefulset.apps/loki -n monitoring`.
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: Labels,
}

impl Program {
    /// It, as whom a check asks; the logs of its pods tell most of what is wrong with it.
    pub(super) fn asked(&self) -> Asked {
        let labels: Vec<_> = self.labels.iter().map(|(label, value)| format!("{label}={value}")).collect();
        let hint = format!("kubectl logs -n {} --selector {} --prefix", self.namespace, labels.join(","));
        Asked { name: self.name.clone(), hint }
    }

    /// All its pods.
    pub(super) fn all(&self) -> Result<Vec<Pod>, Trouble> {
        self.pods.pick(&self.namespace, |pod| pods::has_labels(pod, &self.labels))
    }

    /// One of its ready pods.
    pub(super) fn ready_pod(&self) -> Result<Pod, Trouble> {
        let all = self.all()?;
        if let Some(ready) = all.iter().find(|pod| pods::is_ready(pod)) {
            return Ok(ready.clone());
        }
        let name = &self.name;
        Err(match all.first() {
            None => pending(format!("{name} has no pod")).hint(UP),
            Some(pod) => {
                let (pod_name, why) = (pods::name_of(pod), pods::why_unready(pod));
                let hint = format!("kubectl describe {pod_name}");
                pending(format!("{name} has no ready pod: {pod_name}: {why}")).hint(hint)
            }
        })
    }

    /// Passes when a pod is ready and says so itself at a path.
    pub(super) async fn is_ready(&self, path: &str) -> Verdict {
        let pod = self.ready_pod()?;
        self.get(&pod, path).await?;
        Ok(format!("{} answers {path}", pods::name_of(&pod)))
    }

    /// Reads what one of its pods answers at a path, which must be well.
    pub(super) async fn get(&self, pod: &Pod, path: &str) -> Result<String, Trouble> {
        let request = Request::get(path).body(String::new()).map_err(|error| failed(error.to_string()))?;
        let answer = self.send(pod, &request).await?;
        well(answer, &format!("{} at {path}", pods::name_of(pod)))
    }

    /// The same from whichever pod is ready, as JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        let pod = self.ready_pod()?;
        let text = self.get(&pod, path).await?;
        read(&text, &format!("{} at {path}", pods::name_of(&pod)))
    }

    /// Sends a request to one of its pods; whatever it answers is an answer.
    pub(super) async fn send(&self, pod: &Pod, request: &Request<String>) -> Result<Answer, Trouble> {
        let name = pods::name_of(pod);
        let port = pods::http_port(pod).ok_or_else(|| failed(format!("{name} declares no port")))?;
        Ok(self.cluster.http(&Port { pod: name, port }, request).await?)
    }
}

/// The body of an answer that is well; any other may become so, but that there is no such path.
pub(super) fn well(answer: Answer, who: &str) -> Result<String, Trouble> {
    let Answer { status, body } = answer;
    let message = || format!("{who} answered {status}{}", said(&body));
    match status {
        200 => Ok(body),
        404 => Err(failed(message())),
        _ => Err(pending(message())),
    }
}

/// The beginning of a body that explains a status, with a colon before it.
pub(super) fn said(body: &str) -> String {
    let line = body.trim().lines().next().unwrap_or_default();
    let line: String = line.chars().take(300).collect();
    if line.is_empty() || line.starts_with('<') { String::new() } else { format!(": {line}") }
}

/// Reads JSON that a program sent.
pub(super) fn read<T: DeserializeOwned>(text: &str, who: &str) -> Result<T, Trouble> {
    serde_json::from_str(text)
        .map_err(|error| failed(format!("{who} answered what was not expected: {error}{}", said(text))))
}
