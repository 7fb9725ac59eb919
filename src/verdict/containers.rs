//! What a single container waits for, and whether it will wait for ever.

use k8s_openapi::api::core::v1::{Container, ContainerStateTerminated, ContainerStatus, Pod, Probe};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Circumstances, Crashes, Reason, pods, pulls, words};
use crate::event::PodReason;
use crate::evidence::{self, Evidence, newest, times};

/// The `ConfigMaps` that the cluster itself puts into every namespace, a while after it was made.
const CLUSTERS_OWN: [&str; 2] = ["kube-root-ca.crt", "openshift-service-ca.crt"];

/// Why an image is not there, other than that it is being pulled.
const PULLS: [&str; 3] = ["ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"];

/// `None` for a container that is as it should be, or has only to wait for its turn.
pub(super) fn reason(
    pod: &Pod,
    container: &ContainerStatus,
    evidence: &Evidence,
    crashes: Option<&Crashes>,
    around: &Circumstances,
) -> Option<Reason> {
    let of = |reason: &str, message: String| PodReason {
        pod: pods::name_of(pod),
        container: Some(container.name.clone()),
        reason: reason.to_owned(),
        message,
    };
    let state = container.state.as_ref()?;
    let is_hopeless = crashes.is_some_and(|crashes| crashes.is_hopeless(pod, container));
    // What stands from before this run may be mended.
    let was_tried = evidence.was_tried(pod, &container.name);
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        let message = waiting.message.as_deref().unwrap_or_default();
        return Some(match reason {
            _ if evidence::ORDINARY.contains(&reason) => {
                let pull = pulls::running(pod, container, evidence)?;
                Reason::ordinary(of("Pulling", pull.message.clone().unwrap_or_default()))
            }
            // Whatever is said, and whoever has mended what.
            "InvalidImageName" => Reason::trouble(of(reason, message.to_owned()), true),
            "ErrImageNeverPull" => Reason::trouble(of(reason, message.to_owned()), was_tried),
            _ if PULLS.contains(&reason) => {
                let (message, tries) = pull_failure(pod, container, message, evidence);
                let is_permanent = was_tried && words::pull_is_hopeless(&message, &container.image);
                let counted = if is_permanent { String::new() } else { format!("; tries: {}", tries.max(1)) };
                Reason::trouble(of(reason, message + &counted), is_permanent)
            }
            "CrashLoopBackOff" => {
                let what = of(reason, crash(pod, container));
                if was_tried && last_end(container).is_some_and(cannot_start) {
                    Reason::trouble(what, true)
                } else {
                    Reason::crash(what, is_hopeless)
                }
            }
            "CreateContainerConfigError" => {
                let missing =
                    words::missing(message).is_some_and(|missing| !comes_yet(&missing, pod, around));
                let is_permanent = was_tried && (missing || message.contains("runAsNonRoot"));
                Reason::trouble(of(reason, message.to_owned()), is_permanent)
            }
            _ => {
                let is_permanent = was_tried && words::start_is_hopeless(message);
                Reason::trouble(of(reason, message.to_owned()), is_permanent)
            }
        });
    }
    if let Some(ended) = state.terminated.as_ref().filter(|ended| ended.exit_code != 0) {
        let reason = ended.reason.as_deref().unwrap_or("Error");
        let message = match container.restart_count {
            0 => end(pod, container, ended),
            restarts => format!("{}, {}", end(pod, container, ended), counted(restarts)),
        };
        return Some(if was_tried && cannot_start(ended) {
            Reason::trouble(of(reason, message), true)
        } else {
            Reason::crash(of(reason, message), is_hopeless)
        });
    }
    if state.running.is_some() && !container.ready {
        let answers = evidence.of_container(pod, &container.name);
        let unhealthy = newest(answers.filter(|event| pods::is(event, "Unhealthy")));
        return Some(match unhealthy {
            // Every slow start begins like this.
            Some(answer) => {
                Reason::ordinary(of("Unhealthy", probed(pod, container, answer.message.as_deref())))
            }
            None => Reason::ordinary(of("NotReady", "running, but not ready".to_owned())),
        });
    }
    None
}

/// Tells whether what a container lacks is brought by this run, or by the cluster.
pub(super) fn comes_yet(missing: &words::Missing<'_>, pod: &Pod, around: &Circumstances) -> bool {
    // Without a name there is nothing to look for.
    missing.name.is_none_or(|name| {
        CLUSTERS_OWN.contains(&name)
            || around.promised.brings(missing.kind, pod.metadata.namespace.as_deref(), name, missing.key)
    })
}

/// Why a pull has failed, and how often. Between two tries some kubelets only say that they wait.
fn pull_failure(pod: &Pod, container: &ContainerStatus, message: &str, evidence: &Evidence) -> (String, u32) {
    let failures =
        evidence.of_container(pod, &container.name).filter(|event| pods::is(event, "Failed")).filter(
            |event| event.message.as_deref().is_some_and(|message| message.starts_with("Failed to pull")),
        );
    let failures: Vec<_> = failures.collect();
    let tries = failures.iter().map(|event| times(event)).sum();
    let cause = newest(failures.into_iter()).and_then(|event| event.message.clone());
    let says_why = message.replace(&container.image, "").contains(": ");
    let message = if says_why { message.to_owned() } else { cause.unwrap_or_else(|| message.to_owned()) };
    (words::pull(&message, &container.image), tries)
}

/// How a container that is started again and again has ended.
fn crash(pod: &Pod, container: &ContainerStatus) -> String {
    let restarts = counted(container.restart_count);
    match last_end(container) {
        Some(ended) => format!("{}, {restarts}", end(pod, container, ended)),
        None => restarts,
    }
}

fn counted(restarts: i32) -> String {
    if restarts == 1 { "1 restart".to_owned() } else { format!("{restarts} restarts") }
}

fn last_end(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    container.last_state.as_ref()?.terminated.as_ref()
}

/// Tells whether a container has ended because its program could not even be started.
fn cannot_start(ended: &ContainerStateTerminated) -> bool {
    matches!(ended.reason.as_deref(), Some("StartError" | "ContainerCannotRun"))
        && ended.message.as_deref().is_some_and(words::start_is_hopeless)
}

/// An end in words. What a program has left as its last words may hold anything, and is not repeated; what the runtime
/// says when it cannot start one is.
fn end(pod: &Pod, container: &ContainerStatus, ended: &ContainerStateTerminated) -> String {
    let mut text = format!("exit code {}", ended.exit_code);
    let reason = ended.reason.as_deref().unwrap_or("Error");
    if reason != "Error" {
        text += &format!(" ({reason})");
    }
    if cannot_start(ended) {
        text += &format!(": {}", ended.message.as_deref().unwrap_or_default());
    }
    if reason == "OOMKilled"
        && let Some(limit) = memory_limit(pod, &container.name)
    {
        text += &format!(", memory limit {limit}");
    }
    text
}

fn memory_limit<'a>(pod: &'a Pod, container: &str) -> Option<&'a str> {
    let limits = spec(pod, container)?.resources.as_ref()?.limits.as_ref()?;
    limits.get("memory").map(|limit| limit.0.as_str())
}

/// The answer of a probe, and which one was asked: events say only how it answered. What a command has printed may hold
/// anything, and is not repeated.
fn probed(pod: &Pod, container: &ContainerStatus, answer: Option<&str>) -> String {
    let answer = answer.unwrap_or_default();
    let spec = spec(pod, &container.name);
    let probe = spec.and_then(|spec| match answer.split(' ').next() {
        Some("Readiness") => spec.readiness_probe.as_ref(),
        Some("Startup") => spec.startup_probe.as_ref(),
        Some("Liveness") => spec.liveness_probe.as_ref(),
        _ => None,
    });
    let asked = probe.and_then(|probe| Some((asked(probe)?, probe.exec.is_some())));
    match (asked, answer.split_once(" probe failed: ")) {
        (Some((asked, true)), Some((which, _))) => format!("{which} probe {asked} failed"),
        (Some((asked, false)), Some((which, said))) => format!("{which} probe {asked} failed: {said}"),
        _ => answer.to_owned(),
    }
}

fn asked(probe: &Probe) -> Option<String> {
    let port = |port: &IntOrString| match port {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(name) => name.clone(),
    };
    if let Some(http) = &probe.http_get {
        return Some(format!(":{}{}", port(&http.port), http.path.as_deref().unwrap_or("/")));
    }
    if let Some(tcp) = &probe.tcp_socket {
        return Some(format!(":{}", port(&tcp.port)));
    }
    probe.exec.as_ref().and_then(|exec| Some(format!("`{}`", exec.command.as_ref()?.join(" "))))
}

fn spec<'a>(pod: &'a Pod, container: &str) -> Option<&'a Container> {
    let spec = pod.spec.as_ref()?;
    let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
    all.find(|it| it.name == container)
}
