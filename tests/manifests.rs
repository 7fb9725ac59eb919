//! The embedded stack as a whole: nothing floats, nothing lies about unused.

use std::collections::BTreeSet;
use std::path::Path;

use bootstrap::manifest;
use bootstrap::plan::{Plan, Selection};
use bootstrap::stack::{Files, Stack};
use serde_json::Value;

fn stack() -> Stack {
    Stack::embedded().expect("the embedded stack is valid")
}

/// Every string or `{registry, repository, tag}` under a key `image`, as a reference.
fn images(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value {
                    Value::String(reference) if key == "image" => found.push(reference.clone()),
                    Value::Object(parts) if key == "image" => {
                        let part = |key: &str| parts.get(key).and_then(Value::as_str).unwrap_or_default();
                        let repository = format!("{}/{}", part("registry"), part("repository"));
                        found.push(format!("{}:{}", repository.trim_start_matches('/'), part("tag")));
                    }
                    other => images(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| images(item, found)),
        _ => {}
    }
}

#[test]
fn every_image_and_chart_is_pinned() {
    let plan = Plan::new(&stack(), &Selection::default()).expect("a plan");
    let mut found = Vec::new();
    for manifest in plan.manifests() {
        images(&manifest.object.data, &mut found);
    }
    for release in plan.releases() {
        let before = found.len();
        for (file, text) in &release.values {
            images(&bootstrap::yaml::document(file, text).expect("values are YAML"), &mut found);
        }
        assert!(found.len() > before, "the values of {} pin no image", release.spec.release);
        semver::Version::parse(&release.spec.version).expect("a chart has one exact version");
    }
    assert!(found.len() >= 7, "{found:?}");
    for image in found {
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, ""));
        assert!(name.contains('/') && name.contains('.'), "{image} names no registry");
        assert!(tag.chars().any(|c| c.is_ascii_digit()) && tag != "latest", "{image} is not pinned");
    }
}

#[test]
fn every_file_is_used() {
    let stack = stack();
    let mut used = BTreeSet::from(["stack.yaml".to_owned()]);
    for step in &stack.steps {
        used.extend(step.config_maps.iter().flat_map(|map| map.files.clone()));
        used.extend(step.release.iter().flat_map(|release| release.values.clone()));
        used.extend(
            manifest::of_step(&stack, step).expect("valid").into_iter().map(|manifest| manifest.file),
        );
    }
    let embedded: BTreeSet<_> = Files::all_embedded().iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(used, embedded);
}

#[test]
fn no_manifest_says_what_only_a_run_can_know() {
    for (path, text) in Files::all_embedded() {
        for word in ["storageClassName", "bootstrap.internal/"] {
            assert!(!text.contains(word), "{path} has {word}");
        }
    }
}

/// The rooms that may do what others may not.
#[test]
fn only_helm_starts_processes_and_only_main_prints_or_exits() {
    fn walk(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.ends_with("tests") || path.ends_with("tests.rs") {
                continue;
            }
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&source, &mut files);
    assert!(files.len() > 30);
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let room = file.strip_prefix(&source).expect("below").to_string_lossy().into_owned();
        let may = |word: &str, rooms: &[&str]| {
            assert!(
                !text.contains(word) || rooms.iter().any(|name| room.starts_with(name)),
                "{room} has {word}"
            );
        };
        may("process::Command", &["helm"]);
        may("Command::new", &["helm"]);
        may("indicatif", &["report/terminal.rs", "report/screen.rs"]);
        may("Api::<", &["cluster"]);
        may("kube::Client", &["cluster"]);
        if room.starts_with("report") || ["plan.rs", "status.rs", "fields.rs"].contains(&room.as_str()) {
            assert!(!text.contains("crate::cluster"), "{room} speaks of the cluster");
        }
    }
}
