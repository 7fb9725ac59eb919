//! The watches themselves: each begins when it is first wanted, feeds the board, and ends with the waiter.

use std::collections::HashSet;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::board::{Board, Source};
use crate::cluster::{Cluster, RequestError};

/// The pause before a kind is looked for again that could not be.
const PAUSE: Duration = Duration::from_secs(1);

/// All watches of a run; dropping it ends them.
pub(super) struct Watches {
    cluster: Cluster,
    board: Arc<watch::Sender<Board>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    sources: HashSet<Source>,
    tasks: JoinSet<()>,
}

impl Watches {
    pub(super) fn new(cluster: Cluster) -> Self {
        Self { cluster, board: Arc::default(), running: Mutex::default() }
    }

    /// What the watches bring, and word of each change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Board> {
        self.board.subscribe()
    }

    /// Begins to watch, unless that was begun before.
    pub(super) fn begin(&self, source: &Source) {
        if !self.running.lock().unwrap_or_else(PoisonError::into_inner).sources.contains(source) {
            self.ensure(source);
        }
    }

    /// Begins to watch, unless that is being done already. A watch that was refused is tried again.
    pub(super) fn ensure(&self, source: &Source) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let refused = self.board.borrow().failure(source).is_some();
        if running.sources.insert(source.clone()) || refused {
            self.board.send_if_modified(|board| {
                board.begin(source);
                false
            });
            running.tasks.spawn(watch(self.cluster.clone(), source.clone(), Arc::clone(&self.board)));
        }
    }
}

/// Feeds the board from one watch, which mends itself after errors that are not final; the others end it.
async fn watch(cluster: Cluster, source: Source, board: Arc<watch::Sender<Board>>) {
    if let Err(refusal) = feed(&cluster, &source, &board).await {
        board.send_modify(|board| board.fail(&source, refusal));
    }
}

async fn feed(cluster: &Cluster, source: &Source, board: &watch::Sender<Board>) -> Result<(), RequestError> {
    let changes = loop {
        match cluster.watch(&source.kind, source.namespace.as_deref()).await {
            Ok(changes) => break changes,
            Err(error) if error.is_final() => return Err(error),
            // The server is away.
            Err(_) => sleep(PAUSE).await,
        }
    };
    let mut changes = pin!(changes);
    while let Some(change) = changes.next().await {
        match change {
            Ok(event) => {
                board.send_if_modified(|board| board.record(source, event));
            }
            Err(error) if error.is_final() => return Err(error),
            Err(_) => {}
        }
    }
    Ok(())
}
