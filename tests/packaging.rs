//! What packages carry is what the program has: made files are as they would be made now, and
//! scripts know every option.

use std::fs;
use std::path::{Path, PathBuf};

use hallway::options::SETTINGS;

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

#[test]
fn the_debian_package_has_the_programs_version() {
    let changelog = fs::read_to_string(packaging("debian/changelog")).expect("a file");
    let version = env!("CARGO_PKG_VERSION");
    assert!(changelog.starts_with(&format!("hallway ({version}-1) ")), "{changelog}");
}

#[test]
fn every_option_can_be_set_in_uci() {
    let defaults = fs::read_to_string(packaging("openwrt/files/hallway.config")).expect("a file");
    let script = fs::read_to_string(packaging("openwrt/files/hallway.init")).expect("a file");
    for setting in SETTINGS {
        let name = setting.name.replace('-', "_");
        let mut words = script.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
        let is_mapped = words.any(|word| word == name);
        assert!(is_mapped, "hallway.init does not know {name}");
        let is_shown =
            ["option", "list"].iter().any(|kind| defaults.contains(&format!("{kind} {name} '")));
        assert!(is_shown, "hallway.config does not show {name}");
    }
}
