//! A heap of fixed size, and what has been used of everything.

use core::alloc::{GlobalAlloc, Layout};
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering};

use cortex_m_rt::STACK_PAINT_VALUE;
use embedded_alloc::LlffHeap;

/// What the heap has; README.md says how much of it is needed.
const HEAP: usize = 24 * 1024;

/// A heap that remembers the most that was ever in use.
struct Watched {
    heap: LlffHeap,
    peak: AtomicUsize,
}

#[global_allocator]
static ALLOCATOR: Watched = Watched { heap: LlffHeap::empty(), peak: AtomicUsize::new(0) };

// SAFETY: both do what the heap does, with the same arguments.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let block = unsafe { self.heap.alloc(layout) };
        self.peak.fetch_max(self.heap.used(), Ordering::Relaxed);
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { self.heap.dealloc(block, layout) }
    }
}

/// Before anything is allocated, once.
pub fn init() {
    let heap = &ALLOCATOR.heap;
    // SAFETY: the memory is a static of the macro's own. A second call panics.
    unsafe {
        embedded_alloc::init!(heap, HEAP);
    }
}

// What the linker knows: addresses, there is nothing at them to be read.
unsafe extern "C" {
    safe static __vector_table: u32;
    safe static __sidata: u32;
    safe static __sdata: u32;
    safe static __edata: u32;
    safe static __ebss: u32;
    safe static _stack_start: u32;
    safe static _stack_end: u32;
}

/// Bytes used and, where it is less than there are, of how many.
pub struct Usage {
    /// Code, constants and what variables start as.
    flash: usize,
    /// Variables; the heap is not counted.
    variables: usize,
    heap: usize,
    stack: usize,
    stack_size: usize,
}

impl Usage {
    /// The most so far.
    pub fn so_far() -> Self {
        let data = (&raw const __edata).addr() - (&raw const __sdata).addr();
        let statics = (&raw const __ebss).addr() - (&raw const __sdata).addr();
        let (bottom, top) = (&raw const _stack_end, &raw const _stack_start);
        let stack_size = top.addr() - bottom.addr();
        let words = stack_size / size_of::<u32>();
        // SAFETY: the words lie in the stack's own region of memory, aligned, and can always be
        // read; those in use may change, so each is read once and as it is.
        let is_paint = |n: &usize| unsafe { bottom.add(*n).read_volatile() } == STACK_PAINT_VALUE;
        let unused = (0..words).take_while(is_paint).count() * size_of::<u32>();
        Self {
            flash: (&raw const __sidata).addr() - (&raw const __vector_table).addr() + data,
            variables: statics - HEAP,
            heap: ALLOCATOR.peak.load(Ordering::Relaxed),
            stack: stack_size - unused,
            stack_size,
        }
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { flash, variables, heap, stack, stack_size } = self;
        write!(
            f,
            "used: flash {flash}, variables {variables}, heap {heap} of {HEAP}, stack {stack} of \
             {stack_size}"
        )
    }
}
