//! Key files that a person put into a directory. They are read in any form, and never overwritten.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::files::io_error;
use super::{DirectoryError, KeyPairError, PublicKey, SigKeyPair};
use crate::identity::key_file::MAX_TEXT;

/// Reads a key file, but at most one byte more than a key file may have.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DirectoryError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error(path))?,
    };
    let too_large = |_| io_error(path)(io::ErrorKind::FileTooLarge.into());
    let most = u64::try_from(MAX_TEXT + 1).map_err(too_large)?;
    // With room to spare it never grows. Memory that is freed by growing would not be wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(MAX_TEXT + 64));
    file.take(most).read_to_end(&mut text).map_err(io_error(path))?;
    Ok(Some(text))
}

/// Whether a file has this key, in any form.
pub fn has(path: &Path, key: &PublicKey) -> bool {
    let Ok(Some(text)) = read(path) else { return false };
    SigKeyPair::from_pem(&*text).is_ok_and(|found| found.public_key() == key)
}

/// Whether a file may be replaced by this key without the loss of another one. It may be if it is
/// not there, has this key, was written by [`Identity::save`](crate::identity::Identity::save), or
/// is the rest of such a file after a crash.
pub fn may_be_replaced(path: &Path, key: &PublicKey) -> Result<bool, DirectoryError> {
    use KeyPairError::{Armor, Base64, Encoding, Inconsistent, NoKey, NotText};
    let Some(text) = read(path)? else { return Ok(true) };
    Ok(match SigKeyPair::from_pem(&*text) {
        Ok(found) if found.public_key() == key => true,
        Ok(found) => found.to_pem().is_ok_and(|ours| *text == ours.expose().as_bytes()),
        // Zeros are left by a crash. But a DER file, which starts with 0x30, may be a person's key.
        Err(NotText) => text.first() != Some(&0x30),
        Err(error) => {
            matches!(error, NoKey | Armor | Base64 | Encoding(_) | Inconsistent)
        }
    })
}
