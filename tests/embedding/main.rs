//! The library inside programs: adapters, fairness between connections, examples.

mod embedded;
mod examples;
mod on_tokio;
mod turns;
