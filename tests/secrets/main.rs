//! Key material stays where it is. This is a crate of its own, because it examines freed blocks in
//! a global allocator.

mod watching;
mod wiping;
