//! The end of the log of the container that is to blame, without what a terminal would obey and without secrets.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{Container, Pod};
use tokio::time::timeout;

use crate::cluster::{Cluster, Lines};
use crate::event::{LogExcerpt, PodReason};
use crate::evidence::Evidence;
use crate::object::{self, ObjectRef};

/// How long one look may take: a user already waits for the failure itself.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many lines are shown.
const LINES: i64 = 20;

/// Why a container's log is of use.
const LOGGED: [&str; 5] = ["CrashLoopBackOff", "Error", "OOMKilled", "Unhealthy", "NotReady"];

/// What stands where a secret stood.
const MASK: &str = "***";

/// How long a value of a Secret must be to be a secret: a shorter one is a user's name or a word of the language.
const SHORTEST: usize = 6;

/// Reads the log that tells most. One that cannot be had, for want of time or of rights, is left out, and so is one whose
/// pod was given secrets that nobody may read: they could not be masked.
pub(super) async fn excerpt(
    cluster: &Cluster,
    namespace: Option<&str>,
    reasons: &[PodReason],
    evidence: &Evidence,
) -> Option<LogExcerpt> {
    let told = reasons.iter().find(|reason| LOGGED.contains(&reason.reason.as_str()))?;
    let container = told.container.clone()?;
    let pod = ObjectRef::new(&object::POD, namespace, &told.pod);
    let previous = told.reason == "CrashLoopBackOff";
    let lines = Lines { last: LINES, previous, ..Lines::default() };
    let its = evidence.pods.iter().chain(&evidence.old_pods);
    let its = its.filter(|pod| pod.metadata.name.as_ref() == Some(&told.pod)).flat_map(secrets_of);
    let names: BTreeSet<_> = its.map(|name| ObjectRef::new(&object::SECRET, namespace, name)).collect();
    let asking = async { (cluster.logs(&pod, &container, lines).await, secrets(cluster, &names).await) };
    let (text, secrets) = timeout(TIMEOUT, asking).await.ok()?;
    let secrets = secrets?;
    let lines: Vec<_> = text.ok()?.lines().map(|line| masked(&printable(line), &secrets)).collect();
    (!lines.is_empty()).then(|| LogExcerpt { pod: told.pod.clone(), container, previous, lines })
}

/// A line without what a terminal would take for a command.
fn printable(line: &str) -> String {
    console::strip_ansi_codes(line).chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

fn masked(line: &str, secrets: &[String]) -> String {
    secrets.iter().fold(line.to_owned(), |line, secret| line.replace(secret, MASK))
}

/// The values of Secrets, the longest first: one may be within another. `None` when not all of them can be read.
async fn secrets(cluster: &Cluster, names: &BTreeSet<ObjectRef>) -> Option<Vec<String>> {
    let found = try_join_all(names.iter().map(|name| cluster.get(name))).await.ok()?;
    let mut values: Vec<String> = found
        .into_iter()
        .flatten()
        .filter_map(|secret| secret.data["data"].as_object().cloned())
        .flat_map(|data| data.into_iter().map(|(_, value)| value))
        .filter_map(|value| serde_json::from_value::<ByteString>(value).ok())
        .filter_map(|value| String::from_utf8(value.0).ok())
        .map(|value| value.trim().to_owned())
        .filter(|value| value.len() >= SHORTEST)
        .collect();
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    Some(values)
}

/// The names of the Secrets that a pod is given.
fn secrets_of(pod: &Pod) -> Vec<&str> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let volumes = spec.volumes.iter().flatten().filter_map(|volume| volume.secret.as_ref());
    let volumes = volumes.filter_map(|secret| secret.secret_name.as_deref());
    containers.flat_map(secrets_of_container).chain(volumes).collect()
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

    #[tokio::test(start_paused = true)]
    async fn secrets_that_nobody_may_read_are_not_none() {
        let (cluster, mut server) = Server::start();
        let names = [ObjectRef::new(&object::SECRET, Some("n"), "s")].into();
        let refusing = async {
            server.next().await.refuse(StatusCode::FORBIDDEN, "Forbidden", "secrets is forbidden");
            // Asked once more, it would be waited for.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            found = secrets(&cluster, &names) => assert_eq!(found, None),
            () = refusing => {}
        }
    }

    #[test]
    fn a_line_has_no_secrets_and_no_commands_for_a_terminal() {
        let secrets = ["correct horse battery".to_owned(), "battery".to_owned()];
        assert_eq!(masked("login with correct horse battery or battery", &secrets), "login with *** or ***");
        assert_eq!(printable("\u{1b}[31mred\u{1b}[0m\u{7}\tx"), "red\tx");
    }

    #[test]
    fn the_secrets_of_a_pod_are_those_of_its_variables_and_its_volumes() {
        let pod = json!({
            "metadata": {"name": "p"},
            "spec": {
                "initContainers": [{"name": "i", "envFrom": [{"secretRef": {"name": "a"}}]}],
                "containers": [{"name": "c", "env": [
                    {"name": "X", "valueFrom": {"secretKeyRef": {"name": "b", "key": "k"}}},
                    {"name": "Y", "value": "plain"},
                ]}],
                "volumes": [{"name": "v", "secret": {"secretName": "c"}}, {"name": "w", "emptyDir": {}}],
            },
        });
        let pod: Pod = serde_json::from_value(pod).expect("a pod");
        assert_eq!(secrets_of(&pod), ["a", "b", "c"]);
    }
}
