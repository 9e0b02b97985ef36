//! How a secret could be spelt in a text, for the tests of both packages that look for one.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};

/// Every spelling of these bytes, in pieces of eight, that a text [without blanks](without_blanks)
/// could have.
pub fn spellings(secret: &[u8]) -> Vec<String> {
    let spell = |piece: &[u8]| {
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let lists = [format!("{piece:?}"), format!("{piece:x?}"), format!("{piece:X?}")];
        let lists = lists.map(|list| list.trim_matches(['[', ']']).replace(' ', ""));
        [hex.to_uppercase(), hex, piece.escape_ascii().to_string()].into_iter().chain(lists)
    };
    // At any of the three alignments; the last characters of a piece depend on what follows.
    let base64 = secret.windows(12).flat_map(|piece| {
        [Base64Unpadded::encode_string(piece), Base64UrlUnpadded::encode_string(piece)]
    });
    secret.windows(8).flat_map(spell).chain(base64).collect()
}

/// Without what stands between and before numbers in some forms and not in others.
pub fn without_blanks(text: &str) -> String {
    text.replace([' ', '\n'], "").replace("0x", "")
}
