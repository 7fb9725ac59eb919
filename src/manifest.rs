//! Files → objects: YAML, ConfigMaps made from files, the storage class, and the hash of the configuration that a workload
//! reads. Touches no cluster.

use std::collections::{BTreeMap, BTreeSet};

use kube::core::{ObjectMeta, TypeMeta};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};
use serde_yaml::{Location, Spanned};
use sha2::{Digest as _, Sha256};

use crate::error::{Error, Exit};
use crate::object::{self, Kind, Object, ObjectRef};
use crate::stack::{Files, Stack, Step};
use crate::yaml::{self, YamlError};

mod faults;

/// The annotation of a pod template that holds the hash of the ConfigMaps that its pods read.
pub const CONFIG_HASH: &str = "bootstrap.internal/config-hash";

/// The annotation of a pod template that holds the revision of the Secrets that its pods read.
pub const SECRET_REVISION: &str = "bootstrap.internal/secret-revision";

/// An object that the stack wants, and where it is written.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Its name.
    pub name: ObjectRef,
    /// The object as it will be applied.
    pub object: Object,
    /// The file that it comes from; the files, where it is made of several.
    pub file: String,
    /// The line of the file at which it begins; `None` for what is made of whole files.
    pub line: Option<u64>,
}

/// Reads all objects of a step: its files, and the ConfigMaps made from files.
///
/// # Errors
/// Exit 2 with file and line.
pub fn of_step(stack: &Stack, step: &Step) -> Result<Vec<Manifest>, Error> {
    let not_manifests = read_by_others(stack);
    let mut manifests = Vec::new();
    for map in &step.config_maps {
        manifests.push(config_map(&stack.files, &map.name, &map.files, &stack.namespace)?);
    }
    for path in &step.manifests {
        let before = manifests.len();
        let mut files = stack.files.list(path);
        if files.is_empty() {
            files.push(path.clone());
        } else {
            files.retain(|file| is_yaml(file) && !not_manifests.contains(file.as_str()));
        }
        for file in files {
            read_file(stack, &file, &mut manifests)?;
        }
        if manifests.len() == before {
            let (line, name) = (step.line, &step.name);
            let message =
                format!("stack.yaml:{line}: step `{name}` names `{path}`, in which there is no object");
            return Err(Error::new(Exit::Usage, message));
        }
    }
    Ok(manifests)
}

/// The files that a ConfigMap or a release of any step reads: no manifests, though they may lie beside some.
fn read_by_others(stack: &Stack) -> BTreeSet<&str> {
    let steps = stack.steps.iter();
    steps
        .flat_map(|step| {
            let maps = step.config_maps.iter().flat_map(|map| &map.files);
            maps.chain(step.release.iter().flat_map(|release| &release.values))
        })
        .map(String::as_str)
        .collect()
}

fn is_yaml(file: &str) -> bool {
    let extension = file.rsplit_once('.').map(|(_, extension)| extension);
    matches!(extension, Some("yaml" | "yml" | "json"))
}

fn read_file(stack: &Stack, file: &str, manifests: &mut Vec<Manifest>) -> Result<(), Error> {
    let text = stack.files.read(file)?;
    for (number, document) in yaml::manifests(file, &text)?.into_iter().enumerate() {
        let place = document.referenced;
        let objects = match document.value {
            // A List is a bag of objects, as kubectl takes it.
            Value::Object(mut list) if list.get("kind") == Some(&json!("List")) => match list.remove("items")
            {
                Some(Value::Array(items)) => {
                    let places = places_of_items(file, &text, number);
                    let place_of = |index: usize| places.get(index).copied().unwrap_or(place);
                    items.into_iter().enumerate().map(|(index, item)| (place_of(index), item)).collect()
                }
                _ => return Err(YamlError::at(file, &place, "a List without items").into()),
            },
            other => vec![(place, other)],
        };
        for (place, value) in objects {
            manifests.push(manifest(file, &place, value, &stack.namespace)?);
        }
    }
    Ok(())
}

/// Where each item of the List begins that is the file's document of this number; empty where that cannot be told.
fn places_of_items(file: &str, text: &str, number: usize) -> Vec<Location> {
    #[derive(Deserialize)]
    struct List {
        #[serde(default)]
        items: Vec<Spanned<IgnoredAny>>,
    }
    let lists = yaml::documents::<List>(file, text).unwrap_or_default();
    let items = lists.into_iter().nth(number).map(|list| list.value.items).unwrap_or_default();
    items.iter().map(|item| item.referenced).collect()
}

fn manifest(file: &str, place: &Location, value: Value, namespace: &str) -> Result<Manifest, YamlError> {
    let incomplete = || YamlError::at(file, place, "an object wants apiVersion, kind and metadata.name");
    if !value.is_object() {
        return Err(incomplete());
    }
    let object: Object = serde_json::from_value(value)
        .map_err(|error| YamlError::at(file, place, format!("no object of Kubernetes: {error}")))?;
    let name = ObjectRef::of(&object).ok_or_else(incomplete)?;
    if let Some(fault) = faults::find(&name, &object) {
        return Err(YamlError::at(file, place, fault));
    }
    let mut manifest = Manifest { name, object, file: file.to_owned(), line: Some(place.line()) };
    if Kind::find(&manifest.name.gvk()).is_some_and(|known| known.namespaced) {
        manifest.set_default_namespace(namespace);
    }
    Ok(manifest)
}

fn config_map(files: &Files, name: &str, paths: &[String], namespace: &str) -> Result<Manifest, Error> {
    let mut data = Map::new();
    for path in paths {
        let key = path.rsplit('/').next().unwrap_or(path);
        if data.insert(key.to_owned(), Value::String(files.read(path)?.into_owned())).is_some() {
            let message = format!("configmap/{name} would have two files {key}: {}", paths.join(", "));
            return Err(Error::new(Exit::Usage, message));
        }
    }
    let reference = ObjectRef::new(&object::CONFIG_MAP, Some(namespace), name);
    let object = Object {
        types: Some(TypeMeta { api_version: "v1".to_owned(), kind: "ConfigMap".to_owned() }),
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectMeta::default()
        },
        data: json!({ "data": data }),
    };
    Ok(Manifest { name: reference, object, file: paths.join(", "), line: None })
}

/// Gives the claims and claim templates of an object that name no storage class this one; tells whether there were any.
pub fn set_storage_class(object: &mut Object, class: &str) -> bool {
    let mut specs = Vec::new();
    match kind_of(object) {
        "PersistentVolumeClaim" => specs.extend(object.data.get_mut("spec")),
        "StatefulSet" => {
            let templates =
                object.data.pointer_mut("/spec/volumeClaimTemplates").and_then(Value::as_array_mut);
            specs.extend(templates.into_iter().flatten().filter_map(|template| template.get_mut("spec")));
        }
        _ => {}
    }
    let mut any = false;
    for spec in specs {
        if spec.get("storageClassName").is_none() {
            spec["storageClassName"] = json!(class);
            any = true;
        }
    }
    any
}

/// Writes into each workload's pod template the hash of those ConfigMaps among `manifests` that its pods read, so that a
/// changed configuration starts new pods.
pub fn add_config_hashes<'a>(manifests: impl Iterator<Item = &'a mut Manifest>) {
    let mut workloads = Vec::new();
    let mut hashes = BTreeMap::new();
    for manifest in manifests {
        if manifest.name.is(&object::CONFIG_MAP) {
            let mut hash = Sha256::new();
            for field in ["data", "binaryData"] {
                hash.update(manifest.object.data[field].to_string());
                hash.update([0]);
            }
            let place = (manifest.name.namespace.clone(), manifest.name.name.clone());
            hashes.insert(place, hash.finalize());
        } else if pod_template(&mut manifest.object).is_some() {
            workloads.push(manifest);
        }
    }
    for workload in workloads {
        let namespace = workload.name.namespace.clone();
        let Some(template) = pod_template(&mut workload.object) else { continue };
        let mut hash = Sha256::new();
        let mut any = false;
        for name in reads(template).config_maps {
            if let Some(content) = hashes.get(&(namespace.clone(), name.clone())) {
                hash.update(name);
                hash.update(content);
                any = true;
            }
        }
        if any {
            annotate(template, CONFIG_HASH, &hex(&hash.finalize()[..8]));
        }
    }
}

/// Writes the revisions of these Secrets of a namespace, by name, into the pod template of a workload whose pods read them.
pub fn add_secret_revisions(object: &mut Object, namespace: &str, revisions: &BTreeMap<String, String>) {
    if object.metadata.namespace.as_deref() != Some(namespace) {
        return;
    }
    let Some(template) = pod_template(object) else { return };
    let read = reads(template).secrets;
    let read: Vec<_> = read.iter().filter_map(|name| revisions.get(name)).map(String::as_str).collect();
    if !read.is_empty() {
        annotate(template, SECRET_REVISION, &read.join(","));
    }
}

/// Tells whether an object runs pods that read a Secret of its namespace, for as long as the object is there.
#[must_use]
pub fn reads_secret(object: &Object, secret: &str) -> bool {
    let template = match object.types.as_ref().map_or("", |types| types.kind.as_str()) {
        "Pod" => &object.data,
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => &object.data["spec"]["template"],
        _ => return false,
    };
    reads(template).secrets.contains(secret)
}

/// Tells whether all pods of an object are replaced when its template changes.
#[must_use]
pub fn renews_pods(object: &Object) -> bool {
    let strategy = &object.data["spec"]["updateStrategy"];
    !kind_of(object).is_empty()
        && strategy["type"] != "OnDelete"
        && strategy["rollingUpdate"]["partition"].as_u64().unwrap_or_default() == 0
}

/// The configuration that the pods of a template read.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reads {
    config_maps: BTreeSet<String>,
    secrets: BTreeSet<String>,
}

fn reads(template: &Value) -> Reads {
    let mut reads = Reads::default();
    let array = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let spec = &template["spec"];
    for volume in array(spec, "volumes") {
        reads.add(&volume["configMap"]["name"], &volume["secret"]["secretName"]);
        for source in array(&volume["projected"], "sources") {
            reads.add(&source["configMap"]["name"], &source["secret"]["name"]);
        }
    }
    for container in array(spec, "initContainers").iter().chain(&array(spec, "containers")) {
        for source in array(container, "envFrom") {
            reads.add(&source["configMapRef"]["name"], &source["secretRef"]["name"]);
        }
        for variable in array(container, "env") {
            let from = &variable["valueFrom"];
            reads.add(&from["configMapKeyRef"]["name"], &from["secretKeyRef"]["name"]);
        }
    }
    reads
}

impl Reads {
    fn add(&mut self, config_map: &Value, secret: &Value) {
        self.config_maps.extend(config_map.as_str().map(str::to_owned));
        self.secrets.extend(secret.as_str().map(str::to_owned));
    }
}

/// The pod template of a workload whose pods are replaced when it changes. A Job's cannot be changed.
fn pod_template(object: &mut Object) -> Option<&mut Value> {
    match kind_of(object) {
        "Deployment" | "StatefulSet" | "DaemonSet" => object.data.pointer_mut("/spec/template"),
        _ => None,
    }
}

fn annotate(template: &mut Value, key: &str, value: &str) {
    let Some(template) = template.as_object_mut() else { return };
    let metadata = template.entry("metadata").or_insert_with(|| json!({}));
    if metadata["annotations"].is_null() {
        metadata["annotations"] = json!({});
    }
    metadata["annotations"][key] = json!(value);
}

fn kind_of(object: &Object) -> &'static str {
    let kind = object.types.as_ref().map_or("", |types| types.kind.as_str());
    ["PersistentVolumeClaim", "StatefulSet", "Deployment", "DaemonSet"]
        .into_iter()
        .find(|known| *known == kind)
        .unwrap_or_default()
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

impl Manifest {
    /// Puts the object into this namespace if it names none.
    pub fn set_default_namespace(&mut self, namespace: &str) {
        let namespace = self.name.namespace.get_or_insert_with(|| namespace.to_owned());
        self.object.metadata.namespace = Some(namespace.clone());
    }

    /// Where it is written: `loki/statefulset.yaml:1`.
    #[must_use]
    pub fn place(&self) -> String {
        match self.line {
            Some(line) => format!("{}:{line}", self.file),
            None => self.file.clone(),
        }
    }

    /// An error about this manifest, at its place.
    #[must_use]
    pub fn wrong(&self, message: &str) -> Error {
        Error::new(Exit::Usage, format!("{}: {}: {message}", self.place(), self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workload(config: &str) -> Vec<Manifest> {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: c}}\ndata: {{k: {config}}}\n---\n\
             apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  template:\n    spec:\n      \
             volumes: [{{name: v, configMap: {{name: c}}}}]\n      containers: [{{name: x, envFrom: [{{secretRef: \
             {{name: t}}}}], env: [{{name: P, valueFrom: {{secretKeyRef: {{name: s, key: k}}}}}}]}}]\n"
        );
        let documents: Vec<Spanned<Value>> = yaml::documents("f.yaml", &text).expect("valid");
        let manifests = documents.into_iter().map(|document| {
            manifest("f.yaml", &document.referenced, document.value, "n").expect("an object")
        });
        manifests.collect()
    }

    fn annotation(manifests: &[Manifest], key: &str) -> Option<String> {
        let value = &manifests[1].object.data["spec"]["template"]["metadata"]["annotations"][key];
        value.as_str().map(str::to_owned)
    }

    #[test]
    fn a_changed_config_map_changes_the_pod_template() {
        let hash = |config| {
            let mut manifests = workload(config);
            add_config_hashes(manifests.iter_mut());
            annotation(&manifests, CONFIG_HASH).expect("annotated")
        };
        assert_eq!(hash("one"), hash("one"));
        assert_ne!(hash("one"), hash("two"));
    }

    #[test]
    fn only_pods_that_read_the_secret_carry_its_revision() {
        let mut manifests = workload("one");
        let revisions =
            |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), format!("of-{name}"))).collect();
        let mut add = |namespace: &str, names: &[&str]| {
            add_secret_revisions(&mut manifests[1].object, namespace, &revisions(names));
            annotation(&manifests, SECRET_REVISION)
        };
        assert_eq!(add("n", &["other"]), None);
        assert_eq!(add("another", &["s"]), None, "a Secret of the same name elsewhere is another");
        assert_eq!(add("n", &["s", "other"]).as_deref(), Some("of-s"));
        assert_eq!(
            add("n", &["s", "t"]).as_deref(),
            Some("of-s,of-t"),
            "a change of either is one of the template"
        );
    }

    #[test]
    fn an_object_without_a_namespace_goes_into_the_stacks() {
        assert_eq!(workload("one")[1].name.to_string(), "deployment.apps/d -n n");
        assert_eq!(workload("one")[1].place(), "f.yaml:6");
    }

    #[test]
    fn each_item_of_a_list_has_a_line_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let stack = "name: s\nnamespace: n\nsteps: [{name: a, manifests: [list.yaml]}]\n";
        let list = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\n---\nkind: List\nitems:\n  \
                    - apiVersion: v1\n    kind: ConfigMap\n    metadata: {name: second}\n  \
                    - {apiVersion: v1, kind: ConfigMap, metadata: {name: third}}\n";
        for (file, text) in [("stack.yaml", stack), ("list.yaml", list)] {
            std::fs::write(folder.path().join(file), text).expect("written");
        }
        let stack = Stack::load(folder.path()).expect("valid");
        let places =
            of_step(&stack, &stack.steps[0]).expect("valid").iter().map(Manifest::place).collect::<Vec<_>>();
        assert_eq!(places, ["list.yaml:1", "list.yaml:7", "list.yaml:10"]);
    }
}
