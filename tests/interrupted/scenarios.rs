//! `up` that does not run to its end, and the `up` after it.

use std::process::Child;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::World;

/// How long another run may take to take a lease over that was left behind, and then to finish.
const PATIENCE: Duration = Duration::from_mins(2);

pub(crate) fn second_run_is_refused(world: &World) {
    world.clean();
    let began = Instant::now();
    let mut first = world.bench.start(&["up"]);
    world.bench.await_object("lease/bootstrap-observability", "kube-system");
    let second = world.bench.run(&["up"]);
    assert_eq!(second.code, 4, "{}", second.stderr);
    let holder = format!("pid {}", first.id());
    assert!(second.stderr.contains(&holder), "it names the first ({holder}):\n{}", second.stderr);
    assert!(first.try_wait().expect("asked").is_some() || began.elapsed() < PATIENCE);
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
    assert!(!next.stderr.contains("the run of"), "the lease was given back:\n{}", next.stderr);
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
    let ran = world.bench.run(&["up", "--stack", stack, "--timeout", "8s"]);
    assert_eq!(ran.code, 6, "{}", ran.stderr);
    for words in ["deployment.apps/never -n stuck", "0 of 1 replicas ready", "Readiness probe `false` failed"]
    {
        assert!(ran.stderr.contains(words), "{words}:\n{}", ran.stderr);
    }
    assert!(ran.took < Duration::from_secs(12), "{:?}", ran.took);
    world.bench.succeed(&["down", "--stack", stack]);
}

pub(crate) fn killed_at_ten_moments(world: &World) {
    world.clean();
    let whole = world.bench.succeed(&["up"]).took;
    for moment in 0..10_u32 {
        // With volumes to be made, and with volumes that are there.
        if moment % 2 == 0 {
            world.clean();
        } else {
            world.bench.succeed(&["down"]);
        }
        let began = Instant::now();
        let up = world.bench.start(&["up"]);
        let at = whole * (2 * moment + 1) / 20;
        // The moment is the point of this test: it is spread over the run, not tied to an event.
        std::thread::sleep(at);
        signal(&up, Signal::KILL);
        world.bench.finish(up, began);
        let next = world.bench.run(&["up"]);
        assert_eq!(next.code, 0, "killed after {at:?}:\n{}", next.stderr);
        assert!(next.took < PATIENCE, "killed after {at:?}: took {:?}", next.took);
        let deployed =
            world.bench.kubectl(["get", "secrets", "-A", "-l", "owner=helm,status=deployed", "-o=name"]);
        assert_eq!(deployed.lines().count(), 2, "one deployed revision a release:\n{deployed}");
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = Pid::from_child(child);
    kill_process(pid, signal).expect("it is still running");
}
