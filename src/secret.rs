//! Credentials that are made once and kept until they are rotated. No value leaves this room but to the cluster, and none
//! stays in memory for longer than it is needed.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use kube::core::{ObjectMeta, TypeMeta};
use rand::RngExt as _;
use rand::distr::Alphanumeric;
use secrecy::zeroize::{Zeroize as _, Zeroizing};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::cluster::{Cluster, RequestError};
use crate::error::{Error, Exit};
use crate::event::Change;
use crate::fields;
use crate::inventory::{Inventory, PART_OF};
use crate::object::{self, Object, ObjectRef};
use crate::stack::{SecretSpec, SecretValue};

/// The annotation with the random revision that is written with the values: pods that read them carry it, so that they
/// start anew when it changes, and it tells nothing of the values.
pub const REVISION: &str = "bootstrap.internal/revision";

/// How often a Secret that changes under our hands is read again.
const TRIES: usize = 5;

/// What becomes of the random values that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// They stay.
    Kept,
    /// They are made anew.
    Rotated,
}

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

/// Reads a Secret without its values, as far as that can be: which keys it has is told by who owns them. Where that does not
/// tell of one of these keys, the values are read, and forgotten.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn look<'a>(
    cluster: &Cluster,
    name: &ObjectRef,
    mut keys: impl Iterator<Item = &'a String>,
) -> Result<Option<Object>, RequestError> {
    let Some(metadata) = cluster.get_metadata(name).await? else { return Ok(None) };
    let owned: BTreeSet<_> = fields::owned_keys(&metadata, "data").collect();
    if keys.all(|key| owned.contains(key.as_str())) {
        let data: Map<_, _> = owned.iter().map(|key| ((*key).to_owned(), json!(""))).collect();
        return Ok(Some(Object { types: Some(types()), data: json!({ "data": data }), metadata }));
    }
    let mut found = cluster.get(name).await?;
    found.iter_mut().for_each(conceal);
    Ok(found)
}

fn types() -> TypeMeta {
    TypeMeta { api_version: "v1".to_owned(), kind: object::SECRET.kind.to_owned() }
}

/// Judges a Secret as it was read.
///
/// # Errors
/// Where values are to be rotated: exit 3 when it is not there, 4 when it is not the stack's.
pub fn judge(
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    seen: Option<&Object>,
    values: Values,
) -> Result<Judged, Error> {
    let rotates = spec.data.values().any(|value| is_renewed(value, values));
    let Some(found) = seen else {
        if rotates {
            return Err(Error::new(Exit::Preflight, format!("{name} is not there")).hint("bootstrap up"));
        }
        return Ok(Judged { change: Change::Created, why: None, revision: None });
    };
    let is_ours = inventory.owns(found);
    if rotates && !is_ours {
        let message = format!("{name} was there before the stack, which uses it as it is");
        let hint = format!(
            "change it yourself, and let its readers start anew: kubectl edit {name} && bootstrap up"
        );
        return Err(Error::new(Exit::Refused, message).hint(hint));
    }
    let (mut added, mut renewed) = (Vec::new(), Vec::new());
    for (key, value) in &spec.data {
        if is_missing(found, key) {
            added.push(key.as_str());
        } else if is_renewed(value, values) {
            renewed.push(key.as_str());
        }
    }
    let changes = [("new", renewed), ("added", added)].into_iter().filter(|(_, keys)| !keys.is_empty());
    let changes: Vec<_> = changes.map(|(what, keys)| format!("{what} {}", keys.join(", "))).collect();
    if !changes.is_empty() {
        return Ok(Judged { change: Change::Configured, why: Some(changes.join("; ")), revision: None });
    }
    let why = (!is_ours).then(|| "it was there before, and is used as it is".to_owned());
    let change = if is_ours { Change::Unchanged } else { Change::Kept };
    Ok(Judged { change, why, revision: Some(revision_of(found)) })
}

fn is_renewed(value: &SecretValue, values: Values) -> bool {
    values == Values::Rotated && matches!(value, SecretValue::Random(_))
}

fn is_missing(found: &Object, key: &str) -> bool {
    found.data["data"][key].is_null()
}

/// Makes the Secret if it is not there, adds keys that are missing, and gives random ones new values if that is wanted; any
/// other value that is there is never changed. `seen` is how it stood, and `revision` is what values that are made here get.
///
/// # Errors
/// What [`judge`] refuses, the server's refusal, or no answer in time.
pub async fn ensure(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    seen: Option<&Object>,
    values: Values,
    revision: &str,
) -> Result<Ensured, Error> {
    let mut tries = 0;
    let mut found = seen.cloned();
    loop {
        tries += 1;
        let Judged { change, why, revision: kept } = judge(inventory, name, spec, found.as_ref(), values)?;
        if let Some(revision) = kept {
            return Ok(Ensured { change, why, revision });
        }
        let answer = match &found {
            None => create(cluster, inventory, name, spec, revision).await,
            Some(found) => complete(cluster, inventory, name, spec, found, values, revision).await,
        };
        match answer {
            Ok(made) => return Ok(Ensured { change, why, revision: revision_of(&made) }),
            // Another hand was faster: what it made counts.
            Err(error) if tries < TRIES && (error.already_exists() || error.is_stale()) => {
                found = look(cluster, name, spec.data.keys()).await.map_err(RequestError::into_error)?;
            }
            Err(error) => return Err(error.into_error()),
        }
    }
}

/// Made by POST, so that two runs cannot overwrite each other's.
async fn create(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    revision: &str,
) -> Result<Object, RequestError> {
    let data = spec.data.iter().map(|(key, value)| (key.clone(), json!(encoded(value))));
    let object = Object {
        types: Some(types()),
        metadata: ObjectMeta {
            name: Some(name.name.clone()),
            namespace: name.namespace.clone(),
            labels: Some([(PART_OF.to_owned(), inventory.id())].into()),
            annotations: Some([(REVISION.to_owned(), revision.to_owned())].into()),
            ..ObjectMeta::default()
        },
        data: json!({ "type": "Opaque", "data": data.collect::<Map<_, _>>() }),
    };
    cluster.create(&object).await
}

/// Conditional, so that what is changed is what was judged.
async fn complete(
    cluster: &Cluster,
    inventory: &Inventory,
    name: &ObjectRef,
    spec: &SecretSpec,
    found: &Object,
    values: Values,
    revision: &str,
) -> Result<Object, RequestError> {
    let data = spec.data.iter().filter(|(key, value)| is_missing(found, key) || is_renewed(value, values));
    let data = data.map(|(key, value)| (key.clone(), json!(encoded(value))));
    let mut patch = json!({
        "metadata": { "resourceVersion": found.metadata.resource_version },
        "data": data.collect::<Map<_, _>>(),
    });
    if inventory.owns(found) {
        patch["metadata"]["annotations"] = json!({ REVISION: revision });
    }
    cluster.merge(name, &patch).await
}

/// A revision for values that are yet to be made.
#[must_use]
pub fn new_revision() -> String {
    random(12).expose_secret().to_owned()
}

/// Our own mark, or the version of a Secret that was there before and stays unmarked.
#[must_use]
pub fn revision_of(secret: &Object) -> String {
    let ours = secret.metadata.annotations.as_ref().and_then(|annotations| annotations.get(REVISION));
    ours.or(secret.metadata.resource_version.as_ref()).cloned().unwrap_or_default()
}

/// Forgets the values of a Secret; which keys it has stays known.
fn conceal(secret: &mut Object) {
    let data = secret.data.get_mut("data").and_then(Value::as_object_mut);
    for value in data.into_iter().flat_map(Map::values_mut) {
        if let Value::String(text) = value {
            text.zeroize();
        }
    }
}

/// Reads the values of a Secret's keys.
///
/// # Errors
/// The server's refusal, or no answer in time.
pub async fn read(
    cluster: &Cluster,
    name: &ObjectRef,
) -> Result<Option<Vec<(String, SecretString)>>, RequestError> {
    let Some(mut found) = cluster.get(name).await? else { return Ok(None) };
    let decode = |value: &Value| {
        let bytes = BASE64_STANDARD.decode(value.as_str().unwrap_or_default()).unwrap_or_default();
        SecretString::from(String::from_utf8_lossy(&Zeroizing::new(bytes)).into_owned())
    };
    let data = found.data["data"].as_object().into_iter().flatten();
    let values = data.map(|(key, value)| (key.clone(), decode(value))).collect();
    conceal(&mut found);
    Ok(Some(values))
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
