//! The command as who joins a cluster types it: what it does, says and keeps.

#[path = "../common/mod.rs"]
mod common;

mod commands;
mod deployed_server;
mod given_keys;
mod habits;
mod json;
mod patience;
mod tcp;
mod visitor;
