//! An allocator that counts the allocations of one thread, and their bytes, while it is told to.
//!
//! It is sound because it passes every call on to the system's allocator unchanged. It is unsafe
//! only because the trait is. A block that grows counts as the old block and the new one together,
//! which is right if it moves.

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

/// Resets the counts of this thread.
pub fn start() {
    LIVE.set(0);
    PEAK.set(0);
    CALLS.set(0);
}

/// Counts the allocations inside.
pub fn counted<T>(what: impl FnOnce() -> T) -> T {
    assert!(!ON.replace(true), "not twice");
    let result = what();
    ON.set(false);
    result
}

/// The number of bytes allocated now.
pub fn live() -> usize {
    LIVE.get()
}

/// The largest number of bytes allocated at a time.
pub fn peak() -> usize {
    PEAK.get()
}

/// The number of allocations and of blocks that grew.
pub fn calls() -> usize {
    CALLS.get()
}
