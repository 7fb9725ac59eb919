//! Helm's own records of releases, read from their Secrets: gives status, revision and manifest without starting helm.
//!
//! A record can hold passwords from values and templates, so only what is needed is taken out, and nothing is ever logged.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Read as _;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use flate2::read::GzDecoder;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::helm::Release;
use crate::object::{self, Kind, Object, ObjectRef};
use crate::yaml;

/// The type of the Secrets that helm keeps its records in.
const SECRET_TYPE: &str = "helm.sh/release.v1";

/// The annotation that says what becomes of an object when its release goes.
pub(super) const POLICY: &str = "helm.sh/resource-policy";

/// How large a record may be when unpacked; the largest charts have a few megabytes.
const LARGEST: u64 = 64 << 20;

/// The newest revision of a release.
#[derive(Clone, Debug)]
pub struct Record {
    /// The release.
    pub release: Release,
    /// Its newest revision.
    pub revision: u32,
    /// What became of that revision.
    pub status: Status,
    /// The newest revision that was deployed without failing, if there is one: where a rollback leads.
    pub deployed: Option<u32>,
    /// The chart's name.
    pub chart: String,
    /// The chart's version.
    pub version: String,
    /// The objects that it applied, hooks left out.
    pub manifest: Vec<Object>,
}

/// The status of a revision, in helm's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Installed or upgraded.
    Deployed,
    /// A newer revision was deployed after it.
    Superseded,
    /// Installing or upgrading failed.
    Failed,
    /// Being installed, or left so by a helm that was killed.
    PendingInstall,
    /// Being upgraded, or left so by a helm that was killed.
    PendingUpgrade,
    /// Being rolled back, or left so by a helm that was killed.
    PendingRollback,
    /// Being uninstalled, or left so by a helm that was killed.
    Uninstalling,
    /// Uninstalled with its history kept.
    Uninstalled,
    /// Something that helm does not say today.
    #[serde(other)]
    Unknown,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Deployed => "deployed",
            Self::Superseded => "superseded",
            Self::Failed => "failed",
            Self::PendingInstall => "pending-install",
            Self::PendingUpgrade => "pending-upgrade",
            Self::PendingRollback => "pending-rollback",
            Self::Uninstalling => "uninstalling",
            Self::Uninstalled => "uninstalled",
            Self::Unknown => "unknown",
        })
    }
}

impl Record {
    /// The names of the objects that it applied.
    pub fn objects(&self) -> impl Iterator<Item = ObjectRef> {
        self.manifest.iter().filter_map(ObjectRef::of)
    }

    /// The objects that helm deletes with it: all but those that the chart tells it to keep.
    pub fn uninstalled(&self) -> impl Iterator<Item = &Object> {
        let is_kept = |object: &&Object| {
            let annotations = object.metadata.annotations.as_ref();
            annotations.and_then(|all| all.get(POLICY)).is_some_and(|policy| policy.trim() == "keep")
        };
        self.manifest.iter().filter(move |object| !is_kept(object))
    }
}

/// Reads the newest records of these releases of one namespace; a release that is not installed has none.
///
/// # Errors
/// The server's refusal, or a record that cannot be read.
pub async fn records(cluster: &Cluster, namespace: &str, names: &[&str]) -> Result<Vec<Record>, Error> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let labels = format!("owner=helm,name in ({})", names.join(","));
    let secrets = cluster.list(&object::SECRET.gvk(), Some(namespace), Some(&labels)).await;
    let mut records = newest(&secrets.map_err(unread)?)?;
    for object in records.iter_mut().flat_map(|record| &mut record.manifest) {
        place(cluster, object, namespace).await?;
    }
    Ok(records)
}

/// Whoever has no right to it is told so by the first request, before anything is changed.
fn unread(error: RequestError) -> Error {
    if error.forbidden().is_some() { error.into_preflight() } else { error.into_error() }
}

/// The newest record of each release among these Secrets.
fn newest(secrets: &[Object]) -> Result<Vec<Record>, Error> {
    let mut releases: BTreeMap<&str, Vec<(u32, Status, &Object)>> = BTreeMap::new();
    for secret in secrets.iter().filter(|secret| secret.data["type"] == SECRET_TYPE) {
        let label = |key| secret.metadata.labels.as_ref().and_then(|labels| labels.get(key));
        let revision = label("version").and_then(|version| version.parse().ok());
        let (Some(name), Some(revision)) = (label("name"), revision) else {
            return Err(corrupt(secret, "its labels name no release and version".to_owned()));
        };
        let status = label("status").map(|status| Value::from(status.as_str()));
        let status = status.and_then(|status| Status::deserialize(status).ok()).unwrap_or(Status::Unknown);
        releases.entry(name).or_default().push((revision, status, secret));
    }
    releases.into_values().filter_map(|revisions| record(&revisions).transpose()).collect()
}

fn record(revisions: &[(u32, Status, &Object)]) -> Result<Option<Record>, Error> {
    let Some((revision, _, secret)) = revisions.iter().max_by_key(|(revision, ..)| *revision) else {
        return Ok(None);
    };
    let worked = |status: Status| matches!(status, Status::Deployed | Status::Superseded);
    let deployed = revisions.iter().filter(|(_, status, _)| worked(*status)).map(|(revision, ..)| *revision);
    let stored = unpack(secret).map_err(|why| corrupt(secret, why))?;
    let manifest = objects(&stored.manifest).map_err(|why| corrupt(secret, why))?;
    Ok(Some(Record {
        release: Release {
            name: stored.name,
            namespace: secret.metadata.namespace.clone().unwrap_or_default(),
        },
        revision: *revision,
        status: stored.info.status,
        deployed: deployed.max(),
        chart: stored.chart.metadata.name,
        version: stored.chart.metadata.version,
        manifest,
    }))
}

#[derive(Deserialize)]
struct Stored {
    name: String,
    info: Info,
    chart: StoredChart,
    manifest: String,
}

#[derive(Deserialize)]
struct Info {
    status: Status,
}

#[derive(Deserialize)]
struct StoredChart {
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
    version: String,
}

/// Undoes the API server's base64, helm's own, and gzip.
fn unpack(secret: &Object) -> Result<Stored, String> {
    let text = secret.data["data"]["release"].as_str().ok_or("it has no key `release`")?;
    let inner = BASE64_STANDARD.decode(text).map_err(|error| error.to_string())?;
    let packed = BASE64_STANDARD.decode(inner).map_err(|error| error.to_string())?;
    let mut json = Vec::new();
    GzDecoder::new(packed.as_slice())
        .take(LARGEST)
        .read_to_end(&mut json)
        .map_err(|error| error.to_string())?;
    // The position, never the text: a record holds the release's values.
    serde_json::from_slice(&json)
        .map_err(|error| format!("its JSON is broken at line {}, column {}", error.line(), error.column()))
}

/// Reads what helm has rendered.
pub(super) fn objects(manifest: &str) -> Result<Vec<Object>, String> {
    let documents = yaml::documents::<Value>("its manifest", manifest).map_err(|error| error.to_string())?;
    let mut objects = Vec::new();
    for document in documents {
        let mut value = document.value;
        let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
        // A chart may wrap its objects in a List; helm applies what is in it.
        match value.get_mut("items").and_then(Value::as_array_mut).filter(|_| is_list) {
            Some(items) => objects.append(items),
            None => objects.push(value),
        }
    }
    let parsed = objects.into_iter().map(serde_json::from_value::<Object>);
    parsed.collect::<Result<_, _>>().map_err(|_| "its manifest has what is no object".to_owned())
}

/// Gives an object the namespace that helm applied it to, which templates rarely write.
async fn place(cluster: &Cluster, object: &mut Object, namespace: &str) -> Result<(), Error> {
    let Some(name) = ObjectRef::of(object).filter(|name| name.namespace.is_none()) else { return Ok(()) };
    let namespaced = match Kind::find(&name.gvk()) {
        Some(known) => known.namespaced,
        None => match cluster.is_namespaced(&name.gvk()).await {
            Ok(namespaced) => namespaced,
            // A kind that is not served any more has no objects, wherever they were.
            Err(error) if error.is_not_found() => false,
            Err(error) => return Err(unread(error)),
        },
    };
    if namespaced {
        object.metadata.namespace = Some(namespace.to_owned());
    }
    Ok(())
}

/// A record that cannot be read could not be before anything was changed.
fn corrupt(secret: &Object, why: String) -> Error {
    let name = ObjectRef::new(
        &object::SECRET,
        secret.metadata.namespace.as_deref(),
        secret.metadata.name.as_deref().unwrap_or_default(),
    );
    Error::new(Exit::Preflight, format!("failed to read helm's record in {name}")).because(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_read_as_it_stands_and_a_list_as_its_items() {
        let text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\nkind: List\napiVersion: v1\nitems:\n- {kind: \
                    Secret, apiVersion: v1, metadata: {name: b}}\n";
        let found = objects(text).expect("objects");
        let names: Vec<_> = found.iter().filter_map(ObjectRef::of).map(|name| name.to_string()).collect();
        assert_eq!(names, ["configmap/a", "secret/b"]);
        assert_eq!(found[0].data, serde_json::json!({}), "nothing was added to it");
    }
}
