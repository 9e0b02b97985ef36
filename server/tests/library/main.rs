//! The server as a library: in a program of somebody's own, over each kind of store, and over a
//! file that it has written before.

mod embedding;
mod old_file;
mod stores;
