//! The subcommands, one file for each.

pub mod bench;
pub mod completions;
pub mod create;
pub mod credential;
#[cfg(feature = "server")]
pub mod demo;
#[cfg(feature = "server")]
pub mod init;
pub mod join;
pub mod man;
pub mod members;
pub mod register;
#[cfg(feature = "server")]
pub mod serve;
#[cfg(feature = "server")]
pub mod store;
#[cfg(not(feature = "server"))]
pub mod without_server;
