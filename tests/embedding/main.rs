//! The library in programs: the adapters, fairness between connections, the examples.

mod embedded;
mod examples;
mod on_tokio;
mod turns;
