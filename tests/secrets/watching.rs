//! An allocator that looks at what is freed: whether a block still holds something that it should
//! not.
//!
//! Sound because it hands every call on to the system's allocator, with zeroed blocks so that every
//! byte that is looked at has been written; unsafe only because the trait is, and to look. A block
//! that grows is always another one here, so that what it leaves behind is looked at as well.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Watching;

#[global_allocator]
static ALLOCATOR: Watching = Watching;

thread_local! {
    /// What this thread's freed blocks must not hold.
    static NEEDLES: Cell<&'static [Vec<u8>]> = const { Cell::new(&[]) };
    /// How many did, and the first needle found.
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
                // Most blocks have not even one of its bytes.
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

/// Runs this, and tells how many blocks that were freed meanwhile held one of the needles, and the
/// first needle found. A needle must not be freed itself: they stay for ever.
pub fn freed_with(needles: &[Vec<u8>], what: impl FnOnce()) -> (usize, Option<usize>) {
    let needles: &'static [Vec<u8>] = Box::leak(needles.into());
    NEEDLES.set(needles);
    FOUND.set((0, None));
    what();
    NEEDLES.set(&[]);
    FOUND.get()
}
