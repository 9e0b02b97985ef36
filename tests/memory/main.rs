//! What is allocated, measured. A crate of its own: it counts in a global allocator.

mod allocations;
mod counting;
mod largest;
mod sessions;
mod state;
