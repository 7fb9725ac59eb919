//! `down`: what it takes away, and what it leaves.

use crate::World;
use crate::dump::dump;

pub(crate) fn volumes_survive(world: &World) {
    let before = claims(world);
    let foreseen = world.bench.succeed(&["down", "--dry-run"]).stderr;
    for line in ["would keep namespace/monitoring (claims in it are kept)\n", "and keep 3 ("] {
        assert!(foreseen.contains(line), "{foreseen}");
    }
    let ran = world.bench.succeed(&["down"]);
    assert!(
        ran.stderr.contains("persistentvolumeclaim/data-loki-0 -n monitoring"),
        "kept claims are named:\n{}",
        ran.stderr
    );
    assert_eq!(world.pods(), "", "no pod is left");
    world.bench.succeed(&["down"]);
    world.bench.succeed(&["up"]);
    assert_eq!(claims(world), before, "the same claims on the same volumes");
}

pub(crate) fn nothing_is_left(world: &World) {
    world.clean();
    let before = dump(world);
    world.bench.succeed(&["up"]);
    world.bench.succeed(&["down", "--purge-data"]);
    let after = dump(world);
    assert_eq!(after, before);
    world.bench.succeed(&["down", "--purge-data"]);
    assert_eq!(dump(world), before, "a second down finds nothing to do");
}

pub(crate) fn openebs_comes_and_goes(world: &World) {
    world.clean();
    let before = dump(world);
    world.bench.succeed(&["up", "--storage-class", "openebs-hostpath"]);
    let class = world.bench.field("pvc/data-prometheus-0 -n monitoring", ".spec.storageClassName");
    assert_eq!(class, "openebs-hostpath");
    let (pods, revisions) = (world.pods(), world.revisions());
    // Without being asked again: the claims that are there decide.
    world.bench.succeed(&["up"]);
    assert_eq!((world.pods(), world.revisions()), (pods, revisions));
    let refused = world.bench.run(&["up", "--storage-class", "local-path"]);
    assert_eq!(refused.code, 4, "{}", refused.stderr);
    assert!(refused.stderr.contains("has the storage class openebs-hostpath"), "{}", refused.stderr);
    // What provides the volumes stays as long as they do, and takes them away at last.
    let kept = world.bench.succeed(&["down"]).stderr;
    assert!(kept.contains("release openebs kept"), "{kept}");
    world.bench.succeed(&["down", "--purge-data"]);
    assert_eq!(dump(world), before);
}

pub(crate) fn foreign_namespace_is_kept(world: &World) {
    world.clean();
    world.bench.kubectl(["create", "namespace", "monitoring"]);
    world.bench.kubectl([
        "create",
        "secret",
        "generic",
        "grafana-secrets",
        "-n",
        "monitoring",
        "--from-literal=admin-user=me",
    ]);
    let before = dump(world);
    world.bench.succeed(&["up"]);
    let user = world.bench.field("secret/grafana-secrets -n monitoring", ".data.admin-user");
    assert_eq!(user, "bWU=", "a value that was there is never changed");
    let password = world.bench.field("secret/grafana-secrets -n monitoring", ".data.admin-password");
    assert!(!password.is_empty(), "a key that was missing is added");
    let (pods, revisions) = (world.pods(), world.revisions());
    world.bench.succeed(&["up"]);
    assert_eq!((world.pods(), world.revisions()), (pods, revisions));
    world.clean();
    let after = dump(world);
    assert_eq!(after.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    world.bench.kubectl(["delete", "namespace", "monitoring"]);
}

/// Each claim's uid and volume.
fn claims(world: &World) -> String {
    let path = "{range .items[*]}{.metadata.name} {.metadata.uid} {.spec.volumeName}{'\\n'}{end}";
    world.bench.kubectl(["get", "pvc", "-n", "monitoring", &format!("-o=jsonpath={path}")])
}
