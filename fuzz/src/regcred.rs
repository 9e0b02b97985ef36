//! The regCred: a text that is read is written so that it reads the same. All others are refused
//! with a short error.
use xlreg::credential::{Credential, CredentialError};

use crate::checks::one_line;

/// The longest text of an error: 40 quoted characters, each escaped to ten bytes, and the words
/// around them.
const MAX_ERROR: usize = 512;

/// The text itself.
pub fn regcred(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = text.parse::<Credential>();
    match &parsed {
        Ok(credential) => accepted(&text, credential),
        Err(error) => refused(&text, error),
    }
    // Lines end with LF or CRLF. Blank lines and indentation have no meaning (PROTOCOL 7).
    let end = if text.len().is_multiple_of(2) { "\n" } else { " \r\n\n\t " };
    let otherwise = text.replace("\r\n", "\n").replace('\n', end);
    if text.len().max(otherwise.len()) <= Credential::MAX_LEN {
        let otherwise = otherwise.parse::<Credential>();
        assert_eq!(otherwise.as_ref().ok(), parsed.as_ref().ok(), "with {end:?}");
        assert!(end != "\n" || otherwise == parsed, "with LF it is another error");
    }
}

fn accepted(text: &str, credential: &Credential) {
    assert!(text.len() <= Credential::MAX_LEN);
    assert!((1..=Credential::MAX_END_POINTS).contains(&credential.end_points.len()));
    let written = credential.to_string();
    assert!(written.is_ascii() && written.len() <= Credential::MAX_LEN);
    assert_eq!(written.matches('\n').count(), written.matches("\r\n").count());
    let again: Credential = written.parse().expect("what was written is read");
    assert_eq!(again, *credential);
    assert_eq!(again.to_string(), written, "one credential, two texts");
    // The longest text is tested only now and then, because most of it would be blanks.
    if text.len().is_multiple_of(16) {
        let longest = [text, &" ".repeat(Credential::MAX_LEN - text.len())].concat();
        assert_eq!(longest.parse().as_ref(), Ok(credential));
        assert!([&longest, " "].concat().parse::<Credential>().is_err(), "longer than any");
    }
    // Equal keys may differ in their DER, but not after they were text.
    for (again, key) in
        [(&again.comms_key, &credential.comms_key), (&again.sig_key, &credential.sig_key)]
    {
        assert_eq!(again.spki_der(), key.spki_der());
    }
}

fn refused(text: &str, error: &CredentialError) {
    one_line(error, MAX_ERROR);
    let lines = text.lines().count().max(1);
    assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
}
