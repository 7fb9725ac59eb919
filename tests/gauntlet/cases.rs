//! The table of the gauntlet. What each stack does is in its folder; here is what has to come of it.

use crate::case::Hands::{
    BreakFirst, MendRegistry, RestartApiServer, ScaleDownFirst, StopNode, StopNodeUntilSign,
};
use crate::case::Sign::{Condition, ConditionOf, Event, NewRevision, Phase, Restarts, Start, Waiting};
use crate::case::{Case, Sign};

/// Three restarts, and the pauses of 10 and 20 seconds before them.
const THREE_RESTARTS: u64 = 150;
/// The same, of a program that lives for 20 seconds.
const THREE_SLOW_RESTARTS: u64 = 300;
/// The time in which a registry is asked twice.
const TWO_PULLS: u64 = 40;
/// Long enough for a node that is silent to be called so.
const SILENCE: u64 = 90;

const UNSCHEDULABLE: Sign = Condition("Pod", "PodScheduled", "False");
const UNCONFIGURED: Sign = Waiting("CreateContainerConfigError");

/// The cases for which waiting cannot help.
const DOOMED: &[Case] = &[
    doomed("image-missing", Waiting("ErrImagePull"), &["no-such-program:1: not found"]),
    doomed("image-denied", Waiting("ErrImagePull"), &["pull access denied"]),
    doomed("image-name-invalid", Waiting("InvalidImageName"), &["InvalidImageName"]),
    doomed("image-other-platform", Waiting("ErrImagePull"), &["no match for platform"]),
    doomed("registry-401", Waiting("ErrImagePull"), &["401 Unauthorized"]),
    doomed("registry-404", Waiting("ErrImagePull"), &["registry.internal/not-found/app:1: not found"]),
    doomed("crash-at-once", Restarts(3), &["exit code 3", "failed to open /data/index"])
        .within(THREE_RESTARTS),
    doomed("crash-after-20s", Restarts(3), &["exit code 1", "lost the connection"])
        .within(THREE_SLOW_RESTARTS),
    doomed("crash-after-20s-set", Restarts(3), &["exit code 1", "lost the connection"])
        .within(THREE_SLOW_RESTARTS),
    doomed("init-crash", Restarts(3), &["exit code 7", "no schema"]).within(THREE_RESTARTS),
    doomed("oom-kill", Restarts(3), &["OOMKilled"]).within(THREE_RESTARTS),
    doomed("wrong-command", Waiting("RunContainerError"), &["/bin/no-such-program: no such file"]),
    doomed("missing-configmap", UNCONFIGURED, &["configmap \"settings\" not found"]),
    doomed("missing-secret", UNCONFIGURED, &["secret \"credentials\" not found"]),
    // Whatever the chart brings, it comes after.
    doomed("missing-secret-then-chart", UNCONFIGURED, &["secret \"credentials\" not found"]),
    doomed(
        "missing-key",
        UNCONFIGURED,
        &["couldn't find key mode in ConfigMap gauntlet-missing-key/settings"],
    ),
    doomed(
        "missing-configmap-volume",
        Event("FailedMount", "settings"),
        &["configmap \"settings\" not found"],
    ),
    doomed("memory-above-every-node", UNSCHEDULABLE, &["Insufficient memory"]),
    doomed("node-selector", UNSCHEDULABLE, &["didn't match Pod's node affinity/selector"]),
    doomed("claim-class-missing", Phase("PersistentVolumeClaim", "Pending"), &["\"fast-ssd\" not found"]),
    doomed("job-fails", Condition("Job", "Failed", "True"), &["exit code 4", "table users is locked"]),
    doomed("quota", Event("FailedCreate", "exceeded quota"), &["exceeded quota: small"]),
    doomed(
        "webhook-denies",
        Event("FailedCreate", "denied the request"),
        &["images must come from the company's"],
    ),
    doomed("pod-security", Event("FailedCreate", "violates PodSecurity"), &["violates PodSecurity"]),
    doomed(
        "statefulset-image",
        Waiting("ErrImagePull"),
        &["statefulset.apps/app", "no-such-program:1: not found"],
    ),
    doomed("chart-bad-template", Start, &["nil pointer evaluating", "templates/configmap.yaml:7"]),
    doomed("chart-failing-pod", Waiting("RunContainerError"), &["/bin/no-such-program: no such file"]),
    doomed(
        "chart-failing-hook",
        Condition("Job", "Failed", "True"),
        &["failed pre-install", "the schema is newer"],
    ),
];

/// The cases that may become ready yet, and do not.
const LATE: &[Case] = &[
    late(
        "probe-wrong-port",
        Event("Unhealthy", "Readiness probe failed"),
        &["Readiness probe", ":8081/ready", "connection refused"],
    ),
    // One step is ready, and no more when the last one is.
    late(
        "ready-then-not",
        Event("Unhealthy", "Readiness probe failed"),
        &["deployment.apps/early", "Readiness probe `test -e /tmp/well` failed"],
    )
    .once_ready("early")
    .within(40),
    late("taint", UNSCHEDULABLE, &["untolerated taint"]),
    late("provisioner-fails", Event("ProvisioningFailed", "/no-such-folder"), &["/no-such-folder"]),
    // As long as it is there, discovery is incomplete for all.
    late(
        "apiservice-silent",
        ConditionOf("APIService", "v1.silent.gauntlet.internal", "Available", "False"),
        &["v1.silent.gauntlet.internal", "failing or missing response from"],
    )
    .alone(),
    late("webhook-down", Event("FailedCreate", "failed calling webhook"), &["failed calling webhook"]),
    late("registry-429", Waiting("ErrImagePull"), &["429 Too Many Requests"]).within(TWO_PULLS),
    late("registry-500", Waiting("ErrImagePull"), &["500 Internal Server Error"]).within(TWO_PULLS),
    late("registry-hangs", Event("Pulling", "hangs/app"), &["registry.internal/hangs/app:1"]),
    late(
        "node-stopped",
        ConditionOf("Node", "gauntlet-2", "Ready", "Unknown"),
        &["gauntlet-2", "Kubelet stopped posting node status"],
    )
    .with(StopNode("gauntlet-2"))
    .within(SILENCE),
];

/// The cases in which all becomes well.
const HEALTHY: &[Case] = &[
    healthy("configmap-later", UNCONFIGURED),
    healthy("slow-start", Start),
    healthy("crash-twice", Restarts(1)).within(THREE_RESTARTS),
    healthy("job-succeeds", Condition("Job", "Complete", "True")),
    healthy("job-ttl", Condition("Job", "Complete", "True")),
    healthy("crd-and-resource", Start),
    healthy("registry-429-then-well", Waiting("ErrImagePull"))
        .with(MendRegistry("too-many-requests-then-well")),
    healthy("registry-500-then-well", Waiting("ErrImagePull")).with(MendRegistry("broken-then-well")),
    healthy("registry-hangs-then-well", Event("Pulling", "hangs-then-well"))
        .with(MendRegistry("hangs-then-well")),
    healthy("api-server-restarted", Event("Started", "")).with(RestartApiServer).alone(),
    healthy("node-back", ConditionOf("Node", "gauntlet-3", "Ready", "Unknown"))
        .with(StopNodeUntilSign("gauntlet-3"))
        .within(240),
    healthy("quota-freed", Event("FailedCreate", "exceeded quota")).with(ScaleDownFirst("old")),
    healthy("statefulset-mended", NewRevision).with(BreakFirst),
    // And there is something to tell.
    healthy("daemonset-no-node", Start).says(&["daemonset.apps/app", "matches no node"]),
    healthy("service-without-pods", Start).says(&["service/other", "no ready endpoints"]),
    healthy("load-balancer", Start).says(&["service/app", "no external address"]),
];

/// All cases.
pub(crate) fn all() -> impl Iterator<Item = &'static Case> {
    [DOOMED, LATE, HEALTHY].into_iter().flatten()
}

const fn doomed(name: &'static str, sign: Sign, words: &'static [&'static str]) -> Case {
    Case::new(name, 5, sign).says(words).within(120)
}

const fn late(name: &'static str, sign: Sign, words: &'static [&'static str]) -> Case {
    Case::new(name, 6, sign).says(words).within(30)
}

const fn healthy(name: &'static str, sign: Sign) -> Case {
    Case::new(name, 0, sign).within(120)
}
