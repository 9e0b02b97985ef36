//! Both sides talk to each other in virtual time: success, refusals and endings, with the bytes in
//! any pieces.

mod chunking;
mod deployed_deaths;
mod deployed_ways;
mod enroll;
mod enroll_changes;
mod enroll_deployed;
mod enroll_lies;
mod enroll_unharmed;
mod pair;
mod pair_commands;
mod pair_endings;
mod pair_refusals;
mod whole_records;
