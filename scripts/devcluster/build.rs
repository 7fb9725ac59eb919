//! `include_dir!` does not tell cargo which files it read; this does.

#![expect(clippy::print_stdout, reason = "this is how a build script speaks to cargo")]

fn main() {
    println!("cargo::rerun-if-changed=go");
}
