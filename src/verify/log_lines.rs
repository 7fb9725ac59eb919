//! Lines of logs that tell a cause which is told nowhere else. The one table of such texts; its tests hold a recorded sample
//! of each.

/// A line that tells a cause: a text in it, and the keys of which one holds the cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    text: &'static str,
    keys: &'static [&'static str],
}

/// An agent, of what it writes to Prometheus; both Alloy and Prometheus in agent mode say it so.
pub(super) const REMOTE_WRITE: &[Line] = &[
    Line { text: "Failed to send batch, retrying", keys: &["err", "error"] },
    Line { text: "non-recoverable error", keys: &["err", "error"] },
    Line { text: "we got 2xx status code from the Receiver yet", keys: &[] },
];

/// An agent, of what it pushes to Loki.
pub(super) const LOG_PUSH: &[Line] = &[
    Line { text: "error sending batch, will retry", keys: &["error", "err"] },
    Line { text: "final error sending batch", keys: &["error", "err"] },
];

/// The adapter, of what it asks Prometheus for.
pub(super) const ADAPTER: &[Line] =
    &[Line { text: "unable to update list of all metrics: ", keys: &["err"] }];

/// The cause that the newest of these lines tells.
pub(super) fn newest(log: &str, known: &[Line]) -> Option<String> {
    log.lines().rev().find_map(|line| {
        let known = known.iter().find(|known| line.contains(known.text))?;
        let cause = known.keys.iter().find_map(|key| value(line, key));
        Some(match (cause, value(line, "url")) {
            (Some(cause), Some(url)) if !cause.contains(&url) => format!("{url}: {cause}"),
            (Some(cause), _) => without_query(&cause),
            (None, _) => without_query(&line[line.find(known.text)?..]),
        })
    })
}

/// Leaves out the query of the URL in a cause, which is long, and says nothing to a person.
fn without_query(cause: &str) -> String {
    let query = cause.find("://").and_then(|url| Some(url + cause[url..].find('?')?));
    match query.and_then(|start| Some((start, start + cause[start..].find(['"', ' '])?))) {
        Some((start, end)) => format!("{}{}", &cause[..start], &cause[end..]),
        None => cause.to_owned(),
    }
}

/// The value of a key in a line of `key=value` pairs, freed of its quotes.
fn value(line: &str, key: &str) -> Option<String> {
    let start = line.find(&format!(" {key}="))? + key.len() + 2;
    let rest = &line[start..];
    let Some(quoted) = rest.strip_prefix('"') else {
        return rest.split(' ').next().map(str::to_owned);
    };
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => return Some(text),
            '\\' => match characters.next()? {
                'n' => text.push(' '),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_in_agent_mode_tells_why_it_cannot_send() {
        // Prometheus 2.53, and Alloy writes the same with `component_id` and `subcomponent`.
        let log = r#"ts=2024-08-13T05:57:44.414Z caller=dedupe.go:112 component=remote level=warn remote_name=24f493 url=http://metrics.example/write msg="Failed to send batch, retrying" err="Post \"http://metrics.example/write\": context deadline exceeded""#;
        let why = r#"Post "http://metrics.example/write": context deadline exceeded"#;
        assert_eq!(newest(log, REMOTE_WRITE).as_deref(), Some(why));
        // Alloy 1.12.
        let log = r#"ts=2025-12-04T00:14:28.436638912Z level=error msg="we got 2xx status code from the Receiver yet statistics indicate some data was not written; investigation needed" component_path=/ component_id=prometheus.remote_write.default subcomponent=rw remote_name=564de6 url=http://192.168.0.9:9090/api/v1/write failedSampleCount=771"#;
        let why = newest(log, REMOTE_WRITE).expect("a cause");
        assert!(why.starts_with("we got 2xx status code") && why.ends_with("failedSampleCount=771"), "{why}");
    }

    #[test]
    fn alloy_tells_what_loki_answered() {
        // Alloy 1.18.
        let log = r#"ts=2026-09-08T15:41:31.031216Z level=error msg="final error sending batch, no retries left, dropping data" component_path=/ component_id=loki.write.default component=endpoint host=localhost:3100 status=413 tenant="" error="server returned HTTP status 413 Request Entity Too Large (413): request body too large""#;
        let why = "server returned HTTP status 413 Request Entity Too Large (413): request body too large";
        assert_eq!(newest(log, LOG_PUSH).as_deref(), Some(why));
        assert_eq!(newest(log, REMOTE_WRITE), None);
    }

    #[test]
    fn the_adapter_tells_that_prometheus_is_not_where_it_looks() {
        // prometheus-adapter 0.12.
        let log = r#"E0905 13:29:57.806549       1 provider.go:229] unable to update list of all metrics: unable to fetch metrics for query "{namespace!=\"\"}": Get "http://prometheus.default.svc:9090/api/v1/series?match%5B%5D=%7Bnamespace%21%3D%22%22%7D&start=1693920537.802": dial tcp: lookup prometheus.default.svc on 10.43.0.10:53: no such host
I0905 13:29:58.100000       1 httplog.go:132] "HTTP" verb="GET" URI="/healthz""#;
        let why = r#"unable to update list of all metrics: unable to fetch metrics for query "{namespace!=\"\"}": Get "http://prometheus.default.svc:9090/api/v1/series": dial tcp: lookup prometheus.default.svc on 10.43.0.10:53: no such host"#;
        assert_eq!(newest(log, ADAPTER).as_deref(), Some(why));
        assert_eq!(newest("", ADAPTER), None);
    }
}
