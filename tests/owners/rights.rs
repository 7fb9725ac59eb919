//! What the stack's programs may do, in the cluster and on its nodes: no more than they need.

use devcluster::Tool;
use serde_json::Value;

use crate::{charts, plan};

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
