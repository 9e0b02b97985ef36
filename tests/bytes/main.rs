//! What is on the wire and on disk, byte for byte: captures, texts, keys, identities and what keeps
//! them.

mod credential;
mod directory;
mod golden;
mod identity;
mod key_files;
mod providers;
mod text;
