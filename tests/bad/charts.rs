//! Charts that are not what the stack says, or not what a chart is: known before anything is changed.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use devcluster::Tool;
use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use crate::registry::Registry;
use crate::support::{Bench, Ran};
use crate::{CLUSTER, CONFIG_MAP, assert_refused, changing, in_time, path, unchanged, up};

const DESCRIPTION: &str = "apiVersion: v2\nname: demo\nversion: 1.0.0\n";

/// A stack whose one step is a release of the chart `demo` 1.0.0, and a folder for charts beside it.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        Self::with_chart("oci://nowhere.invalid/demo", "")
    }

    fn with_chart(chart: &str, more: &str) -> Self {
        let scene = Self(tempfile::tempdir().expect("a folder"));
        let helm = format!("{{release: demo, chart: '{chart}', version: 1.0.0{more}}}");
        let text = format!("name: charts\nnamespace: charts\nsteps:\n  - {{name: main, helm: {helm}}}\n");
        scene.write("stack.yaml", text.as_bytes());
        scene.write("charts/README", b"Charts.\n");
        scene
    }

    /// With a chart that is a folder and is well.
    fn with_folder() -> Self {
        let scene = Self::new();
        scene.write("charts/demo/Chart.yaml", DESCRIPTION.as_bytes());
        scene.write("charts/demo/templates/one.yaml", CONFIG_MAP.as_bytes());
        scene
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        let file = self.0.path().join(file);
        fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        fs::write(file, bytes).expect("written");
    }

    fn link(&self, from: &str, to: impl AsRef<Path>) {
        symlink(to, self.0.path().join(from)).expect("linked");
    }

    /// Runs `up` with the folder of charts.
    fn up(&self) -> Ran {
        let charts = self.0.path().join("charts");
        unchanged(|_| up(&bench(), self.0.path(), &["--charts", path(&charts)]))
    }
}

/// The command with the real helm.
fn bench() -> Bench {
    Bench::new(&CLUSTER.kubeconfig()).with_helm(devcluster::tool(Tool::Helm).expect("helm"))
}

/// An archive with these files, each a path as it stands and a text.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in files {
        let mut header = header(name, EntryType::Regular);
        header.set_size(text.len() as u64);
        header.set_cksum();
        builder.append(&header, text.as_bytes()).expect("written");
    }
    builder.into_inner().and_then(GzEncoder::finish).expect("written")
}

/// The same with a link at the end.
fn archive_with_link(name: &str, target: &str) -> Vec<u8> {
    let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut file = header("demo/Chart.yaml", EntryType::Regular);
    file.set_size(DESCRIPTION.len() as u64);
    file.set_cksum();
    builder.append(&file, DESCRIPTION.as_bytes()).expect("written");
    let mut link = header(name, EntryType::Symlink);
    link.set_size(0);
    link.set_link_name_literal(target).expect("short");
    link.set_cksum();
    builder.append(&link, std::io::empty()).expect("written");
    builder.into_inner().and_then(GzEncoder::finish).expect("written")
}

/// With the path as it stands: the crate would refuse to write `../x`.
fn header(name: &str, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header
}

#[test]
fn one_that_is_missing() {
    let ran = Scene::new().up();
    assert_refused(
        &ran,
        2,
        &["no chart demo in /", "hint: put it there as demo or demo.tgz or demo-1.0.0.tgz"],
    );
}

#[test]
fn an_archive_that_is_none_or_is_cut_off() {
    let whole = archive(&[("demo/Chart.yaml", DESCRIPTION), ("demo/templates/one.yaml", CONFIG_MAP)]);
    let mut spoiled = whole.clone();
    let checksum = whole.len() - 8;
    spoiled[checksum] ^= 1;
    for (bytes, why) in [
        (&b"no archive"[..], "invalid gzip header"),
        (b"", "unexpected end of file"),
        (&whole[..whole.len() / 2], "incomplete deflate stream"),
        (&whole[..checksum], "unexpected end of file"),
        (&spoiled, "corrupt gzip stream does not have a matching checksum"),
    ] {
        let scene = Scene::new();
        scene.write("charts/demo.tgz", bytes);
        assert_refused(&scene.up(), 2, &["failed to read the chart /", "charts/demo.tgz", why]);
    }
}

#[test]
fn an_archive_that_is_no_chart() {
    let scene = Scene::new();
    for (files, why) in [
        (&[("demo/values.yaml", "a: 1\n")][..], "it has no Chart.yaml"),
        (&[("Chart.yaml", DESCRIPTION)], "Chart.yaml in it is in no folder"),
        (
            &[("demo/Chart.yaml", DESCRIPTION), ("other/Chart.yaml", DESCRIPTION)],
            "it has two files Chart.yaml",
        ),
        (&[("demo/Chart.yaml", "name: demo\n\tversion: 1.0.0\n")], "Chart.yaml:"),
        (&[("demo/Chart.yaml", "name: demo\nversion: 1.0.0\n")], "its Chart.yaml has no apiVersion"),
        (&[("demo/Chart.yaml", "apiVersion: v2\nname: demo\nversion: 1.0\n")], "expected a string"),
    ] {
        scene.write("charts/demo.tgz", &archive(files));
        assert_refused(&scene.up(), 2, &["failed to read the chart /", why]);
    }
}

#[test]
fn an_archive_that_leads_out_of_itself() {
    let scene = Scene::new();
    for name in ["../x", "demo/../../x", "/tmp/x", "demo//tmp/x", "demo/templates/..\\..\\..\\x"] {
        scene.write("charts/demo.tgz", &archive(&[("demo/Chart.yaml", DESCRIPTION), (name, CONFIG_MAP)]));
        assert_refused(&scene.up(), 2, &["failed to read the chart /", "x in it leads out of it"]);
    }
    scene.write("charts/demo.tgz", &archive_with_link("demo/templates/x.yaml", "/etc/hostname"));
    assert_refused(&scene.up(), 2, &["demo/templates/x.yaml in it is neither a file nor a folder"]);
}

#[test]
fn an_archive_that_unpacks_without_end() {
    let mut zeros = GzEncoder::new(Vec::new(), Compression::fast());
    let mut file = header("demo/zeros", EntryType::Regular);
    file.set_size(101 << 20);
    file.set_cksum();
    zeros.write_all(file.as_bytes()).expect("written");
    for _ in 0..101 {
        zeros.write_all(&vec![0; 1 << 20]).expect("written");
    }
    let scene = Scene::new();
    scene.write("charts/demo.tgz", &zeros.finish().expect("written"));
    assert_refused(&scene.up(), 2, &["failed to read the chart /", "it is larger than 100 MiB"]);
}

#[test]
fn a_folder_that_is_no_chart_or_leads_out_of_itself() {
    let scene = Scene::with_folder();
    fs::remove_file(scene.0.path().join("charts/demo/Chart.yaml")).expect("removed");
    assert_refused(&scene.up(), 2, &["failed to read the chart /", "it has no Chart.yaml"]);

    let scene = Scene::with_folder();
    scene.link("charts/demo/templates/two.yaml", "/etc/hostname");
    assert_refused(&scene.up(), 2, &["the link templates/two.yaml in it leads out of it"]);

    let scene = Scene::with_folder();
    scene.link("charts/demo/templates/again", "..");
    assert_refused(&scene.up(), 2, &["the link templates/again in it leads out of it, or round in it"]);

    let scene = Scene::with_folder();
    scene.link("charts/demo/templates/nowhere.yaml", "nowhere");
    assert_refused(&scene.up(), 2, &["failed to read the chart /", "No such file"]);
}

#[test]
fn one_of_another_name_or_version() {
    let scene = Scene::with_folder();
    scene.write("charts/demo/Chart.yaml", DESCRIPTION.replace("demo", "other").as_bytes());
    assert_refused(&scene.up(), 2, &["release demo wants the chart demo 1.0.0, but /", "is other 1.0.0"]);
    scene.write("charts/demo/Chart.yaml", DESCRIPTION.replace("1.0.0", "1.0.1").as_bytes());
    assert_refused(&scene.up(), 2, &["release demo wants the chart demo 1.0.0, but /", "is demo 1.0.1"]);
}

/// Runs `up` on a stack that pins the chart of a registry to a digest.
fn up_from(registry: &Registry, digest: &str) -> Ran {
    let scene = Scene::with_chart(&registry.chart(), &format!(", digest: '{digest}'"));
    let bench = bench();
    let mut command = bench.command(&["up", "--stack", path(scene.0.path())]);
    command.env_remove("BOOTSTRAP_CHARTS").env("SSL_CERT_FILE", registry.authority());
    in_time(|| run(&bench, &mut command))
}

fn run(bench: &Bench, command: &mut Command) -> Ran {
    let began = Instant::now();
    bench.finish(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started"), began)
}

fn chart() -> Vec<u8> {
    archive(&[("demo/Chart.yaml", DESCRIPTION), ("demo/templates/one.yaml", CONFIG_MAP)])
}

#[test]
fn one_that_is_served_as_it_is_pinned() {
    let registry = Registry::start(chart());
    changing(|admin| {
        let ran = up_from(&registry, registry.digest());
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(admin.field("configmap/one -n charts", ".data.key"), "value");
    });
}

#[test]
fn one_whose_digest_differs() {
    let registry = Registry::start(chart());
    let other = format!("sha256:{}", "0".repeat(64));
    let ran = unchanged(|_| up_from(&registry, &other));
    let (chart, digest) = (registry.chart(), registry.digest());
    let failed = format!("failed to fetch the chart {chart}@{other} 1.0.0");
    let differs = format!("chart reference digest mismatch: {digest} is not {other}");
    let hint = format!("hint: helm pull {chart}@{other} --version 1.0.0");
    assert_refused(&ran, 3, &[&failed, &differs, &hint]);
}

#[test]
fn one_whose_content_is_not_that_of_its_digest() {
    let mut registry = Registry::start(chart());
    registry
        .spoil(archive(&[("demo/Chart.yaml", DESCRIPTION), ("demo/templates/one.yaml", "spoiled: true\n")]));
    let ran = unchanged(|_| up_from(&registry, registry.digest()));
    assert_refused(&ran, 3, &["failed to fetch the chart oci://127.0.0.1", "mismatch"]);
}

#[test]
fn one_that_a_registry_gives_in_place_of_another() {
    let registry = Registry::start(archive(&[("demo/Chart.yaml", &DESCRIPTION.replace("1.0.0", "2.0.0"))]));
    let ran = unchanged(|_| up_from(&registry, registry.digest()));
    assert_refused(
        &ran,
        3,
        &["release demo wants the chart demo 1.0.0, but oci://127.0.0.1:", "/demo is demo 2.0.0"],
    );
    let registry = Registry::start(archive(&[("demo/Chart.yaml", DESCRIPTION), ("../../x", CONFIG_MAP)]));
    let ran = unchanged(|_| up_from(&registry, registry.digest()));
    assert_refused(&ran, 3, &["failed to read the chart oci://127.0.0.1:", "../../x in it leads out of it"]);
}

#[test]
fn a_registry_that_is_not_there() {
    let scene = Scene::with_chart("oci://127.0.0.1:1/demo", "");
    let bench = bench();
    let mut command = bench.command(&["up", "--stack", path(scene.0.path())]);
    command.env_remove("BOOTSTRAP_CHARTS");
    let ran = unchanged(|_| in_time(|| run(&bench, &mut command)));
    assert_refused(
        &ran,
        3,
        &["failed to fetch the chart oci://127.0.0.1:1/demo 1.0.0", "connection refused"],
    );
}

#[test]
fn a_registry_that_never_answers() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let chart = format!("oci://{}/demo", silent.local_addr().expect("bound"));
    let scene = Scene::with_chart(&chart, "");
    let bench = bench();
    let mut command = bench.command(&["up", "--stack", path(scene.0.path()), "--timeout", "4s"]);
    command.env_remove("BOOTSTRAP_CHARTS");
    let ran = unchanged(|_| in_time(|| run(&bench, &mut command)));
    let waiting = format!("waiting for helm to fetch the chart {chart} 1.0.0");
    let failed = format!("failed to fetch the chart {chart} 1.0.0 within ");
    let hint = format!("hint: helm pull {chart} --version 1.0.0");
    assert_refused(&ran, 3, &[&waiting, &failed, "; --charts DIR takes it from a folder", &hint]);
}
