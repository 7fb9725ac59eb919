//! Streams that nobody reads, that are closed, or that lead to a full disk: the work is done, or its failure told, without a
//! panic.

use std::fs::OpenOptions;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support::{Bench, Ran};
use crate::{CONFIG_MAP, assert_refused, changing, in_time, nowhere, path, stack, unchanged};

/// Where a stream leads.
#[derive(Clone, Copy)]
enum To {
    /// Here.
    Us,
    /// To a reader that has gone away.
    Nobody,
    /// To a disk that is full.
    FullDisk,
}

impl To {
    fn stream(self) -> Stdio {
        match self {
            Self::Us => Stdio::piped(),
            Self::Nobody => std::io::pipe().expect("a pipe").1.into(),
            Self::FullDisk => OpenOptions::new().write(true).open("/dev/full").expect("the device").into(),
        }
    }
}

/// Runs a command with its output and its words led there.
fn run(bench: &Bench, command: &mut Command, output: To, words: To) -> Ran {
    let began = Instant::now();
    let child = command.stdout(output.stream()).stderr(words.stream()).spawn().expect("started");
    bench.finish(child, began)
}

/// Asserts that the command has done its work and has nothing to complain of.
fn assert_well(ran: &Ran, what: &str) {
    assert_eq!(ran.code, 0, "{what}: {}", ran.stderr);
    assert!(!ran.stderr.contains("error: ") && !ran.stderr.contains("panicked"), "{what}: {}", ran.stderr);
}

#[test]
fn whoever_reads_only_the_beginning_of_what_is_printed_ends_nothing() {
    let folder = stack("streams", CONFIG_MAP.as_bytes());
    let stack = path(folder.path());
    let offline = [&["render", "--stack", stack][..], &["render"], &["completions", "bash"], &["--help"]];
    for arguments in offline {
        let bench = nowhere();
        assert_well(&run(&bench, &mut bench.command(arguments), To::Nobody, To::Us), &arguments.join(" "));
    }
    for verb in ["plan", "check", "status"] {
        let ran =
            unchanged(|bench| run(bench, &mut bench.command(&[verb, "--stack", stack]), To::Nobody, To::Us));
        assert_well(&ran, verb);
    }
}

#[test]
fn up_does_its_work_though_nobody_reads_its_events_or_its_words() {
    changing(|bench| {
        for (name, output, words) in [("unread", To::Nobody, To::Us), ("unheard", To::Us, To::Nobody)] {
            let folder = stack(name, CONFIG_MAP.as_bytes());
            let up = ["up", "-o", "json", "--stack", path(folder.path())];
            let ran = run(bench, &mut bench.command(&up), output, words);
            assert_well(&ran, name);
            assert_eq!(bench.field(&format!("configmap/one -n {name}"), ".data.key"), "value");
        }
    });
}

#[test]
fn up_does_its_work_with_all_its_streams_closed() {
    changing(|bench| {
        let folder = stack("closed", CONFIG_MAP.as_bytes());
        let up = bench.command(&["up", "-o", "json", "--stack", path(folder.path())]);
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec \"$@\" <&- >&- 2>&-", "sh"]).arg(up.get_program()).args(up.get_args());
        for (name, value) in up.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        assert_well(&run(bench, &mut shell, To::Us, To::Us), "closed");
        assert_eq!(bench.field("configmap/one -n closed", ".data.key"), "value");
    });
}

#[test]
fn a_full_disk_is_told() {
    let folder = stack("full", CONFIG_MAP.as_bytes());
    let arguments = ["render", "--stack", path(folder.path())];
    let bench = nowhere();
    let ran = in_time(|| run(&bench, &mut bench.command(&arguments), To::FullDisk, To::Us));
    assert_refused(&ran, 1, &["No space left on device"]);
    let ran = run(&bench, &mut bench.command(&arguments), To::FullDisk, To::FullDisk);
    assert_eq!(ran.code, 1);

    changing(|bench| {
        let up = ["up", "-o", "json", "--stack", path(folder.path())];
        let ran = run(bench, &mut bench.command(&up), To::FullDisk, To::Us);
        assert_well(&ran, "up");
        assert_eq!(ran.stderr.matches("warning: events are lost: ").count(), 1, "{}", ran.stderr);
        assert_eq!(bench.field("configmap/one -n full", ".data.key"), "value");
    });
}
