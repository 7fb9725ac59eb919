//! Options that come from the environment, and arguments that lead nowhere.

use std::fs;
use std::time::Duration;

use crate::support::Ran;
use crate::{assert_refused, in_time, nowhere, path};

/// Writes the built-in stack to a folder of its own, with a variable of this value.
fn eject_with(variable: &str, value: &str, more: &[&str]) -> Ran {
    let folder = tempfile::tempdir().expect("a folder");
    let bench = nowhere();
    let mut command = bench.command(&[&["eject", path(folder.path())], more].concat());
    let output = command.env(variable, value).output().expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    Ran { code: output.status.code().unwrap_or(-1), stdout, stderr, took: Duration::ZERO }
}

#[test]
fn a_variable_says_yes_or_no_in_any_of_the_usual_words() {
    for (value, is_quiet) in [
        ("1", true),
        ("true", true),
        ("yes", true),
        ("0", false),
        ("false", false),
        ("no", false),
        ("", false),
    ] {
        let ran = eject_with("BOOTSTRAP_QUIET", value, &[]);
        assert_eq!((ran.code, ran.stderr.is_empty()), (0, is_quiet), "{value:?}: {}", ran.stderr);
    }
    // No is no contradiction.
    let ran = eject_with("BOOTSTRAP_QUIET", "0", &["-v"]);
    assert_eq!((ran.code, ran.stderr.is_empty()), (0, false), "{}", ran.stderr);
}

#[test]
fn every_option_that_is_no_more_than_a_yes_is_read_so() {
    for (variable, arguments) in [
        ("BOOTSTRAP_VERBOSE", &["up"][..]),
        ("BOOTSTRAP_WAIT_LOCK", &["up"]),
        ("BOOTSTRAP_WAIT_LOCK", &["down"]),
        ("BOOTSTRAP_WAIT_LOCK", &["credentials"]),
        ("BOOTSTRAP_DRY_RUN", &["down"]),
        ("BOOTSTRAP_EXIT_CODE", &["plan"]),
    ] {
        for value in ["1", "0", "on", ""] {
            let mut command = nowhere().command(arguments);
            let output = command.env(variable, value).output().expect("the command starts");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(3), "{variable}={value} {arguments:?}: {said}");
        }
    }
}

#[test]
fn a_folder_to_write_to_that_is_a_file_or_below_one() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let message = format!("failed to open the folder {}; nothing was written", file.path().display());
    for folder in [file.path(), &file.path().join("my/stack")] {
        let ran = in_time(|| nowhere().run(&["eject", path(folder)]));
        assert_refused(&ran, 2, &[&message, "Not a directory"]);
    }
}

#[test]
fn a_folder_to_write_to_that_has_something_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("alloy"), "").expect("written");
    let ran = in_time(|| nowhere().run(&["eject", path(folder.path())]));
    assert_refused(&ran, 2, &["is not empty; nothing was written", "hint: bootstrap eject "]);
    assert_eq!(fs::read_dir(folder.path()).expect("there").count(), 1);
}

#[test]
fn a_time_that_is_none_or_without_end() {
    for (value, words) in [("soon", "expected number"), ("10000000000000000000s", "it is longer than a year")]
    {
        for verb in ["up", "down", "verify", "credentials"] {
            let ran = nowhere().run(&[verb, "--timeout", value]);
            assert_refused(&ran, 2, &["invalid value", "--timeout", words]);
        }
    }
}
