//! The queries of a dashboard's panels, as Grafana's own pages send them, and what their answers say. Pure.

use serde_json::{Value, json};

/// A panel of a dashboard.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Panel {
    pub(super) title: String,
    pub(super) queries: Vec<Query>,
}

/// A query of a panel.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Query {
    /// Its letter.
    pub(super) id: String,
    /// What is asked, with the dashboard's variables put in.
    pub(super) expression: String,
    /// The query as the dashboard has it, with its data source.
    written: Value,
}

/// Metrics that a healthy cluster may not have, and until when. A query that names one may give nothing as long as
/// Prometheus has no series of it at all.
const MAY_BE_MISSING: [(&str, &str); 3] = [
    ("nginx_http_requests_total", "something exposes nginx_http_requests_total"),
    (AUTOSCALERS, "there is a HorizontalPodAutoscaler"),
    ("node_pressure_cpu_waiting_seconds_total", "a kernel tells of pressure"),
];

/// The autoscalers' own metrics begin so.
const AUTOSCALERS: &str = "kube_horizontalpodautoscaler_";

/// What a query may join an autoscaler with: metrics of pods, which of their series it takes, and until when it gives nothing.
const OF_SCALED_PODS: [(&str, &str, &str); 2] = [
    (
        "nginx_http_requests_total",
        "",
        "a HorizontalPodAutoscaler scales a Deployment that exposes nginx_http_requests_total",
    ),
    (
        "kube_pod_container_resource_requests",
        r#"{resource="cpu"}"#,
        "a HorizontalPodAutoscaler scales a Deployment that requests CPU",
    ),
];

/// The panels of a dashboard, those within rows too.
pub(super) fn of(dashboard: &Value) -> Vec<Panel> {
    let variables = variables(dashboard);
    let mut panels = Vec::new();
    let mut open: Vec<&Value> = dashboard["panels"].as_array().into_iter().flatten().rev().collect();
    while let Some(panel) = open.pop() {
        open.extend(panel["panels"].as_array().into_iter().flatten().rev());
        let targets = panel["targets"].as_array().into_iter().flatten();
        let queries = targets.filter_map(|target| query(panel, target, &variables)).collect();
        let title = panel["title"].as_str().unwrap_or("without a title").to_owned();
        panels.push(Panel { title, queries });
    }
    panels
}

/// What stands for "all" of each variable.
fn variables(dashboard: &Value) -> Vec<(String, String)> {
    let list = dashboard["templating"]["list"].as_array().into_iter().flatten();
    list.filter_map(|variable| {
        let all = variable["allValue"].as_str().unwrap_or(".*");
        Some((variable["name"].as_str()?.to_owned(), all.to_owned()))
    })
    .collect()
}

fn query(panel: &Value, target: &Value, variables: &[(String, String)]) -> Option<Query> {
    let mut expression = target["expr"].as_str()?.to_owned();
    for (name, value) in variables {
        expression = expression.replace(&format!("${{{name}}}"), value).replace(&format!("${name}"), value);
    }
    let mut written = target.clone();
    written["expr"] = json!(expression);
    if written["datasource"].is_null() {
        written["datasource"] = panel["datasource"].clone();
    }
    let id = target["refId"].as_str().unwrap_or("A").to_owned();
    Some(Query { id, expression, written })
}

/// The body of the request that asks for all that a panel shows, of the last quarter of an hour. `$__rate_interval` and its
/// like are Grafana's to put in.
pub(super) fn request(panel: &Panel) -> Value {
    let queries = panel.queries.iter().map(|query| {
        let mut written = query.written.clone();
        written["refId"] = json!(query.id);
        written["intervalMs"] = json!(15_000);
        written["maxDataPoints"] = json!(100);
        // Prometheus wants to be told which of the two it is.
        let instant = written["instant"] == true;
        written["range"] = json!(!instant);
        written
    });
    json!({ "queries": queries.collect::<Vec<_>>(), "from": "now-15m", "to": "now" })
}

/// Tells whether the answer has data for a query.
///
/// # Errors
/// What the data source said against the query.
pub(super) fn outcome(answer: &Value, query: &Query) -> Result<bool, String> {
    let result = &answer["results"][&query.id];
    if let Some(error) = result["error"].as_str().filter(|error| !error.is_empty()) {
        return Err(error.to_owned());
    }
    let Some(frames) = result["frames"].as_array() else {
        return Err(answer["message"].as_str().unwrap_or("no answer to it").to_owned());
    };
    let mut columns = frames.iter().filter_map(|frame| frame["data"]["values"].as_array()).flatten();
    Ok(columns.any(|column| column.as_array().is_some_and(|values| !values.is_empty())))
}

/// The metrics that an expression names and that may be missing, each with what they wait for.
pub(super) fn excuses(expression: &str) -> Vec<(&str, &'static str)> {
    let mut found = Vec::new();
    for word in words(expression) {
        let known = MAY_BE_MISSING.iter().find(|(metric, _)| {
            if metric.ends_with('_') { word.starts_with(metric) } else { word == *metric }
        });
        if let Some((_, until)) = known
            && !found.contains(&(word, *until))
        {
            found.push((word, *until));
        }
    }
    found
}

/// What gives nothing as long as an expression that joins autoscalers with their pods may give nothing, and until when; `None`
/// for any other expression. An autoscaler may well scale something else than a Deployment, or pods without such a metric.
pub(super) fn joined(expression: &str) -> Option<(String, &'static str)> {
    words(expression).find(|word| word.starts_with(AUTOSCALERS))?;
    let (metric, series, until) =
        OF_SCALED_PODS.iter().find(|(metric, ..)| words(expression).any(|word| word == *metric))?;
    let query = format!(
        r#"count(label_replace(kube_pod_owner{{owner_kind="ReplicaSet"}}, "workload", "$1", "owner_name", "(.+)-[^-]+")
            and on (namespace, workload)
            label_replace({AUTOSCALERS}info{{scaletargetref_kind="Deployment"}}, "workload", "$1", "scaletargetref_name", "(.+)")
            and on (namespace, pod) {metric}{series})"#
    );
    Some((query, until))
}

/// The words of an expression that may be names of metrics.
fn words(expression: &str) -> impl Iterator<Item = &str> {
    expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::Files;

    fn embedded() -> Vec<Panel> {
        let all = Files::all_embedded().iter().filter(|(path, _)| path.contains("/dashboards/"));
        all.flat_map(|(_, text)| of(&serde_json::from_str(text).expect("JSON"))).collect()
    }

    #[test]
    fn every_query_of_the_embedded_dashboards_is_found_and_none_has_a_variable_left() {
        let panels = embedded();
        let queries: Vec<_> = panels.iter().flat_map(|panel| &panel.queries).collect();
        let written: usize = Files::all_embedded()
            .iter()
            .filter(|(path, _)| path.contains("/dashboards/"))
            .map(|(_, text)| text.matches("\"expr\"").count())
            .sum();
        assert_eq!(queries.len(), written);
        for query in queries {
            let left = query.expression.replace("$__", "").replace("\"$1\"", "");
            assert!(!left.contains('$'), "{left}");
            assert!(query.written["datasource"]["uid"].is_string(), "{}", query.expression);
        }
    }

    #[test]
    fn only_named_metrics_excuse_an_empty_answer() {
        let excused =
            |expression| excuses(expression).into_iter().map(|(metric, _)| metric).collect::<Vec<_>>();
        assert_eq!(
            excused("sum(rate(nginx_http_requests_total{a=\"b\"}[1m]))"),
            ["nginx_http_requests_total"]
        );
        assert_eq!(excused("sum(kube_horizontalpodautoscaler_spec_max_replicas)").len(), 1);
        assert_eq!(excused("sum(rate(nginx_http_requests_total_more[1m])) / node_load1"), Vec::<&str>::new());
    }

    #[test]
    fn an_autoscaler_joined_with_its_pods_is_excused_by_what_these_have() {
        let panels = embedded();
        let drivers = panels.iter().find(|panel| panel.title == "Drivers and reaction").expect("a panel");
        let joins: Vec<_> = drivers.queries.iter().filter_map(|query| joined(&query.expression)).collect();
        let [(requests, _), (cpu, until)] = &joins[..] else { panic!("{joins:?}") };
        assert!(requests.ends_with("and on (namespace, pod) nginx_http_requests_total)"), "{requests}");
        let on_cpu = r#"and on (namespace, pod) kube_pod_container_resource_requests{resource="cpu"})"#;
        assert!(cpu.ends_with(on_cpu), "{cpu}");
        assert_eq!(*until, "a HorizontalPodAutoscaler scales a Deployment that requests CPU");
        let all = panels.iter().flat_map(|panel| &panel.queries);
        assert_eq!(
            all.filter_map(|query| joined(&query.expression)).count(),
            2,
            "no other query joins the two"
        );
    }

    #[test]
    fn an_answer_with_values_has_data_and_one_without_has_none() {
        let query = Query { id: "A".to_owned(), expression: String::new(), written: Value::Null };
        let answer = |result: Value| json!({"results": {"A": result}});
        let values = |values: Value| answer(json!({"frames": [{"schema": {}, "data": {"values": values}}]}));
        assert_eq!(outcome(&values(json!([[1], [2.5]])), &query), Ok(true));
        assert_eq!(outcome(&values(json!([])), &query), Ok(false));
        assert_eq!(outcome(&values(json!([[], []])), &query), Ok(false));
        assert_eq!(
            outcome(&answer(json!({"status": 400, "error": "parse error"})), &query),
            Err("parse error".to_owned())
        );
        let refused = json!({"message": "Data source not found"});
        assert_eq!(outcome(&refused, &query), Err("Data source not found".to_owned()));
    }
}
