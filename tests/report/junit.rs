//! The `JUnit` report of a run: a case for each step, however the run ends.

use bootstrap::report::{Junit, ReportFile, Reporter};
use insta::assert_snapshot;

use crate::failing;
use crate::script::{self, Script};

fn report(script: Script) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("report.xml");
    let (printer, stdout, stderr) = script::printer();
    let mut junit = Junit::new(ReportFile::create(&path).expect("made"), printer);
    for event in script.events() {
        junit.event(&event);
    }
    assert_eq!(stdout.text() + &stderr.text(), "", "the report is in the file");
    std::fs::read_to_string(path).expect("written")
}

#[test]
fn a_run_that_went_well_has_a_case_for_each_step() {
    assert_snapshot!(report(script::fresh()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="bootstrap up" tests="4" skipped="1" failures="0" errors="0">
        <testsuite name="bootstrap up" tests="4" skipped="1" errors="0" failures="0">
            <testcase name="namespace" classname="observability" time="0.040"/>
            <testcase name="prometheus" classname="observability" time="4.100"/>
            <testcase name="kube-state-metrics" classname="observability" time="4.600"/>
            <testcase name="grafana" classname="observability">
                <skipped message="not started"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_failed_step_has_its_diagnosis_and_the_rest_is_skipped() {
    assert_snapshot!(report(failing::missing_image()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="bootstrap up" tests="4" skipped="2" failures="1" errors="0">
        <testsuite name="bootstrap up" tests="4" skipped="2" errors="0" failures="1">
            <testcase name="namespace" classname="observability" time="0.040"/>
            <testcase name="prometheus" classname="observability" time="8.800">
                <failure message="daemonset.apps/agent -n monitoring cannot become ready">daemonset.apps/agent -n monitoring (agent/daemonset.yaml:1): 0 of 3 pods ready
      pod/agent-4x8zq and 2 others, container agent: ImagePullBackOff: Back-off pulling image &quot;registry.example/observability/agent:v9.9.9&quot;: ErrImagePull: failed to pull and unpack image &quot;registry.example/observability/agent:v9.9.9&quot;: failed to resolve reference &quot;registry.example/observability/agent:v9.9.9&quot;: registry.example/observability/agent:v9.9.9: not found
      event pod/agent-4x8zq: Failed (2 times): Failed to pull image &quot;registry.example/observability/agent:v9.9.9&quot;: registry.example/observability/agent:v9.9.9: not found
      hint: kubectl --context k3d-blog describe pod/agent-4x8zq -n monitoring</failure>
            </testcase>
            <testcase name="kube-state-metrics" classname="observability" time="13.800">
                <skipped message="not judged: prometheus failed"/>
            </testcase>
            <testcase name="grafana" classname="observability">
                <skipped message="not judged: prometheus failed"/>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn a_run_without_a_step_to_blame_is_a_case_itself() {
    assert_snapshot!(report(script::interrupted()), @r#"
    <?xml version="1.0" encoding="UTF-8"?>
    <testsuites name="bootstrap up" tests="5" skipped="3" failures="0" errors="1">
        <testsuite name="bootstrap up" tests="5" skipped="3" errors="1" failures="0">
            <testcase name="namespace" classname="observability" time="0.040"/>
            <testcase name="prometheus" classname="observability" time="2.100">
                <skipped message="not judged: interrupted"/>
            </testcase>
            <testcase name="kube-state-metrics" classname="observability" time="2.100">
                <skipped message="not judged: interrupted"/>
            </testcase>
            <testcase name="grafana" classname="observability">
                <skipped message="not judged: interrupted"/>
            </testcase>
            <testcase name="the run itself" classname="observability" time="2.300">
                <error message="interrupted by SIGINT">hint: bootstrap up --context k3d-blog</error>
            </testcase>
        </testsuite>
    </testsuites>
    "#);
}

#[test]
fn an_old_report_does_not_pass_for_the_new_one() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), "<testsuites/>").expect("written");
    ReportFile::create(file.path()).expect("opened");
    assert_eq!(std::fs::read_to_string(file.path()).expect("there"), "");
}

#[test]
fn a_file_that_cannot_be_written_is_a_usage_error() {
    let error = ReportFile::create("/nowhere/report.xml".as_ref()).expect_err("no such folder");
    assert_eq!(error.exit(), bootstrap::error::Exit::Usage);
    assert!(error.to_string().contains("/nowhere/report.xml"), "{error}");
}
