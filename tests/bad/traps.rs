//! Spellings that the versions of YAML read differently, each as a value and as a key: a manifest means what it means to
//! kubectl, or is refused.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::{assert_refused, in_time, nowhere, path, stack, up};

#[test]
fn a_manifest_means_what_it_means_to_kubectl_or_is_refused() {
    let (written, rendered) =
        (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut refused = 0;
    for (number, spelling) in include_str!("spellings.txt").lines().enumerate() {
        let folder = stack("traps", b"");
        for (kind, data) in [("value", format!("key: {spelling}")), ("key", format!("{spelling}: value"))] {
            let name = format!("{kind}-{number}");
            let text =
                format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}}}\ndata:\n  {data}\n");
            fs::write(folder.path().join("main.yaml"), &text).expect("written");
            let ran = in_time(|| nowhere().run(&["render", "--stack", path(folder.path())]));
            if ran.code == 0 {
                let file = format!("{name}.yaml");
                fs::write(written.path().join(&file), text).expect("written");
                fs::write(rendered.path().join(&file), ran.stdout).expect("written");
            } else {
                assert_refused(&ran, 2, &["error: main.yaml:5:"]);
                refused += 1;
            }
        }
    }
    assert_eq!(read_by_kubectl(rendered.path()), read_by_kubectl(written.path()));
    assert!((50..100).contains(&refused), "{refused} are refused");
}

/// The data of each ConfigMap of a folder.
fn read_by_kubectl(folder: &Path) -> BTreeMap<String, Value> {
    let text = nowhere().kubectl(["label", "--local", "-o=json", "-f", path(folder), "read=by-kubectl"]);
    let objects =
        serde_json::Deserializer::from_str(&text).into_iter::<Value>().map(|object| object.expect("JSON"));
    objects.map(|object| (object["metadata"]["name"].to_string(), object["data"].clone())).collect()
}

#[test]
fn a_mode_is_octal_and_a_word_is_true() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  hostNetwork: yes\n  volumes:\n  - {name: v, secret: \
               {secretName: s, defaultMode: 0400}}\n";
    let folder = stack("modes", pod.as_bytes());
    let rendered = nowhere().succeed(&["render", "--stack", path(folder.path())]).stdout;
    assert!(rendered.contains("hostNetwork: true") && rendered.contains("defaultMode: 256"), "{rendered}");
}

#[test]
fn a_name_or_version_in_the_stack_stays_as_it_is_spelled() {
    let folder = stack("spelled", b"");
    let text = "name: on\nnamespace: 0644\nsteps:\n  - {name: yes, helm: {release: r, chart: 'oci://nowhere.invalid/c', \
                version: 1.10}}\n";
    fs::write(folder.path().join("stack.yaml"), text).expect("written");
    let rendered = nowhere().succeed(&["render", "--stack", path(folder.path())]).stdout;
    assert!(rendered.contains("step yes\n") && rendered.contains(", version 1.10\n"), "{rendered}");
    assert_refused(&up(&nowhere(), folder.path(), &[]), 3, &["kubeconfig"]);
}
