//! An allocator that examines freed blocks for bytes that they should not have.
//!
//! It is sound because it passes every call on to the system's allocator. It zeroes blocks, so that
//! every examined byte was written. It is unsafe only because the trait is, and to read the blocks.
//! A block that grows is always a new one here, so that the old one is examined too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

thread_local! {
    /// The bytes that freed blocks of this thread must not have.
    static NEEDLES: Cell<&'static [Vec<u8>]> = const { Cell::new(&[]) };
    /// The number of blocks that had them, and the first needle found.
    static FOUND: Cell<(usize, Option<usize>)> = const { Cell::new((0, None)) };
}

// `realloc` is the trait's own: allocate, copy, free.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let needles = NEEDLES.get();
        if !needles.is_empty() {
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let holds = |needle: &Vec<u8>| {
                // Most blocks have none of its bytes.
                bytes.contains(&needle[0]) && bytes.windows(needle.len()).any(|part| part == needle)
            };
            if let Some(which) = needles.iter().position(holds) {
                let (count, first) = FOUND.get();
                FOUND.set((count + 1, first.or(Some(which))));
            }
        }
        unsafe { System.dealloc(block, layout) }
    }
}

/// Runs this, and counts the blocks freed in between that had one of the needles. Gives the first
/// needle found too. Needles are never freed.
pub fn freed_with(needles: &[Vec<u8>], what: impl FnOnce()) -> (usize, Option<usize>) {
    let needles: &'static [Vec<u8>] = Box::leak(needles.into());
    NEEDLES.set(needles);
    FOUND.set((0, None));
    what();
    NEEDLES.set(&[]);
    FOUND.get()
}
