//! Key files that somebody put into a directory: read whatever their form, and never written over.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::vec::Vec;

use zeroize::Zeroizing;

use super::files::io_error;
use super::{DirectoryError, KeyPairError, PublicKey, SigKeyPair};
use crate::identity::key_file::MAX_TEXT;

/// The bytes of a key file, but no more of them than show that it is none.
pub fn read(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, DirectoryError> {
    let file = match File::open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(io_error(path))?,
    };
    let most = u64::try_from(MAX_TEXT).unwrap_or(u64::MAX).saturating_add(1);
    let len = file.metadata().map_err(io_error(path))?.len().min(most);
    // With room to spare it does not grow: what is freed then is not wiped.
    let room = usize::try_from(len).unwrap_or_default().saturating_add(64);
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(most).read_to_end(&mut text).map_err(io_error(path))?;
    Ok(Some(text))
}

/// Whether a file has this key, in whatever form.
pub fn has(path: &Path, key: &PublicKey) -> bool {
    let Ok(Some(text)) = read(path) else { return false };
    SigKeyPair::from_pem(&*text).is_ok_and(|found| found.public_key() == key)
}

/// Whether nobody loses a key if a file is made to hold this one: it is not there, has it already,
/// was written by [`Identity::save`](crate::identity::Identity::save), or is what a crash leaves of
/// that.
pub fn may_be_replaced(path: &Path, key: &PublicKey) -> Result<bool, DirectoryError> {
    use KeyPairError::{Armor, Base64, Encoding, Inconsistent, NoKey, NotText};
    let Some(text) = read(path)? else { return Ok(true) };
    Ok(match SigKeyPair::from_pem(&*text) {
        Ok(found) if found.public_key() == key => true,
        Ok(found) => found.to_pem().is_ok_and(|ours| *text == ours.expose().as_bytes()),
        // DER is not text either, and may be the key that somebody has; a crash leaves zeros.
        Err(NotText) => text.first() != Some(&0x30),
        Err(error) => {
            matches!(error, NoKey | Armor | Base64 | Encoding(_) | Inconsistent)
        }
    })
}
