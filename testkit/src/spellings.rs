//! The spellings of a secret in a text, for tests that search for one.

use base64ct::{Base64Unpadded, Base64UrlUnpadded, Encoding};

/// All spellings of these bytes, in pieces of eight, in a text [without blanks](without_blanks).
pub fn spellings(secret: &[u8]) -> Vec<String> {
    let spell = |piece: &[u8]| {
        let hex: String = piece.iter().map(|byte| format!("{byte:02x}")).collect();
        let lists = [format!("{piece:?}"), format!("{piece:x?}"), format!("{piece:X?}")];
        let lists = lists.map(|list| list.trim_matches(['[', ']']).replace(' ', ""));
        [hex.to_uppercase(), hex, piece.escape_ascii().to_string()].into_iter().chain(lists)
    };
    // All three alignments. The last characters of a piece depend on the next bytes.
    let base64 = secret.windows(12).flat_map(|piece| {
        [Base64Unpadded::encode_string(piece), Base64UrlUnpadded::encode_string(piece)]
    });
    secret.windows(8).flat_map(spell).chain(base64).collect()
}

/// Removes all that stands between and before numbers in some forms.
pub fn without_blanks(text: &str) -> String {
    text.replace([' ', '\n'], "").replace("0x", "")
}
