//! Why the objects of a wait are not Current, told from what the watches have brought around them. Remembers what must be
//! seen more than once: how containers crash, and what is from before the run.

use std::collections::{HashMap, HashSet};

use jiff::{Timestamp, ToSpan as _};
use k8s_openapi::api::core::v1::Pod;

use super::board::{Board, Sight, Source};
use crate::evidence::{self, Evidence, Sights, Standing};
use crate::object::{self, Kind, Object, ObjectRef};
use crate::verdict::{self, Circumstances, Crashes, Pull, Reason};

/// By how much the clocks of this machine and of the cluster may differ before an event of this run is taken for an older
/// one, until it happens again, in seconds.
const SKEW: i64 = 5;

/// The memory of one wait.
pub(super) struct Reasons {
    circumstances: Circumstances,
    /// What runs of the steps that the waiting one needs.
    needed: Vec<ObjectRef>,
    /// What is older than this is from before the run.
    pub(super) began: Timestamp,
    crashes: Crashes,
    standing: Standing,
    /// What is over, by namespace.
    past: HashMap<Option<String>, Past>,
}

/// What is over in a namespace.
struct Past {
    /// The events that tell of it: uid and resource version.
    events: HashMap<String, Option<String>>,
    pods_were_leaving: bool,
}

/// What is known of one object that is not Current.
#[derive(Default)]
pub(super) struct Told {
    pub(super) reasons: Vec<Reason>,
    pub(super) evidence: Evidence,
    /// The images that are being pulled for it.
    pub(super) pulls: Vec<Pull>,
    /// The pod by which it is stuck at an older revision, and its uid.
    pub(super) stuck: Option<(ObjectRef, String)>,
    /// The watches that tell of it.
    pub(super) sources: Vec<Source>,
    /// Whether all of these have brought what there is, or cannot.
    pub(super) is_complete: bool,
}

impl Reasons {
    /// For the wait of a step, in a run that began then.
    pub(super) fn new(circumstances: &Circumstances, step: &str, began: Timestamp) -> Self {
        let began = began.saturating_sub(SKEW.seconds()).unwrap_or(began);
        Self {
            circumstances: circumstances.within(step),
            needed: circumstances.promised.needed(step),
            began,
            crashes: Crashes::default(),
            standing: Standing::default(),
            past: HashMap::new(),
        }
    }

    /// Tells why an object waits; nothing for a kind whose own status says it all.
    pub(super) fn tell(&mut self, name: &ObjectRef, live: &Object, board: &Board) -> Told {
        if !evidence::is_explained(name) {
            return Told { is_complete: true, ..Told::default() };
        }
        let mut sources = sources(name, &[object::POD, object::EVENT, object::NODE]);
        if name.is(&object::DEPLOYMENT) {
            sources.extend(self::sources(name, &[object::REPLICA_SET]));
        }
        let seen = self.sights(name.namespace.as_ref(), board);
        let mut evidence = Evidence::of(name, live, &seen);
        for pod in evidence.pods.iter().chain(&evidence.old_pods).chain(&evidence.provisioning_pods) {
            self.crashes.observe(pod, self.is_old(pod));
            if self.is_old(pod) {
                self.standing.observe(pod);
            }
        }
        evidence.standing = self.standing.clone();
        if name.is(&object::CLAIM) || evidence.pods.iter().any(evidence::waits_for_a_node) {
            const AROUND: [Kind; 3] = [object::CLAIM, object::VOLUME, object::STORAGE_CLASS];
            sources.extend(self::sources(name, &AROUND));
            if evidence::is_being_provisioned(&evidence) {
                sources.push(Source::new(&object::POD, None));
            }
        }
        let reasons = verdict::reasons(name, live, &evidence, &self.crashes, &self.circumstances);
        if reasons.iter().any(|reason| reason.is_crash && reason.is_permanent) {
            sources.extend(self.needed.iter().map(Source::of));
        }
        Told {
            reasons,
            pulls: verdict::pulls(&evidence),
            stuck: verdict::stuck(name, live, &evidence, &self.circumstances),
            is_complete: sources
                .iter()
                .all(|source| board.all(source).is_some() || board.failure(source).is_some()),
            sources,
            evidence,
        }
    }

    /// What runs of the steps that the waiting one needs, as far as it is seen.
    pub(super) fn needed<'a>(
        &'a self,
        board: &'a Board,
    ) -> impl Iterator<Item = (&'a ObjectRef, &'a Object)> {
        self.needed.iter().filter_map(|name| match board.look(name, None, 0) {
            Sight::Here(object) => Some((name, object)),
            Sight::Unseen | Sight::Gone(_) => None,
        })
    }

    fn is_old(&self, pod: &Pod) -> bool {
        pod.metadata.creation_timestamp.as_ref().is_some_and(|created| created.0 < self.began)
    }

    fn sights<'a>(&mut self, namespace: Option<&String>, board: &'a Board) -> Sights<'a> {
        let all = |kind: &Kind| board.all(&Source::new(kind, namespace)).map(Iterator::collect::<Vec<_>>);
        let events = all(&object::EVENT);
        let pods = all(&object::POD).unwrap_or_default();
        let pods_are_leaving = pods.iter().any(|pod| pod.metadata.deletion_timestamp.is_some());
        Sights {
            bygone: events
                .as_deref()
                .map(|events| self.bygone(namespace, events, pods_are_leaving))
                .unwrap_or_default(),
            began: Some(self.began),
            pods,
            all_pods: board.all(&Source::new(&object::POD, None)).map(Iterator::collect).unwrap_or_default(),
            replica_sets: all(&object::REPLICA_SET).unwrap_or_default(),
            events: events.unwrap_or_default(),
            claims: all(&object::CLAIM).unwrap_or_default(),
            volumes: all(&object::VOLUME).unwrap_or_default(),
            nodes: all(&object::NODE).unwrap_or_default(),
            storage_classes: all(&object::STORAGE_CLASS),
        }
    }

    /// The events that have not happened again since the run began, nor since the last pod of the namespace has gone.
    fn bygone(
        &mut self,
        namespace: Option<&String>,
        events: &[&Object],
        pods_are_leaving: bool,
    ) -> HashSet<String> {
        let began = self.began;
        let version =
            |event: &&Object| Some((event.metadata.uid.clone()?, event.metadata.resource_version.clone()));
        let past = self.past.entry(namespace.cloned()).or_insert_with(|| Past {
            events: events
                .iter()
                .filter(|event| evidence::is_older(event, began))
                .filter_map(version)
                .collect(),
            pods_were_leaving: false,
        });
        if past.pods_were_leaving && !pods_are_leaving {
            past.events = events.iter().filter_map(version).collect();
        }
        past.pods_were_leaving = pods_are_leaving;
        let unchanged =
            events.iter().filter_map(version).filter(|(uid, version)| past.events.get(uid) == Some(version));
        unchanged.map(|(uid, _)| uid).collect()
    }
}

fn sources(name: &ObjectRef, kinds: &[Kind]) -> Vec<Source> {
    kinds.iter().map(|kind| Source::new(kind, name.namespace.as_ref())).collect()
}
