//! The embedded stack and the example, each as a whole: nothing floats, nothing lies about unused.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bootstrap::manifest;
use bootstrap::plan::{Plan, Selection};
use bootstrap::stack::{Files, Stack};
use serde_json::Value;

fn stack() -> Stack {
    Stack::embedded().expect("the embedded stack is valid")
}

fn example() -> Stack {
    Stack::load(&example_folder()).expect("the example is valid")
}

fn example_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/severed-blog")
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
    assert_pinned(&found);
}

#[test]
fn every_image_of_the_example_is_pinned() {
    let plan = Plan::new(&example(), &Selection::default()).expect("a plan");
    let mut found = Vec::new();
    for manifest in plan.manifests() {
        images(&manifest.object.data, &mut found);
    }
    let load = std::fs::read_to_string(example_folder().join("load.yaml")).expect("readable");
    images(&bootstrap::yaml::document("load.yaml", &load).expect("YAML"), &mut found);
    assert_eq!(found.len(), 3, "{found:?}");
    assert_pinned(&found);
}

fn assert_pinned(found: &[String]) {
    for image in found {
        let (name, tag) = image.rsplit_once(':').unwrap_or((image, ""));
        assert!(name.contains('/') && name.contains('.'), "{image} names no registry");
        assert!(tag.chars().any(|c| c.is_ascii_digit()) && tag != "latest", "{image} is not pinned");
    }
}

#[test]
fn every_file_is_used() {
    let embedded: BTreeSet<_> = Files::all_embedded().iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(used(&stack()), embedded);

    let entries = std::fs::read_dir(example_folder()).expect("a folder");
    let names = entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned());
    let mut files: BTreeSet<_> = names.collect();
    // For people, and applied by hand.
    assert!(files.remove("README.md") && files.remove("load.yaml"), "{files:?}");
    assert_eq!(used(&example()), files);
}

fn used(stack: &Stack) -> BTreeSet<String> {
    let mut used = BTreeSet::from(["stack.yaml".to_owned()]);
    for step in &stack.steps {
        used.extend(step.config_maps.iter().flat_map(|map| map.files.clone()));
        used.extend(step.release.iter().flat_map(|release| release.values.clone()));
        let manifests = manifest::of_step(stack, step).expect("valid").into_iter();
        // What has no line is made of the files above.
        used.extend(manifests.filter(|manifest| manifest.line.is_some()).map(|manifest| manifest.file));
    }
    used
}

/// What the agent scrapes, the adapter serves and the autoscaler asks for are named alike in three places.
#[test]
fn the_example_is_what_the_stack_measures() {
    let manifests = Plan::new(&example(), &Selection::default()).expect("a plan");
    let named = |kind: &str| {
        let found = manifests.manifests().find(|manifest| manifest.name.kind == kind);
        found.unwrap_or_else(|| panic!("the example has no {kind}")).object.data.clone()
    };
    let (deployment, autoscaler) = (named("Deployment"), named("HorizontalPodAutoscaler"));
    let template = &deployment["spec"]["template"];
    assert_eq!(template["metadata"]["labels"]["app"], "severed-blog", "the agent keeps these pods");
    assert_eq!(template["spec"]["containers"][1]["ports"][0]["containerPort"], 9113, "and this port");
    assert!(deployment["spec"]["replicas"].is_null(), "the number of replicas is the autoscaler's");

    let metric = &autoscaler["spec"]["metrics"][0]["pods"]["metric"]["name"];
    assert_eq!(metric, "nginx_http_requests_per_second");
    let read = |path: &str| -> Value {
        let text = Files::embedded().read(path).expect("embedded");
        bootstrap::yaml::document(path, &text).expect("values are YAML")
    };
    let rules = read("prometheus-adapter/values.yaml")["rules"]["custom"].clone();
    let served: Vec<_> = rules.as_array().expect("rules").iter().map(|rule| &rule["name"]["as"]).collect();
    assert_eq!(served, ["${1}_per_second", "nginx_http_requests_total"]);
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
fn only_helm_and_a_login_start_processes_and_only_main_prints_or_exits() {
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
        may("process::Command", &["helm", "cluster/login.rs"]);
        may("Command::new", &["helm", "cluster/login.rs"]);
        may("indicatif", &["report/terminal.rs", "report/screen.rs"]);
        may("Api::<", &["cluster"]);
        may("kube::Client", &["cluster"]);
        if room.starts_with("report") || ["plan.rs", "status.rs", "fields.rs"].contains(&room.as_str()) {
            assert!(!text.contains("crate::cluster"), "{room} speaks of the cluster");
        }
    }
}

/// The dashboards, by file.
fn dashboards() -> Vec<(&'static str, Value)> {
    let all = Files::all_embedded().iter().filter(|(path, _)| path.starts_with("grafana/dashboards/"));
    all.map(|(path, text)| (*path, serde_json::from_str(text).expect("a dashboard is JSON"))).collect()
}

#[test]
fn dashboards_have_uids_of_their_own_and_name_data_sources_that_are_provisioned() {
    let sources = Files::embedded().read("grafana/datasources.yaml").expect("there");
    let sources: Value = bootstrap::yaml::document("datasources.yaml", &sources).expect("YAML");
    let provisioned: BTreeSet<_> = sources["datasources"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|source| source["uid"].as_str())
        .collect();
    let mut uids = BTreeSet::new();
    for (path, dashboard) in dashboards() {
        assert!(
            uids.insert(dashboard["uid"].as_str().expect("a uid").to_owned()),
            "{path} has another's uid"
        );
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                let uid = target["datasource"]["uid"].as_str();
                assert!(
                    uid.is_some() && provisioned.contains(&uid),
                    "{path}: {} asks {uid:?}",
                    panel["title"]
                );
            }
        }
    }
    assert_eq!(uids.len(), 2);
}

#[test]
fn every_rate_of_a_dashboard_follows_the_interval_and_every_value_has_a_unit() {
    for (path, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().expect("panels") {
            let title = &panel["title"];
            let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
            assert!(panel["type"] == "logs" || unit.is_some(), "{path}: {title} has no unit");
            for target in panel["targets"].as_array().expect("targets") {
                let expression = target["expr"].as_str().expect("an expression");
                let rates = expression.matches("rate(").count();
                let follow = expression.matches("[$__rate_interval]").count();
                assert_eq!(rates, follow, "{path}: {title}: {expression}");
            }
        }
    }
}

/// Loki logs the text of every query at level info, and its log is in Loki: a panel that looks for words finds itself.
#[test]
fn errors_in_logs_are_told_by_their_level_which_loki_discovers() {
    let all = dashboards();
    let panels = all.iter().flat_map(|(_, dashboard)| dashboard["panels"].as_array().expect("panels"));
    let of_loki: Vec<_> = panels
        .flat_map(|panel| panel["targets"].as_array().expect("targets"))
        .filter(|target| target["datasource"]["uid"] == "loki")
        .map(|target| target["expr"].as_str().expect("an expression"))
        .collect();
    assert!(of_loki.iter().any(|expression| expression.contains("| detected_level=~")), "{of_loki:?}");
    for expression in of_loki {
        assert!(!expression.contains("|~") && !expression.contains("|="), "{expression}");
    }

    let config = Files::embedded().read("loki/local-config.yaml").expect("embedded");
    let config: Value = bootstrap::yaml::document("local-config.yaml", &config).expect("YAML");
    for setting in ["allow_structured_metadata", "discover_log_levels"] {
        assert_ne!(config["limits_config"][setting], false, "{setting} is on by default");
    }
    let schema = &config["schema_config"]["configs"][0];
    assert_eq!((schema["schema"].as_str(), schema["store"].as_str()), (Some("v13"), Some("tsdb")));
}

/// On k3d the nodes are one machine, which each of them reports as its own.
#[test]
fn panels_that_count_nodes_together_say_what_that_is_on_k3d() {
    for (path, dashboard) in dashboards() {
        for panel in dashboard["panels"].as_array().expect("panels") {
            let targets = panel["targets"].as_array().expect("targets").iter();
            let mut expressions = targets.filter_map(|target| target["expr"].as_str());
            if expressions.any(|expression| {
                expression.starts_with("avg(1 - ") || expression.contains("kube_node_status_allocatable")
            }) {
                let says = panel["description"].as_str().unwrap_or_default();
                assert!(says.contains("On k3d"), "{path}: {}: {says}", panel["title"]);
            }
        }
    }
}
