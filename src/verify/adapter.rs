//! prometheus-adapter: that its API is there, that it reaches Prometheus, and that pods have a value of each metric.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use serde_json::Value;

use super::check::{Asked, Check, Name, Subject, Trouble, Verdict, failed, pending};
use super::program::{Program, UP};
use super::prometheus::{self, Prometheus, Sample};
use super::{log_lines, node_metrics, pods};
use crate::cluster::Lines;
use crate::object::{self, ObjectRef};
use crate::status;

const API: Name = name("api");
const REACHES: Name = name("prometheus");
const VALUES: Name = name("values");

const fn name(id: &'static str) -> Name {
    Name { category: "prometheus-adapter", id }
}

/// The API that it serves.
const GROUP_VERSION: &str = "custom.metrics.k8s.io/v1beta1";
const API_SERVICE: &str = "v1beta1.custom.metrics.k8s.io";

/// The log of the last minute, in which it has looked at Prometheus at least once.
const LINES: Lines = Lines { last: 500, seconds: Some(60), timestamps: false, previous: false };

/// How long it may take until it says for the first time that it cannot look, in seconds.
const FIRST_LOOK: i64 = 30;

/// prometheus-adapter as the stack wants it.
pub(super) struct Adapter {
    program: Program,
    /// The series that become metrics.
    series: Vec<String>,
    prometheus: Option<Rc<Prometheus>>,
}

/// The checks of this category.
pub(super) fn checks(adapter: &Rc<Adapter>) -> Vec<Check> {
    let mut checks = vec![
        Check::new(API, adapter, Adapter::serves),
        Check::new(REACHES, adapter, Adapter::reaches).needs([API, prometheus::READY]),
    ];
    if adapter.prometheus.is_some() && !adapter.series.is_empty() {
        let needs = [API, REACHES, node_metrics::CONTAINERS];
        let list = format!("kubectl get --raw /apis/{GROUP_VERSION}");
        checks.push(Check::new(VALUES, adapter, Adapter::has_values).needs(needs).hint(&list));
    }
    checks
}

impl Subject for Adapter {
    fn asked(&self) -> Asked {
        self.program.asked()
    }
}

impl Adapter {
    /// `values` are those that the stack gives the chart, merged.
    pub(super) fn new(program: Program, values: &[Value], prometheus: Option<&Rc<Prometheus>>) -> Self {
        let rules = values.iter().filter_map(|values| values["rules"]["custom"].as_array()).next_back();
        let series: BTreeSet<_> = rules
            .into_iter()
            .flatten()
            .filter_map(|rule| rule["seriesQuery"].as_str())
            .map(str::to_owned)
            .collect();
        Self { program, series: series.into_iter().collect(), prometheus: prometheus.cloned() }
    }

    async fn serves(&self) -> Verdict {
        let name = ObjectRef::new(&object::API_SERVICE, None, API_SERVICE);
        let service = self.program.cluster.get(&name).await?;
        let service = service.ok_or_else(|| pending(format!("{name} is not there")).hint(UP))?;
        let available = status::condition(&service, "Available");
        if available.as_ref().is_none_or(|condition| condition.status != "True") {
            let why = available.map_or("no reason given", |condition| condition.message);
            let hint = format!("kubectl describe {name}");
            return Err(pending(format!("{name} is not available: {why}")).hint(hint));
        }
        self.program.cluster.raw(&format!("/apis/{GROUP_VERSION}")).await?;
        Ok(format!("{GROUP_VERSION} answers"))
    }

    async fn reaches(&self) -> Verdict {
        let pod = self.program.ready_pod()?;
        let name = pods::name_of(&pod);
        let Some(container) = pods::containers(&pod).next() else {
            return Err(failed(format!("{name} is empty")));
        };
        let log = self.program.cluster.logs(&name, &container.name, LINES).await?;
        match log_lines::newest(&log, log_lines::ADAPTER) {
            None if pods::running_for(&pod).is_some_and(|seconds| seconds < FIRST_LOOK) => {
                Err(pending(format!("{name} has just started; whether it reads from Prometheus")))
            }
            None => Ok(format!("{name} reads from Prometheus")),
            Some(why) => {
                let message = format!("{name} cannot read from Prometheus: {why}");
                Err(pending(message)
                    .hint(format!("does it have the right URL? {UP}, or kubectl logs {name}")))
            }
        }
    }

    async fn has_values(&self) -> Verdict {
        let Some(prometheus) = &self.prometheus else { return Ok("there is nothing to read".to_owned()) };
        let mut series = Vec::new();
        for query in &self.series {
            series.extend(prometheus.query(query).await?);
        }
        if series.is_empty() {
            return Err(Trouble::Skipped(
                "nothing in the cluster exposes the metrics that it serves".to_owned(),
            ));
        }
        let api = self.program.cluster.raw(&format!("/apis/{GROUP_VERSION}")).await?;
        let metrics = pod_metrics(&api);
        if metrics.is_empty() {
            return Err(pending("it lists no metric of pods, though Prometheus has their series"));
        }
        let wanted = pods_by_namespace(&series);
        let mut count = 0;
        for (namespace, pods) in &wanted {
            let there = self.running(namespace).await?;
            for metric in &metrics {
                let path = format!("/apis/{GROUP_VERSION}/namespaces/{namespace}/pods/*/{metric}");
                let values = match self.program.cluster.raw(&path).await {
                    Ok(values) => values,
                    Err(error) if error.is_not_found() => Value::Null,
                    Err(error) => return Err(error.into()),
                };
                let with_value = described(&values);
                if let Some(pod) = pods.intersection(&there).find(|pod| !with_value.contains(pod.as_str())) {
                    return Err(pending(format!("{metric} has no value for pod/{pod} -n {namespace}")));
                }
            }
            count += pods.intersection(&there).count();
        }
        let pods = if count == 1 { "pod" } else { "pods" };
        Ok(format!("{count} {pods} with a value of {}", metrics.join(" and ")))
    }

    /// The names of the pods of a namespace that are ready.
    async fn running(&self, namespace: &str) -> Result<BTreeSet<String>, Trouble> {
        let pods = self.program.cluster.list_cached(&object::POD.gvk(), Some(namespace), None).await?;
        let ready = pods
            .iter()
            .filter(|pod| status::condition(pod, "Ready").is_some_and(|ready| ready.status == "True"));
        Ok(ready.filter_map(|pod| pod.metadata.name.clone()).collect())
    }
}

/// The metrics of pods that the API lists, by name.
fn pod_metrics(api: &Value) -> Vec<String> {
    let resources = api["resources"].as_array().into_iter().flatten();
    let names = resources.filter_map(|resource| resource["name"].as_str()?.strip_prefix("pods/"));
    names.map(str::to_owned).collect()
}

/// The pods that have series, by namespace.
fn pods_by_namespace(series: &[Sample]) -> BTreeMap<String, BTreeSet<String>> {
    let mut namespaces: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in series {
        let (namespace, pod) = (sample.label("namespace"), sample.label("pod"));
        if !namespace.is_empty() && !pod.is_empty() {
            namespaces.entry(namespace.to_owned()).or_default().insert(pod.to_owned());
        }
    }
    namespaces
}

/// The names of the objects that a list of values is about.
fn described(values: &Value) -> BTreeSet<&str> {
    let items = values["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["describedObject"]["name"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metrics_of_pods_are_told_from_those_of_namespaces() {
        let api = json!({"resources": [{"name": "pods/rps"}, {"name": "namespaces/rps"}]});
        assert_eq!(pod_metrics(&api), ["rps"]);
        let values = json!({"items": [{"describedObject": {"kind": "Pod", "name": "a"}, "value": "3"}]});
        assert_eq!(described(&values), ["a"].into());
        assert_eq!(described(&Value::Null), BTreeSet::new());
    }
}
