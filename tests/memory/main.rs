//! Measured allocations. This is a crate of its own, because it counts in a global allocator.

mod allocations;
mod counting;
mod largest;
mod sessions;
mod state;
