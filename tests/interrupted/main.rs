//! The embedded stack on a real node, by runs that do not come to their own end: refused, stopped, out of time, killed.

use std::process::ExitCode;

use crate::support::world::{self, Scenario, Site, World};

mod scenarios;
#[path = "../support/mod.rs"]
mod support;

const SITE: Site = Site { name: "cut-short", nodes: 1, stacks: &["manifests"] };

/// In this order: each finds what the one before left, or cleans up first.
const SCENARIOS: &[Scenario] = &[
    ("one_of_two_runs_is_refused_and_names_the_other", scenarios::second_run_is_refused),
    ("ctrl_c_ends_cleanly_and_the_next_up_finishes", scenarios::ctrl_c),
    ("a_timeout_names_each_object_and_why_its_pods_wait", scenarios::timeout_explains),
    ("up_after_a_kill_of_up_at_any_moment_ends_well", scenarios::up_is_killed),
    ("up_after_a_kill_of_down_at_any_moment_ends_well", scenarios::down_is_killed),
];

fn main() -> ExitCode {
    world::run(&SITE, SCENARIOS)
}
