//! `verify` on a stack that works.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::World;

/// From the end of `up`.
const PATIENCE: Duration = Duration::from_mins(3);

pub(crate) fn within_three_minutes(world: &World) {
    let refused = world.bench.run(&["verify"]);
    assert_eq!(refused.code, 3, "there is nothing to verify before up:\n{}", refused.stderr);
    world.bench.succeed(&["up"]);
    let before = pods(world);
    let began = Instant::now();
    let report = tempfile::NamedTempFile::new().expect("a file");
    let report = report.path().to_str().expect("a path");
    let ran = world.bench.run(&["verify", "-o", "json", "--junit", report]);
    assert_eq!(ran.code, 0, "{}{}", ran.stdout, ran.stderr);
    assert!(began.elapsed() < PATIENCE, "took {:?}", began.elapsed());

    let found: Vec<Value> = serde_json::from_str(&ran.stdout).expect("JSON");
    let skipped: Vec<_> = found.iter().filter(|finding| finding["outcome"] == "skipped").collect();
    // No program here has nginx's metric yet, and no controller is behind the ingress class.
    let names: Vec<_> = skipped
        .iter()
        .map(|finding| format!("{}/{}", text(finding, "category"), text(finding, "id")))
        .collect();
    assert_eq!(names, ["prometheus-adapter/values", "ingress/answers"], "{skipped:#?}");
    let junit = std::fs::read_to_string(report).expect("written");
    assert_eq!(junit.matches("<testcase ").count(), found.len(), "{junit}");

    let left: Vec<_> = pods(world).difference(&before).cloned().collect();
    assert_eq!(left, [""; 0], "nothing is left behind");
}

/// The pods of all namespaces, by name.
fn pods(world: &World) -> BTreeSet<String> {
    let all = world.bench.kubectl(["get", "pods", "-A", "-o=name"]);
    all.lines().map(str::to_owned).collect()
}

fn text<'a>(finding: &'a Value, field: &str) -> &'a str {
    finding[field].as_str().unwrap_or_default()
}
