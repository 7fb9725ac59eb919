//! What is needed for small stacks; for the built-in one, see `tests/owners/rights.rs` and `tests/node/rights.rs`.

use serde_json::json;

use super::*;
use crate::object;
use crate::plan::Selection;
use crate::stack::Stack;

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n---\n";
const DEFINITION: &str = "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata: {name: mice.test.internal}\n\
                          spec:\n  group: test.internal\n  scope: Namespaced\n  names: {kind: Mouse, plural: mice}\n---\n";
const MOUSE: &str = "apiVersion: test.internal/v1\nkind: Mouse\nmetadata: {name: jerry}\n---\n";

/// A stack `s` in the namespace `n` whose one step has these manifests.
fn plan(manifests: &str) -> Plan {
    let folder = tempfile::tempdir().expect("a folder");
    let stack = "name: s\nnamespace: n\nsteps: [{name: a, manifests: [a.yaml]}]\n";
    for (file, text) in [("stack.yaml", stack), ("a.yaml", manifests)] {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    let stack = Stack::load(folder.path()).expect("valid");
    Plan::new(&stack, &Selection::default()).expect("a plan")
}

/// What rights depend on, as a test changes it.
#[derive(Default)]
struct Scene {
    installs_storage: bool,
    releases: BTreeMap<Release, Vec<Object>>,
    members: Vec<ObjectRef>,
    kept: Vec<&'static str>,
    resources: Resources,
}

impl Scene {
    fn rights(&self, plan: &Plan) -> Rights {
        let mut inventory = Inventory::new(&plan.stack, &plan.namespace);
        self.members.iter().for_each(|member| inventory.expect(member));
        Rights::of(&Given {
            plan,
            installs_storage: self.installs_storage,
            releases: &self.releases,
            inventory: &inventory,
            kept: &self.kept.iter().map(ToString::to_string).collect(),
            resources: &self.resources,
        })
    }

    /// What cannot be done without, a line for each resource.
    fn needs(&self, plan: &Plan) -> String {
        let rights = self.rights(plan);
        let line = |(resource, verbs): (&Resource, &BTreeMap<Verb, Need>)| {
            let of = |wanted: Need, command: &str| {
                let verbs: Vec<_> =
                    verbs.iter().filter(|(_, need)| **need == wanted).map(|(verb, _)| verb.name()).collect();
                (!verbs.is_empty()).then(|| format!("{} ({command})", verbs.join(" ")))
            };
            let parts = [of(Need::Up, "up"), of(Need::Down, "down"), of(Need::Verify, "verify")];
            let parts: Vec<_> = parts.into_iter().flatten().collect();
            (!parts.is_empty()).then(|| format!("{resource}: {}\n", parts.join(", ")))
        };
        rights.iter().filter_map(line).collect()
    }
}

#[test]
fn a_config_map_takes_little() {
    insta::assert_snapshot!(Scene::default().needs(&plan(CONFIG_MAP)), @r"
    namespaces: get list watch create (up), delete (down)
    storageclasses.storage.k8s.io: list (up)
    leases.coordination.k8s.io -n kube-system: get list watch create update delete (up)
    configmaps -n n: get create patch (up), list watch delete (down)
    horizontalpodautoscalers.autoscaling -n n: list (up)
    endpointslices.discovery.k8s.io -n n: list (up)
    ");
}

#[test]
fn a_namespace_that_was_there_is_neither_made_nor_taken_away() {
    let scene = Scene { kept: vec!["n"], ..Scene::default() };
    let needs = scene.needs(&plan(CONFIG_MAP));
    assert!(needs.starts_with("namespaces: get (up)\n"), "{needs}");
}

#[test]
fn a_workload_is_waited_for_and_why_it_waits_is_a_wish() {
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\n";
    let rights = Scene::default().rights(&plan(deployment));
    let of = |kind| &rights.wanted[&Resource::of(kind, Some("n"))];
    assert_eq!(of(&object::DEPLOYMENT)[&Verb::Watch], Need::Up);
    assert_eq!(of(&object::DEPLOYMENT)[&Verb::Delete], Need::Down);
    for kind in [&object::POD, &object::EVENT, &object::REPLICA_SET] {
        assert!(matches!(of(kind)[&Verb::Watch], Need::Wish(_)), "{kind:?}");
    }
}

#[test]
fn a_custom_resource_goes_by_the_name_that_its_definition_gives() {
    let needs = Scene::default().needs(&plan(&format!("{DEFINITION}{MOUSE}")));
    let mice = "mice.test.internal -n n: get list watch create patch (up), delete (down)\n";
    assert!(needs.contains(mice), "{needs}");

    let rights = Scene::default().rights(&plan(MOUSE));
    assert_eq!(rights.unknown().collect::<Vec<_>>(), ["Mouse.test.internal"]);
    let kind = GroupVersionKind::gvk("test.internal", "v1", "Mouse");
    let resources = [(kind, ("mice".to_owned(), false))].into();
    let needs = Scene { resources, ..Scene::default() }.needs(&plan(MOUSE));
    assert!(needs.contains("mice.test.internal: get list watch"), "as the server has it: {needs}");
}

#[test]
fn what_the_stack_has_no_more_is_taken_away_by_up_and_looked_for_by_down_everywhere() {
    let members = vec![ObjectRef::new(&object::JOB, Some("elsewhere"), "old")];
    let needs = Scene { members, ..Scene::default() }.needs(&plan(CONFIG_MAP));
    assert!(needs.contains("jobs.batch -n elsewhere: get list watch delete (up)\n"), "{needs}");
    assert!(needs.contains("jobs.batch -n n: list (down)\n"), "{needs}");
    assert!(needs.contains("configmaps -n elsewhere: list (down)\n"), "{needs}");
}

#[test]
fn storage_that_is_not_installed_is_only_looked_at() {
    let stack = Stack::embedded().expect("valid");
    let plan = Plan::new(&stack, &Selection::default()).expect("a plan");
    let class = json!({"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": "c"}});
    let class = serde_json::from_value(class).expect("an object");
    let needs = Scene::default().needs(&plan);
    assert!(needs.contains("secrets -n openebs: list (up)\n"), "{needs}");
    assert!(needs.contains("storageclasses.storage.k8s.io: list (up)\n"), "{needs}");

    let release = Release { name: "openebs".to_owned(), namespace: "openebs".to_owned() };
    let releases = [(release, vec![class])].into();
    let needs = Scene { installs_storage: true, releases, ..Scene::default() }.needs(&plan);
    assert!(needs.contains("secrets -n openebs: get list create update delete (up)\n"), "{needs}");
    let classes = "storageclasses.storage.k8s.io: get list create patch (up), watch delete (down)\n";
    assert!(needs.contains(classes), "{needs}");
}
