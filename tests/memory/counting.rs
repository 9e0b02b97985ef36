//! An allocator that counts, for one thread and while it is told to, how much is allocated and how
//! often.
//!
//! Sound because it hands every call on to the system's allocator unchanged; unsafe only because
//! the trait is. A block that grows is counted as the old one and the new one together, which is
//! what it takes if it moves.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

// `realloc` is the trait's own: allocate, copy, free.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.get() {
            LIVE.set(LIVE.get() + layout.size());
            PEAK.set(PEAK.get().max(LIVE.get()));
            CALLS.set(CALLS.get() + 1);
        }
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if ON.get() {
            LIVE.set(LIVE.get().saturating_sub(layout.size()));
        }
        unsafe { System.dealloc(block, layout) }
    }
}

/// Forgets what was counted on this thread.
pub fn start() {
    LIVE.set(0);
    PEAK.set(0);
    CALLS.set(0);
}

/// Counts what happens inside.
pub fn counted<T>(what: impl FnOnce() -> T) -> T {
    assert!(!ON.replace(true), "not twice");
    let result = what();
    ON.set(false);
    result
}

/// Bytes allocated now.
pub fn live() -> usize {
    LIVE.get()
}

/// Bytes allocated at a time, at most.
pub fn peak() -> usize {
    PEAK.get()
}

/// How often something was allocated, or grew.
pub fn calls() -> usize {
    CALLS.get()
}
