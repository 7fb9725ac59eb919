//! One wait: which objects, what was last said of them, and what is still needed to judge them. Pure but for asking for
//! watches.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use super::Awaited;
use super::board::{Board, Sight, Source};
use super::watches::Watches;
use crate::cluster::RequestError;
use crate::diagnose::{Explanation, Subject};
use crate::event::Unready;
use crate::object::{self, Object, ObjectRef};
use crate::status::{self, Assessment, Served, Status, Surroundings, assess};

/// The wait for objects to become Current.
pub(super) struct Vigil {
    awaited: Vec<Candidate>,
    served: BTreeSet<Served>,
    pulling: BTreeSet<ObjectRef>,
    watched: HashSet<Source>,
}

struct Candidate {
    awaited: Awaited,
    /// How many lists of its kind were begun before the wait.
    since: u32,
    said: Option<Assessment>,
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
pub(super) struct Judgement {
    subjects: Vec<Subject>,
    wanted: Vec<Source>,
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

    fn having(&self, wanted: impl Fn(Status) -> bool) -> Vec<Subject> {
        self.subjects.iter().filter(|subject| wanted(subject.assessment.status)).cloned().collect()
    }
}

impl Vigil {
    pub(super) fn new(awaited: Vec<Awaited>, board: &Board) -> Self {
        let candidate = |awaited: Awaited| {
            // An object that nobody has seen yet may be missing in any list.
            let since = awaited.seen.as_ref().map_or(0, |_| board.lists_begun(&Source::of(&awaited.object)));
            Candidate { awaited, since, said: None }
        };
        Self {
            awaited: awaited.into_iter().map(candidate).collect(),
            served: BTreeSet::new(),
            pulling: BTreeSet::new(),
            watched: HashSet::new(),
        }
    }

    /// Judges all objects by the best evidence there is of each.
    pub(super) fn judge(&self, board: &Board) -> Judgement {
        let evidence: Vec<_> = self.awaited.iter().map(|candidate| candidate.evidence(board)).collect();
        let around = Surroundings {
            storage_classes: board.of_kind(&object::STORAGE_CLASS),
            ingress_classes: None,
            endpoint_slices: board.of_kind(&object::ENDPOINT_SLICE),
            together: evidence.iter().filter(|(_, there)| *there).filter_map(|(object, _)| *object).collect(),
            served: self.served.clone(),
            pulling: self.pulling.clone(),
        };
        let mut judgement = Judgement { subjects: Vec::new(), wanted: Vec::new(), unserved: Vec::new() };
        for (candidate, (object, there)) in self.awaited.iter().zip(evidence) {
            let name = &candidate.awaited.object;
            let live = object.filter(|_| there);
            let assessment = live.map_or_else(|| Assessment::gone(object), |object| assess(object, &around));
            if assessment.status != Status::Current {
                let unserved = live.map(status::discovery).unwrap_or_default();
                if unserved.is_empty() {
                    judgement.wanted.push(deciding(name, live, &around));
                }
                judgement.unserved.extend(unserved.into_iter().filter(|it| !self.served.contains(it)));
            }
            judgement.subjects.push(Subject { object: name.clone(), assessment, live: live.cloned() });
        }
        judgement
    }

    /// What has changed since it was last said. Objects that are Current from the start are not worth a word.
    pub(super) fn news(&mut self, judgement: &Judgement) -> Vec<(ObjectRef, Assessment)> {
        let mut news = Vec::new();
        for (candidate, subject) in self.awaited.iter_mut().zip(&judgement.subjects) {
            let assessment = &subject.assessment;
            let is_news = match &candidate.said {
                Some(said) => said != assessment,
                None => assessment.status != Status::Current,
            };
            if is_news {
                candidate.said = Some(assessment.clone());
                news.push((subject.object.clone(), assessment.clone()));
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
    }

    /// Why one of its watches has ended, if one has.
    pub(super) fn refused(&self, board: &Board) -> Option<Arc<RequestError>> {
        self.watched.iter().find_map(|source| board.failure(source))
    }

    /// Takes in that discovery answers.
    pub(super) fn is_served(&mut self, served: Served) {
        self.served.insert(served);
    }

    /// Notes which of the failed objects still pull an image, and returns the others.
    pub(super) fn spare_those_that_pull(&mut self, failed: Vec<Explanation>) -> Vec<Unready> {
        let (pulling, doomed): (Vec<_>, Vec<_>) = failed.into_iter().partition(|it| it.pulling);
        self.pulling.extend(pulling.into_iter().map(|it| it.unready.object));
        doomed.into_iter().map(|it| it.unready).collect()
    }
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

/// The wait for objects to go.
pub(super) struct Departure {
    leaving: Vec<Awaited>,
    watched: HashSet<Source>,
}

impl Departure {
    pub(super) fn new(leaving: Vec<Awaited>) -> Self {
        Self { leaving, watched: HashSet::new() }
    }

    /// Lets go of those that are gone, and returns the others. Of an object that was never seen, the first that is found
    /// under its name is the one.
    pub(super) fn judge(&mut self, board: &Board) -> Vec<Unready> {
        let mut left = Vec::new();
        self.leaving.retain_mut(|leaving| {
            let seen = leaving.seen.as_ref();
            let object = match board.look(&leaving.object, seen, 0) {
                Sight::Gone(_) => return false,
                Sight::Here(object) if seen.is_some_and(|seen| seen.metadata.uid != object.metadata.uid) => {
                    return false;
                }
                Sight::Here(object) => {
                    leaving.seen = Some(object.clone());
                    Some(object)
                }
                Sight::Unseen => seen,
            };
            let assessment = object
                .map_or_else(|| Assessment::gone(None), |object| assess(object, &Surroundings::default()));
            left.push(Unready {
                object: leaving.object.clone(),
                status: assessment.status,
                message: assessment.message,
                pods: Vec::new(),
            });
            true
        });
        left
    }

    /// Begins the watches that tell of those that are left.
    pub(super) fn watch(&mut self, watches: &Watches) {
        for source in self.leaving.iter().map(|leaving| Source::of(&leaving.object)) {
            if self.watched.insert(source.clone()) {
                watches.ensure(&source);
            }
        }
    }

    /// Why one of its watches has ended, if one has.
    pub(super) fn refused(&self, board: &Board) -> Option<Arc<RequestError>> {
        self.watched.iter().find_map(|source| board.failure(source))
    }
}
