//! What the stack is for, on two real nodes with the real programs: `bootstrap verify` proves it, and pods scale on requests.

use std::process::ExitCode;

use crate::support::world::{self, Scenario, Site, World};

mod lines;
mod passes;
mod programs;
mod rotation;
mod scaling;
#[path = "../support/mod.rs"]
mod support;
mod two_nodes;

const SITE: Site = Site { name: "verify-test", nodes: 2, stacks: &["manifests", "examples/severed-blog"] };

const SCENARIOS: &[Scenario] = &[
    ("verify_passes_within_three_minutes_of_a_fresh_up", passes::within_three_minutes),
    ("up_waits_for_the_agent_of_every_node", two_nodes::agents_are_waited_for),
    ("the_newest_line_of_every_pod_arrives_once", lines::newest_of_every_pod_arrives_once),
    ("a_line_that_only_says_error_is_none", lines::errors_are_told_by_their_level),
    ("replicas_follow_the_requests_up_and_back", scaling::replicas_follow_the_requests),
    ("a_volume_on_a_cordoned_node_is_named_as_what_a_pod_waits_for", two_nodes::volume_on_a_cordoned_node),
    ("a_drained_node_returns", two_nodes::drained_node_returns),
    ("grafana_takes_a_rotated_password_and_nothing_else_restarts", rotation::grafana_takes_the_new_password),
    ("a_grafana_that_keeps_its_database_is_told_of", rotation::a_kept_database_is_told_of),
];

fn main() -> ExitCode {
    world::run(&SITE, SCENARIOS)
}
