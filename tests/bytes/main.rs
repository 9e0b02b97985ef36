//! The bytes on the wire and on disk: captures, texts, keys, identities and their directories.

mod changes;
mod credential;
mod directory;
mod golden;
mod identity;
mod key_files;
mod providers;
mod text;
