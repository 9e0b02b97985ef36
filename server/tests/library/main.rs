//! The server as a library: inside another program, over each kind of store, and over a file of an
//! earlier version.

mod embedding;
mod old_file;
mod quotas;
mod sqlite;
mod stores;
