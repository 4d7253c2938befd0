//! What a test says that cannot run here.

use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;

/// What counts skipped tests, those of scripts as well.
const SKIPS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../skips");

/// Says that the calling test is skipped, and why; the test then returns. `tests/run` counts it.
///
/// # Panics
/// If it cannot be counted: a skip that nobody sees is a failure.
pub fn skip(reason: &str) {
    let program = env::current_exe().expect("a test is a program");
    let name = format!("{}::{}", crate_of(&program), thread::current().name().unwrap_or("?"));
    let counted = Command::new(SKIPS).args(["add", &name, reason]).status();
    assert!(counted.is_ok_and(|status| status.success()), "{name}: {reason}: this is not counted");
}

/// The name of a test file, to which cargo adds a hyphen and a number.
fn crate_of(program: &Path) -> String {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    stem.rsplit_once('-').map_or(stem.as_ref(), |(name, _)| name).to_owned()
}
