//! What the watches have brought: per kind and namespace the objects as they stand, and those that have gone. Pure.

use std::collections::HashMap;
use std::sync::Arc;

use kube::core::GroupVersionKind;
use kube::runtime::watcher::Event;

use crate::cluster::RequestError;
use crate::object::{Kind, Object, ObjectRef};

/// What one watch is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source {
    /// The kind.
    pub(super) kind: GroupVersionKind,
    /// The namespace; `None` for cluster-wide kinds.
    pub(super) namespace: Option<String>,
}

impl Source {
    /// That of one object.
    pub(super) fn of(object: &ObjectRef) -> Self {
        Self { kind: object.gvk(), namespace: object.namespace.clone() }
    }

    /// That of a well-known kind.
    pub(super) fn new(kind: &Kind, namespace: Option<&String>) -> Self {
        Self { kind: kind.gvk(), namespace: namespace.filter(|_| kind.namespaced).cloned() }
    }
}

/// What all watches have brought.
#[derive(Default)]
pub(super) struct Board {
    sources: HashMap<Source, Knowledge>,
}

/// What one watch has brought, objects by name.
#[derive(Default)]
struct Knowledge {
    objects: HashMap<String, Object>,
    /// Objects that went while they were watched, as they last stood.
    gone: HashMap<String, Object>,
    /// The list that is being received.
    listing: HashMap<String, Object>,
    /// How many lists were begun.
    begun: u32,
    /// The last list that was received whole, by its number.
    whole: u32,
    failure: Option<Arc<RequestError>>,
}

/// What is known of one object.
pub(super) enum Sight<'a> {
    /// Nothing that is as new as what was seen before.
    Unseen,
    /// It is there.
    Here(&'a Object),
    /// It is not there, or no longer; as it last stood, if that was seen.
    Gone(Option<&'a Object>),
}

impl Board {
    /// Forgets what made a watch fail: it is tried again.
    pub(super) fn begin(&mut self, source: &Source) {
        *self.sources.entry(source.clone()).or_default() = Knowledge::default();
    }

    /// Takes in an event of a watch; tells whether anyone has to look at it.
    pub(super) fn record(&mut self, source: &Source, event: Event<Object>) -> bool {
        let known = self.sources.entry(source.clone()).or_default();
        match event {
            Event::Init => {
                known.begun += 1;
                known.listing.clear();
                false
            }
            Event::InitApply(object) => {
                known.listing.insert(name_of(&object), object);
                false
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut known.objects, std::mem::take(&mut known.listing));
                known.gone.extend(before);
                known.gone.retain(|name, _| !known.objects.contains_key(name));
                known.whole = known.begun;
                true
            }
            Event::Apply(object) => {
                known.gone.remove(&name_of(&object));
                known.objects.insert(name_of(&object), object);
                true
            }
            Event::Delete(object) => {
                known.objects.remove(&name_of(&object));
                known.gone.insert(name_of(&object), object);
                true
            }
        }
    }

    /// Notes why a watch has ended.
    pub(super) fn fail(&mut self, source: &Source, failure: RequestError) {
        self.sources.entry(source.clone()).or_default().failure = Some(Arc::new(failure));
    }

    /// Why a watch has ended, if it has.
    pub(super) fn failure(&self, source: &Source) -> Option<Arc<RequestError>> {
        self.sources.get(source)?.failure.clone()
    }

    /// How many lists of this source were begun.
    pub(super) fn lists_begun(&self, source: &Source) -> u32 {
        self.sources.get(source).map_or(0, |known| known.begun)
    }

    /// All objects of a source; `None` as long as no list of them was received.
    pub(super) fn all(&self, source: &Source) -> Option<impl Iterator<Item = &Object>> {
        let known = self.sources.get(source).filter(|known| known.whole > 0)?;
        Some(known.objects.values())
    }

    /// All objects of a kind in all namespaces that are watched; `None` as long as no list of them was received.
    pub(super) fn of_kind(&self, kind: &Kind) -> Option<Vec<&Object>> {
        let known: Vec<_> = self
            .sources
            .iter()
            .filter(|(source, known)| source.kind == kind.gvk() && known.whole > 0)
            .collect();
        (!known.is_empty()).then(|| known.iter().flat_map(|(_, known)| known.objects.values()).collect())
    }

    /// Looks for an object that is at least as new as `seen`. Only a list after the number `since` proves by silence that
    /// it is gone: an older one may be from before it was made.
    pub(super) fn look(&self, name: &ObjectRef, seen: Option<&Object>, since: u32) -> Sight<'_> {
        let Some(known) = self.sources.get(&Source::of(name)) else { return Sight::Unseen };
        let is_news = |object: &&Object| seen.is_none_or(|seen| is_as_new_as(object, seen));
        match (known.objects.get(&name.name), known.gone.get(&name.name)) {
            (Some(object), _) if is_news(&object) => Sight::Here(object),
            (None, Some(object)) if is_news(&object) => Sight::Gone(Some(object)),
            (None, _) if known.whole > since => Sight::Gone(None),
            _ => Sight::Unseen,
        }
    }
}

fn name_of(object: &Object) -> String {
    object.metadata.name.clone().unwrap_or_default()
}

/// Tells whether one sight of an object is as new as another. Resource versions of one kind are ordered numbers (KEP-5504
/// made official what held before); an aggregated API may do otherwise, and is compared by generation.
fn is_as_new_as(object: &Object, seen: &Object) -> bool {
    let version = |object: &Object| object.metadata.resource_version.as_ref()?.parse::<u64>().ok();
    match (version(object), version(seen)) {
        (Some(version), Some(seen)) => version >= seen,
        _ => {
            object.metadata.uid == seen.metadata.uid && object.metadata.generation >= seen.metadata.generation
        }
    }
}
