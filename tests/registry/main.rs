//! The registry's rules without a session.

mod apply;
mod model;
mod rules;
mod views;
