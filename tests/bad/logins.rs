//! Kubeconfigs that look odd and are well: in several files, or with a program that gives the credentials.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use devcluster::Tool;
use serde_json::json;

use crate::kubeconfigs::{Files, kubeconfig, with_program};
use crate::support::Bench;
use crate::support::terminal::Terminal;
use crate::{CONFIG_MAP, changing, path, stack, unchanged, up};

#[test]
fn several_files_are_joined_for_us_and_for_helm() {
    let files = Files::new();
    let (mut first, mut second) = (kubeconfig(), kubeconfig());
    first["current-context"] = json!("");
    first["users"] = json!([]);
    second["clusters"] = json!([{"name": "devcluster", "cluster": {"server": "https://127.0.0.1:1"}}]);
    second["contexts"] = json!([]);
    let first = files.write("first", &first.to_string());
    let second = files.write("second", &second.to_string());
    let joined = format!("{}:/nowhere/third:{}", path(&first), path(&second));

    let folder = stack("joined", CONFIG_MAP.as_bytes());
    let release =
        "{name: main, helm: {release: joined, chart: 'oci://nowhere.invalid/demo', version: 1.0.0}}";
    let text = format!("name: joined\nnamespace: joined\nsteps:\n  - {release}\n");
    fs::write(folder.path().join("stack.yaml"), text).expect("written");
    let chart = folder.path().join("charts/demo");
    fs::create_dir_all(chart.join("templates")).expect("made");
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: demo\nversion: 1.0.0\n").expect("written");
    fs::write(chart.join("templates/one.yaml"), CONFIG_MAP).expect("written");

    changing(|admin| {
        let bench = Bench::new(Path::new(&joined)).with_helm(devcluster::tool(Tool::Helm).expect("helm"));
        let charts = folder.path().join("charts");
        let ran = up(&bench, folder.path(), &["--charts", path(&charts)]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(admin.field("configmap/one -n joined", ".data.key"), "value");
    });
}

#[test]
fn a_program_may_give_a_certificate() {
    let files = Files::new();
    let printed = certificate(&files);
    assert_eq!(runs_until_the_plan_is_made(&files, &printed), 1, "once is enough");
}

/// What a program prints that gives the administrator's certificate.
fn certificate(files: &Files) -> PathBuf {
    let user = &kubeconfig()["users"][0]["user"];
    let pem = |part: &str| {
        let bytes = STANDARD.decode(user[part].as_str().expect("base64")).expect("base64");
        String::from_utf8(bytes).expect("PEM")
    };
    let (certificate, key) = (pem("client-certificate-data"), pem("client-key-data"));
    let printed = json!({"status": {"clientCertificateData": certificate, "clientKeyData": key}});
    files.write("certificate", &printed.to_string())
}

#[test]
fn a_program_is_run_again_when_its_token_runs_out() {
    let token = changing(|admin| {
        admin.kubectl(["create", "serviceaccount", "bearer"]);
        let binding = ["create", "clusterrolebinding", "bearer", "--clusterrole=cluster-admin"];
        admin.kubectl(binding.iter().chain(&["--serviceaccount=default:bearer"]));
        admin.kubectl(["create", "token", "bearer"])
    });
    let files = Files::new();
    let lasting = json!({"kind": "ExecCredential", "status": {"token": token.trim()}});
    let lasting = files.write("lasting", &lasting.to_string());
    assert_eq!(runs_until_the_plan_is_made(&files, &lasting), 1, "once is enough");
    let passing = json!({"status": {"token": token.trim(), "expirationTimestamp": "2020-01-01T00:00:00Z"}});
    let passing = files.write("passing", &passing.to_string());
    let runs = runs_until_the_plan_is_made(&files, &passing);
    assert!(runs > 5, "each request has wanted a token: {runs} runs");
}

#[test]
fn a_program_may_ask_whoever_is_at_the_terminal() {
    let files = Files::new();
    let script = format!(
        "printf 'Password: ' >&2; read word; [ $word = sesame ] && cat '{}'",
        path(&certificate(&files))
    );
    let config = files.write("config", &with_program(&script).to_string());
    let folder = stack("asked", CONFIG_MAP.as_bytes());
    let plan = ["plan", "--stack", path(folder.path())];
    let (code, shown) = unchanged(|_| {
        let mut terminal = Terminal::start(Bench::new(&config).command(&plan), 100);
        terminal.await_text("Password: ");
        terminal.type_line("sesame");
        terminal.end()
    });
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("configmap/one"), "{shown}");
}

/// Makes a plan with a program that prints this file, and counts how often it ran.
fn runs_until_the_plan_is_made(files: &Files, printed: &Path) -> usize {
    let log = files.0.path().join("runs");
    let _ = fs::remove_file(&log);
    let script = format!("echo x >> '{}'; cat '{}'", path(&log), path(printed));
    let config = files.write("config", &with_program(&script).to_string());
    let folder = stack("logins", CONFIG_MAP.as_bytes());
    let plan = ["plan", "--stack", path(folder.path())];
    let ran = unchanged(|_| Bench::new(&config).succeed(&plan));
    assert!(ran.stdout.contains("configmap/one"), "{}", ran.stdout);
    fs::read_to_string(log).expect("it ran").lines().count()
}
