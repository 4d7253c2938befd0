//! Bytes of heap, counted by an allocator that passes everything on to the system's.

// The one exception to the rule that nothing here is unsafe: no allocator can be written without.
#![allow(unsafe_code)]
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    /// Bytes that this thread has allocated and not given back. Each test has its own thread, so
    /// tests do not count each other.
    static HELD: Cell<isize> = const { Cell::new(0) };
}

fn count(change: isize) {
    // A thread that ends gives memory back after its counter is gone.
    let _ = HELD.try_with(|held| held.set(held.get() + change));
}

unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as above; `pointer` came from `alloc`, which is the system's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Bytes that this thread has allocated and not given back.
pub fn held() -> usize {
    HELD.with(Cell::get).cast_unsigned()
}
