//! Stacks that do not validate: each is refused before any cluster is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::{CONFIG_MAP, assert_refused, in_time, nowhere, path, refused, stack, up};

#[test]
fn every_folder_of_stacks_is_refused_with_what_is_wrong_and_where() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let table = fs::read_to_string(root.join("cases.yaml")).expect("the table");
    let cases: BTreeMap<String, Vec<String>> =
        bootstrap::yaml::document("cases.yaml", &table).expect("valid");
    let there: BTreeSet<String> = fs::read_dir(root.join("stacks"))
        .expect("the folders")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(there, cases.keys().cloned().collect(), "each folder has a line, and each line a folder");

    let complaints = cases.iter().filter_map(|(name, words)| {
        let ran = up(&nowhere(), &root.join("stacks").join(name), &[]);
        let complaint = refused(&ran, 2, words).err()?;
        Some(format!("{name}: {complaint}\n{}", ran.stderr))
    });
    let complaints: Vec<_> = complaints.collect();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}

#[test]
fn a_file_of_ten_megabytes() {
    let folder = stack("large", &vec![b'#'; 10 << 20]);
    let ran = up(&nowhere(), folder.path(), &[]);
    assert_refused(&ran, 2, &["failed to read main.yaml of the stack: it is larger than 4 MiB"]);
}

#[test]
fn a_mark_that_says_utf_8_is_no_part_of_the_text() {
    let plain = stack("marked", CONFIG_MAP.as_bytes());
    let marked = stack("marked", format!("\u{feff}{CONFIG_MAP}").as_bytes());
    let text = fs::read_to_string(plain.path().join("stack.yaml")).expect("written");
    fs::write(marked.path().join("stack.yaml"), format!("\u{feff}{text}")).expect("written");
    let render = |folder: &Path| nowhere().succeed(&["render", "--stack", path(folder)]).stdout;
    assert_eq!(render(marked.path()), render(plain.path()));

    fs::write(marked.path().join("main.yaml"), format!("\u{feff}{CONFIG_MAP}y: top\n")).expect("written");
    assert_refused(&up(&nowhere(), marked.path(), &[]), 2, &["main.yaml:5:1: kubectl reads the key `y`"]);
}

#[test]
fn a_file_that_is_no_text_in_utf_8() {
    let utf_16: Vec<u8> =
        "\u{feff}".encode_utf16().chain(CONFIG_MAP.encode_utf16()).flat_map(u16::to_le_bytes).collect();
    for bytes in [&utf_16[..], b"\x7fELF\x02\x01\x01\x00\xff\xfe"] {
        let folder = stack("no-text", bytes);
        let ran = up(&nowhere(), folder.path(), &[]);
        assert_refused(&ran, 2, &["failed to read main.yaml of the stack: it is no text in UTF-8"]);
    }
}

#[test]
fn a_link_that_leaves_the_folder() {
    let outside = tempfile::NamedTempFile::new().expect("a file");
    fs::write(outside.path(), CONFIG_MAP).expect("written");
    let folder = stack("linked", b"");
    fs::remove_file(folder.path().join("main.yaml")).expect("removed");
    symlink(outside.path(), folder.path().join("main.yaml")).expect("linked");
    let ran = up(&nowhere(), folder.path(), &[]);
    assert_refused(
        &ran,
        2,
        &["stack.yaml:4:30: step `main` names `main.yaml`, which leaves the stack's folder"],
    );

    // The same in a folder that is named as a whole.
    let text = "name: linked\nnamespace: linked\nsteps:\n  - {name: main, manifests: [all/]}\n";
    fs::write(folder.path().join("stack.yaml"), text).expect("written");
    fs::create_dir(folder.path().join("all")).expect("made");
    symlink(outside.path(), folder.path().join("all/one.yaml")).expect("linked");
    let ran = up(&nowhere(), folder.path(), &[]);
    assert_refused(&ran, 2, &["failed to read all/one.yaml of the stack: it leaves the stack's folder"]);
}

#[test]
fn a_link_to_itself() {
    let folder = stack("circular", b"");
    fs::remove_file(folder.path().join("main.yaml")).expect("removed");
    symlink("main.yaml", folder.path().join("main.yaml")).expect("linked");
    let ran = up(&nowhere(), folder.path(), &[]);
    assert_refused(&ran, 2, &["names `main.yaml`, which cannot be read: Too many levels of symbolic links"]);
}

#[test]
fn a_pipe_that_nobody_writes_to() {
    let folder = stack("pipe", b"");
    fs::remove_file(folder.path().join("main.yaml")).expect("removed");
    mkfifoat(CWD, folder.path().join("main.yaml"), Mode::RUSR | Mode::WUSR).expect("made");
    let ran = up(&nowhere(), folder.path(), &[]);
    assert_refused(&ran, 2, &["failed to read main.yaml of the stack: it is no file"]);
}

#[test]
fn a_folder_that_is_none() {
    let ran = up(&nowhere(), Path::new("/nowhere/stack"), &[]);
    assert_refused(&ran, 2, &["failed to open the stack folder /nowhere/stack", "No such file"]);
    let file = tempfile::NamedTempFile::new().expect("a file");
    let ran = up(&nowhere(), file.path(), &[]);
    assert_refused(&ran, 2, &["failed to read stack.yaml of the stack", "Not a directory"]);
}

#[test]
fn down_needs_no_more_of_a_stack_than_name_and_namespace() {
    let folder = tempfile::tempdir().expect("a folder");
    let down = |text: &str| {
        fs::write(folder.path().join("stack.yaml"), text).expect("written");
        in_time(|| nowhere().run(&["down", "--stack", path(folder.path())]))
    };
    for rest in ["", "steps: []\n", "steps: [{name: main, manifest: [gone.yaml]}]\n", "more: none\n"] {
        let ran = down(&format!("name: broken\nnamespace: broken\n{rest}"));
        assert_refused(&ran, 3, &["there is no kubeconfig"]);
    }
    for (text, words) in [
        ("name: broken\n", "stack.yaml:1:1: missing field `namespace`"),
        ("name: broken\nnamespace: Not_One\n", "stack.yaml:2:12: `Not_One` is no name"),
        ("name: broken\nnamespace: broken\nsteps: [\n", "stack.yaml:3:8: unclosed bracket"),
    ] {
        assert_refused(&down(text), 2, &[words]);
    }
}

#[test]
fn a_secret_that_is_written_in_the_wrong_place_is_not_told() {
    let folder = stack("indiscreet", b"");
    let up_with = |data: &str| {
        let step = format!("{{name: main, secret: {{name: s, data: {data}}}}}");
        let text = format!("name: indiscreet\nnamespace: indiscreet\nsteps:\n  - {step}\n");
        fs::write(folder.path().join("stack.yaml"), text).expect("written");
        up(&nowhere(), folder.path(), &[])
    };
    for (data, words) in [
        ("{password: never-told}", "stack.yaml:4:53: one of value, random is wanted here"),
        ("{password: {value: [never-told]}}", "stack.yaml:4:61: a string is wanted here"),
        ("{password: {random: never-told}}", "stack.yaml:4:62: "),
        ("{password: [never-told]}", "stack.yaml:4:53: "),
        ("never-told", "stack.yaml:4:42: a mapping is wanted here"),
    ] {
        let ran = up_with(data);
        assert_refused(&ran, 2, &[words]);
        assert!(!ran.stderr.contains("never-told"), "{}", ran.stderr);
    }
}

#[test]
fn a_secret_that_holds_no_strings_is_refused_and_not_told() {
    let secret = |held: &str| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\n{held}\n");
    for (held, words) in [
        ("stringData: {user: me, pin: 271828}", "stringData.pin is no string; put it in quotes"),
        ("data: {pin: 271828}", "data.pin is no string; put it in quotes"),
        ("stringData: {pin: [271828]}", "stringData.pin is no string"),
        ("stringData: 271828", "stringData is no mapping"),
    ] {
        let folder = stack("numbers", secret(held).as_bytes());
        let ran = up(&nowhere(), folder.path(), &[]);
        assert_refused(&ran, 2, &[&format!("main.yaml:1:1: secret/s: {words}")]);
        assert!(!ran.stderr.contains("271828"), "{}", ran.stderr);
    }
}
