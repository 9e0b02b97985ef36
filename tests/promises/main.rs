//! What the pages and the house rules promise, compared with the code.

mod bounds;
mod house;
mod keys_once;
mod rsa_operations;
