//! Bytes of heap, counted by an allocator that passes everything on to the system's.
//!
//! Whoever wants to count makes it the allocator of its program:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: testkit::heap::Counting = testkit::heap::Counting;
//! ```

// The one exception to the rule that nothing here is unsafe: no allocator can be written without.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// An allocator that counts.
#[derive(Debug)]
pub struct Counting;

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

/// Bytes that this thread has allocated and not given back; 0 where nobody counts.
pub fn held() -> usize {
    HELD.with(Cell::get).cast_unsigned()
}
