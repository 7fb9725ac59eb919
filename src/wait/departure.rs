//! The wait for objects to go. Pure but for asking for watches.

use std::collections::HashSet;
use std::sync::Arc;

use super::Awaited;
use super::board::{Board, Sight, Source};
use super::watches::Watches;
use crate::cluster::RequestError;

/// The wait for objects to go.
pub(super) struct Departure {
    leaving: Vec<Awaited>,
    watched: HashSet<Source>,
}

impl Departure {
    pub(super) fn new(leaving: Vec<Awaited>) -> Self {
        Self { leaving, watched: HashSet::new() }
    }

    /// Lets go of those that are gone; tells whether any are left. Of an object that was never seen, the first that is found
    /// under its name is the one.
    pub(super) fn judge(&mut self, board: &Board) -> bool {
        self.leaving.retain_mut(|leaving| {
            let seen = leaving.seen.as_ref();
            match board.look(&leaving.object, seen, 0) {
                Sight::Gone(_) => false,
                Sight::Here(object) if seen.is_some_and(|seen| seen.metadata.uid != object.metadata.uid) => {
                    false
                }
                Sight::Here(object) => {
                    leaving.seen = Some(object.clone());
                    true
                }
                Sight::Unseen => true,
            }
        });
        !self.leaving.is_empty()
    }

    /// Those that are left, as they were last seen.
    pub(super) fn left(&self) -> &[Awaited] {
        &self.leaving
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
