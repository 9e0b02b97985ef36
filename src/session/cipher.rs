//! AES-256-CBC over whole blocks, in place.

use alloc::boxed::Box;

use cbc::cipher::{Array, BlockModeDecrypt, BlockModeEncrypt, Iv, IvState, KeyIvInit};
use zeroize::Zeroizing;

/// Bytes in a block.
pub(super) const BLOCK: usize = 16;

/// An AES-256 key, wiped when dropped. It is on the heap: moving a value leaves its bytes behind,
/// so only the pointer may move.
pub(super) type Key = Box<Zeroizing<[u8; 32]>>;

/// A key with these bytes.
pub(super) fn key(bytes: &[u8; 32]) -> Key {
    let mut key = Key::default();
    key.copy_from_slice(bytes);
    key
}

/// One block: an IV, or the last block of the record before.
pub(super) type Block = [u8; BLOCK];

/// Encrypts whole blocks in place. Returns the last block, or `iv` if there is none. Bytes after
/// the last whole block stay as they are.
pub(super) fn encrypt(key: &Key, iv: &Block, data: &mut [u8]) -> Block {
    let mut cipher = cbc::Encryptor::<aes::Aes256Enc>::new((&***key).into(), iv.into());
    cipher.encrypt_blocks(Array::slice_as_chunks_mut(data).0);
    cipher.iv_state().into()
}

/// Decrypts a stream of blocks that arrives in pieces. It is made anew for each run of work,
/// because its expanded key is larger than all the rest of an idle session.
pub(super) struct Decryptor(cbc::Decryptor<aes::Aes256Dec>);

impl Decryptor {
    pub(super) fn new(key: &Key, iv: &Block) -> Self {
        let iv: &Iv<cbc::Decryptor<aes::Aes256Dec>> = iv.into();
        Self(cbc::Decryptor::new((&***key).into(), iv))
    }

    /// Decrypts whole blocks in place. Bytes after the last whole block stay as they are.
    pub(super) fn decrypt(&mut self, data: &mut [u8]) {
        self.0.decrypt_blocks(Array::slice_as_chunks_mut(data).0);
    }

    /// The last ciphertext block, to which the next block chains.
    pub(super) fn chain(&self) -> Block {
        self.0.iv_state().into()
    }
}
