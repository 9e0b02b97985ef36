//! What `serve` adds to the server library: the process around it. Its log on stderr, its signals,
//! its service manager, and what it tells of where it listens.

pub mod advertise;
pub mod listen;
pub mod log;
pub mod manager;
pub mod signals;
