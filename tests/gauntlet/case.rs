//! What a case of the gauntlet is: a folder of `stacks/`, and what has to become of it.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// One stack, and how `up` has to end on it.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Its folder in `stacks/`, and the stack's own name; its namespace is called `gauntlet-NAME`.
    pub(crate) name: &'static str,
    /// The exit code that it must have.
    pub(crate) exit: u8,
    /// What shows, without `bootstrap`, that the condition of the case is complete.
    pub(crate) sign: Sign,
    /// What `up` must have told.
    pub(crate) words: &'static [&'static str],
    /// A step that must have been ready meanwhile.
    pub(crate) ready: Option<&'static str>,
    /// What `up` gets as its `--timeout`, in seconds.
    pub(crate) timeout: u64,
    /// What is done to the cluster meanwhile.
    pub(crate) hands: Hands,
    /// Whether no other case may run beside it.
    pub(crate) alone: bool,
}

impl Case {
    pub(crate) const fn new(name: &'static str, exit: u8, sign: Sign) -> Self {
        Self { name, exit, sign, words: &[], ready: None, timeout: 60, hands: Hands::None, alone: false }
    }

    pub(crate) const fn says(self, words: &'static [&'static str]) -> Self {
        Self { words, ..self }
    }

    pub(crate) const fn once_ready(self, step: &'static str) -> Self {
        Self { ready: Some(step), ..self }
    }

    pub(crate) const fn within(self, timeout: u64) -> Self {
        Self { timeout, ..self }
    }

    pub(crate) const fn with(self, hands: Hands) -> Self {
        Self { hands, ..self }
    }

    pub(crate) const fn alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// Tells whether nothing is shown unless its sign was seen.
    pub(crate) fn needs_sign(&self) -> bool {
        self.exit != 0 || self.hands != Hands::None
    }

    /// Names the trial, so that all that have to end alike can be asked for.
    pub(crate) fn title(&self) -> String {
        let group = match self.exit {
            0 => "healthy",
            5 => "doomed",
            _ => "late",
        };
        format!("{group}::{}", self.name)
    }

    pub(crate) fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gauntlet/stacks").join(self.name)
    }

    pub(crate) fn namespace(&self) -> String {
        format!("gauntlet-{}", self.name)
    }
}

/// What another pair of hands does to the cluster.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hands {
    None,
    /// Makes this repository of the registry well once the sign is seen.
    MendRegistry(&'static str),
    /// Stops the kubelet of this node before, and lets it go on after.
    StopNode(&'static str),
    /// Stops the kubelet of this node before, and lets it go on once the sign is seen.
    StopNodeUntilSign(&'static str),
    /// Kills the API server once the sign is seen.
    RestartApiServer,
    /// Scales this Deployment of the namespace to nothing before; its pod takes some seconds to go.
    ScaleDownFirst(&'static str),
    /// Brings the stack up with `broken.yaml` in the place of `app.yaml` before.
    BreakFirst,
}

impl Hands {
    /// Tells whether they have something to do once the sign is seen.
    pub(crate) fn wait_for_sign(self) -> bool {
        matches!(self, Self::MendRegistry(_) | Self::StopNodeUntilSign(_) | Self::RestartApiServer)
    }
}

/// What is to be seen in the namespace of a case, or of a node or an APIService.
#[derive(Clone, Copy)]
pub(crate) enum Sign {
    /// The first that `up` says: the condition is there when it begins.
    Start,
    /// A container waits for this reason.
    Waiting(&'static str),
    /// A container has crashed that had been started again so many times before. Whether it is said to wait in
    /// `CrashLoopBackOff` depends on when the kubelet last looked.
    Restarts(u64),
    /// An event with this reason, and this in its message.
    Event(&'static str, &'static str),
    /// An object of this kind is in this phase.
    Phase(&'static str, &'static str),
    /// A StatefulSet has a newer revision than that of its pods.
    NewRevision,
    /// A condition of an object of this kind: its type, and its status.
    Condition(&'static str, &'static str, &'static str),
    /// The same of one object, by kind and name.
    ConditionOf(&'static str, &'static str, &'static str, &'static str),
}

impl Sign {
    /// Tells whether an object shows it.
    pub(crate) fn is_in(self, object: &Value) -> bool {
        match self {
            Self::Start => false,
            Self::Waiting(reason) => {
                containers(object).any(|container| container["state"]["waiting"]["reason"] == reason)
            }
            Self::Restarts(count) => containers(object).any(|container| {
                let has_crashed =
                    container["state"]["terminated"]["exitCode"].as_u64().is_some_and(|code| code != 0)
                        || container["state"]["waiting"]["reason"] == "CrashLoopBackOff";
                has_crashed && container["restartCount"].as_u64().is_some_and(|restarts| restarts >= count)
            }),
            Self::Event(reason, words) => {
                object["kind"] == "Event"
                    && object["reason"] == reason
                    && object["message"].as_str().is_some_and(|message| message.contains(words))
            }
            Self::Phase(kind, phase) => object["kind"] == kind && object["status"]["phase"] == phase,
            Self::NewRevision => {
                let status = &object["status"];
                object["kind"] == "StatefulSet"
                    && status["updateRevision"].is_string()
                    && status["updateRevision"] != status["currentRevision"]
            }
            Self::Condition(kind, condition, status) => has_condition(object, kind, condition, status),
            Self::ConditionOf(kind, name, condition, status) => {
                object["metadata"]["name"] == name && has_condition(object, kind, condition, status)
            }
        }
    }
}

fn containers(pod: &Value) -> impl Iterator<Item = &Value> {
    let lists = ["initContainerStatuses", "containerStatuses"];
    lists.into_iter().filter_map(|list| pod["status"][list].as_array()).flatten()
}

fn has_condition(object: &Value, kind: &str, condition: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    object["kind"] == kind && conditions.any(|this| this["type"] == condition && this["status"] == status)
}

/// Tells whether all pods that a Deployment asks for are there, and stay.
pub(crate) fn is_ready(deployment: &Value) -> bool {
    let (wanted, status) = (&deployment["spec"]["replicas"], &deployment["status"]);
    ["updatedReplicas", "availableReplicas", "replicas"].iter().all(|count| status[*count] == *wanted)
}
