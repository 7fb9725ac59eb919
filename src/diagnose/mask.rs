//! Keeps the secrets that pods are given out of what is shown of them.

use std::collections::BTreeSet;

use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, Pod, VolumeProjection};
use serde_json::Value;
use tokio::time::timeout;

use super::TIMEOUT;
use crate::cluster::Cluster;
use crate::event::Diagnosis;
use crate::evidence::Evidence;
use crate::object::{self, Object, ObjectRef};

/// What stands where a secret stood.
const MASK: &str = "***";

/// How long a line of a value must be to be a secret: a shorter one is a user's name or a word of the language.
const SHORTEST: usize = 6;

/// The events that repeat what a program said.
const REPEATING: [&str; 3] = ["Unhealthy", "FailedPostStartHook", "FailedPreStopHook"];

/// What is secret to the pods of an object, the longest first: one may be within another.
pub(super) struct Mask(Vec<String>);

impl Mask {
    /// Reads the Secrets that the pods of an object are given. `None` when not all of them can be read.
    pub(super) async fn of(cluster: &Cluster, evidence: &Evidence) -> Option<Self> {
        let pods = evidence.pods.iter().chain(&evidence.old_pods).chain(&evidence.provisioning_pods);
        let names: BTreeSet<_> = pods.flat_map(secrets_of).collect();
        let reading = try_join_all(names.iter().map(|name| cluster.get(name)));
        let secrets = timeout(TIMEOUT, reading).await.ok()?.ok()?;
        Some(Self::over(&secrets.into_iter().flatten().collect::<Vec<_>>()))
    }

    /// Masks the values of Secrets, line by line, and in their base64.
    fn over(secrets: &[Object]) -> Self {
        let values = secrets
            .iter()
            .filter_map(|secret| secret.data["data"].as_object())
            .flat_map(|data| data.values());
        let mut lines: Vec<_> = values.flat_map(lines).filter(|line| line.len() >= SHORTEST).collect();
        lines.sort_by_key(|line| std::cmp::Reverse(line.len()));
        Self(lines)
    }

    /// Masks what programs and the cluster say in a diagnosis.
    pub(super) fn put_on(&self, diagnosis: &mut Diagnosis) {
        let log = diagnosis.log.iter_mut().flat_map(|log| &mut log.lines);
        let reasons = diagnosis.pods.iter_mut().map(|reason| &mut reason.message);
        let warnings = diagnosis.warnings.iter_mut().map(|warning| &mut warning.message);
        for text in log.chain(reasons).chain(warnings).chain([&mut diagnosis.message]) {
            *text = self.hide(text);
        }
    }

    fn hide(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| text.replace(secret, MASK))
    }
}

/// Leaves out what programs say, where their secrets are not known.
pub(super) fn silence(diagnosis: &mut Diagnosis) {
    diagnosis.log = None;
    diagnosis.warnings.retain(|warning| !REPEATING.contains(&warning.reason.as_str()));
}

fn lines(value: &Value) -> Vec<String> {
    let decoded = serde_json::from_value::<ByteString>(value.clone()).ok();
    let text = decoded.and_then(|value| String::from_utf8(value.0).ok()).unwrap_or_default();
    let lines = text.lines().map(|line| line.trim().to_owned());
    lines.chain(value.as_str().map(str::to_owned)).collect()
}

/// The names of the Secrets that a pod is given.
fn secrets_of(pod: &Pod) -> Vec<ObjectRef> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let volumes = || spec.volumes.iter().flatten();
    let whole = volumes().filter_map(|volume| volume.secret.as_ref()?.secret_name.as_deref());
    let projected = volumes().filter_map(|volume| volume.projected.as_ref()?.sources.as_ref()).flatten();
    let projected =
        projected.filter_map(|VolumeProjection { secret, .. }| Some(secret.as_ref()?.name.as_str()));
    let names = containers.flat_map(secrets_of_container).chain(whole).chain(projected);
    names.map(|name| ObjectRef::new(&object::SECRET, pod.metadata.namespace.as_deref(), name)).collect()
}

fn secrets_of_container(container: &Container) -> impl Iterator<Item = &str> {
    let variables = container.env.iter().flatten().filter_map(|variable| variable.value_from.as_ref());
    let variables = variables.filter_map(|from| Some(from.secret_key_ref.as_ref()?.name.as_str()));
    let sources = container.env_from.iter().flatten().filter_map(|source| source.secret_ref.as_ref());
    variables.chain(sources.map(|secret| secret.name.as_str()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;
    use serde_json::json;

    use super::*;
    use crate::cluster::server::Server;
    use crate::event::{PodReason, WarningEvent};
    use crate::status::Status;

    fn pod() -> Pod {
        let pod = json!({
            "metadata": {"name": "p", "namespace": "n"},
            "spec": {
                "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "a"}}]}],
                "containers": [{"name": "c", "env": [
                    {"name": "X", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
                    {"name": "Y", "value": "plain"},
                ]}],
                "volumes": [
                    {"name": "v", "secret": {"secretName": "c"}},
                    {"name": "w", "emptyDir": {}},
                    {"name": "x", "projected": {"sources": [{"secret": {"name": "d"}}, {"configMap": {"name": "e"}}]}},
                ],
            },
        });
        serde_json::from_value(pod).expect("a pod")
    }

    fn mask(values: &[&str]) -> Mask {
        let data: serde_json::Map<_, _> = values
            .iter()
            .map(|value| ((*value).to_owned(), json!(ByteString(value.as_bytes().to_vec()))))
            .collect();
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": data});
        Mask::over(&[serde_json::from_value(secret).expect("a Secret")])
    }

    #[tokio::test(start_paused = true)]
    async fn secrets_that_nobody_may_read_are_not_none() {
        let (cluster, mut server) = Server::start();
        let mut evidence = Evidence::default();
        evidence.pods.push(pod());
        let refusing = async {
            loop {
                server.next().await.refuse(StatusCode::FORBIDDEN, "Forbidden", "secrets is forbidden");
            }
        };
        tokio::select! {
            found = Mask::of(&cluster, &evidence) => assert!(found.is_none()),
            () = refusing => {}
        }
    }

    #[test]
    fn a_secret_is_masked_whole_by_its_lines_and_in_base64() {
        let mask = mask(&["correct horse battery", "battery", "-----BEGIN KEY-----\n  c2VjcmV0\n", "admin"]);
        assert_eq!(mask.hide("login with correct horse battery or battery"), "login with *** or ***");
        assert_eq!(mask.hide("key c2VjcmV0 of admin"), "key *** of admin");
        assert_eq!(mask.hide("Authorization: Basic YmF0dGVyeQ=="), "Authorization: Basic ***");
    }

    #[test]
    fn reasons_and_warnings_are_masked_and_without_a_mask_no_program_is_repeated() {
        let reason = |message: &str| PodReason {
            pod: "p".to_owned(),
            container: None,
            reason: "RunContainerError".to_owned(),
            message: message.to_owned(),
        };
        let warning = |reason: &str| WarningEvent {
            about: "pod/p".to_owned(),
            reason: reason.to_owned(),
            message: "no hunter22".to_owned(),
            count: 1,
        };
        let object = ObjectRef::new(&object::POD, Some("n"), "p");
        let mut diagnosis = Diagnosis {
            pods: vec![reason("exec: \"hunter22\"")],
            warnings: vec![warning("Unhealthy"), warning("FailedMount")],
            ..Diagnosis::new(object, Status::Failed, String::new())
        };
        let mut silenced = diagnosis.clone();
        mask(&["hunter22"]).put_on(&mut diagnosis);
        assert_eq!(diagnosis.pods[0].message, "exec: \"***\"");
        assert_eq!(diagnosis.warnings[0].message, "no ***");
        silence(&mut silenced);
        assert_eq!(silenced.warnings, [warning("FailedMount")]);
    }

    #[test]
    fn the_secrets_of_a_pod_are_those_of_its_variables_and_its_volumes() {
        let names: Vec<_> = secrets_of(&pod()).into_iter().map(|name| name.name).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }
}
