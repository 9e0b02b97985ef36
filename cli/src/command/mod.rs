//! The subcommands, one a file.

pub mod bench;
pub mod completions;
pub mod create;
pub mod credential;
pub mod demo;
pub mod init;
pub mod join;
pub mod man;
pub mod members;
pub mod register;
pub mod serve;
