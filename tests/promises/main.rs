//! The promises of the pages and the rules of the house, compared with the code.

mod bounds;
mod house;
mod keys_once;
mod pages;
mod rsa_operations;
