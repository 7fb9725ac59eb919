//! `check` and the rights of whoever asks: the least role of the README is enough, and of its rules none can be missed.

use devcluster::{ControlPlane, Identity, Tool};
use serde_json::{Value, json};

use crate::support::{Bench, Ran, least};
use crate::{CLUSTER, Scene, assert_says, config_map};

/// The class that the built-in stack's claims get.
const CLASS: &str = r#"{"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "provisioner": "none",
    "metadata": {"name": "c", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}}"#;

/// All that can be done with an object.
const ALL: [&str; 7] = ["get", "list", "watch", "create", "update", "patch", "delete"];

/// The findings that have failed, as JSON has them.
fn failed(ran: &Ran) -> Vec<Value> {
    let found: Vec<Value> =
        serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("no JSON:\n{}", ran.stderr));
    found.into_iter().filter(|finding| finding["outcome"] == "failed").collect()
}

#[test]
fn without_any_one_rule_of_the_least_role_what_is_lacking_is_named() {
    let cluster = ControlPlane::start().expect("a control plane");
    let admin = Bench::new(&cluster.kubeconfig());
    admin.add_node();
    admin.apply(CLASS, &[]);
    let whole = least::role();
    let rules = whole["rules"].as_array().expect("rules");
    let without = |rule: usize| {
        let mut role = whole.clone();
        role["rules"].as_array_mut().expect("rules").remove(rule);
        (format!("least-{rule}"), role)
    };
    let users: Vec<_> = (0..rules.len()).map(without).chain([("least".to_owned(), whole.clone())]).collect();
    least::bind(&admin, &users);
    let check = |user: &str| {
        let kubeconfig = cluster.kubeconfig_for(&Identity::user(user)).expect("a kubeconfig");
        let helm = devcluster::tool(Tool::Helm).expect("helm");
        Bench::new(&kubeconfig).with_helm(helm).run(&["check", "-o", "json"])
    };

    let ran = check("least");
    assert_eq!(failed(&ran), Vec::<Value>::new());
    assert_eq!(ran.code, 0);
    for (place, rule) in rules.iter().enumerate() {
        let ran = check(&format!("least-{place}"));
        let failed = failed(&ran);
        let names = rule["resources"].as_array().expect("resources").iter().chain(
            // Of everything in a group, the group is named.
            rule["apiGroups"].as_array().into_iter().flatten().filter(|_| rule["resources"] == json!(["*"])),
        );
        let mut names = names.filter_map(Value::as_str).filter(|name| *name != "*");
        let tells = |name: &str| {
            failed.iter().any(|finding| finding["category"] == "rights" && finding.to_string().contains(name))
        };
        assert!(names.any(tells), "without {rule}:\n{failed:#?}");
        assert_eq!(ran.code, 3, "without {rule}");
    }
}

#[test]
fn whoever_has_no_rights_is_told_of_each() {
    let mut scene = Scene::new("rightless", &config_map("one", "a"));
    scene.bench = Bench::new(&CLUSTER.kubeconfig_for(&Identity::user("rightless")).expect("a kubeconfig"));
    let ran = scene.end(3, "check", &[]);
    for line in [
        "✓ consent        it is not on this machine, as far as can be told without its nodes: up wants it named",
        "✓ skew           this machine and the server agree on the time",
        "- ready          skipped: no right to list nodes\n",
        "- apis           skipped: no right to list apiservices.apiregistration.k8s.io\n",
        "- class          skipped: no right to list storageclasses.storage.k8s.io\n",
        "- lease          skipped: no right to get lease.coordination.k8s.io/bootstrap-rightless -n kube-system\n",
    ] {
        assert!(ran.stdout.contains(line), "{line:?} is not in\n{}", ran.stdout);
    }
    let configmaps = ran.stdout.lines().find(|line| line.contains("✗ configmaps -n rightless "));
    let configmaps = configmaps.expect("a finding");
    let lacking =
        "no right to get, create, patch, which up needs; nor to list, watch, delete, which down needs";
    assert!(configmaps.ends_with(lacking), "{configmaps}");
    let hint = "kubectl --context devcluster auth can-i get configmaps -n rightless\n";
    assert!(ran.stdout.contains(hint), "{}", ran.stdout);
}

#[test]
fn a_role_is_tried_where_its_namespace_is_there() {
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules:\n  \
                - {apiGroups: [''], resources: [secrets], verbs: [get]}\n";
    let mut scene = Scene::new("roles", role);
    let admin = Bench::new(&CLUSTER.kubeconfig());
    let everything_but_secrets = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "rules": [
            {"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ALL},
            {"apiGroups": ["rbac.authorization.k8s.io", "coordination.k8s.io", "storage.k8s.io", "autoscaling",
                "discovery.k8s.io"], "resources": ["*"], "verbs": ALL},
        ],
    });
    least::bind(&admin, &[("roles".to_owned(), everything_but_secrets)]);
    scene.bench = Bench::new(&CLUSTER.kubeconfig_for(&Identity::user("roles")).expect("a kubeconfig"));

    let ran = scene.end(0, "check", &[]);
    let line = ran.stdout.lines().find(|line| line.contains("- role/reader -n roles ")).expect("a finding");
    assert!(line.ends_with("skipped: cannot be tried before namespace/roles is there"), "{line}");

    admin.kubectl(["create", "namespace", "roles"]);
    let ran = scene.run("check", &["-o", "json"]);
    let failed = failed(&ran);
    assert_eq!((ran.code, failed.len()), (3, 1), "{failed:#?}");
    assert_eq!(failed[0]["id"], "role/reader -n roles");
    let message = failed[0]["message"].as_str().expect("a message");
    assert!(message.contains(r#"{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}"#), "{message}");

    // One that is there and stays as it is may stay whoever asks.
    scene.write("main.yaml", role);
    let stack = scene.folder().to_str().expect("a path");
    assert_eq!(admin.run(&["up", "--stack", stack]).code, 0);
    scene.end(0, "check", &[]);
}

#[test]
fn whoever_may_not_read_the_records_of_helm_is_told_so_before_anything_is_changed() {
    let mut scene = Scene::new("unrecorded", &config_map("one", "a"));
    let release = "{release: r, chart: 'oci://nowhere.invalid/c', version: 1.0.0}";
    scene.write("stack.yaml", &format!("{}  - {{name: chart, helm: {release}}}\n", scene.stack()));
    let mut role = least::role();
    for rule in role["rules"].as_array_mut().expect("rules") {
        if rule["resources"] == json!(["secrets"]) {
            rule["verbs"] = json!(["get", "create", "patch"]);
        }
    }
    least::bind(&scene.bench, &[("unrecording".to_owned(), role)]);
    let kubeconfig = CLUSTER.kubeconfig_for(&Identity::user("unrecording")).expect("a kubeconfig");
    let admin = std::mem::replace(&mut scene.bench, Bench::new(&kubeconfig));
    for verb in ["plan", "up"] {
        let ran = scene.end(3, verb, &[]);
        assert_says(&ran, &["failed to list secrets -n unrecorded", "bootstrap check --context devcluster"]);
    }
    assert_eq!(admin.kubectl(["get", "namespace", "--ignore-not-found", "unrecorded"]), "");
}

#[test]
fn a_namespace_stays_when_it_cannot_be_seen_what_else_is_in_it() {
    let mut scene = Scene::new("unseen", &config_map("one", "a"));
    scene.succeed("up", &[]);
    scene.kubectl(&["create", "role", "others", "--verb=get", "--resource=pods"]);
    least::bind(&scene.bench, &[("unseeing".to_owned(), least::role())]);
    let kubeconfig = CLUSTER.kubeconfig_for(&Identity::user("unseeing")).expect("a kubeconfig");
    let admin = std::mem::replace(&mut scene.bench, Bench::new(&kubeconfig));
    let foreseen = scene.succeed("down", &["--dry-run"]);
    assert_says(
        &foreseen,
        &[
            "would delete configmap/one -n unseen",
            "would delete namespace/unseen (if nothing else is in it)",
            "nothing was changed: down would delete 2 (",
        ],
    );
    let ran = scene.succeed("down", &[]);
    assert_says(&ran, &["namespace/unseen kept (there is no right to see whether something else is in it"]);
    scene.bench = admin;
    assert_says(
        &scene.succeed("down", &[]),
        &["namespace/unseen kept (role.rbac.authorization.k8s.io/others"],
    );
    scene.kubectl(&["delete", "role", "others"]);
    assert_says(&scene.succeed("down", &[]), &["namespace/unseen deleted"]);
}
