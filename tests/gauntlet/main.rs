//! The gauntlet: small stacks that cannot become ready, that need time, and that are well; each run by `bootstrap up` on a
//! real cluster, and judged by a watch that knows nothing of it.
//!
//! The cases run side by side, each in a namespace of its own. `GAUNTLET_REPEAT=20` runs each so many times, and
//! `GAUNTLET_RECORD=1` writes what the API server has at each sign to `tests/verdict/recorded/`.

use std::path::Path;
use std::process::{Child, ExitCode};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use devcluster::Cluster;
use libtest_mimic::{Arguments, Trial};

use crate::case::Case;
use crate::registry::Registry;
use crate::support::Bench;
use crate::support::world::{self, Site};
use crate::table::{Ending, Row};
use crate::watch::Watch;
use crate::webhook::Webhook;

mod case;
mod cases;
mod course;
mod hands;
mod record;
mod registry;
mod run;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod watch;
mod webhook;

/// The second and the third node are for the cases that name them.
const SITE: Site = Site { name: "gauntlet", nodes: 3, stacks: &[] };
const RESERVED: &[&str] = &["gauntlet-2", "gauntlet-3"];

/// How many cases run side by side: they wait most of the time.
const SIDE_BY_SIDE: usize = 6;

/// What the cases share.
struct Gauntlet {
    bench: Arc<Bench>,
    cluster: Cluster,
    watch: Watch,
    registry: Registry,
    webhook: Webhook,
    /// Held by a case as long as it runs; one that must be alone holds it for itself.
    turn: RwLock<()>,
    table: Arc<Mutex<Vec<Row>>>,
    recording: bool,
    repeats: usize,
}

#[expect(clippy::print_stderr, reason = "the table is what the target is for")]
fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(SIDE_BY_SIDE);
    // The long ones first, so that none is left over at the end; those that must be alone last.
    let mut order: Vec<_> = cases::all().collect();
    order.sort_by_key(|case| (case.alone, std::cmp::Reverse(case.timeout)));
    let names: Vec<_> = order.iter().map(|case| case.title()).collect();
    let table = Arc::default();
    let conclusion = world::on_cluster(&SITE, &arguments, &names, |cluster| {
        let gauntlet = Arc::new(Gauntlet::new(cluster, Arc::clone(&table)));
        let trial = |case: &&'static Case| {
            let (case, gauntlet) = (*case, Arc::clone(&gauntlet));
            Trial::test(case.title(), move || Ok(gauntlet.repeat(case)?))
        };
        order.iter().map(trial).collect()
    });
    let rows = table.lock().expect("no panic");
    if !rows.is_empty() {
        eprintln!("\n{}", table::render(&rows, cases::all()));
    }
    conclusion.exit_code()
}

impl Gauntlet {
    fn new(cluster: &Cluster, table: Arc<Mutex<Vec<Row>>>) -> Self {
        let helm = devcluster::tool(devcluster::Tool::Helm).expect("helm");
        let bench = Arc::new(Bench::new(&cluster.kubeconfig()).with_helm(helm));
        let host = cluster.host_address().expect("the cluster is up");
        let registry = Registry::start(host);
        cluster.redirect_registry(registry::NAME, &registry.url()).expect("written");
        for node in RESERVED {
            bench.kubectl(["taint", "node", node, "gauntlet=reserved:NoSchedule"]);
        }
        let setting = |name: &str| std::env::var(name).ok();
        let repeats = setting("GAUNTLET_REPEAT").map_or(1, |count| count.parse().expect("a number"));
        Self {
            watch: Watch::start(&bench),
            webhook: Webhook::start(host),
            bench,
            cluster: cluster.clone(),
            registry,
            turn: RwLock::default(),
            table,
            recording: setting("GAUNTLET_RECORD").is_some(),
            repeats,
        }
    }

    /// Runs a case as often as was asked for.
    fn repeat(&self, case: &'static Case) -> Result<(), String> {
        let mut failures = Vec::new();
        for count in 0..self.repeats {
            let mut ended = self.run(case, case.alone, count > 0);
            if ended.0 == Ending::Slow {
                ended = self.run(case, true, true);
            }
            if ended.0 != Ending::Right {
                failures.push(ended.1);
            }
        }
        if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
    }

    /// Runs a case when its turn comes, alone or beside others.
    fn run(&self, case: &'static Case, alone: bool, again: bool) -> (Ending, String) {
        let (_alone, _beside);
        if alone {
            _alone = self.turn.write().unwrap_or_else(PoisonError::into_inner);
        } else {
            _beside = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        }
        if again {
            let folder = case.folder();
            self.bench.succeed(&["down", "--purge-data", "--stack", folder.to_str().expect("a path")]);
        }
        run::run(case, self)
    }

    /// Starts `up` on the stack of a folder, with so many seconds.
    fn up(&self, stack: &Path, timeout: u64) -> Child {
        let charts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gauntlet/charts");
        let (timeout, charts) = (format!("{timeout}s"), charts.to_str().expect("a path"));
        let stack = ["up", "--stack", stack.to_str().expect("a path"), "--charts", charts];
        self.bench.start(&[&stack[..], &["--timeout", &timeout, "--output", "json"]].concat())
    }

    /// Applies what somebody else has brought before the stack comes.
    fn apply_before(&self, text: &str) {
        use base64::Engine as _;
        let authority = base64::engine::general_purpose::STANDARD.encode(&self.webhook.authority);
        self.bench
            .apply(&text.replace("@WEBHOOK@", &self.webhook.url).replace("@AUTHORITY@", &authority), &[]);
    }
}
