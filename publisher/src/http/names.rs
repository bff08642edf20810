//! Where does a page go on that is in the order of names?
//!
//! Behind the last one on it. Opaque to clients: base64url of the names, with U+001F between, which no name holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

const BETWEEN: char = '\u{1f}';

/// The cursor's text.
pub(super) fn encode<const N: usize>(names: [&str; N]) -> String {
    URL_SAFE_NO_PAD.encode(names.join(&BETWEEN.to_string()))
}

/// The names, if `text` is a cursor of so many.
pub(super) fn decode<const N: usize>(text: &str) -> Option<[String; N]> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
    let names: Vec<String> = text.split(BETWEEN).map(str::to_owned).collect();
    // Postgres takes no such text.
    names.try_into().ok().filter(|_| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_leads_back_to_its_names(user in "[^\\x00\\x1f]{1,40}", device in "[a-z0-9.-]{1,20}") {
            let text = encode([&user, &device]);
            prop_assert_eq!(decode::<2>(&text), Some([user, device]));
            prop_assert_eq!(decode::<3>(&text), None);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = decode::<2>(&text);
        }
    }
}
