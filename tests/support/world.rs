//! Scenarios on real nodes: kubelets, containerds, helm, and the stack's own programs, built here; only Alloy and Grafana are
//! stand-ins. Needs root on Linux; elsewhere every scenario is listed as ignored, with the reason.
//!
//! The scenarios of a target share one cluster and run one after the other, so these targets have a runner of their own.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use devcluster::{Cluster, Identity, Progress, Source, Tool};
use libtest_mimic::{Arguments, Conclusion, Trial};

use super::Bench;

/// What every scenario gets.
pub(crate) struct World {
    pub(crate) bench: Bench,
    /// Where the helm of [`Bench`] writes down how it was started.
    pub(crate) helm_log: PathBuf,
    /// Every request that the API server has answered, a line of JSON each.
    pub(crate) audit_log: PathBuf,
    cluster: Cluster,
    folder: tempfile::TempDir,
}

/// A name that says what holds, and what shows it.
pub(crate) type Scenario = (&'static str, fn(&World));

/// The cluster that a target's scenarios share.
pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) nodes: u8,
    /// The folders whose images it has.
    pub(crate) stacks: &'static [&'static str],
}

/// Runs scenarios in their order on a cluster that is made for them, and taken away after them.
#[expect(clippy::print_stderr, reason = "how long each took is to be seen")]
pub(crate) fn run(site: &Site, scenarios: &'static [Scenario]) -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let names: Vec<_> = scenarios.iter().map(|(name, _)| (*name).to_owned()).collect();
    let conclusion = on_cluster(site, &arguments, &names, |cluster| {
        let world = Arc::new(World::new(cluster));
        let trials = scenarios.iter().map(|(name, scenario)| {
            let world = Arc::clone(&world);
            Trial::test(*name, move || {
                let began = Instant::now();
                scenario(&world);
                eprintln!("{name}: {:.1} s", began.elapsed().as_secs_f32());
                Ok(())
            })
        });
        trials.collect()
    });
    conclusion.exit_code()
}

/// Runs trials of these names on a cluster that is made for them, and taken away after them.
#[expect(clippy::print_stderr, reason = "what did not run is to be seen")]
pub(crate) fn on_cluster(
    site: &Site,
    arguments: &Arguments,
    names: &[String],
    trials: impl FnOnce(&Cluster) -> Vec<Trial>,
) -> Conclusion {
    let idle = |name: &String| Trial::test(name, || Ok(()));
    if let Some(reason) = why_not() {
        for name in names {
            eprintln!("SKIPPED {name}: {reason}");
        }
        let ignored = names.iter().map(|name| idle(name).with_ignored_flag(true));
        return libtest_mimic::run(arguments, ignored.collect());
    }
    if arguments.list {
        return libtest_mimic::run(arguments, names.iter().map(idle).collect());
    }
    let cluster = Cluster::new(site.name, Path::new(Cluster::STATE), Progress::stderr())
        .and_then(|cluster| cluster.with_audit_log().with_nodes(site.nodes))
        .expect("a name and a number");
    // Whatever an earlier run that was killed has left.
    cluster.down().expect("the cluster before is taken down");
    let up = cluster.up().and_then(|()| {
        let folder = |stack| Path::new(env!("CARGO_MANIFEST_DIR")).join(stack);
        site.stacks.iter().try_for_each(|stack| cluster.load_stack(&folder(stack), Source::Built))
    });
    let ended = up.map(|()| libtest_mimic::run(arguments, trials(&cluster)));
    cluster.down().expect("the cluster is taken down");
    ended.expect("the cluster comes up")
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
    fn new(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let helm_log = folder.path().join("helm.log");
        let helm = recording(folder.path(), Tool::Helm, &helm_log);
        let audit_log = cluster.audit_log();
        let bench = Bench::new(&cluster.kubeconfig()).with_helm(helm);
        Self { bench, helm_log, audit_log, cluster: cluster.clone(), folder }
    }

    /// The command as somebody else runs it.
    pub(crate) fn bench_of(&self, user: &str) -> Bench {
        let kubeconfig = self.cluster.kubeconfig_for(&Identity::user(user)).expect("a kubeconfig");
        Bench::new(&kubeconfig).with_helm(self.helm(Tool::Helm))
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

    /// Waits until every API answers: one that does not is waited for by `up`, and hides its kinds.
    pub(crate) fn await_apis(&self) {
        let available = "--for=condition=Available";
        self.bench.kubectl(["wait", available, "apiservice", "--all", "--timeout=2m"]);
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
