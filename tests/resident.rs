//! What it costs to tell how much memory the process holds. The one test of this process, so that
//! nothing else takes memory or time beside it.

use std::time::{Duration, Instant};

use hallway::process::resident_bytes;

const MIB: usize = 1024 * 1024;
const PIECES: usize = 256;

/// The least time of many: what a busy machine adds to the others is not ours.
fn cost() -> Duration {
    let once = |_| {
        let start = Instant::now();
        assert!(resident_bytes().is_some());
        start.elapsed()
    };
    (0..200).map(once).min().expect("a time")
}

#[test]
fn telling_the_resident_memory_costs_the_same_whatever_is_held() {
    let (little, before) = (resident_bytes().expect("a number"), cost());
    // Each piece is touched whole, page after page.
    let held: Vec<_> = (0..PIECES).map(|_| vec![1_u8; MIB]).collect();
    let (much, after) = (resident_bytes().expect("a number"), cost());
    println!("{before:?} with {} KiB, {after:?} with {} KiB", little / 1024, much / 1024);
    let all: u64 = held.iter().map(|piece| piece.len() as u64).sum();
    let added = much - little;
    assert!(added.abs_diff(all) < all / 50, "{added} of {all} bytes");
    assert!(after <= before * 2, "{before:?} has become {after:?}");
}
