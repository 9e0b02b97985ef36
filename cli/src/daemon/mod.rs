//! The process of a registry, around the server library: its directory, its log on stderr, its
//! signals, its service manager, and the notices of its addresses. Only builds with the feature
//! `server` have it.

pub mod advertise;
pub mod home;
mod import;
pub mod limits;
pub mod listen;
pub mod log;
pub mod log_queue;
pub mod manager;
mod old_store;
pub mod signals;
