//! Files that their program can check without a cluster.

use std::io::{ErrorKind, Write as _};
use std::process::{Command, Stdio};

use devcluster::Tool;

use crate::{manifest, succeed};

const ALLOY_CONFIG: &str = "alloy/config.alloy";

#[test]
fn promtool_accepts_prometheus_configuration() {
    let file = manifest("prometheus/prometheus.yml");
    succeed(Tool::Promtool, ["check".as_ref(), "config".as_ref(), file.as_os_str()]);
}

#[test]
fn loki_accepts_its_configuration() {
    let file = format!("-config.file={}", manifest("loki/local-config.yaml").display());
    succeed(Tool::Loki, ["-verify-config", &file]);
}

#[test]
fn alloys_parser_reads_its_configuration_and_its_printer_would_write_the_same() {
    let file = manifest(ALLOY_CONFIG);
    let printed = succeed(Tool::AlloySyntax, [&file]);
    assert_eq!(printed, std::fs::read_to_string(&file).expect("the file"));
}

/// Alloy knows its components and their arguments, which the parser alone does not; it cannot be built from its module.
#[test]
fn alloy_itself_accepts_its_configuration() {
    for arguments in [&["validate"][..], &["fmt", "-t"]] {
        let file = manifest(ALLOY_CONFIG);
        match Command::new("alloy").args(arguments).arg(file).stdin(Stdio::null()).output() {
            Ok(output) => {
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "alloy {}: {stderr}", arguments.join(" "));
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let name = "alloy_itself_accepts_its_configuration";
                // Not by a macro: the harness would swallow it.
                writeln!(std::io::stderr(), "SKIPPED {name}: no command alloy").expect("stderr");
                return;
            }
            Err(error) => panic!("alloy does not start: {error}"),
        }
    }
}
