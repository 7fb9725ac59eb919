//! The stack's programs, asked through the API server's proxy.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use crate::World;

/// Milliseconds since 1970.
pub(crate) fn now() -> u128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis()
}

/// The first value of a query's answer, as Prometheus has it at a moment.
pub(crate) fn metric(world: &World, query: &str, at: u128) -> Option<f64> {
    let query = encoded(query);
    let time = format!("{}.{:03}", at / 1000, at % 1000);
    let path = format!("{}/api/v1/query?query={query}&time={time}", proxy("prometheus:9090"));
    let answer = answer(world, &["get", "--raw", &path])?;
    let value = answer.pointer("/data/result/0/value/1").and_then(Value::as_str);
    value.map(|value| value.parse().expect("a number"))
}

/// What a program answers to kubectl; `None` when it was not reached, which whoever asks again and again can bear.
pub(crate) fn answer(world: &World, request: &[&str]) -> Option<Value> {
    let output = world.bench.kubectl_command(request).output().expect("kubectl starts");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).expect("JSON"))
}

/// A text as a part of a URL.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat()
}

/// Where a Service of the stack, with its port, is reached.
pub(crate) fn proxy(service: &str) -> String {
    format!("/api/v1/namespaces/monitoring/services/http:{service}/proxy")
}
