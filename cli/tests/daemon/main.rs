//! `xlreg serve` while it runs: many clients, its metrics and log, what it is given and asked.

#[path = "../common/mod.rs"]
mod common;

mod advertise;
mod crowd;
mod firmware;
mod limits;
mod no_secrets;
mod observer;
mod quotas;
mod surroundings;
