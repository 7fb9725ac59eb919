//! The least ClusterRole, as README.md has it, and users who are bound to it.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Bench;

/// How long the server may take to go by a role.
const DEADLINE: Duration = Duration::from_secs(30);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(200);

/// The very block.
pub(crate) fn role() -> Value {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md"));
    let readme = readme.expect("the README");
    let mut blocks = readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let block = blocks.find(|block| block.contains("kind: ClusterRole\n")).expect("a block with the role");
    bootstrap::yaml::document("README.md", block).expect("YAML")
}

/// Makes cluster roles, each bound to the user of the same name, and waits until the server goes by them.
pub(crate) fn bind(bench: &Bench, roles: &[(String, Value)]) {
    let objects = roles.iter().flat_map(|(name, role)| {
        let mut role = role.clone();
        role["metadata"]["name"] = json!(name);
        let group = "rbac.authorization.k8s.io";
        let binding = json!({
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": group, "kind": "User", "name": name}],
        });
        [role, binding]
    });
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
    bench.apply(&list.to_string(), &[]);
    for (name, role) in roles {
        let rule = &role["rules"][0];
        let (verb, resource) = (text(&rule["verbs"][0]), text(&rule["resources"][0]));
        let group = text(&rule["apiGroups"][0]);
        let resource = if group.is_empty() { resource } else { format!("{resource}.{group}") };
        await_right(bench, &["--all-namespaces", &verb, &resource, "--as", name]);
    }
}

/// Waits until the server goes by a grant. There is nothing to watch: it learns of roles by watches of its own.
pub(crate) fn await_right(bench: &Bench, question: &[&str]) {
    let deadline = Instant::now() + DEADLINE;
    let ask = || bench.kubectl_command(["auth", "can-i"].iter().chain(question)).output();
    while !ask().expect("kubectl starts").status.success() {
        assert!(Instant::now() < deadline, "not granted: {question:?}");
        std::thread::sleep(PAUSE);
    }
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
