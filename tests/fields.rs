//! Who owns a field, and when a write can be spared: on objects as a 1.37 API server gave them after `kubectl scale`,
//! `set image`, `edit`, and Helm 4.

use bootstrap::fields::{self, Operation, Owner};
use bootstrap::object::Object;
use bootstrap::yaml;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

const APPLIED: &str = include_str!("fields/applied.json");
const EDITED: &str = include_str!("fields/edited.json");
const CONFIG_MAP: &str = include_str!("fields/configmap.json");
const HELM: &str = include_str!("fields/helm4-scaled.json");
const MANIFEST: &str = include_str!("fields/applied.yaml");

fn live(text: &str) -> Object {
    serde_json::from_str(text).expect("recorded from a server")
}

fn manifest(text: &str) -> Object {
    yaml::document("manifest.yaml", text).expect("an object")
}

/// The owners of a field, as `manager/operation/subresource`.
fn owners(object: &Object, path: &str) -> Vec<String> {
    let name = |owner: Owner| {
        let operation = if owner.operation == Operation::Apply { "Apply" } else { "Update" };
        format!("{}/{operation}/{}", owner.manager, owner.subresource.unwrap_or_default())
    };
    fields::owners(object, path).into_iter().map(name).collect()
}

#[test]
fn each_field_is_traced_to_the_command_that_wrote_it() {
    let image = r#".spec.template.spec.containers[name="web"].image"#;
    let port = r#".spec.template.spec.containers[name="web"].ports[containerPort=53,protocol="UDP"]"#;
    for (object, path, expected) in [
        (APPLIED, ".spec.replicas", vec!["bootstrap/Apply/"]),
        (EDITED, ".spec.replicas", vec!["kubectl/Update/scale"]),
        (EDITED, image, vec!["kubectl-set/Update/"]),
        (EDITED, port, vec!["bootstrap/Apply/"]),
        (EDITED, ".metadata.labels.app", vec!["bootstrap/Apply/"]),
        (EDITED, ".metadata.labels.app.kubernetes.io/name", vec!["kubectl-edit/Update/"]),
        (EDITED, ".spec.template", vec![]),
        (EDITED, ".spec.paused", vec![]),
        (CONFIG_MAP, ".data.with.dots.yml", vec!["bootstrap/Apply/"]),
        (CONFIG_MAP, ".data.with", vec![]),
        (CONFIG_MAP, r#".metadata.finalizers[="example.com/b"]"#, vec!["bootstrap/Apply/"]),
        (HELM, ".spec.replicas", vec!["kubectl/Update/scale"]),
        (HELM, ".spec.strategy.type", vec!["helm/Apply/"]),
    ] {
        assert_eq!(owners(&live(object), path), expected, "{path}");
    }
}

#[test]
fn values_are_found_under_the_same_paths() {
    for (object, path, expected) in [
        (EDITED, ".spec.replicas", Some(json!(3))),
        (EDITED, r#".spec.template.spec.containers[name="web"].image"#, Some(json!("example.com/web:2"))),
        (EDITED, r#".spec.template.spec.containers[name="web"].args[1]"#, Some(json!("--two"))),
        (EDITED, ".metadata.labels.app.kubernetes.io/name", Some(json!("edited"))),
        (CONFIG_MAP, ".data.with.dots.yml", Some(json!("a: 1"))),
        (CONFIG_MAP, r#".metadata.finalizers[="example.com/b"]"#, Some(json!("example.com/b"))),
        (EDITED, r#".spec.template.spec.containers[name="other"].image"#, None),
        (EDITED, r#".spec.template.spec.containers[name="web"#, None),
        (EDITED, ".spec.paused", None),
    ] {
        assert_eq!(fields::value_at(&live(object), path), expected, "{path}");
    }
}

#[test]
fn only_updates_by_kubectl_count_as_a_hand() {
    let owner = |manager: &str, operation| Owner {
        manager: manager.to_owned(),
        operation,
        subresource: None,
        time: None,
    };
    for (manager, operation, expected) in [
        ("kubectl", Operation::Update, true),
        ("kubectl-edit", Operation::Update, true),
        ("kubectl", Operation::Apply, false),
        ("kubectl2", Operation::Update, false),
        ("helm", Operation::Update, false),
        ("kube-controller-manager", Operation::Update, false),
    ] {
        assert_eq!(fields::is_hand_edit(&owner(manager, operation)), expected, "{manager}");
    }
}

#[test]
fn an_age_reads_as_a_person_would_say_it() {
    let now = Timestamp::from_second(1_800_000_000).expect("in range");
    for (seconds, expected) in [
        (-30, "just now"),
        (4, "just now"),
        (59, "59 s ago"),
        (200, "3 min ago"),
        (7_300, "2 h ago"),
        (90_000, "1 day ago"),
        (1_000_000, "11 days ago"),
    ] {
        let owner = Owner {
            manager: "kubectl".to_owned(),
            operation: Operation::Update,
            subresource: None,
            time: Some(now - SignedDuration::from_secs(seconds)),
        };
        assert_eq!(fields::age(&owner, now).as_deref(), Some(expected));
    }
}

#[test]
fn scaling_to_zero_leaves_no_name_behind() {
    let mut object = live(EDITED);
    assert!(!fields::is_scaled_to_zero(&object), "kubectl owns it");
    object.data["spec"]["replicas"] = json!(0);
    let entries = object.metadata.managed_fields.as_mut().expect("recorded");
    entries.retain(|entry| entry.subresource.is_none());
    assert!(fields::is_scaled_to_zero(&object));
}

#[test]
fn what_was_applied_needs_no_second_write() {
    assert!(fields::says_the_same(&manifest(MANIFEST), &live(APPLIED), "bootstrap"));
    let config_map = manifest(include_str!("fields/configmap.yaml"));
    assert!(fields::says_the_same(&config_map, &live(CONFIG_MAP), "bootstrap"));
}

#[test]
fn another_manager_s_fields_are_not_ours() {
    assert!(!fields::says_the_same(&manifest(MANIFEST), &live(APPLIED), "kubectl"));
}

#[test]
fn whatever_the_manifest_says_otherwise_is_written() {
    let container = "      containers:\n        - name: web\n";
    for (from, to) in [
        ("  replicas: 1\n", ""),
        ("  replicas: 1\n", "  replicas: 2\n"),
        ("  replicas: 1\n", "  replicas: 1\n  paused: false\n"),
        ("{app: web, app.kubernetes.io/name: web}", "{app: web}"),
        ("{app: web, app.kubernetes.io/name: web}", "{app: web, app.kubernetes.io/name: web, b: c}"),
        ("  annotations: {example.com/note: \"x\"}\n", ""),
        ("image: example.com/web:1", "image: example.com/web:2"),
        ("args: [--one, --two]", "args: [--two, --one]"),
        ("value: \"1\"", "value: \"2\""),
        ("            - {name: A, value: \"1\"}\n", ""),
        (container, "      containers:\n        - {name: other, image: x}\n        - name: web\n"),
        (", protocol: UDP", ""),
        ("containerPort: 80}", "containerPort: 80, protocol: TCP}"),
        ("containerPort: 80}", "containerPort: 8080}"),
        ("cpu: 100m", "cpu: \"0.1\""),
        ("emptyDir: {}", "emptyDir: {medium: Memory}"),
        ("apiVersion: apps/v1\n", "apiVersion: apps/v2\n"),
    ] {
        assert!(MANIFEST.contains(from), "{from:?} is not in the manifest");
        let changed = manifest(&MANIFEST.replacen(from, to, 1));
        assert!(!fields::says_the_same(&changed, &live(APPLIED), "bootstrap"), "{from:?} → {to:?}");
    }
}

#[test]
fn what_the_server_adds_by_itself_is_no_change() {
    let without = MANIFEST.replacen("apiVersion: v1, fieldPath", "fieldPath", 1);
    assert_ne!(without, MANIFEST);
    assert!(fields::says_the_same(&manifest(&without), &live(APPLIED), "bootstrap"));
}

#[test]
fn whatever_changed_in_the_cluster_is_written_again() {
    let manifest = manifest(MANIFEST);
    assert!(!fields::says_the_same(&manifest, &live(EDITED), "bootstrap"));
    for (pointer, value) in [
        ("/spec/replicas", json!(0)),
        ("/metadata/labels/app", json!("other")),
        ("/spec/template/spec/containers/0/image", json!("example.com/web:2")),
        ("/spec/template/spec/containers/0/args", json!(["--one"])),
        ("/spec/template/spec/containers/0/ports/1/name", json!("other")),
        ("/spec/template/spec/volumes/0/emptyDir", json!({"medium": "Memory"})),
        ("/spec/selector/matchLabels", json!({"app": "other"})),
        ("/metadata/deletionTimestamp", json!("2026-11-24T05:00:00Z")),
    ] {
        let mut object: Value = serde_json::from_str(APPLIED).expect("recorded");
        object["metadata"]["deletionTimestamp"] = Value::Null;
        *object.pointer_mut(pointer).expect(pointer) = value;
        let object: Object = serde_json::from_value(object).expect("an object");
        assert!(!fields::says_the_same(&manifest, &object, "bootstrap"), "{pointer}");
    }
}

#[test]
fn containers_in_another_order_are_written_again() {
    let text = MANIFEST.replace(
        "            - {name: http, containerPort: 80}\n            - {name: dns, containerPort: 53, protocol: UDP}\n",
        "            - {name: dns, containerPort: 53, protocol: UDP}\n            - {name: http, containerPort: 80}\n",
    );
    assert_ne!(text, MANIFEST);
    assert!(!fields::says_the_same(&manifest(&text), &live(APPLIED), "bootstrap"));
}
