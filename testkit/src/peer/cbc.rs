//! CBC by the book, block by block. It is independent of the code under test.

use aes::Aes256;
use aes::cipher::{BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};

/// Encrypts whole blocks.
pub fn encrypt(key: &[u8; 32], iv: &[u8; 16], plain: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let mut chain = *iv;
    let mut sealed = Vec::new();
    for block in plain.chunks_exact(16) {
        chain.iter_mut().zip(block).for_each(|(chain, plain)| *chain ^= plain);
        let mut block = chain.into();
        cipher.encrypt_block(&mut block);
        chain = block.into();
        sealed.extend_from_slice(&chain);
    }
    sealed
}

/// Decrypts whole blocks.
pub fn decrypt(key: &[u8; 32], iv: &[u8; 16], sealed: &[u8]) -> Vec<u8> {
    let cipher = Aes256::new(key.into());
    let mut chain = iv.as_slice();
    let mut plain = Vec::new();
    for sealed in sealed.chunks_exact(16) {
        let mut block = aes::Block::try_from(sealed).expect("a block");
        cipher.decrypt_block(&mut block);
        plain.extend(block.iter().zip(chain).map(|(byte, chain)| byte ^ chain));
        chain = sealed;
    }
    plain
}
