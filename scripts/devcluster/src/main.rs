//! The `devcluster` command.
fn main() {}
