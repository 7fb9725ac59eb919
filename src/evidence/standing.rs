//! Which containers wait as they did before this run. Whoever has mended since what they wait for, they say so only when
//! the kubelet has tried again, which may take minutes.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::containers;

/// What a container waits for before anything is wrong with it.
pub(crate) const ORDINARY: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// What the containers of pods from before this run were first seen in; `None` once it was another state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing(HashMap<(String, String), Option<State>>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    restarts: i32,
    reason: Option<String>,
    message: Option<String>,
}

impl Standing {
    /// Looks at the containers of a pod from before this run.
    pub(crate) fn observe(&mut self, pod: &Pod) {
        let (Some(uid), Some(status)) = (&pod.metadata.uid, &pod.status) else { return };
        for container in containers(status) {
            let now = State::of(container);
            let first =
                self.0.entry((uid.clone(), container.name.clone())).or_insert_with(|| Some(now.clone()));
            if first.as_ref().is_some_and(|first| !now.is_still(first)) {
                *first = None;
            }
        }
    }

    /// Tells whether a container is of a pod from before this run, and no other state of it was seen than the first.
    pub(super) fn holds(&self, pod: &Pod, container: &str) -> bool {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        self.0.get(&(uid, container.to_owned())).is_some_and(Option::is_some)
    }
}

impl State {
    fn of(container: &ContainerStatus) -> Self {
        let state = container.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let ended = state.and_then(|state| state.terminated.as_ref());
        Self {
            restarts: container.restart_count,
            reason: waiting.and_then(|it| it.reason.clone()).or_else(|| ended?.reason.clone()),
            message: waiting.and_then(|it| it.message.clone()).or_else(|| ended?.message.clone()),
        }
    }

    /// A back-off follows upon a failure without another try.
    fn is_still(&self, first: &Self) -> bool {
        let backs_off = self.reason.as_ref().is_some_and(|reason| reason.ends_with("BackOff"));
        let had_failed = first.reason.as_ref().is_some_and(|reason| !ORDINARY.contains(&reason.as_str()));
        self == first || self.restarts == first.restarts && backs_off && had_failed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Whether a container still waits as before after these sights of it, each restarts and reason.
    fn stands(sights: &[(i32, &str)]) -> bool {
        let mut standing = Standing::default();
        let mut last = Pod::default();
        for (restarts, reason) in sights {
            let container = json!({
                "name": "c", "image": "i", "imageID": "", "ready": false, "restartCount": restarts,
                "state": {"waiting": {"reason": reason}},
            });
            let pod = json!({"metadata": {"uid": "u"}, "status": {"containerStatuses": [container]}});
            last = serde_json::from_value(pod).expect("a pod");
            standing.observe(&last);
        }
        standing.holds(&last, "c")
    }

    #[test]
    fn a_container_waits_as_before_until_it_was_tried_again() {
        assert!(stands(&[(0, "ImagePullBackOff"), (0, "ImagePullBackOff")]));
        assert!(stands(&[(0, "ErrImagePull"), (0, "ImagePullBackOff")]));
        assert!(!stands(&[(0, "ImagePullBackOff"), (0, "ErrImagePull"), (0, "ImagePullBackOff")]));
        assert!(!stands(&[(0, "ContainerCreating"), (0, "ImagePullBackOff")]));
        assert!(stands(&[(4, "RunContainerError"), (4, "CrashLoopBackOff")]));
        assert!(!stands(&[(4, "RunContainerError"), (5, "RunContainerError")]));
    }

    #[test]
    fn a_container_of_a_pod_of_this_run_does_not_wait_as_before() {
        assert!(!Standing::default().holds(&Pod::default(), "c"));
    }
}
