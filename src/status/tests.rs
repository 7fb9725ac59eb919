//! Each file of tests/status is an object as an API server returned it, and what is to be said of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;

use super::{Assessment, Served, Status, Surroundings, assess, warnings};
use crate::object::{Object, ObjectRef};

/// The folders that there must be: the rows of the table.
const KINDS: [&str; 11] = [
    "deployment",
    "statefulset",
    "daemonset",
    "job",
    "persistentvolumeclaim",
    "customresourcedefinition",
    "apiservice",
    "service",
    "ingress",
    "namespace",
    "other",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    status: String,
    message: String,
    #[serde(default)]
    warnings: Vec<String>,
    object: Object,
    #[serde(default)]
    around: Around,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Around {
    storage_classes: Option<Vec<Object>>,
    ingress_classes: Option<Vec<Object>>,
    endpoint_slices: Option<Vec<Object>>,
    together: Vec<Object>,
    /// `group/version` or `group/version/resource`.
    served: Vec<String>,
    pulling: bool,
    /// When the run began.
    began: Option<Time>,
}

impl Around {
    fn surroundings(&self, name: &ObjectRef) -> Surroundings<'_> {
        Surroundings {
            storage_classes: self.storage_classes.as_ref().map(|all| all.iter().collect()),
            ingress_classes: self.ingress_classes.as_ref().map(|all| all.iter().collect()),
            endpoint_slices: self.endpoint_slices.as_ref().map(|all| all.iter().collect()),
            together: self.together.iter().collect(),
            served: self.served.iter().map(|path| served(path)).collect(),
            pulling: if self.pulling { BTreeSet::from([name.clone()]) } else { BTreeSet::new() },
            began: self.began.as_ref().map(|began| began.0),
        }
    }
}

fn served(path: &str) -> Served {
    let mut parts = path.split('/').map(str::to_owned);
    let mut next = || parts.next();
    Served { group: next().expect("a group"), version: next().expect("a version"), resource: next() }
}

#[test]
fn every_object_is_judged_as_its_file_says() {
    let mut wrong = Vec::new();
    for kind in KINDS {
        let files = files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status").join(kind));
        assert!(!files.is_empty(), "the kind `{kind}` has no case");
        for file in files {
            let case = read(&file);
            let name = ObjectRef::of(&case.object).expect("the object has a kind and a name");
            let around = case.around.surroundings(&name);
            let found = assess(&case.object, &around);
            let found = (format!("{:?}", found.status), found.message, warnings(&case.object, &around));
            let expected = (case.status, case.message, case.warnings);
            if found != expected {
                wrong.push(format!("{}\n  expected {expected:?}\n  found    {found:?}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn an_object_without_a_name_is_unknown() {
    let nameless =
        Object { types: None, metadata: kube::core::ObjectMeta::default(), data: serde_json::Value::Null };
    assert_eq!(assess(&nameless, &Surroundings::default()).status, Status::Unknown);
}

#[test]
fn a_job_that_its_time_to_live_removed_counts_as_it_last_stood() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/status/job");
    let last = |file: &str| read(&folder.join(file)).object;
    let gone = |file: &str| Assessment::gone(Some(&last(file))).status;
    assert_eq!(gone("complete-and-removed-by-its-ttl.yaml"), Status::Current);
    assert_eq!(gone("failed-and-removed-by-its-ttl.yaml"), Status::Failed);
    assert_eq!(gone("complete.yaml"), Status::NotFound);
    assert_eq!(Assessment::gone(None).status, Status::NotFound);

    let mut running = last("started.yaml");
    running.data["spec"]["ttlSecondsAfterFinished"] = 0.into();
    assert_eq!(Assessment::gone(Some(&running)).status, Status::Failed);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

fn read(file: &Path) -> Case {
    let text = std::fs::read_to_string(file).expect("a readable file");
    let value: serde_json::Value =
        serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_value(value).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}
