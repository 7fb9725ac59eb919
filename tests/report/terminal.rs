use std::time::Duration;

use bootstrap::report::terminal::Terminal;
use bootstrap::report::{Paint, Reporter, Verbosity};
use indicatif::InMemoryTerm;
use insta::assert_snapshot;

use crate::script::{self, Script};

const WIDE: u16 = 100;

/// A terminal on which somebody watches a run.
pub(crate) struct Watched {
    screen: InMemoryTerm,
    reporter: Terminal<InMemoryTerm>,
}

impl Watched {
    fn new(columns: u16, verbosity: Verbosity) -> Self {
        Self::sized(40, columns, verbosity)
    }

    pub(crate) fn sized(rows: u16, columns: u16, verbosity: Verbosity) -> Self {
        let screen = InMemoryTerm::new(rows, columns);
        Self { reporter: Terminal::new(screen.clone(), Paint::new(false), verbosity), screen }
    }

    /// Shows a script, with a tick after each event, as a slow run has them.
    pub(crate) fn watch(mut self, script: Script) -> Self {
        for event in script.events() {
            self.reporter.event(&event);
            self.reporter.tick(Duration::from_millis(event.elapsed_ms));
        }
        self
    }

    fn at(mut self, seconds: u64) -> String {
        self.reporter.tick(Duration::from_secs(seconds));
        self.screen.contents()
    }

    pub(crate) fn contents(&self) -> String {
        self.screen.contents()
    }
}

fn shown(script: Script) -> String {
    Watched::new(WIDE, Verbosity::Normal).watch(script).contents()
}

#[test]
fn running_steps_have_a_live_line_each() {
    assert_snapshot!(Watched::new(WIDE, Verbosity::Normal).watch(script::running()).at(3), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ⠸ prometheus             2s  statefulset.apps/prometheus: 0 of 1 replicas ready
    ⠸ kube-state-metrics     2s  helm: installing
    ");
}

#[test]
fn a_fresh_up_leaves_a_line_for_each_step() {
    assert_snapshot!(shown(script::fresh()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✓ prometheus           4.1s  2 created, 1 unchanged
    ✓ kube-state-metrics   4.6s  1 created
    done in 4.9s: 4 created, 1 unchanged
      Grafana: http://grafana.localhost:8080
      password: bootstrap credentials --show
    ");
}

#[test]
fn verbose_adds_each_object_and_status() {
    assert_snapshot!(Watched::new(WIDE, Verbosity::Verbose).watch(script::fresh()).contents(), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
      namespace                  started
      namespace                  namespace/monitoring created
    ✓ namespace           0.04s  1 created
      prometheus                 started
      kube-state-metrics         started
      kube-state-metrics         helm: installing (not installed)
      prometheus                 configmap/prometheus-config unchanged
      prometheus                 statefulset.apps/prometheus created
      prometheus                 service/prometheus created
      prometheus                 statefulset.apps/prometheus: 0 of 1 replicas ready
      prometheus                 statefulset.apps/prometheus: current
    ✓ prometheus           4.1s  2 created, 1 unchanged
      kube-state-metrics         release created, revision 1
    ✓ kube-state-metrics   4.6s  1 created
    done in 4.9s: 4 created, 1 unchanged
      Grafana: http://grafana.localhost:8080
      password: bootstrap credentials --show
    ");
}

#[test]
fn quiet_is_the_closing_line() {
    assert_snapshot!(Watched::new(WIDE, Verbosity::Quiet).watch(script::fresh()).contents(), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring: done in 4.9s: 4 created, 1 unchanged
      Grafana: http://grafana.localhost:8080
      password: bootstrap credentials --show
    ");
}

#[test]
fn the_live_part_of_a_second_up_vanishes() {
    let first_line = Watched::new(WIDE, Verbosity::Normal).watch(script::started("up")).contents();
    assert_eq!(first_line, "k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring");
    assert_snapshot!(shown(script::again()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring: nothing to do, 2 objects and 1 release unchanged
      (0.14s)
    ");
}

#[test]
fn drift_stays_in_sight() {
    assert_snapshot!(shown(script::drift()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    ! grafana                    deployment.apps/grafana -n monitoring: spec.replicas 0 → 1 (kubectl, 3
                                 min ago), taken back
      kube-state-metrics         helm: upgrading (deployment.apps/kube-state-metrics was missing)
    ✓ grafana              2.1s  1 configured, 4 unchanged
    ✓ kube-state-metrics   2.1s  1 configured
    done in 2.2s: 2 configured, 4 unchanged
      Grafana: http://grafana.localhost:8080
      password: bootstrap credentials --show
    ");
}

#[test]
fn a_pull_is_shown_with_its_time() {
    assert_snapshot!(Watched::new(WIDE, Verbosity::Normal).watch(script::pulling()).at(14), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ⠴ prometheus            13s  pulling docker.io/prom/prometheus:v3.16.0 12s (+1 more)
    ⠴ kube-state-metrics    13s  helm: installing
    ");
}

#[test]
fn the_closing_line_says_where_the_time_went() {
    assert_snapshot!(Watched::new(80, Verbosity::Normal).watch(script::pulled()).contents(), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ✓ kube-state-metrics  29.8s  1 created
    ✓ prometheus          41.0s  2 created, 1 unchanged
    done in 41.2s: 4 created, 1 unchanged; longest: storage → prometheus 41.1s, of
      it 21.4s image pulls and 17.9s starts
      Grafana: http://grafana.localhost:8080
    ");
}

#[test]
fn an_interrupted_run_leaves_no_live_line() {
    assert_snapshot!(shown(script::interrupted()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    storage class local-path: the cluster's default class
    ✓ namespace           0.04s  1 created
    ! SIGINT: stopping once what has begun is at a clean end; again stops at once
    interrupted after 2.3s: 3 created, 1 unchanged
      done: namespace
      not judged: prometheus, kube-state-metrics, grafana (interrupted)

    error: interrupted by SIGINT

    hint: bootstrap up --context k3d-blog
    ");
}

#[test]
fn a_run_that_ends_without_a_word_leaves_no_live_line() {
    let watched = Watched::new(WIDE, Verbosity::Normal).watch(script::running());
    let screen = watched.screen.clone();
    assert!(screen.contents().contains("0 of 1 replicas ready"), "{}", screen.contents());
    drop(watched);
    assert!(!screen.contents().contains("0 of 1 replicas ready"), "{}", screen.contents());
}

#[test]
fn an_echoed_interrupt_is_wiped_away() {
    let mut watched = Watched::new(WIDE, Verbosity::Normal).watch(script::running());
    let term: &dyn indicatif::TermLike = &watched.screen;
    term.write_str("^C").expect("memory takes all");
    assert!(watched.contents().contains("^C"));
    watched.reporter.tick(Duration::from_secs(3));
    assert_eq!(
        watched.contents(),
        Watched::new(WIDE, Verbosity::Normal).watch(script::running()).at(3),
        "the screen is as if nobody had pressed a key"
    );
}

#[test]
fn down_says_what_it_keeps() {
    assert_snapshot!(shown(script::down()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    persistentvolumeclaim/storage-loki-0 -n monitoring kept (--purge-data deletes it)
    done in 1.7s: 2 deleted, 1 kept
    ");
}

#[test]
fn a_warning_stays_in_its_place() {
    assert_snapshot!(shown(script::warning()), @"
    k3d-blog (k3d, v1.36.4, 3 nodes) → monitoring
    ! warning: ingress.networking.k8s.io/grafana-ingress has no address
    ✓ grafana              2.0s  1 created
    done in 5.0s: 1 created
      Grafana: http://grafana.localhost:8080
      password: bootstrap credentials --show
    ");
}

#[test]
fn twenty_columns_are_enough_for_live_lines() {
    assert_snapshot!(Watched::new(20, Verbosity::Normal).watch(script::running()).at(3), @"
    k3d-blog (k3d,
      v1.36.4, 3 nodes)
      → monitoring
    storage class
      local-path: the
      cluster's default
      class
    ✓ namespace 0.04s 1
      created
    ⠸ prometheus 2s s…
    ⠸ kube-state-metr…
    ");
}

#[test]
fn twenty_columns_lose_nothing_that_stays() {
    assert_snapshot!(Watched::new(20, Verbosity::Normal).watch(script::drift()).contents(), @"
    k3d-blog (k3d,
      v1.36.4, 3 nodes)
      → monitoring
    ! grafana
      deployment.apps/gr
    afana
      -n monitoring:
      spec.replicas 0 →
      1 (kubectl, 3 min
      ago), taken back
      kube-state-metrics
      helm: upgrading
      (deployment.apps/k
    ube-state-metrics
      was missing)
    ✓ grafana 2.1s 1
      configured, 4
      unchanged
    ✓ kube-state-metrics
      2.1s 1 configured
    done in 2.2s: 2
      configured, 4
      unchanged
      Grafana: http://gr
    afana.localhost:8080
      password: bootstra
    p credentials --show
    ");
}
