//! How often containers have crashed while this run watched. Pods say only how the last time ended; that it was always the
//! same way must be seen.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

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
    /// The code that it first ended with, once it has.
    code: Option<i32>,
    /// Whether it never ended with another.
    always: bool,
}

impl Crashes {
    /// Looks at the containers of a pod. One that `is_old`, from before this run, and has crashed already need only do so
    /// once more.
    pub(crate) fn observe(&mut self, pod: &Pod, is_old: bool) {
        let (Some(uid), Some(status)) = (&pod.metadata.uid, &pod.status) else { return };
        for container in evidence::containers(status) {
            let code = last_code(container);
            let restarts = container.restart_count;
            let seen = self.0.entry((uid.clone(), container.name.clone())).or_insert_with(|| Seen {
                enough: match (is_old, code) {
                    (true, Some(_)) => restarts + 1,
                    (true, None) => restarts + ENOUGH,
                    (false, _) => ENOUGH,
                },
                code,
                always: true,
            });
            if let Some(code) = code {
                seen.always &= *seen.code.get_or_insert(code) == code;
            }
        }
    }

    /// Tells whether a container has crashed so often, and always alike, that it will not stop.
    pub(super) fn is_hopeless(&self, pod: &Pod, container: &ContainerStatus) -> bool {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.0.get(&(uid, container.name.clone())).is_some_and(|seen| {
            seen.always && seen.code.is_some_and(|code| code != 0) && container.restart_count >= seen.enough
        })
    }
}

/// The exit code of the last time that a container ended.
fn last_code(container: &ContainerStatus) -> Option<i32> {
    let states = [&container.state, &container.last_state];
    let mut ends = states.into_iter().flatten().filter_map(|state| state.terminated.as_ref());
    ends.next().map(|ended| ended.exit_code)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(restarts: i32, code: i32) -> Pod {
        let ended = if restarts > 0 { json!({"terminated": {"exitCode": code}}) } else { json!({}) };
        let container = json!({
            "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts, "lastState": ended,
        });
        let pod =
            json!({"metadata": {"name": "p", "uid": "u"}, "status": {"containerStatuses": [container]}});
        serde_json::from_value(pod).expect("a pod")
    }

    /// Whether the last of these sights of one pod, each restarts and exit code, is hopeless.
    fn is_hopeless(is_old: bool, sights: &[(i32, i32)]) -> bool {
        let mut crashes = Crashes::default();
        let mut last = false;
        for (restarts, code) in sights {
            let pod = pod(*restarts, *code);
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
    fn one_more_restart_is_enough_in_an_old_pod_that_has_crashed_before() {
        assert!(!is_hopeless(true, &[(40, 1)]));
        assert!(is_hopeless(true, &[(40, 1), (41, 1)]));
        // One that ran well until now has its three.
        assert!(!is_hopeless(true, &[(0, 0), (1, 1), (2, 1)]));
        assert!(is_hopeless(true, &[(0, 0), (1, 1), (2, 1), (3, 1)]));
    }
}
