//! Looks what holds objects that are to go, and tells of it. What it means is decided in `holds.rs`.

use std::collections::HashSet;
use std::time::Duration;

use futures::future::{join, join_all, try_join_all};
use tokio::select;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::holds::{self, Around, Unknowns};
use super::{Awaited, WaitError, Waiter};
use crate::event::{Diagnosis, Kind};
use crate::live;
use crate::object;

/// How long a look may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// So many objects are told of at a time.
const TOLD: usize = 5;

impl Waiter {
    /// Looks what holds objects that are to go.
    pub(super) async fn look(
        &self,
        left: &[Awaited],
        cancel: &CancellationToken,
    ) -> Result<Vec<Diagnosis>, WaitError> {
        let looks = left.iter().map(|one| async {
            let seen = one.seen.as_ref();
            let unknown = holds::unknowns(&one.object, seen);
            let namespace = one.object.namespace.as_ref().unwrap_or(&one.object.name);
            // What cannot be had in time leaves the words of the object itself.
            let looking = timeout(TIMEOUT, self.look_around(namespace, unknown));
            holds::explain(&one.object, seen, &looking.await.unwrap_or_default())
        });
        select! {
            biased;
            () = cancel.cancelled() => Err(WaitError::Cancelled),
            held = join_all(looks) => Ok(held),
        }
    }

    async fn look_around(&self, namespace: &str, unknown: Unknowns) -> Around {
        let contents = async {
            if unknown.contents {
                return live::all_in(&self.cluster, namespace).await.map(|contents| contents.objects);
            }
            let kinds = if unknown.pods { &[object::REPLICA_SET, object::JOB, object::POD][..] } else { &[] };
            let lists = kinds
                .iter()
                .map(|kind| async { self.cluster.list(&kind.gvk(), Some(namespace), None).await });
            Ok(try_join_all(lists).await?.into_iter().flatten().collect())
        };
        let apis = async {
            let kind = object::API_SERVICE.gvk();
            if unknown.apis { self.cluster.list(&kind, None, None).await } else { Ok(Vec::new()) }
        };
        let (contents, apis) = join(contents, apis).await;
        Around { contents: contents.unwrap_or_default(), apis: apis.unwrap_or_default() }
    }

    /// Tells what holds objects, once each.
    pub(super) fn tell_of(&self, held: &[Diagnosis], told: &mut HashSet<String>) {
        for held in held.iter().filter(|held| !held.message.is_empty()).take(TOLD) {
            let what = format!("{} to go: {}", held.object, held.message);
            if told.insert(what.clone()) {
                self.events.send(Kind::Waiting { what });
            }
        }
    }
}
