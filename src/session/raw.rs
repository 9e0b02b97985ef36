//! The record rule alone, so that tests can compare it with a model.
#![allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "for tests: a panic here tells of a mistake in them"
)]

use super::cipher::BLOCK;
use super::record::walk::{Found, Walk};

/// Applies the record rule to this plaintext. Returns the lengths of message and record in bytes;
/// `None` if more plaintext is needed. The rule asks for a number of blocks, and `step` says how
/// many it gets: at least one more, while there are any.
pub(crate) fn walk(
    plain: &[u8],
    limit: usize,
    mut step: impl FnMut(usize) -> usize,
) -> Result<Option<(usize, usize)>, ()> {
    let (mut walk, mut have) = (Walk::default(), 0);
    let whole = plain.len() / BLOCK;
    loop {
        match walk.advance(&plain[..have * BLOCK], limit).map_err(|_| ())? {
            Found::End { message, record } => return Ok(Some((message, record))),
            Found::Need(bytes) => {
                let needed = bytes.div_ceil(BLOCK);
                assert!(needed > have, "it asks for more than it has");
                let given = step(needed).max(have + 1);
                if have == whole {
                    return Ok(None);
                }
                have = given.min(whole);
            }
        }
    }
}
