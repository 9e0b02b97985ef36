//! Peers that break the rules, and attackers on the path: the errors of a session, and its answers.

mod bad_input;
mod bad_limits;
mod bad_records;
mod bad_tokens;
mod exact_replies;
mod man_in_the_middle;
mod regressions;
mod regressions_around;
mod uniform_failure;
