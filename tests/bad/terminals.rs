//! Terminals that are narrow, or that want no colour.

use crate::support::terminal::Terminal;
use crate::{CONFIG_MAP, changing, path, stack, unchanged};

/// Never ready: nothing runs on a control plane.
const NEVER_READY: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: never-ready}\nspec:\n  selector: \
                           {matchLabels: {app: x}}\n  template:\n    metadata: {labels: {app: x}}\n    spec: \
                           {containers: [{name: main, image: nothing}]}\n";

/// What begins a change of colour or weight.
fn is_coloured(shown: &str) -> bool {
    shown.split("\u{1b}[").skip(1).any(|rest| {
        rest.trim_start_matches(|part: char| part.is_ascii_digit() || part == ';').starts_with('m')
    })
}

/// What stands on a terminal of so many columns after all this was written to it, scrolled away or not.
fn screen(shown: &str, columns: u16) -> String {
    let mut terminal = vt100::Parser::new(2000, columns, 0);
    terminal.process(shown.as_bytes());
    terminal.screen().contents()
}

#[test]
fn twenty_columns_are_enough_for_a_plan_and_for_an_error() {
    let folder = stack("narrow-plan", CONFIG_MAP.as_bytes());
    let (code, shown) = unchanged(|bench| {
        Terminal::start(bench.command(&["plan", "--stack", path(folder.path())]), 20).end()
    });
    assert_eq!(code, 0, "{shown}");
    assert!(screen(&shown, 20).replace('\n', "").contains("configmap/one"), "{shown}");

    let folder = stack("narrow-error", b"- 1\n");
    let mut command = crate::nowhere().command(&["up", "--stack", path(folder.path())]);
    command.env_remove("NO_COLOR");
    let (code, shown) = Terminal::start(command, 20).end();
    assert_eq!(code, 2, "{shown}");
    let screen = screen(&shown, 20);
    let words = screen.split_whitespace().collect::<Vec<_>>().join(" ");
    let error = "error: main.yaml:1:1: an object wants apiVersion, kind and metadata.name";
    assert_eq!(words.matches(error).count(), 1, "{screen}");
}

#[test]
fn live_lines_leave_nothing_behind_on_twenty_columns() {
    let folder = stack("narrow", (CONFIG_MAP.to_owned() + "---\n" + NEVER_READY).as_bytes());
    let up = ["up", "--timeout", "10s", "--stack", path(folder.path())];
    let (code, shown) = changing(|bench| Terminal::start(bench.command(&up), 20).end());
    assert_eq!(code, 6, "{shown}");
    let spinners =
        |text: &str| text.chars().filter(|glyph| ('\u{2800}'..='\u{28ff}').contains(glyph)).count();
    assert!(spinners(&shown) > 5, "live lines were drawn: {shown}");
    let screen = screen(&shown, 20);
    assert_eq!(spinners(&screen), 0, "{screen}");
    for begins in ["error:", "hint:", "✗ main "] {
        assert_eq!(screen.lines().filter(|line| line.starts_with(begins)).count(), 1, "{begins:?}: {screen}");
    }
}

#[test]
fn without_leave_to_colour_nothing_is_coloured() {
    let folder = stack("colours", CONFIG_MAP.as_bytes());
    let shown = |variable: Option<(&str, &str)>, more: &[&str]| {
        let (code, shown) = unchanged(|bench| {
            let plan = [&["plan", "--stack", path(folder.path())], more].concat();
            let mut command = bench.command(&plan);
            command.env_remove("NO_COLOR").envs(variable);
            Terminal::start(command, 100).end()
        });
        assert_eq!(code, 0, "{shown}");
        shown
    };
    assert!(is_coloured(&shown(None, &[])), "colour is what a terminal gets otherwise");
    assert!(!is_coloured(&shown(None, &["--color", "never"])));
    for (name, value) in [("BOOTSTRAP_COLOR", "never"), ("NO_COLOR", "1"), ("NO_COLOR", "false")] {
        assert!(!is_coloured(&shown(Some((name, value)), &[])), "{name}={value}");
    }
    let dumb = shown(Some(("TERM", "dumb")), &[]);
    assert!(!dumb.contains('\u{1b}'), "{dumb}");
}

#[test]
fn a_dumb_terminal_gets_plain_lines() {
    let folder = stack("dumb", NEVER_READY.as_bytes());
    let (code, shown) = changing(|bench| {
        let mut command = bench.command(&["up", "--timeout", "10s", "--stack", path(folder.path())]);
        command.env_remove("NO_COLOR").env("TERM", "dumb");
        Terminal::start(command, 100).end()
    });
    assert_eq!(code, 6, "{shown}");
    assert!(!shown.contains('\u{1b}') && shown.contains("main  failed: "), "{shown}");
}
