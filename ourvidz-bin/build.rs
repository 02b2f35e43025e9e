//! `include_dir` does not see files that are added to a folder.
#![allow(clippy::print_stdout)] // The way to talk to Cargo.

fn main() {
    println!("cargo::rerun-if-changed=models");
}
