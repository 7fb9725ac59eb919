//! The pulls that go on for the objects of a wait: when each began, and how much of the time they took.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::object::ObjectRef;
use crate::verdict::Pull;

/// The pulls of one wait.
#[derive(Default)]
pub(super) struct Pulls {
    running: HashMap<Pull, (ObjectRef, Instant)>,
    /// Since when any goes on.
    since: Option<Instant>,
    /// How long any went on before.
    before: Duration,
}

/// A pull that has begun, or ended after so long.
pub(super) struct News {
    pub(super) object: ObjectRef,
    pub(super) image: String,
    pub(super) took: Option<Duration>,
}

impl Pulls {
    /// Takes in which pulls go on now. Nothing is said of the end of one that has failed.
    pub(super) fn observe(
        &mut self,
        now: &[(ObjectRef, Pull)],
        has_failed: impl Fn(&Pull) -> bool,
    ) -> Vec<News> {
        let mut news = Vec::new();
        for (object, pull) in now {
            self.running.entry(pull.clone()).or_insert_with(|| {
                news.push(News { object: object.clone(), image: pull.image.clone(), took: None });
                (object.clone(), Instant::now())
            });
        }
        let ended = self.running.extract_if(|pull, _| !now.iter().any(|(_, running)| running == pull));
        let ended = ended.filter(|(pull, _)| !has_failed(pull));
        news.extend(ended.map(|(pull, (object, began))| News {
            object,
            image: pull.image,
            took: Some(began.elapsed()),
        }));
        match (self.running.is_empty(), self.since) {
            (false, None) => self.since = Some(Instant::now()),
            (true, Some(since)) => {
                self.before += since.elapsed();
                self.since = None;
            }
            _ => {}
        }
        news
    }

    /// Until when a wait goes on that was to end at `end`: the time in which images are pulled does not count, up to `last`.
    pub(super) fn put_off(&self, end: Instant, last: Instant) -> Instant {
        if self.since.is_some() { last } else { last.min(end + self.before) }
    }
}
