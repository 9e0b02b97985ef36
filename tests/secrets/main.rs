//! Key material stays where it is. A crate of its own: it looks into what is freed, in a global
//! allocator.

mod watching;
mod wiping;
