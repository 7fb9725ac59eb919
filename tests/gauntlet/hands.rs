//! What is done to the cluster before a case, at its sign, and after it.

use std::fs;
use std::time::Instant;

use crate::Gauntlet;
use crate::case::{Case, Hands};

/// Brings about what has to be there before.
pub(crate) fn before(case: &Case, gauntlet: &Gauntlet) {
    if let Ok(text) = fs::read_to_string(case.folder().join("before.yaml")) {
        gauntlet.apply_before(&text);
    }
    match case.hands {
        Hands::MendRegistry(repository) => gauntlet.registry.spoil(repository),
        Hands::StopNode(node) | Hands::StopNodeUntilSign(node) => {
            // After a run before it may be silent still.
            gauntlet.bench.kubectl(["wait", "--for=condition=Ready", "--timeout=1m", "node", node]);
            gauntlet.cluster.stop_kubelet(node).expect("it runs");
        }
        Hands::BreakFirst => {
            let broken = tempfile::tempdir().expect("a folder");
            for (from, to) in [("stack.yaml", "stack.yaml"), ("broken.yaml", "app.yaml")] {
                fs::copy(case.folder().join(from), broken.path().join(to)).expect("copied");
            }
            let up = gauntlet.up(broken.path(), 15);
            let ran = gauntlet.bench.finish(up, Instant::now());
            assert!(matches!(ran.code, 5 | 6), "it is broken: {}{}", ran.stdout, ran.stderr);
        }
        Hands::ScaleDownFirst(name) => {
            let namespace = case.namespace();
            let kubectl = |arguments: &[&str]| {
                gauntlet.bench.kubectl([&["--namespace", &namespace][..], arguments].concat());
            };
            let (object, pods) = (format!("deployment/{name}"), format!("--selector=app={name}"));
            kubectl(&["wait", "--for=jsonpath={.status.readyReplicas}=1", "--timeout=1m", &object]);
            kubectl(&["scale", "--replicas=0", &object]);
            kubectl(&["wait", "--for=jsonpath={.metadata.deletionTimestamp}", "--timeout=1m", "pod", &pods]);
        }
        Hands::None | Hands::RestartApiServer => {}
    }
}

/// Does what has to be done once the sign is seen.
pub(crate) fn at_sign(case: &Case, gauntlet: &Gauntlet) {
    match case.hands {
        Hands::MendRegistry(repository) => gauntlet.registry.mend(repository),
        Hands::StopNodeUntilSign(node) => gauntlet.cluster.continue_kubelet(node).expect("it is there"),
        Hands::RestartApiServer => gauntlet.cluster.kill_api_server().expect("it runs"),
        Hands::None | Hands::StopNode(_) | Hands::BreakFirst | Hands::ScaleDownFirst(_) => {}
    }
}

/// Takes back what must not outlast the case.
pub(crate) fn after(case: &Case, gauntlet: &Gauntlet) {
    if let Hands::StopNode(node) | Hands::StopNodeUntilSign(node) = case.hands {
        gauntlet.cluster.continue_kubelet(node).expect("it is there");
    }
}
