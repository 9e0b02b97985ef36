//! The subcommands, one a file.

pub mod demo;
pub mod join;
pub mod serve;
