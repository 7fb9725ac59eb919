//! Credentials that are made once and kept ever after. No value leaves this room but to the cluster.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::core::{ObjectMeta, TypeMeta};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, RequestError};
use crate::event::Change;
use crate::inventory::{Inventory, PART_OF};
use crate::object::{self, Object, ObjectRef};
use crate::stack::{SecretSpec, SecretValue};

/// The annotation with the random revision that is written with the values: pods that read them carry it, so that they
/// start anew when it changes, and it tells nothing of the values.
pub const REVISION: &str = "bootstrap.internal/revision";

/// How often a Secret that changes under our hands is read again.
const TRIES: usize = 5;

/// A Secret that is as the stack wants it.
#[derive(Debug)]
pub struct Ensured {
    /// What became of it.
    pub change: Change,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// What pods that read it carry.
    pub revision: String,
}

/// What is to be done about a Secret.
#[derive(Clone, Debug)]
pub struct Judged {
    /// What becomes of it.
    pub change: Change,
    /// Why, where that is not plain.
    pub why: Option<String>,
    /// What pods that read it carry; `None` where it is yet to be made.
    pub revision: Option<String>,
}

impl Judged {
    /// Of a Secret that this run does not touch.
    #[must_use]
    pub fn as_it_is(found: &Object) -> Self {
        Self { change: Change::Unchanged, why: None, revision: Some(revision_of(found)) }
    }
}

/// Judges a Secret as it was read.
#[must_use]
pub fn judge(inventory: &Inventory, spec: &SecretSpec, seen: Option<&Object>) -> Judged {
    let Some(found) = seen else { return Judged { change: Change::Created, why: None, revision: None } };
    let missing: Vec<_> = missing(spec, found).map(|(key, _)| key.as_str()).collect();
    if !missing.is_empty() {
        let why = Some(format!("added {}", missing.join(", ")));
        return Judged { change: Change::Configured, why, revision: None };
    }
    let kept = !inventory.owns(found);
    let why = kept.then(|| "it was there before, and is used as it is".to_owned());
    let change = if kept { Change::Kept } else { Change::Unchanged };
    Judged { change, why, revision: Some(revision_of(found)) }
}

/// The keys that a Secret is to have and does not.
fn missing<'a>(
    spec: &'a SecretSpec,
    found: &'a Object,
) -> impl Iterator<Item = (&'a String, &'a SecretValue)> {
    spec.data.iter().filter(|(key, _)| found.data["data"][key.as_str()].is_null())
}

/// Makes the Secret if it is not there, and adds keys that are missing; a value that is there is never changed. `seen` is
/// how it stood.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn ensure(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    seen: Option<&Object>,
) -> Result<Ensured, RequestError> {
    let mut tries = 0;
    let mut found = seen.cloned();
    loop {
        tries += 1;
        let answer = match &found {
            None => create(cluster, inventory, name, spec).await,
            Some(found) => complete(cluster, inventory, name, spec, found).await,
        };
        match answer {
            // Another hand was faster: what it made counts.
            Err(error) if tries < TRIES && (error.already_exists() || error.is_stale()) => {
                found = cluster.get(name).await?;
            }
            answer => return answer,
        }
    }
}

/// Made by POST, so that two runs cannot overwrite each other's.
async fn create(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
) -> Result<Ensured, RequestError> {
    let revision = random(12);
    let data = spec.data.iter().map(|(key, value)| (key.clone(), json!(encoded(value))));
    let object = Object {
        types: Some(TypeMeta { api_version: "v1".to_owned(), kind: object::SECRET.kind.to_owned() }),
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: name.namespace.clone(),
            labels: Some([(PART_OF.to_owned(), inventory.id())].into()),
            annotations: Some([(REVISION.to_owned(), revision.expose_secret().to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: json!({ "type": "Opaque", "data": data.collect::<Map<_, _>>() }),
    };
    let made = cluster.create(&object).await?;
    Ok(Ensured { change: Change::Created, why: None, revision: revision_of(&made) })
}

async fn complete(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    found: &Object,
) -> Result<Ensured, RequestError> {
    let Judged { change, why, revision } = judge(inventory, spec, Some(found));
    if let Some(revision) = revision {
        return Ok(Ensured { change, why, revision });
    }
    let data = missing(spec, found).map(|(key, value)| (key.clone(), json!(encoded(value))));
    let mut patch = json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "data": data.collect::<Map<_, _>>(),
    });
    if inventory.owns(found) {
        patch["metadata"]["annotations"] = json!({ REVISION: random(12).expose_secret() });
    }
    let made = cluster.merge(name, &patch).await?;
    Ok(Ensured { change, why, revision: revision_of(&made) })
}

/// Our own mark, or the version of a Secret that was there before and stays unmarked.
#[must_use]
pub fn revision_of(secret: &Object) -> String {
    let ours = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    ours.or(secret.metadata.resource_version.as_ref()).cloned().unwrap_or_default()
}

/// Reads the values of a Secret's keys.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn read(
    cluster: &Cluster,
    name: &ObjectRef,
) -> Result<Option<Vec<(String, SecretString)>>, RequestError> {
    let Some(found) = cluster.get(name).await? else { return Ok(None) };
    let data = found.data["data"].as_object().cloned().unwrap_or_default();
    let decode = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        SecretString::from(String::from_utf8_lossy(&bytes).into_owned())
    };
    Ok(Some(data.iter().map(|(key, value)| (key.clone(), decode(value))).collect()))
}

fn encoded(value: &SecretValue) -> String {
    match value {
        SecretValue::Value(text) => BASE64_STANDARD.encode(text),
        SecretValue::Random(length) => BASE64_STANDARD.encode(random(*length).expose_secret()),
    }
}

/// Random letters and digits, from a generator that is fit for passwords.
fn random(length: usize) -> SecretString {
    SecretString::from(rand::rng().sample_iter(Alphanumeric).take(length).map(char::from).collect::<String>())
}
