//! What does the code of a link look like, and by what is it found?
//!
//! 32 random bytes, of which the hash is stored: nobody guesses one, and who reads the table has none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use carillon_backplane::api_key::Fresh;
use sha2::{Digest, Sha256};

const PREFIX: &str = "crlc_";
const BYTES: usize = 32;

/// A fresh code, and what it is found by.
pub(super) fn fresh() -> Option<(String, [u8; 32])> {
    // The secret of a key that is made for nothing else: as many random bytes, from the same source.
    let text = Fresh::make().ok()?.text;
    let secret = text.splitn(3, '_').nth(2)?;
    let code = format!("{PREFIX}{secret}");
    let hash = read(&code)?;
    Some((code, hash))
}

/// What a code is found by; none if this cannot be one.
pub(super) fn read(text: &str) -> Option<[u8; 32]> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    (bytes.len() == BYTES).then(|| Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_by_its_hash_and_nothing_else_is_one() {
        let ((one, found), (other, _)) = (fresh().unwrap(), fresh().unwrap());
        assert_eq!(read(&one), Some(found));
        assert_ne!(read(&other), Some(found));
        for bad in ["", "crlc_", "crlc_AAAA", &one[1..], &format!("{one}A"), "crln_a_b"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
