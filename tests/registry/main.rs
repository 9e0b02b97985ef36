//! The registry's rules without a session.

mod apply;
mod model;
mod room;
mod rules;
mod views;
