//! What somebody who says nothing costs, and that all memory comes back.

// The one exception to the rule that nothing here is unsafe: an allocator that counts cannot be
// written without it, and it only passes on to the system's.
#![allow(unsafe_code)]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{House, chat, masked};
use hallway::limits::Limits;

/// Bytes per idle member that are promised.
const BYTES_PER_MEMBER_MAX: usize = 320;

struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn held() -> usize {
    HELD.load(Ordering::Relaxed)
}

/// One test, for the counter is everybody's.
#[test]
fn idle_members_are_cheap_and_memory_comes_back() {
    let limits = Limits { peers_max: 10_000, announce_up_to: 0, ..Limits::default() };
    let mut house = House::new(Limits { rate_per_second: 0, ..limits });
    house.deafen();
    let mut ids = Vec::with_capacity(10_000);
    let empty = held();
    for members in [1_000, 10_000] {
        while ids.len() < members {
            ids.push(house.join_unflushed(&format!("n{}", ids.len())));
        }
        house.flush();
        let each = (held() - empty) / members;
        println!("{members} idle members: {each} bytes of heap each");
        assert!(each <= BYTES_PER_MEMBER_MAX, "{each} bytes each with {members}");
    }

    let baseline = held();
    for &id in &ids[..100] {
        house.server.handle_input(id, &mut masked(0x01, &[b'x'; 10_000]), house.now);
    }
    assert!(held() > baseline + 1_000_000, "fragments are held");
    for &id in &ids[..100] {
        house.server.handle_input(id, &mut masked(0x80, b""), house.now);
        house.flush_unchecked();
    }
    for _ in 0..20 {
        house.server.handle_input(ids[0], &mut chat(&"y".repeat(4000)), house.now);
        house.flush_unchecked();
    }
    // What stays is the history, as text and as a frame.
    let history = 20 * 2 * (4096 + 256);
    let more = held() - baseline;
    assert!(more <= history + 128 * 1024, "{more} bytes more after a burst");

    for &id in &ids {
        house.server.handle_closed(id, house.now);
        if house.server.must_flush(id) {
            house.flush_unchecked();
        }
    }
    house.flush();
    let left = held().saturating_sub(empty);
    assert!(left <= history + 256 * 1024, "{left} bytes are left when all have gone");
}
