//! The password must not be where anyone could read it.

use base64::Engine as _;

use crate::World;

pub(crate) fn password_is_nowhere(world: &World) {
    world.clean();
    let report = tempfile::NamedTempFile::new().expect("a file");
    let report = report.path().to_str().expect("a path");
    let keep_report = || world.bench.keep(&std::fs::read_to_string(report).expect("written"));
    world.bench.succeed(&["up", "-v", "-o", "json", "--junit", report]);
    keep_report();
    world.bench.succeed(&["up", "-v"]);
    world.bench.succeed(&["plan", "-v"]);
    world.bench.succeed(&["check", "-o", "json"]);
    world.bench.succeed(&["verify"]);
    world.bench.succeed(&["verify", "-o", "json", "--junit", report]);
    keep_report();
    world.bench.succeed(&["status", "-o", "json"]);
    world.bench.succeed(&["render"]);
    world.bench.succeed(&["credentials"]);
    let encoded = world.bench.field("secret/grafana-secrets -n monitoring", ".data.admin-password");
    let decoded = base64::prelude::BASE64_STANDARD.decode(&encoded).expect("base64");
    let password = String::from_utf8(decoded).expect("letters and digits");
    assert_eq!(password.len(), 24);
    // It is read by those who ask for it, and only by them.
    let shown = world.bench.command(&["credentials", "--show"]).output().expect("the command starts");
    assert!(String::from_utf8_lossy(&shown.stdout).contains(&password));

    world.bench.run(&["up", "--timeout", "1ms"]);
    world.bench.succeed(&["down", "--purge-data", "-v"]);
    let said = world.bench.said();
    let started = std::fs::read_to_string(&world.helm_log).expect("helm was started");
    for words in ["run_finished", "<testcase ", "the credentials of secret/grafana-secrets"] {
        assert!(said.contains(words), "something was searched: {words}");
    }
    assert!(started.contains("upgrade"), "something was searched");
    for (what, text) in [("the output", &said), ("the arguments and environment of helm", &started)] {
        assert!(!text.contains(&password) && !text.contains(&encoded), "the password is in {what}");
    }
}
