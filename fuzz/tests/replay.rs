//! Every input of the corpora through its target, on any toolchain: what was found once stays
//! found.

use std::fs;
use std::path::Path;

/// Hands each file of a target's corpus to it; how many there were. The name of a file that
/// fails is the last line before the panic.
fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(&folder)
        .expect("a corpus")
        .map(|entry| entry.expect("a file").path())
        .collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        println!("{}", file.display());
        run(&fs::read(&file).expect("readable"));
    }
}

#[test]
fn frame() {
    replay("frame", hallway_fuzz::frame);
}

#[test]
fn upgrade() {
    replay("upgrade", hallway_fuzz::upgrade);
}

#[test]
fn envelope() {
    replay("envelope", hallway_fuzz::envelope);
}

#[test]
fn peer() {
    replay("peer", hallway_fuzz::peer);
}

#[test]
fn server() {
    replay("server", hallway_fuzz::server);
}
