//! How often containers have crashed while this run watched. Pods say only how the last time ended; that it was always the
//! same way must be seen.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{ContainerState, ContainerStatus, Pod};

use crate::evidence;

/// How many restarts it takes until more of them would change nothing.
const ENOUGH: i32 = 3;

/// What was seen of containers that are started again and again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Crashes(HashMap<(String, String), Seen>);

#[derive(Clone, Debug)]
struct Seen {
    /// The count from which on restarts are enough.
    enough: i32,
    /// The code that it last ended with, once it has.
    code: Option<i32>,
}

impl Crashes {
    /// Looks at the containers of a pod. One that `is_old`, from before this run, and is down by a crash need only crash once
    /// more.
    pub(crate) fn observe(&mut self, pod: &Pod, is_old: bool) {
        let (Some(uid), Some(status)) = (&pod.metadata.uid, &pod.status) else { return };
        for container in evidence::containers(status) {
            let code = last_code(container);
            let restarts = container.restart_count;
            let seen = self.0.entry((uid.clone(), container.name.clone())).or_insert_with(|| {
                let before = if is_old { restarts } else { 0 };
                let more = if is_old && is_down(container) { 1 } else { ENOUGH };
                Seen { enough: before + more, code }
            });
            if let Some(code) = code
                && seen.code.replace(code).is_some_and(|before| before != code)
            {
                // The restart after the first end of this kind is the first that counts.
                let first = if ended(container.state.as_ref()).is_some() { restarts + 1 } else { restarts };
                seen.enough = first + ENOUGH - 1;
            }
        }
    }

    /// Tells whether a container has crashed so often, and always alike, that it will not stop.
    pub(super) fn is_hopeless(&self, pod: &Pod, container: &ContainerStatus) -> bool {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.0.get(&(uid, container.name.clone())).is_some_and(|seen| {
            seen.code.is_some_and(|code| code != 0) && container.restart_count >= seen.enough
        })
    }
}

/// Tells whether a container has just crashed, or is not started again yet since it has.
fn is_down(container: &ContainerStatus) -> bool {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    ended(container.state.as_ref()).is_some()
        || waiting.is_some_and(|waiting| waiting.reason.as_deref() == Some("CrashLoopBackOff"))
}

/// The exit code of the last time that a container ended.
fn last_code(container: &ContainerStatus) -> Option<i32> {
    ended(container.state.as_ref()).or_else(|| ended(container.last_state.as_ref()))
}

fn ended(state: Option<&ContainerState>) -> Option<i32> {
    state?.terminated.as_ref().map(|ended| ended.exit_code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A pod whose container has been started again so often, and ended with a code each time. It is down, or runs again.
    fn pod(restarts: i32, code: i32, is_down: bool) -> Pod {
        let ended = if restarts > 0 { json!({"terminated": {"exitCode": code}}) } else { json!({}) };
        let back_off = json!({"waiting": {"reason": "CrashLoopBackOff"}});
        let container = json!({
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "lastState": ended,
            "state": if is_down { back_off } else { json!({"running": {}}) },
        });
        let pod =
            json!({"metadata": {"name": "p", "uid": "u"}, "status": {"containerStatuses": [container]}});
        serde_json::from_value(pod).expect("a pod")
    }

    /// Whether the last of these sights of one pod, each restarts and exit code, is hopeless.
    fn is_hopeless(is_old: bool, sights: &[(i32, i32)]) -> bool {
        ends_hopeless(is_old, sights.iter().map(|(restarts, code)| pod(*restarts, *code, *restarts > 0)))
    }

    fn ends_hopeless(is_old: bool, sights: impl Iterator<Item = Pod>) -> bool {
        let mut crashes = Crashes::default();
        let mut last = false;
        for pod in sights {
            crashes.observe(&pod, is_old);
            let status = pod.status.as_ref().expect("a status");
            last = crashes.is_hopeless(&pod, evidence::containers(status).next().expect("a container"));
        }
        last
    }

    #[test]
    fn three_restarts_with_one_code_are_enough_in_a_new_pod() {
        assert!(!is_hopeless(false, &[(0, 0), (1, 2), (2, 2)]));
        assert!(is_hopeless(false, &[(0, 0), (1, 2), (2, 2), (3, 2)]));
        // What happened between two sights is taken to have been the same.
        assert!(is_hopeless(false, &[(3, 2)]));
    }

    #[test]
    fn another_code_is_another_matter_and_ending_well_is_no_crash() {
        assert!(!is_hopeless(false, &[(1, 2), (2, 137), (3, 2)]));
        assert!(!is_hopeless(false, &[(1, 0), (2, 0), (3, 0)]));
    }

    #[test]
    fn with_another_code_the_count_begins_anew() {
        assert!(!is_hopeless(false, &[(1, 1), (2, 2), (3, 2)]));
        assert!(is_hopeless(false, &[(1, 1), (2, 2), (3, 2), (4, 2)]));
        assert!(!is_hopeless(true, &[(40, 1), (41, 2), (42, 2)]));
        assert!(is_hopeless(true, &[(40, 1), (41, 2), (42, 2), (43, 2)]));
    }

    #[test]
    fn an_old_pod_that_crashed_once_and_runs_does_not_loop() {
        let again =
            |restarts| [pod(1, 1, false)].into_iter().chain((2..=restarts).map(|it| pod(it, 1, true)));
        assert!(!ends_hopeless(true, again(3)));
        assert!(ends_hopeless(true, again(4)));
    }

    #[test]
    fn one_more_restart_is_enough_in_an_old_pod_that_has_crashed_before() {
        assert!(!is_hopeless(true, &[(40, 1)]));
        assert!(is_hopeless(true, &[(40, 1), (41, 1)]));
        // One that ran well until now has its three.
        assert!(!is_hopeless(true, &[(0, 0), (1, 1), (2, 1)]));
        assert!(is_hopeless(true, &[(0, 0), (1, 1), (2, 1), (3, 1)]));
    }
}
