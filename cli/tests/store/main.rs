//! What `xlreg serve` keeps: first starts, power cuts, damage, directories, files of other servers.

#[path = "../common/mod.rs"]
mod common;

mod directories;
mod durability;
mod first_start;
mod import;
mod load;
mod power_cut;
mod take_over;
mod tools;
mod weather;
mod worst;
