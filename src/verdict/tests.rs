//! What is told from what a cluster held. Each file of tests/verdict holds both; those of tests/verdict/recorded are as a real
//! API server gave them, and `expected.yaml` says what is to be told of each.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::promised::Promise;
use super::{Circumstances, Crashes, pulls, reasons};
use crate::evidence::{self, Evidence, Sights};
use crate::object::{Object, ObjectRef};

/// What is to be told, and under which circumstances.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    /// As they are told; those that are permanent begin with `never: `.
    reasons: Vec<String>,
    #[serde(default)]
    pulling: bool,
    /// Whether the cluster is one on this machine.
    #[serde(default)]
    local: bool,
    /// When the run began; pods and events from before are not of it.
    began: Option<Time>,
    /// What the run brings yet.
    #[serde(default)]
    promised: Vec<Promised>,
}

/// An object with the keys that it has, and the steps that must be Current before it comes. What waits is in the step `here`.
#[derive(Deserialize)]
struct Promised {
    object: ObjectRef,
    #[serde(default)]
    keys: BTreeSet<String>,
    #[serde(default)]
    after: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(flatten)]
    expected: Expected,
    object: Object,
    #[serde(flatten)]
    held: Held,
}

/// What the cluster held.
#[derive(Deserialize)]
struct Held {
    #[serde(default)]
    objects: Vec<Object>,
    #[serde(default)]
    pods: Vec<Object>,
    #[serde(default, alias = "replicaSets")]
    replica_sets: Vec<Object>,
    #[serde(default)]
    events: Vec<Object>,
    #[serde(default)]
    claims: Vec<Object>,
    #[serde(default)]
    volumes: Vec<Object>,
    #[serde(default)]
    nodes: Vec<Object>,
    storage_classes: Option<Vec<Object>>,
}

impl Held {
    fn sights(&self, began: Option<&Time>) -> Sights<'_> {
        let is_bygone = |event: &&Object| began.is_some_and(|began| evidence::is_older(event, began.0));
        Sights {
            pods: self.pods.iter().collect(),
            all_pods: self.pods.iter().collect(),
            replica_sets: self.replica_sets.iter().collect(),
            events: self.events.iter().collect(),
            claims: self.claims.iter().collect(),
            volumes: self.volumes.iter().collect(),
            nodes: self.nodes.iter().collect(),
            storage_classes: self.storage_classes.as_ref().map(|classes| classes.iter().collect()),
            began: began.map(|began| began.0),
            bygone: self
                .events
                .iter()
                .filter(is_bygone)
                .filter_map(|event| event.metadata.uid.clone())
                .collect(),
        }
    }

    /// The reasons of an object as a test writes them, and whether an image is being pulled for it.
    fn told(&self, object: &Object, under: &Expected) -> (Vec<String>, bool) {
        let name = ObjectRef::of(object).expect("the object has a kind and a name");
        let mut evidence = Evidence::of(&name, object, &self.sights(under.began.as_ref()));
        let mut crashes = Crashes::default();
        for pod in evidence.pods.iter().chain(&evidence.old_pods) {
            let is_old = under.began.is_some() && pod.metadata.creation_timestamp < under.began;
            crashes.observe(pod, is_old);
            if is_old {
                evidence.standing.observe(pod);
            }
        }
        let promised = under.promised.iter().map(|it| Promise {
            needs: it.after.clone(),
            objects: [(it.object.clone(), it.keys.clone())].into(),
            ..Promise::default()
        });
        let promised = super::Promised(promised.collect());
        let around = Circumstances { promised, is_local: under.local }.within("here");
        let reasons = reasons(&name, object, &evidence, &crashes, &around);
        let written = reasons
            .iter()
            .map(|reason| format!("{}{reason}", if reason.is_permanent { "never: " } else { "" }));
        (written.collect(), !pulls(&evidence).is_empty())
    }
}

#[test]
fn the_reasons_are_those_that_each_file_says() {
    let mut wrong = Vec::new();
    let files = files("");
    assert!(files.len() > 10, "only {} cases were found", files.len());
    for file in files {
        let Case { expected, object, held } = read(&file);
        let told = held.told(&object, &expected);
        let wanted = (expected.reasons, expected.pulling);
        if told != wanted {
            wrong.push(format!("{}\n  expected {wanted:?}\n  found    {told:?}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reasons_of_what_was_recorded_are_those_that_are_expected() {
    let mut all: BTreeMap<String, Expected> = read(&folder("recorded").join("expected.yaml"));
    let mut wrong = Vec::new();
    for file in files("recorded").into_iter().filter(|file| file.extension().is_some_and(|end| end == "json"))
    {
        let name = file.file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
        let expected = all.remove(&name).unwrap_or_else(|| panic!("nothing is expected of {name}"));
        let held: Held = read(&file);
        let explained = held
            .objects
            .iter()
            .filter(|object| ObjectRef::of(object).is_some_and(|object| evidence::is_explained(&object)));
        let (mut reasons, mut pulling) = (Vec::new(), false);
        for object in explained {
            let told = held.told(object, &expected);
            reasons.extend(told.0);
            pulling |= told.1;
        }
        let wanted = (&expected.reasons, expected.pulling);
        if (&reasons, pulling) != wanted {
            wrong.push(format!("{name}\n  expected {wanted:?}\n  found    {:?}", (reasons, pulling)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(all.is_empty(), "never recorded: {:?}", all.keys());
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verdict").join(name)
}

fn files(name: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder(name)).expect("the folder of cases");
    let files = entries.map(|entry| entry.expect("a readable folder").path());
    files.filter(|file| file.is_file()).collect()
}

fn read<T: DeserializeOwned>(file: &Path) -> T {
    let text = std::fs::read_to_string(file).expect("a readable file");
    let value = serde_yaml::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string());
    let read = value.and_then(|value| serde_json::from_value(value).map_err(|error| error.to_string()));
    read.unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
