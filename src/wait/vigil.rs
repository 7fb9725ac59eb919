//! One wait: which objects, what was last said of them, and what is still needed to judge them. Pure but for asking for
//! watches.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Awaited;
use super::board::{Board, Sight, Source};
use super::reasons::{Reasons, Told};
use super::watches::Watches;
use crate::cluster::RequestError;
use crate::diagnose::Subject;
use crate::evidence;
use crate::object::{self, Object, ObjectRef};
use crate::status::{self, Assessment, Served, Status, Surroundings, assess};
use crate::verdict::Pull;

/// The wait for objects to become Current.
pub(super) struct Vigil {
    awaited: Vec<Candidate>,
    reasons: Reasons,
    served: BTreeSet<Served>,
    watched: HashSet<Source>,
}

struct Candidate {
    awaited: Awaited,
    /// How many lists of its kind were begun before the wait.
    since: u32,
    said: Option<Assessment>,
    /// The troubles that were said.
    troubles: HashSet<String>,
}

impl Candidate {
    /// The best evidence there is, and whether the object is there as far as that tells.
    fn evidence<'a>(&'a self, board: &'a Board) -> (Option<&'a Object>, bool) {
        let seen = self.awaited.seen.as_ref();
        match board.look(&self.awaited.object, seen, self.since) {
            Sight::Here(object) => (Some(object), true),
            Sight::Unseen => (seen, seen.is_some()),
            Sight::Gone(last) => (last.or(seen), false),
        }
    }
}

/// How all objects of a vigil stand at one moment, in the order in which they were given.
#[derive(Default)]
pub(super) struct Judgement {
    subjects: Vec<Subject>,
    wanted: Vec<Source>,
    /// What tells why objects wait. The wait goes on without what of it cannot be watched.
    telling: Vec<Source>,
    /// Whether all of that is known of those that have failed.
    pub(super) is_settled: bool,
    /// The images that are being pulled, each with the object that needs it.
    pub(super) pulls: Vec<(ObjectRef, Pull)>,
    /// The pods by which objects are stuck at an older revision: the pod, its uid, the object.
    pub(super) stuck: Vec<(ObjectRef, String, ObjectRef)>,
    /// What discovery has to answer for yet.
    pub(super) unserved: Vec<Served>,
}

impl Judgement {
    pub(super) fn all_current(&self) -> bool {
        self.subjects.iter().all(|subject| subject.assessment.status == Status::Current)
    }

    /// The objects that will not become Current by themselves.
    pub(super) fn failed(&self) -> Vec<Subject> {
        self.having(|status| status == Status::Failed)
    }

    /// The objects that are not Current.
    pub(super) fn unready(&self) -> Vec<Subject> {
        self.having(|status| status != Status::Current)
    }

    /// Tells whether the container that an image is pulled for is in trouble.
    pub(super) fn has_trouble(&self, pull: &Pull) -> bool {
        let mut reasons = self.subjects.iter().flat_map(|subject| &subject.reasons);
        reasons.any(|reason| {
            reason.is_trouble
                && reason.what.pod == pull.pod
                && reason.what.container.as_ref() == Some(&pull.container)
        })
    }

    fn having(&self, wanted: impl Fn(Status) -> bool) -> Vec<Subject> {
        self.subjects.iter().filter(|subject| wanted(subject.assessment.status)).cloned().collect()
    }
}

/// What is to be said of an object.
pub(super) struct News {
    pub(super) object: ObjectRef,
    pub(super) assessment: Assessment,
    /// Whether it tells of a trouble that was not told before.
    pub(super) trouble: bool,
}

impl Vigil {
    pub(super) fn new(awaited: Vec<Awaited>, board: &Board, reasons: Reasons) -> Self {
        let candidate = |awaited: Awaited| {
            // An object that nobody has seen yet may be missing in any list.
            let since = awaited.seen.as_ref().map_or(0, |_| board.lists_begun(&Source::of(&awaited.object)));
            Candidate { awaited, since, said: None, troubles: HashSet::new() }
        };
        Self {
            awaited: awaited.into_iter().map(candidate).collect(),
            reasons,
            served: BTreeSet::new(),
            watched: HashSet::new(),
        }
    }

    /// Judges all objects by the best evidence there is of each.
    pub(super) fn judge(&mut self, board: &Board) -> Judgement {
        let evidence: Vec<_> = self.awaited.iter().map(|candidate| candidate.evidence(board)).collect();
        let mut around = Surroundings {
            storage_classes: board.of_kind(&object::STORAGE_CLASS),
            ingress_classes: None,
            endpoint_slices: board.of_kind(&object::ENDPOINT_SLICE),
            together: evidence.iter().filter(|(_, there)| *there).filter_map(|(object, _)| *object).collect(),
            served: self.served.clone(),
            pulling: BTreeSet::new(),
            began: Some(self.reasons.began),
        };
        let mut stands = Vec::new();
        for (candidate, (object, there)) in self.awaited.iter().zip(evidence) {
            let name = &candidate.awaited.object;
            let live = object.filter(|_| there);
            let mut assessment =
                live.map_or_else(|| Assessment::gone(object), |object| assess(object, &around));
            let mut told = Told::default();
            if assessment.status != Status::Current
                && let Some(live) = live
            {
                told = self.reasons.tell(name, live, board);
                if !told.pulls.is_empty() {
                    around.pulling.insert(name.clone());
                    assessment = assess(live, &around);
                }
            }
            stands.push((name, live, assessment, told));
        }
        // Of what crashes, the cause may be what is not ready yet, or no longer.
        let mut unready = stands.iter().filter(|(name, _, assessment, told)| {
            evidence::has_pods(name)
                && !matches!(told.weigh(assessment.clone()).status, Status::Current | Status::Failed)
        });
        let needed = || {
            let mut needed = self.reasons.needed(board);
            needed.find(|(_, object)| assess(object, &around).status != Status::Current)
        };
        let unready = unready.next().map(|(name, ..)| *name).or_else(|| Some(needed()?.0)).cloned();
        let mut judgement = Judgement { is_settled: true, ..Judgement::default() };
        for (name, live, mut assessment, mut told) in stands {
            if assessment.status != Status::Current {
                if let Some(unready) = &unready {
                    told.reasons.iter_mut().for_each(|reason| reason.excuse(unready));
                }
                assessment = told.weigh(assessment);
                judgement.look_further(name, live, &around, &told);
                judgement.is_settled &= assessment.status != Status::Failed || told.is_complete;
            }
            let Told { reasons, evidence, .. } = told;
            judgement.subjects.push(Subject { object: name.clone(), assessment, reasons, evidence });
        }
        judgement
    }

    /// What has changed since it was last said. Objects that are Current from the start are not worth a word.
    pub(super) fn news(&mut self, judgement: &Judgement) -> Vec<News> {
        let mut news = Vec::new();
        for (candidate, subject) in self.awaited.iter_mut().zip(&judgement.subjects) {
            let troubles = subject.reasons.iter().filter(|reason| reason.is_trouble);
            let mut assessment = subject.assessment.clone();
            if let Some(telling) = subject.reasons.iter().find(|reason| reason.tells_more()) {
                assessment.message = format!("{}; {telling}", assessment.message);
            }
            let is_news = match &candidate.said {
                Some(said) => *said != assessment,
                None => assessment.status != Status::Current,
            };
            if is_news {
                candidate.said = Some(assessment.clone());
                let mut trouble = false;
                for reason in troubles {
                    trouble |= candidate.troubles.insert(gist(&reason.what.message));
                }
                news.push(News { object: subject.object.clone(), assessment, trouble });
            }
        }
        news
    }

    /// Begins the watches that a judgement wants.
    pub(super) fn watch(&mut self, judgement: &Judgement, watches: &Watches) {
        for source in &judgement.wanted {
            if self.watched.insert(source.clone()) {
                watches.ensure(source);
            }
        }
        for source in &judgement.telling {
            watches.begin(source);
        }
    }

    /// Why one of its watches has ended, if one has.
    pub(super) fn refused(&self, board: &Board) -> Option<Arc<RequestError>> {
        self.watched.iter().find_map(|source| board.failure(source))
    }

    /// Takes in that discovery answers.
    pub(super) fn is_served(&mut self, served: Served) {
        self.served.insert(served);
    }
}

impl Judgement {
    /// Notes what has to be watched, asked for or done to see an object become Current.
    fn look_further(
        &mut self,
        name: &ObjectRef,
        live: Option<&Object>,
        around: &Surroundings<'_>,
        told: &Told,
    ) {
        let unserved = live.map(status::discovery).unwrap_or_default();
        if unserved.is_empty() {
            self.wanted.push(deciding(name, live, around));
        }
        self.unserved.extend(unserved.into_iter().filter(|it| !around.served.contains(it)));
        self.telling.extend(told.sources.iter().cloned());
        self.pulls.extend(told.pulls.iter().map(|pull| (name.clone(), pull.clone())));
        self.stuck.extend(told.stuck.iter().map(|(pod, uid)| (pod.clone(), uid.clone(), name.clone())));
    }
}

impl Told {
    /// What the reasons make of a status: it fails with what is permanent.
    fn weigh(&self, assessment: Assessment) -> Assessment {
        if self.reasons.iter().any(|reason| reason.is_permanent) {
            return Assessment { status: Status::Failed, ..assessment };
        }
        assessment
    }
}

/// What makes a trouble another: not its counts and times, nor what is told after its first words.
fn gist(message: &str) -> String {
    let first = message.split([',', ';']).next().unwrap_or_default();
    first.chars().filter(|c| !c.is_ascii_digit()).collect()
}

/// What has to be watched to see an object become Current: mostly its own kind.
fn deciding(name: &ObjectRef, live: Option<&Object>, around: &Surroundings<'_>) -> Source {
    match live {
        Some(service) if status::must_reach(service, &around.together) => {
            Source::new(&object::ENDPOINT_SLICE, name.namespace.as_ref())
        }
        Some(_) if name.is(&object::CLAIM) && around.storage_classes.is_none() => {
            Source::new(&object::STORAGE_CLASS, None)
        }
        _ => Source::of(name),
    }
}

/// What has to be listed at the end of a run to know whether an object is worth a warning.
pub(super) fn bearing_on_warnings(awaited: &Awaited) -> Vec<Source> {
    let name = &awaited.object;
    if name.is(&object::SERVICE) {
        vec![Source::of(name), Source::new(&object::ENDPOINT_SLICE, name.namespace.as_ref())]
    } else if name.is(&object::INGRESS) {
        vec![Source::of(name), Source::new(&object::INGRESS_CLASS, None)]
    } else if name.is(&object::DAEMON_SET) {
        vec![Source::of(name)]
    } else {
        Vec::new()
    }
}
