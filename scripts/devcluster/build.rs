//! `include_dir!` does not tell cargo which files it read; this does.

fn main() {
    println!("cargo::rerun-if-changed=go");
    println!("cargo::rerun-if-changed=agent");
    println!("cargo::rerun-if-changed=standin");
    println!("cargo::rerun-if-changed=tests/hello");
}
