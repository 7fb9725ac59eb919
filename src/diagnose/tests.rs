//! Each file of tests/diagnose is what a cluster held, and the reasons that are to be told from it.

use std::path::Path;

use k8s_openapi::api::core::v1::{Event, Pod};
use serde::Deserialize;

use super::{Findings, pods};
use crate::object::{Object, ObjectRef};

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Case {
    /// `pod/container: reason: message`, or without the container.
    reasons: Vec<String>,
    #[serde(default)]
    pulling: bool,
    object: Object,
    #[serde(default)]
    pods: Vec<Pod>,
    #[serde(default)]
    replica_sets: Vec<Object>,
    #[serde(default)]
    events: Vec<Event>,
}

#[test]
fn the_reasons_are_those_that_each_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnose");
    let mut wrong = Vec::new();
    let mut count = 0;
    for entry in std::fs::read_dir(folder).expect("the folder of cases") {
        let file = entry.expect("a readable folder").path();
        let text = std::fs::read_to_string(&file).expect("a readable file");
        let case = serde_yaml::from_str::<serde_json::Value>(&text).map_err(|error| error.to_string());
        let case =
            case.and_then(|case| serde_json::from_value::<Case>(case).map_err(|error| error.to_string()));
        let case = case.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = ObjectRef::of(&case.object).expect("the object has a kind and a name");
        let found = Findings { pods: case.pods, replica_sets: case.replica_sets, events: case.events };
        let reasons: Vec<_> = pods::reasons(&name, &case.object, &found)
            .into_iter()
            .map(|it| {
                let container = it.container.map(|container| format!("/{container}")).unwrap_or_default();
                format!("{}{container}: {}: {}", it.pod, it.reason, it.message)
            })
            .collect();
        let told = (reasons, pods::is_pulling(&case.object, &found));
        let expected = (case.reasons, case.pulling);
        if told != expected {
            wrong.push(format!("{}\n  expected {expected:?}\n  found    {told:?}", file.display()));
        }
        count += 1;
    }
    assert!(count > 10, "only {count} cases were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
