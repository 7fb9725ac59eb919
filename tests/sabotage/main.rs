//! Faults in a stack that works, on two real nodes with the real programs: each is found by the check that owns it.

use std::process::ExitCode;

use crate::support::world::{self, Scenario, Site, World};

mod faults;
#[path = "../support/mod.rs"]
mod support;

const SITE: Site = Site { name: "sabotaged", nodes: 2, stacks: &["manifests"] };

const SCENARIOS: &[Scenario] = &[("each_fault_is_found_by_the_check_that_owns_it", faults::owners_are_first)];

fn main() -> ExitCode {
    world::run(&SITE, SCENARIOS)
}
