//! A watch that outlives what servers and networks do: closed and dead connections, versions that are too old, a server that
//! restarts, is busy or says nothing. Kube's own watcher has no deadlines, stays with a version that a server answers 410
//! for, and comes back up to half a minute after the server does.

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt as _, unfold};
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::GroupVersionKind;
use kube::runtime::watcher::Event;
use tokio::time::{Instant, sleep, timeout};

use super::patience::{Patience, Pauses};
use super::{RequestError, Verb, typed};
use crate::object::Object;

/// The server sends a bookmark once a minute: longer silence is that of a connection that is no more.
const SILENCE: Duration = Duration::from_secs(90);

/// How long a watch has to last for its end to be no sign of trouble.
const STEADY: Duration = Duration::from_secs(5);

/// The longest that a server is left alone because it asks for it.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How many objects a list brings at a time.
const PAGE: u32 = 500;

/// Watches all objects that an `Api` is for: the list first, then each change. It reports errors and mends itself after a
/// pause; it never ends.
pub(super) fn watch(
    api: Api<Object>,
    kind: GroupVersionKind,
    subject: String,
    patience: Patience,
) -> impl Stream<Item = Result<Event<Object>, RequestError>> {
    let watch = Watch {
        api,
        kind,
        subject,
        patience,
        pauses: Pauses::default(),
        pause: None,
        ready: VecDeque::new(),
        state: State::Unlisted,
    };
    unfold(watch, |mut watch| async {
        let item = watch.next().await;
        Some((item, watch))
    })
}

struct Watch {
    api: Api<Object>,
    kind: GroupVersionKind,
    subject: String,
    patience: Patience,
    pauses: Pauses,
    /// How long to wait before the server is asked again.
    pause: Option<Duration>,
    /// Events that were brought together.
    ready: VecDeque<Event<Object>>,
    state: State,
}

enum State {
    /// Nothing is known, or what is known is too old.
    Unlisted,
    /// A list was announced.
    Listing,
    /// All is known up to this version.
    Known(String),
    /// The same, and changes come in.
    Open { version: String, events: Events, since: Instant },
}

type Events = BoxStream<'static, kube::Result<WatchEvent<Object>>>;

impl Watch {
    async fn next(&mut self) -> Result<Event<Object>, RequestError> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(event);
            }
            if let Some(pause) = self.pause.take() {
                sleep(pause).await;
            }
            match std::mem::replace(&mut self.state, State::Unlisted) {
                State::Unlisted => {
                    // Said before the list is asked for: what is made in between may be missing in it.
                    self.state = State::Listing;
                    return Ok(Event::Init);
                }
                State::Listing => match self.list().await {
                    Ok(version) => self.state = State::Known(version),
                    Err(error) => self.fail(error, State::Unlisted)?,
                },
                State::Known(version) => match self.open(&version).await {
                    Ok(events) => self.state = State::Open { version, events, since: Instant::now() },
                    // A version that the server refuses, in whatever words, is not asked for again.
                    Err(error) if error.status().is_some_and(|status| status.code != 429) => {
                        self.fail(error, State::Unlisted)?;
                    }
                    Err(error) => self.fail(error, State::Known(version))?,
                },
                State::Open { version, events, since } => self.take_in(version, events, since).await?,
            }
        }
    }

    /// Lists all objects, and returns the version up to which all is known then.
    async fn list(&mut self) -> Result<String, RequestError> {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = self.patience.once(Verb::Watch, &self.subject, self.api.list(&params)).await;
            self.patience.note(&page);
            let page = page?;
            objects.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_some() {
                continue;
            }
            let version = page.metadata.resource_version.filter(|version| !version.is_empty());
            let version = version.ok_or_else(|| RequestError::unwatchable(&self.subject))?;
            self.ready.extend(objects.into_iter().map(|object| Event::InitApply(typed(object, &self.kind))));
            self.ready.push_back(Event::InitDone);
            return Ok(version);
        }
    }

    async fn open(&mut self, version: &str) -> Result<Events, RequestError> {
        let params = WatchParams::default();
        let opened = self.patience.once(Verb::Watch, &self.subject, self.api.watch(&params, version)).await;
        self.patience.note(&opened);
        Ok(opened?.boxed())
    }

    /// Takes in what an open watch brings next.
    async fn take_in(
        &mut self,
        version: String,
        mut events: Events,
        since: Instant,
    ) -> Result<(), RequestError> {
        let next = timeout(SILENCE, events.next()).await;
        if since.elapsed() >= STEADY {
            self.pauses = Pauses::default();
        }
        let event = match next {
            Ok(Some(Ok(event))) => {
                self.patience.note_answer();
                event
            }
            Ok(Some(Err(error))) => {
                // A line that cannot be read is a change that was missed.
                let broken = matches!(error, kube::Error::ReadEvents(_));
                let state = if broken { State::Known(version) } else { State::Unlisted };
                return self.fail(RequestError::new(Verb::Watch, &self.subject, error), state);
            }
            // Servers end each watch after a while.
            Ok(None) => {
                self.patience.note_loss();
                self.pause = Some(self.pauses.next(Duration::ZERO));
                self.state = State::Known(version);
                return Ok(());
            }
            Err(_) => {
                let dead = RequestError::no_answer(Verb::Watch, &self.subject, SILENCE);
                return self.fail(dead, State::Known(version));
            }
        };
        let version_of = |object: &Object| object.metadata.resource_version.clone().unwrap_or_default();
        let (version, event) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                (version_of(&object), Some(Event::Apply(typed(object, &self.kind))))
            }
            WatchEvent::Deleted(object) => {
                (version_of(&object), Some(Event::Delete(typed(object, &self.kind))))
            }
            WatchEvent::Bookmark(bookmark) => (bookmark.metadata.resource_version, None),
            WatchEvent::Error(status) => {
                return self.fail(RequestError::refused(Verb::Watch, &self.subject, status), State::Unlisted);
            }
        };
        if version.is_empty() {
            return self.fail(RequestError::unwatchable(&self.subject), State::Unlisted);
        }
        self.ready.extend(event);
        self.state = State::Open { version, events, since };
        Ok(())
    }

    /// Goes on from `state` after a pause, and reports the error, unless it may only mean that the server has just come back.
    fn fail(&mut self, error: RequestError, state: State) -> Result<(), RequestError> {
        if error.is_silence() {
            self.patience.note_loss();
        }
        self.pause = Some(self.pauses.next(error.retry_after().min(LONGEST_PAUSE)));
        self.state = state;
        if self.patience.doubts(&error) { Ok(()) } else { Err(error) }
    }
}
