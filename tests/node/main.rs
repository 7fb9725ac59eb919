//! The embedded stack on a real node: it comes, it stays as it should be, and it goes.

use std::process::ExitCode;

use crate::support::world::{self, Scenario, Site, World};

mod again;
mod down;
mod dump;
mod fresh;
mod requests;
mod rights;
mod secrecy;
#[path = "../support/mod.rs"]
mod support;
mod takeover;

const SITE: Site = Site { name: "node-test", nodes: 1, stacks: &["manifests", "tests/node/article"] };

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
    ("helm_3_works_as_well", fresh::helm_3_works),
    ("a_cluster_that_the_articles_script_made_is_taken_over_in_place", takeover::article_is_adopted),
    (
        "waiting_costs_few_requests_and_ends_with_the_last_object",
        requests::waiting_costs_few_requests_and_ends_at_once,
    ),
    ("the_password_is_nowhere_to_be_seen", secrecy::password_is_nowhere),
    ("the_least_role_is_enough_and_check_tells_of_every_request", rights::least_role_is_enough),
];

fn main() -> ExitCode {
    world::run(&SITE, SCENARIOS)
}
