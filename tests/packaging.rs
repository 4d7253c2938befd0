//! What packages carry is what the program has: made files are as they would be made now.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "../packaging/manual.rs"]
#[allow(dead_code, reason = "its main is an example")]
mod manual;

fn packaging(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(file)
}

#[test]
fn the_manual_and_the_completions_are_those_of_the_options() {
    for (name, text) in manual::files() {
        let found = fs::read_to_string(packaging("generated").join(name)).unwrap_or_default();
        assert!(found == text, "{name} is stale: run cargo run --example manual");
    }
}
