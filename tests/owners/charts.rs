//! The stack's values, in the charts that stand for the upstream ones.

use devcluster::Tool;
use serde_json::Value;

use crate::{manifest, objects, plan, succeed, support};

/// The objects of every release of the stack, as helm renders them.
pub(crate) fn rendered(helm: Tool) -> Vec<Value> {
    plan()
        .releases()
        .flat_map(|release| objects(&release.spec.release, &template(helm, &release.spec.release)))
        .collect()
}

/// One release of the stack, as helm renders it.
pub(crate) fn template(helm: Tool, release: &str) -> String {
    let plan = plan();
    let planned = plan.releases().find(|planned| planned.spec.release == release).expect("a release");
    let chart = support::charts().join(planned.chart_name());
    let mut arguments = vec!["template".to_owned(), release.to_owned(), chart.display().to_string()];
    arguments.push(format!("--namespace={}", planned.namespace));
    arguments.extend(planned.spec.values.iter().map(|file| format!("--values={}", manifest(file).display())));
    succeed(helm, arguments)
}

#[test]
fn volumes_of_openebs_are_where_k3d_has_a_volume() {
    let all = rendered(Tool::Helm);
    let class = all.iter().find(|object| object["kind"] == "StorageClass").expect("a class");
    let config = class["metadata"]["annotations"]["cas.openebs.io/config"].as_str().expect("a text");
    assert!(config.contains(r#"value: "/var/lib/rancher/k3s/openebs""#), "{config}");
}

#[test]
fn both_helms_make_the_same_of_our_values() {
    let (four, three) = (rendered(Tool::Helm), rendered(Tool::Helm3));
    for object in &four {
        for field in ["/apiVersion", "/kind", "/metadata/name"] {
            assert!(object.pointer(field).is_some_and(Value::is_string), "no {field} in {object}");
        }
    }
    assert_eq!(four, three);
    let deployments = four.iter().filter(|object| object["kind"] == "Deployment").count();
    assert_eq!(deployments, plan().releases().count());
}
