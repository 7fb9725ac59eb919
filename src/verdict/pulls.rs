//! Which images are being pulled for an object, as the events of its pods tell.

use k8s_openapi::api::core::v1::{ContainerStatus, Event, Pod};

use super::pods;
use crate::evidence::{self, Evidence, newest};

/// The pull of one container's image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Pull {
    /// The pod's name.
    pub(crate) pod: String,
    pub(crate) container: String,
    pub(crate) image: String,
}

/// The pulls for an object's newest pods that have begun and not ended.
pub(crate) fn pulls(evidence: &Evidence) -> Vec<Pull> {
    let pods = evidence.pods.iter().filter_map(|pod| Some((pod, pod.status.as_ref()?)));
    pods.flat_map(|(pod, status)| evidence::containers(status).map(move |container| (pod, container)))
        .filter(|(pod, container)| running(pod, container, evidence).is_some())
        .map(|(pod, container)| Pull {
            pod: pods::name_of(pod),
            container: container.name.clone(),
            image: container.image.clone(),
        })
        .collect()
}

/// The event of the pull of a container's image that has begun and not ended.
pub(super) fn running<'a>(
    pod: &'a Pod,
    container: &ContainerStatus,
    evidence: &'a Evidence,
) -> Option<&'a Event> {
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let waits_for_it = waiting.is_some_and(|waiting| {
        waiting.reason.as_deref().is_none_or(|reason| evidence::ORDINARY.contains(&reason))
    });
    let of_pulls = evidence
        .of_container(pod, &container.name)
        .filter(|event| ["Pulling", "Pulled", "Failed"].iter().any(|reason| pods::is(event, reason)));
    newest(of_pulls).filter(|event| waits_for_it && pods::is(event, "Pulling"))
}
