//! The embedded stack on a real node: a kubelet, containerd, helm; only the stack's own images are stand-ins where no
//! registry answers. Needs root on Linux; elsewhere every test is listed as ignored, with the reason.
//!
//! The tests share one node and run one after the other, so this target has a runner of its own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use devcluster::{Node, Progress, Source, Tool};
use libtest_mimic::{Arguments, Trial};

use crate::support::Bench;

mod again;
mod down;
mod dump;
mod fresh;
mod interrupted;
mod secrecy;
#[path = "../support/mod.rs"]
mod support;

/// What every test gets.
pub(crate) struct World {
    pub(crate) bench: Bench,
    /// Where the helm of [`Bench`] writes down how it was started.
    pub(crate) helm_log: PathBuf,
    folder: tempfile::TempDir,
}

type Scenario = (&'static str, fn(&World));

/// In this order: each finds what the one before left, or cleans up first.
const SCENARIOS: &[Scenario] = &[
    ("fresh_up_brings_every_object_and_every_pod_is_ready", fresh::up_brings_everything),
    ("second_up_changes_nothing_and_says_so_in_one_line", again::second_up_changes_nothing),
    ("a_scaled_deployment_is_scaled_back_and_the_hand_is_named", again::drift_is_taken_back),
    ("a_deleted_object_of_a_release_is_put_back", again::missing_object_is_put_back),
    ("a_changed_config_map_restarts_its_reader_alone", again::configuration_restarts_its_reader),
    ("down_keeps_the_volumes_for_the_next_up", down::volumes_survive),
    ("down_with_purge_leaves_the_cluster_as_it_was", down::nothing_is_left),
    ("the_installable_storage_class_is_installed_on_request", down::openebs_comes_and_goes),
    ("a_namespace_and_secret_that_were_there_are_kept", down::foreign_namespace_is_kept),
    ("one_of_two_runs_is_refused_and_names_the_other", interrupted::second_run_is_refused),
    ("ctrl_c_ends_cleanly_and_the_next_up_finishes", interrupted::ctrl_c),
    ("a_timeout_names_each_object_and_why_its_pods_wait", interrupted::timeout_explains),
    ("up_after_a_kill_at_ten_moments_ends_well", interrupted::killed_at_ten_moments),
    ("helm_3_works_as_well", fresh::helm_3_works),
    ("the_password_is_nowhere_to_be_seen", secrecy::password_is_nowhere),
];

#[expect(clippy::print_stderr, reason = "a test that did not run is to be seen")]
fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    if let Some(reason) = why_not() {
        for (name, _) in SCENARIOS {
            eprintln!("SKIPPED {name}: {reason}");
        }
        let ignored = SCENARIOS.iter().map(|(name, _)| Trial::test(*name, || Ok(())).with_ignored_flag(true));
        return libtest_mimic::run(&arguments, ignored.collect()).exit_code();
    }
    if arguments.list {
        let listed = SCENARIOS.iter().map(|(name, _)| Trial::test(*name, || Ok(())));
        return libtest_mimic::run(&arguments, listed.collect()).exit_code();
    }
    let node = Node::new("node-test", Path::new(Node::STATE), Progress::stderr()).expect("a name");
    // Whatever an earlier run that was killed has left.
    node.down().expect("the node before is taken down");
    let up = node.up().and_then(|()| {
        let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
        node.load_stack(&manifests, Source::default())
    });
    let ended = up.map(|()| {
        let world = Arc::new(World::new(&node));
        let trials = SCENARIOS.iter().map(|(name, scenario)| {
            let world = Arc::clone(&world);
            Trial::test(*name, move || {
                scenario(&world);
                Ok(())
            })
        });
        libtest_mimic::run(&arguments, trials.collect())
    });
    node.down().expect("the node is taken down");
    ended.expect("the node comes up").exit_code()
}

fn why_not() -> Option<&'static str> {
    if !cfg!(target_os = "linux") {
        Some("a node needs Linux")
    } else if !rustix::process::geteuid().is_root() {
        Some("a node needs root")
    } else {
        None
    }
}

impl World {
    fn new(node: &Node) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let helm_log = folder.path().join("helm.log");
        let helm = recording(folder.path(), Tool::Helm, &helm_log);
        Self { bench: Bench::new(&node.kubeconfig()).with_helm(helm), helm_log, folder }
    }

    /// A helm of another major version, which writes down how it was started, too.
    pub(crate) fn helm(&self, tool: Tool) -> PathBuf {
        recording(self.folder.path(), tool, &self.helm_log)
    }

    /// The pods of the stack, those on their way out left aside: name, uid and restarts of each.
    pub(crate) fn pods(&self) -> String {
        let fields = "{.metadata.deletionTimestamp}|{.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}";
        let path = format!("-o=jsonpath={{range .items[*]}}{fields}{{'\\n'}}{{end}}");
        let all = self.bench.kubectl(["get", "pods", "-n", "monitoring", &path]);
        let staying = all.lines().filter_map(|line| line.strip_prefix('|'));
        staying.map(|line| format!("{line}\n")).collect::<Vec<_>>().concat()
    }

    /// The revisions of all releases, one Secret each.
    pub(crate) fn revisions(&self) -> String {
        self.bench.kubectl(["get", "secrets", "-A", "-l", "owner=helm", "-o=name"])
    }

    /// Takes everything away, so that the next `up` is a fresh one.
    pub(crate) fn clean(&self) {
        self.bench.succeed(&["down", "--purge-data"]);
    }
}

/// The real helm, behind a script that writes down its arguments and its environment.
fn recording(folder: &Path, tool: Tool, log: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let helm = devcluster::tool(tool).expect("helm");
    let script = folder.join(format!("{tool:?}").to_lowercase());
    let (log, helm) = (log.display(), helm.display());
    std::fs::write(
        &script,
        format!("#!/bin/sh\n{{ echo \"$0 $*\"; env; }} >> '{log}'\nexec '{helm}' \"$@\"\n"),
    )
    .expect("written");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("made executable");
    script
}
