//! Reading of private-key files: one PEM block in a text, in one of three forms.
//!
//! Text around the block is skipped, and so are blocks without a private key, such as a certificate
//! beside the key or parameters before it. For a file without a usable key the error names its
//! content.

use alloc::vec::Vec;

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use super::{KeyAlgorithm, KeyForm, KeyPairError, openssh_private};
use crate::crypto::{MAX_DER, PrivateParts};

/// The longest text that is searched, in bytes. A key of 8192 bits with all its numbers written out
/// before it has 22 KB.
pub(super) const MAX_TEXT: usize = 64 * 1024;

/// The longest block that is decoded, in bytes. OpenSSH writes the public half twice, and a
/// comment.
const MAX_BLOCK: usize = 2 * MAX_DER;

/// Reads the one private key in a text, and makes a key pair of its numbers.
pub(super) fn read<T>(
    text: &[u8],
    make: impl FnOnce(&PrivateParts<'_>, KeyForm) -> Result<T, KeyPairError>,
) -> Result<T, KeyPairError> {
    let (form, lines) = find(text)?;
    let der = decode(lines)?;
    let of_form = |error| KeyPairError::of_form(error, form);
    let parts = match form {
        KeyForm::Pkcs8 => PrivateParts::from_pkcs8_der(&der).map_err(of_form)?,
        KeyForm::Pkcs1 => PrivateParts::from_pkcs1_der(&der).map_err(of_form)?,
        KeyForm::OpenSsh => openssh_private::parts(&der)?,
    };
    make(&parts, form)
}

/// A line without its end, and without the spaces that a paste or a YAML file adds.
type Line<'a> = &'a [u8];

/// The content of a block, by its label.
enum Block {
    /// A private key that can be read.
    Usable(KeyForm),
    /// A private key that cannot be used.
    Private(KeyPairError),
    /// Not a private key.
    Other(KeyPairError),
}

/// Finds the one private key: its form, and the lines between BEGIN and END.
fn find(text: &[u8]) -> Result<(KeyForm, Vec<Line<'_>>), KeyPairError> {
    if text.len() > MAX_TEXT {
        return Err(KeyPairError::TooLong);
    }
    if text.contains(&0) {
        return Err(KeyPairError::NotText);
    }
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii);
    let (mut found, mut private, mut other) = (None, None, None);
    while let Some(line) = lines.next() {
        if line.starts_with(b"-----END") {
            return Err(KeyPairError::Armor);
        }
        if !line.starts_with(b"-----BEGIN") {
            continue;
        }
        let label = boundary(line, b"-----BEGIN ").ok_or(KeyPairError::Armor)?;
        let body = body(label, &mut lines)?;
        match kind(label, &body) {
            Block::Other(error) => other = other.or(Some(error)),
            _ if found.is_some() || private.is_some() => return Err(KeyPairError::Several),
            Block::Private(error) => private = Some(error),
            Block::Usable(form) => found = Some((form, body)),
        }
    }
    match (found, private.or(other)) {
        (Some(found), _) => Ok(found),
        (None, Some(error)) => Err(error),
        (None, None) => Err(without_block(text)),
    }
}

/// Reads the label on a line with BEGIN or END.
fn boundary<'a>(line: Line<'a>, start: &[u8]) -> Option<&'a [u8]> {
    let label = line.strip_prefix(start)?.strip_suffix(b"-----")?;
    (!label.contains(&b'-')).then_some(label)
}

/// Takes the lines up to the END that belongs to a BEGIN.
fn body<'a>(
    label: &[u8],
    lines: &mut impl Iterator<Item = Line<'a>>,
) -> Result<Vec<Line<'a>>, KeyPairError> {
    let mut body = Vec::new();
    for line in lines {
        match boundary(line, b"-----END ") {
            Some(end) if end == label => return Ok(body),
            None if !line.starts_with(b"-----") => body.push(line),
            _ => break,
        }
    }
    Err(KeyPairError::Armor)
}

fn kind(label: &[u8], body: &[Line<'_>]) -> Block {
    // PEM from before 1996 says it in a header.
    let encrypted =
        |line: &Line<'_>| line.starts_with(b"Proc-Type:") && line.ends_with(b"ENCRYPTED");
    match label {
        b"RSA PRIVATE KEY" if body.iter().any(encrypted) => Block::Private(KeyPairError::Encrypted),
        b"PRIVATE KEY" => Block::Usable(KeyForm::Pkcs8),
        b"RSA PRIVATE KEY" => Block::Usable(KeyForm::Pkcs1),
        b"OPENSSH PRIVATE KEY" => Block::Usable(KeyForm::OpenSsh),
        b"ENCRYPTED PRIVATE KEY" => Block::Private(KeyPairError::Encrypted),
        b"EC PRIVATE KEY" => Block::Private(KeyPairError::NotRsa(KeyAlgorithm::Ec)),
        b"DSA PRIVATE KEY" => Block::Private(KeyPairError::NotRsa(KeyAlgorithm::Dsa)),
        _ if label.ends_with(b"CERTIFICATE") => Block::Other(KeyPairError::Certificate),
        _ if label.ends_with(b"PUBLIC KEY") => Block::Other(KeyPairError::PublicKey),
        _ if label.ends_with(b"PRIVATE KEY") => Block::Private(KeyPairError::Foreign),
        _ => Block::Other(KeyPairError::Foreign),
    }
}

/// Names the content of a text without a block.
fn without_block(text: &[u8]) -> KeyPairError {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let starts = |line: Line<'_>, starts: &[&str]| {
        starts.iter().any(|start| line.starts_with(start.as_bytes()))
    };
    lines
        .find_map(|line| match line {
            _ if starts(line, &["ssh-", "ecdsa-sha2-", "sk-", "---- BEGIN SSH2 PUBLIC"]) => {
                Some(KeyPairError::PublicKey)
            }
            _ if starts(line, &["PuTTY-User-Key-File-"]) => Some(KeyPairError::Putty),
            _ if starts(line, &["---- BEGIN SSH2"]) => Some(KeyPairError::Foreign),
            _ => None,
        })
        .unwrap_or(KeyPairError::NoKey)
}

/// Decodes the base64 of a block.
fn decode(lines: Vec<Line<'_>>) -> Result<Zeroizing<Vec<u8>>, KeyPairError> {
    // Base64 takes a third more.
    const MAX_BASE64: usize = MAX_BLOCK * 4 / 3;
    // The lines are parts of one text, so the sum does not overflow.
    let len = lines.iter().map(|line| line.len()).sum();
    if len > MAX_BASE64 {
        return Err(KeyPairError::TooLong);
    }
    // It never grows, because memory that is freed then would not be wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(len));
    lines.iter().for_each(|line| text.extend_from_slice(line));
    let decoded = Base64::decode_in_place(&mut text).map_err(|_| KeyPairError::Base64)?.len();
    text.truncate(decoded);
    Ok(text)
}
