//! Is `<epoch>:<seq>`, the word a reader of an event stream comes back with, read as it was written?

use carillon_protocol::limits::EPOCH_BYTES;
use carillon_protocol::{Cursor, Epoch, Seq};

/// Panics when a position is misread, or a text passes that names none.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let cursor = text.parse::<Cursor>().ok();
    assert_eq!(cursor, expected(text), "{text:?}");
    let Some(cursor) = cursor else { return };
    let printed = cursor.to_string();
    assert_eq!(printed.parse().as_ref(), Ok(&cursor), "{printed}");
    assert!(printed.len() <= text.len() && printed.bytes().all(|byte| byte.is_ascii_graphic()), "{printed}");
}

/// The grammar, read from the end: digits, a colon, an epoch.
fn expected(text: &str) -> Option<Cursor> {
    let epoch = text.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &text[epoch.len()..];
    let epoch = epoch.strip_suffix(':')?;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if digits.is_empty() || !(1..=EPOCH_BYTES).contains(&epoch.len()) || !epoch.chars().all(allowed) {
        return None;
    }
    let add = |seq: u64, digit: char| seq.checked_mul(10)?.checked_add(u64::from(digit.to_digit(10)?));
    let seq = Seq(digits.chars().try_fold(0, add)?);
    Some(Cursor { epoch: Epoch::new(epoch).expect("a good epoch"), seq })
}
