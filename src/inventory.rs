//! What `up` made, kept in the cluster: a ConfigMap in the form of an ApplySet's parent (KEP-3659), which `down` reads.
//!
//! Its data holds what labels cannot: the releases, the order of the steps, the claims that were kept.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kube::api::{DeleteParams, Preconditions};
use kube::core::{GroupVersionKind, ObjectMeta, TypeMeta};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::helm::Release;
use crate::object::{self, Object, ObjectRef};
use crate::storage;

/// The label of every member, with the set's id.
pub const PART_OF: &str = "applyset.kubernetes.io/part-of";

/// The annotation of a namespace that `up` made, with the stack's name.
pub const MADE_BY: &str = "bootstrap.internal/made-by";

const ID: &str = "applyset.kubernetes.io/id";
const TOOLING: &str = "applyset.kubernetes.io/tooling";
const KINDS: &str = "applyset.kubernetes.io/contains-group-kinds";
const NAMESPACES: &str = "applyset.kubernetes.io/additional-namespaces";

/// How [`TOOLING`] names this program, before the version.
const TOOL: &str = "bootstrap/v";

/// The key of the ConfigMap that holds [`Content`].
const DATA_KEY: &str = "inventory.json";

/// The inventory of one stack.
#[derive(Clone, Debug)]
pub struct Inventory {
    /// The ConfigMap.
    pub name: ObjectRef,
    /// The stack's name.
    pub stack: String,
    /// What it says.
    pub content: Content,
    /// What the cluster has; `None` when there is no ConfigMap yet.
    saved: Option<Content>,
    /// That ConfigMap's uid.
    uid: Option<String>,
}

/// What an inventory says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Content {
    /// The kinds that members may have, as `group/version/Kind`.
    pub kinds: BTreeSet<String>,
    /// The namespaces other than its own that members may be in.
    pub namespaces: BTreeSet<String>,
    /// The steps, in the order in which they were announced.
    pub steps: Vec<String>,
    /// The releases, in the order in which helm was first started for them.
    pub releases: Vec<ReleaseEntry>,
    /// The claims that hold the stack's data.
    pub claims: BTreeSet<ObjectRef>,
    /// The stems of those that pods get, however many there come to be.
    pub stems: BTreeSet<ObjectRef>,
    /// The objects that the stack has or had, until what it has no more is pruned.
    pub members: BTreeSet<ObjectRef>,
}

/// A release that `up` made, or was about to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseEntry {
    /// The release.
    pub name: String,
    /// The namespace that it lives in.
    pub namespace: String,
    /// The step that it belongs to.
    pub step: String,
    /// Whether it brings the storage class, which claims need until they are gone.
    #[serde(default)]
    pub is_storage: bool,
    /// The digest of chart and values; `None` from before helm is started until it has ended well.
    pub digest: Option<String>,
    /// The revision that this digest made.
    pub revision: Option<u32>,
}

impl ReleaseEntry {
    /// The release's name.
    #[must_use]
    pub fn release(&self) -> Release {
        Release { name: self.name.clone(), namespace: self.namespace.clone() }
    }

    /// Tells whether a revision can be one of this release: below ours is that of another, made after ours was uninstalled.
    #[must_use]
    pub fn may_have(&self, revision: u32) -> bool {
        self.revision.is_none_or(|ours| ours <= revision)
    }
}

impl Content {
    /// Tells whether a claim holds the stack's data.
    #[must_use]
    pub fn holds(&self, claim: &ObjectRef) -> bool {
        self.claims.contains(claim) || self.stems.iter().any(|stem| storage::has_stem(claim, stem))
    }

    /// The namespaces that claims with the stack's data may be in.
    #[must_use]
    pub fn data_namespaces(&self) -> BTreeSet<String> {
        self.claims.iter().chain(&self.stems).filter_map(|name| name.namespace.clone()).collect()
    }
}

impl Inventory {
    /// The inventory of a stack that is not in the cluster yet.
    #[must_use]
    pub fn new(stack: &str, namespace: &str) -> Self {
        let name = ObjectRef::new(&object::CONFIG_MAP, Some(namespace), &format!("bootstrap-{stack}"));
        Self { name, stack: stack.to_owned(), content: Content::default(), saved: None, uid: None }
    }

    /// Reads the inventory of a stack; it is empty when there is none.
    ///
    /// # Errors
    /// Exit 3: the server's refusal, no answer in time, or an inventory that cannot be read; 4: somebody else's ConfigMap.
    pub async fn load(cluster: &Cluster, stack: &str, namespace: &str) -> Result<Self, Error> {
        let inventory = Self::new(stack, namespace);
        let Some(found) = inventory.find(cluster).await? else { return Ok(inventory) };
        let content = inventory.read(&found)?;
        Ok(Self { saved: Some(content.clone()), content, uid: found.metadata.uid, ..inventory })
    }

    /// Reads the ConfigMap of its name, which must be an inventory.
    async fn find(&self, cluster: &Cluster) -> Result<Option<Object>, Error> {
        let found = cluster.get(&self.name).await.map_err(RequestError::into_preflight)?;
        if found.as_ref().is_none_or(|found| self.is_it(found)) {
            return Ok(found);
        }
        let hint =
            format!("give the stack another name, or see whose it is: kubectl get {} -o yaml", self.name);
        let message = format!("{} is there, and is not the inventory of this stack", self.name);
        Err(Error::new(Exit::Refused, message).hint(hint))
    }

    /// Tells whether a ConfigMap carries the marks of this inventory.
    fn is_it(&self, found: &Object) -> bool {
        let ObjectMeta { labels, annotations, .. } = &found.metadata;
        let id = labels.as_ref().and_then(|all| all.get(ID));
        let tooling = annotations.as_ref().and_then(|all| all.get(TOOLING));
        id == Some(&self.id()) && tooling.is_some_and(|tooling| tooling.starts_with(TOOL))
    }

    /// A ConfigMap that a hand has emptied is mended by the next save; what cannot be read must not be forgotten.
    fn read(&self, found: &Object) -> Result<Content, Error> {
        let text = found.data["data"][DATA_KEY].as_str().unwrap_or_default();
        if text.is_empty() {
            return Ok(Content::default());
        }
        serde_json::from_str(text).map_err(|error| {
            let hint = format!("a newer bootstrap, or a hand, wrote it: kubectl get {} -o yaml", self.name);
            Error::new(Exit::Preflight, format!("failed to read {DATA_KEY} of {}", self.name))
                .because(error)
                .hint(hint)
        })
    }

    /// Tells whether the cluster has it.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.saved.is_some()
    }

    /// Tells whether a hand has emptied it, so that nobody knows what the stack has.
    #[must_use]
    pub fn is_emptied(&self) -> bool {
        self.saved.as_ref() == Some(&Content::default())
    }

    /// Tells whether there is more of the stack than what a `down` has kept.
    #[must_use]
    pub fn is_installed(&self) -> bool {
        self.exists() && !self.content.steps.is_empty()
    }

    /// The id that all members carry as the label [`PART_OF`].
    #[must_use]
    pub fn id(&self) -> String {
        id(&self.name)
    }

    /// Tells whether an object carries the set's label.
    #[must_use]
    pub fn owns(&self, object: &Object) -> bool {
        object.metadata.labels.as_ref().and_then(|labels| labels.get(PART_OF)) == Some(&self.id())
    }

    /// Tells whether an object is one of the set: a copy of one carries the label, and is not listed.
    #[must_use]
    pub fn has(&self, object: &Object) -> bool {
        let name = ObjectRef::of(object);
        self.owns(object)
            && name.is_some_and(|name| self.content.members.iter().any(|member| member.is_same(&name)))
    }

    /// The kinds that members may have.
    pub fn kinds(&self) -> impl Iterator<Item = GroupVersionKind> {
        self.content.kinds.iter().filter_map(|text| {
            let mut parts = text.splitn(3, '/');
            Some(GroupVersionKind::gvk(parts.next()?, parts.next()?, parts.next()?))
        })
    }

    /// Adds an object, its kind and its namespace, so that it can be found again.
    pub fn expect(&mut self, member: &ObjectRef) {
        self.content.members.insert(member.clone());
        self.content.kinds.insert(format!("{}/{}/{}", member.group, member.version, member.kind));
        if let Some(namespace) = &member.namespace {
            self.expect_namespace(namespace);
        }
    }

    /// Adds a namespace, which is no member itself, so that what is in it can be found again.
    pub fn expect_namespace(&mut self, name: &str) {
        if self.name.namespace.as_deref() != Some(name) {
            self.content.namespaces.insert(name.to_owned());
        }
    }

    /// The entry of a release, if there is one.
    #[must_use]
    pub fn release(&self, name: &str, namespace: &str) -> Option<&ReleaseEntry> {
        self.content.releases.iter().find(|entry| entry.name == name && entry.namespace == namespace)
    }

    /// Puts a release's entry in place of the one before, or at the end.
    pub fn set_release(&mut self, entry: ReleaseEntry) {
        let same = |other: &&mut ReleaseEntry| other.name == entry.name && other.namespace == entry.namespace;
        match self.content.releases.iter_mut().find(same) {
            Some(place) => *place = entry,
            None => self.content.releases.push(entry),
        }
    }

    /// Writes it to the cluster, if the cluster does not have it so already.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time; 4 when somebody has made a ConfigMap of its name since.
    pub async fn save(&mut self, cluster: &Cluster) -> Result<(), Error> {
        self.save_or(cluster, RequestError::into_error).await
    }

    /// The same as the first change of a run, which leaves all as it was when it is refused.
    ///
    /// # Errors
    /// Exit 3: the server's refusal; 4 when somebody has made a ConfigMap of its name since.
    pub async fn save_first(&mut self, cluster: &Cluster) -> Result<(), Error> {
        self.save_or(cluster, RequestError::into_preflight).await
    }

    async fn save_or(&mut self, cluster: &Cluster, refused: fn(RequestError) -> Error) -> Result<(), Error> {
        if self.saved.as_ref() == Some(&self.content) {
            return Ok(());
        }
        if !self.exists() {
            self.find(cluster).await?;
        }
        // Nobody else has a say in it, so it is taken by force.
        let applied = cluster.apply(&self.object(), true).await.map_err(refused)?;
        self.uid = applied.metadata.uid;
        self.saved = Some(self.content.clone());
        Ok(())
    }

    /// Takes it away.
    ///
    /// # Errors
    /// The server's refusal, or no answer in time.
    pub async fn delete(&mut self, cluster: &Cluster) -> Result<(), RequestError> {
        let preconditions = Preconditions { uid: self.uid.clone(), ..Preconditions::default() };
        let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
        cluster.delete(&self.name, &params).await?;
        self.saved = None;
        Ok(())
    }

    fn object(&self) -> Object {
        let kinds: Vec<_> = self.kinds().map(|kind| group_kind(&kind)).collect();
        let namespaces: Vec<_> = self.content.namespaces.iter().cloned().collect();
        let annotations = [
            (TOOLING, format!("{TOOL}{}", env!("CARGO_PKG_VERSION"))),
            (KINDS, kinds.join(",")),
            (NAMESPACES, namespaces.join(",")),
        ];
        Object {
            types: Some(TypeMeta { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() }),
            metadata: ObjectMeta {
                name: Some(self.name.name.clone()),
                namespace: self.name.namespace.clone(),
                labels: Some([(ID.to_owned(), self.id())].into()),
                annotations: Some(annotations.map(|(key, value)| (key.to_owned(), value)).into()),
                ..ObjectMeta::default()
            },
            data: json!({ "data": { DATA_KEY: Value::from(self.text()) } }),
        }
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(&self.content).expect("strings, numbers and lists are always JSON")
    }
}

/// Tells whether a namespace is one that `up` made for a stack.
#[must_use]
pub fn made_by(namespace: &Object, stack: &str) -> bool {
    let annotations = namespace.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(MADE_BY)).is_some_and(|maker| maker == stack)
}

/// The set's id, as KEP-3659 makes it from its parent.
fn id(parent: &ObjectRef) -> String {
    let namespace = parent.namespace.as_deref().unwrap_or_default();
    let text = format!("{}.{namespace}.{}.{}", parent.name, parent.kind, parent.group);
    format!("applyset-{}-v1", BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(text)))
}

fn group_kind(kind: &GroupVersionKind) -> String {
    if kind.group.is_empty() { kind.kind.clone() } else { format!("{}.{}", kind.kind, kind.group) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The id of the example in kubectl's own tests (`pkg/cmd/apply/applyset_test.go`) has this form and length.
    #[test]
    fn an_id_is_a_label_value_that_kubectl_accepts() {
        let id = id(&ObjectRef::new(&object::CONFIG_MAP, Some("monitoring"), "bootstrap-observability"));
        assert!(id.starts_with("applyset-") && id.ends_with("-v1") && id.len() <= 63, "{id}");
    }

    #[test]
    fn a_release_is_announced_once_and_then_updated() {
        let mut inventory = Inventory::new("s", "n");
        let entry = |revision| ReleaseEntry {
            name: "r".to_owned(),
            namespace: "n".to_owned(),
            step: "s".to_owned(),
            is_storage: false,
            digest: None,
            revision,
        };
        inventory.set_release(entry(None));
        inventory.set_release(entry(Some(1)));
        assert_eq!(inventory.content.releases, [entry(Some(1))]);
    }
}
