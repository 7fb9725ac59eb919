//! `up` that does not run to its end, and the `up` after it.

use std::collections::BTreeSet;
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::World;

/// How long another run may take to take a lease over that was left behind, and then to finish.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn second_run_is_refused(world: &World) {
    world.clean();
    let node = world.bench.kubectl(["get", "nodes", "-o=name"]);
    // Nothing becomes ready there, so the first is at work as long as the second looks.
    world.bench.kubectl(["cordon", node.trim()]);
    let began = Instant::now();
    let first = world.bench.start(&["up"]);
    world.bench.await_object("lease/bootstrap-observability", "kube-system");
    let second = world.bench.run(&["up"]);
    world.bench.kubectl(["uncordon", node.trim()]);
    assert_eq!(second.code, 4, "{}", second.stderr);
    let holder = format!("pid {}", first.id());
    assert!(second.stderr.contains(&holder), "it names the first ({holder}):\n{}", second.stderr);
    let first = world.bench.finish(first, began);
    assert_eq!(first.code, 0, "{}", first.stderr);
}

pub(crate) fn ctrl_c(world: &World) {
    world.clean();
    let began = Instant::now();
    let up = world.bench.start(&["up"]);
    world.bench.await_object("statefulset/prometheus", "monitoring");
    signal(&up, Signal::INT);
    let ran = world.bench.finish(up, began);
    assert_eq!(ran.code, 130, "{}", ran.stderr);
    assert!(ran.stderr.contains("prometheus-adapter"), "it says what is left:\n{}", ran.stderr);
    let next = world.bench.succeed(&["up"]);
    assert!(
        !next.stderr.contains("the run that holds the lease"),
        "the lease was given back:\n{}",
        next.stderr
    );
}

pub(crate) fn timeout_explains(world: &World) {
    world.clean();
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("written");
    file("stack.yaml", "name: stuck\nnamespace: stuck\nsteps:\n  - {name: never, manifests: [never.yaml]}\n");
    file(
        "never.yaml",
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: never}\nspec:\n  selector: {matchLabels: {app: never}}\n  \
         template:\n    metadata: {labels: {app: never}}\n    spec:\n      containers: [{name: main, image: \
         'devcluster.internal/busybox:1', command: [sleep, '1000'], readinessProbe: {periodSeconds: 1, exec: \
         {command: ['false']}}}]\n      terminationGracePeriodSeconds: 0\n",
    );
    let stack = folder.path().to_str().expect("a path");
    let ran = world.bench.run(&["up", "--stack", stack, "--timeout", "40s"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    for words in ["deployment.apps/never -n stuck", "0 of 1 replicas ready", "Readiness probe `false` failed"]
    {
        assert!(ran.stderr.contains(words), "{words}:\n{}", ran.stderr);
    }
    assert!(ran.took < Duration::from_mins(1), "{:?}", ran.took);
    world.bench.succeed(&["down", "--stack", stack]);
}

pub(crate) fn up_is_killed(world: &World) {
    world.clean();
    let undisturbed = world.bench.succeed(&["up"]).took;
    let whole = inventory(world);
    for (number, at) in moments(10, undisturbed) {
        // With volumes to be made, and with volumes that are there.
        let emptied: &[&str] = if number % 2 == 0 { &["down", "--purge-data"] } else { &["down"] };
        world.bench.succeed(emptied);
        kill(world, "up", at);
        up_finishes(world, "up", at, &whole);
    }
}

pub(crate) fn down_is_killed(world: &World) {
    world.bench.succeed(&["up"]);
    let whole = inventory(world);
    let undisturbed = world.bench.succeed(&["down"]).took;
    world.bench.succeed(&["up"]);
    for (_, at) in moments(4, undisturbed) {
        kill(world, "down", at);
        up_finishes(world, "down", at, &whole);
    }
}

/// So many moments, or as many as `scripts/soak.sh` asks for, spread over the time that a run takes.
fn moments(count: u32, whole: Duration) -> impl Iterator<Item = (u32, Duration)> {
    let asked = std::env::var("INTERRUPTED_MOMENTS").ok().and_then(|count| count.parse().ok());
    let count: u32 = asked.unwrap_or(count);
    (0..count).map(move |number| (number, whole * (2 * number + 1) / (2 * count)))
}

fn kill(world: &World, verb: &str, at: Duration) {
    let began = Instant::now();
    let run = world.bench.start(&[verb]);
    // The moment is the point of this test: it is spread over the run, not tied to an event.
    std::thread::sleep(at);
    // A run that was quicker than the one before has ended by itself.
    let _ = kill_process(Pid::from_child(&run), Signal::KILL);
    world.bench.finish(run, began);
}

/// What a run leaves is mended by the next `up`.
#[expect(clippy::print_stderr, reason = "a soak is to show what it has seen")]
fn up_finishes(world: &World, killed: &str, at: Duration, whole: &BTreeSet<String>) {
    let next = world.bench.run(&["up"]);
    assert_eq!(next.code, 0, "{killed} was killed after {at:?}:\n{}", next.stderr);
    assert!(next.took < PATIENCE, "{killed} was killed after {at:?}: took {:?}", next.took);
    assert_eq!(&inventory(world), whole, "{killed} was killed after {at:?}: another set of objects");
    let deployed =
        world.bench.kubectl(["get", "secrets", "-A", "-l", "owner=helm,status=deployed", "-o=name"]);
    assert_eq!(deployed.lines().count(), 2, "one deployed revision a release:\n{deployed}");
    let (at, took) = (at.as_secs_f32(), next.took.as_secs_f32());
    let objects = whole.len();
    eprintln!(
        "{killed} killed after {at:5.2} s: up ended 0 in {took:5.2} s, {objects} objects, 2 deployed revisions"
    );
}

/// Every object that does not come and go by itself, by name; helm's records left out.
fn inventory(world: &World) -> BTreeSet<String> {
    const KINDS: &str = "deployments,statefulsets,daemonsets,services,configmaps,secrets,serviceaccounts,ingresses,roles,\
        rolebindings,persistentvolumeclaims,clusterroles,clusterrolebindings,apiservices,storageclasses,namespaces";
    let path = "-o=jsonpath={range .items[*]}{.kind}/{.metadata.namespace}/{.metadata.name}{'\\n'}{end}";
    let all = world.bench.kubectl(["get", KINDS, "-A", path]);
    all.lines().filter(|line| !line.contains("sh.helm.release")).map(str::to_owned).collect()
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("it is still running");
}
