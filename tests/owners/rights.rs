//! What the stack's programs may do, in the cluster and on its nodes: no more than they need.

use std::collections::{BTreeMap, BTreeSet};

use bootstrap::inventory::Inventory;
use bootstrap::rights::{Given, Need, Resources, Rights};
use devcluster::Tool;
use serde_json::Value;

use crate::support::least;
use crate::{NEWEST, charts, objects, plan};

/// Whoever may use one of these may act as any pod, or read any credential.
const TOO_MUCH: [&str; 6] = ["*", "nodes/proxy", "pods/attach", "pods/exec", "pods/portforward", "secrets"];

/// Containers that want more than the others, what that is, and why.
const EXCEPTIONS: [(&str, &str, &str); 2] = [
    ("grafana", "readOnlyRootFilesystem", "Grafana 13 loses its bundled plug-ins on a read-only root"),
    ("openebs-localpv-provisioner", "", "the chart sets none, and it comes on request only"),
];

/// Every object that the stack brings, by itself or by a release.
fn all() -> Vec<Value> {
    let plan = plan();
    let manifests = plan.manifests().map(|manifest| serde_json::to_value(&manifest.object).expect("JSON"));
    manifests.chain(charts::rendered(Tool::Helm)).collect()
}

#[test]
fn no_role_reaches_into_other_pods_or_reads_secrets() {
    let all = all();
    let roles: Vec<_> = all
        .iter()
        .filter(|object| ["ClusterRole", "Role"].contains(&object["kind"].as_str().unwrap_or_default()))
        .collect();
    assert!(roles.len() >= 4, "{roles:?}");
    for role in roles {
        for rule in list(&role["rules"]) {
            let core = list(&rule["apiGroups"]).iter().any(|group| group == "" || group == "*");
            let resources = list(&rule["resources"]);
            let too_much = resources.iter().find(|name| TOO_MUCH.iter().any(|much| *name == much));
            assert!(!core || too_much.is_none(), "{} has {too_much:?}", role["metadata"]["name"]);
        }
    }
}

#[test]
fn kube_state_metrics_asks_for_no_secrets_either() {
    let all = all();
    let deployment = all
        .iter()
        .find(|object| object["kind"] == "Deployment" && object["metadata"]["name"] == "kube-state-metrics")
        .expect("its Deployment");
    let arguments = list(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]);
    let collectors = arguments
        .iter()
        .find_map(|argument| argument.as_str()?.strip_prefix("--resources="))
        .expect("its collectors are named");
    let collectors: Vec<_> = collectors.split(',').collect();
    assert!(collectors.contains(&"pods") && !collectors.contains(&"secrets"), "{collectors:?}");
}

#[test]
fn every_container_is_as_unprivileged_as_its_program_allows() {
    let all = all();
    let templates = all.iter().filter_map(|object| object.pointer("/spec/template/spec"));
    let mut excepted = Vec::new();
    let mut count = 0;
    for pod in templates {
        for container in list(&pod["containers"]).iter().chain(list(&pod["initContainers"])) {
            count += 1;
            let name = container["name"].as_str().expect("a name");
            for lack in lacks(&pod["securityContext"], &container["securityContext"]) {
                let exception = EXCEPTIONS
                    .iter()
                    .find(|(who, what, _)| *who == name && (what.is_empty() || *what == lack));
                excepted.push(exception.unwrap_or_else(|| panic!("{name} lacks {lack}")).0);
            }
        }
    }
    assert!(count >= 7, "{count} containers");
    excepted.dedup();
    assert_eq!(excepted.len(), EXCEPTIONS.len(), "an exception that nobody needs");
}

/// What a container leaves open that it could close.
fn lacks(pod: &Value, container: &Value) -> Vec<&'static str> {
    let either = |path: &str| container.pointer(path).or_else(|| pod.pointer(path));
    [
        ("runAsNonRoot", either("/runAsNonRoot") == Some(&Value::Bool(true))),
        ("seccompProfile", either("/seccompProfile/type").is_some_and(|kind| kind == "RuntimeDefault")),
        ("readOnlyRootFilesystem", container["readOnlyRootFilesystem"] == true),
        ("allowPrivilegeEscalation", container["allowPrivilegeEscalation"] == false),
        ("capabilities", list(&container["capabilities"]["drop"]).iter().any(|name| name == "ALL")),
    ]
    .into_iter()
    .filter_map(|(name, closed)| (!closed).then_some(name))
    .collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A verb on a resource of a group.
type Right = (String, String, String);

/// The README's role is enough for the commands and for the roles that they make; `tests/node/rights.rs` shows it by use.
#[test]
fn the_least_role_grants_what_is_needed_and_nothing_else() {
    let plan = plan();
    let steps = plan.steps.iter().filter(|step| !step.is_storage);
    let releases = steps.filter_map(|step| step.release.as_ref()).map(|planned| {
        let name = planned.spec.release.as_str();
        let rendered = objects(name, &charts::template(Tool::Helm, name)).into_iter();
        let rendered = rendered.map(|object| serde_json::from_value(object).expect("an object"));
        (planned.release(), rendered.collect())
    });
    let releases: BTreeMap<_, Vec<_>> = releases.collect();
    let rights = Rights::of(&Given {
        plan: &plan,
        installs_storage: false,
        releases: &releases,
        inventory: &Inventory::new(&plan.stack, &plan.namespace),
        kept: &BTreeSet::new(),
        resources: &Resources::new(),
    });
    let mut needed = BTreeSet::new();
    for (resource, verbs) in rights.iter() {
        let verbs = verbs.iter().filter(|(_, need)| !matches!(need, Need::Wish(_)));
        needed.extend(
            verbs.map(|(verb, _)| (resource.group.clone(), resource.name.clone(), verb.name().to_owned())),
        );
    }
    let planned = plan.manifests().map(|manifest| &manifest.object);
    let all: Vec<_> = planned
        .chain(releases.values().flatten())
        .map(|object| serde_json::to_value(object).expect("JSON"))
        .collect();
    let (whole, of_names): (Vec<_>, Vec<_>) = roles(&all)
        .iter()
        .flat_map(|role| role["rules"].as_array().cloned().unwrap_or_default())
        .partition(|rule| rule["resourceNames"].is_null());
    needed.extend(whole.iter().flat_map(expanded));

    let served = NEWEST.kubectl(["api-resources", "--no-headers", "--output=name"]).expect("resources");
    let is_served = |(group, resource, _): &Right| {
        let name = resource.split('/').next().unwrap_or_default();
        let name = if group.is_empty() { name.to_owned() } else { format!("{name}.{group}") };
        name.starts_with('*') || served.lines().any(|line| line == name)
    };
    let role = least::role();
    let rules = role["rules"].as_array().expect("rules");
    let granted: Vec<_> = rules.iter().flat_map(expanded).filter(is_served).collect();
    let once: BTreeSet<_> = granted.iter().cloned().collect();
    assert_eq!(needed.difference(&once).collect::<Vec<_>>(), Vec::<&Right>::new(), "lacking");
    assert_eq!(once.difference(&needed).collect::<Vec<_>>(), Vec::<&Right>::new(), "not needed");
    assert_eq!(granted.len(), once.len(), "what two rules grant, neither is needed for");
    for right in of_names.iter().flat_map(expanded) {
        assert!(once.contains(&right), "{right:?} is lacking, though for some names only");
    }
}

/// The roles among these objects, and those that others bring and bindings among these refer to.
fn roles(all: &[Value]) -> Vec<Value> {
    let is_role = |object: &&Value| ["ClusterRole", "Role"].iter().any(|kind| object["kind"] == *kind);
    let mut roles: Vec<_> = all.iter().filter(is_role).cloned().collect();
    for binding in all.iter().filter(|object| !object["roleRef"].is_null()) {
        let wanted = &binding["roleRef"];
        let is_it =
            |role: &Value| role["kind"] == wanted["kind"] && role["metadata"]["name"] == wanted["name"];
        if !roles.iter().any(is_it) {
            let text = |value: &Value| value.as_str().unwrap_or("default").to_owned();
            let namespace = format!("--namespace={}", text(&binding["metadata"]["namespace"]));
            let (kind, name) = (text(&wanted["kind"]), text(&wanted["name"]));
            let found = NEWEST.kubectl(["get", &kind, &name, &namespace, "--output=json"]).expect(&name);
            roles.push(serde_json::from_str(&found).expect("JSON"));
        }
    }
    roles
}

fn expanded(rule: &Value) -> Vec<Right> {
    let list = |field: &str| {
        let all = rule[field].as_array().into_iter().flatten().filter_map(Value::as_str);
        all.map(str::to_owned).collect::<Vec<_>>()
    };
    let (groups, resources, verbs) = (list("apiGroups"), list("resources"), list("verbs"));
    let mut rights = Vec::new();
    for group in &groups {
        for resource in &resources {
            rights.extend(verbs.iter().map(|verb| (group.clone(), resource.clone(), verb.clone())));
        }
    }
    rights
}
