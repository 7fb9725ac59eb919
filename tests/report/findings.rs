//! Findings as text, as JSON and as `JUnit` XML: what a person and a program read of `check` and `verify`.

use bootstrap::finding::{Finding, Outcome};
use bootstrap::report::{Paint, findings};

pub(crate) fn found() -> Vec<Finding> {
    let wrong = Finding {
        category: "alloy",
        id: "remote-write".into(),
        outcome: Outcome::Failed,
        message: "pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host <&>\nand more"
            .to_owned(),
        hint: Some("kubectl --context blog logs pod/alloy-x7 -n monitoring".to_owned()),
    };
    vec![
        Finding::passed("prometheus", "ready", "pod/prometheus-0 -n monitoring answers /-/ready"),
        Finding::passed("prometheus", "retention", "Prometheus keeps 7d or 4GB"),
        wrong,
        Finding::skipped("node-metrics", "host", "needs alloy/remote-write"),
    ]
}

#[test]
fn text_stands_under_its_category_with_the_hint_below() {
    let mut text = findings::Text::new(Paint::new(false));
    let lines: String = found().iter().map(|finding| text.lines(finding)).collect();
    insta::assert_snapshot!(lines + &findings::summary(&found()), @r#"
    prometheus
      ✓ ready          pod/prometheus-0 -n monitoring answers /-/ready
      ✓ retention      Prometheus keeps 7d or 4GB
    alloy
      ✗ remote-write   pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host <&>
                       and more
                       hint: kubectl --context blog logs pod/alloy-x7 -n monitoring
    node-metrics
      - host           skipped: needs alloy/remote-write
    2 passed, 1 failed, 1 skipped
    "#);
}

#[test]
fn a_block_is_as_wide_as_the_ids_of_each_category() {
    let mut text = findings::Text::new(Paint::new(false));
    let found = [
        Finding::passed("lock", "lease", "no other run is at work"),
        Finding::passed("rights", "deployments.apps -n monitoring", "get, list, watch"),
        Finding::skipped("rights", "nodes", "no right to list"),
    ];
    insta::assert_snapshot!(text.block(&found), @r"
    lock
      ✓ lease          no other run is at work
    rights
      ✓ deployments.apps -n monitoring get, list, watch
      - nodes                          skipped: no right to list
    ");
}

#[test]
fn json_has_the_documented_fields() {
    insta::assert_snapshot!(findings::json(&found()[2..]).expect("JSON"), @r#"
    [
      {
        "category": "alloy",
        "id": "remote-write",
        "outcome": "failed",
        "message": "pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host <&>\nand more",
        "hint": "kubectl --context blog logs pod/alloy-x7 -n monitoring"
      },
      {
        "category": "node-metrics",
        "id": "host",
        "outcome": "skipped",
        "message": "needs alloy/remote-write",
        "hint": null
      }
    ]
    "#);
}

#[test]
fn junit_has_a_case_for_each_finding() {
    insta::assert_snapshot!(findings::junit("bootstrap verify", &found()).expect("XML"), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="bootstrap verify" tests="4" skipped="1" failures="1" errors="0">
        <testsuite name="bootstrap verify" tests="4" skipped="1" errors="0" failures="1">
            <testcase name="ready" classname="prometheus"/>
            <testcase name="retention" classname="prometheus"/>
            <testcase name="remote-write" classname="alloy">
                <failure message="pod/alloy-x7 -n monitoring delivers nothing to Prometheus: http://nope: no such host &lt;&amp;&gt;
    and more">hint: kubectl --context blog logs pod/alloy-x7 -n monitoring</failure>
            </testcase>
            <testcase name="host" classname="node-metrics">
                <skipped message="needs alloy/remote-write"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}
