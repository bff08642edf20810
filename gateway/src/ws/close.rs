//! What does the payload of a close frame say, and which codes may stand in it?

use super::violation::Violation;

/// Whether an endpoint may send `code` in a close frame: RFC 6455 section 7.4 and the IANA registry it founded
/// (1012-1014). 1004 is reserved; 1005, 1006 and 1015 stand for what never travels; 3000-4999 belong to
/// libraries and applications.
pub const fn is_sendable(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Reads an unmasked close payload: nothing, or a code and a UTF-8 reason (section 5.5.1).
pub(super) fn parse(payload: &[u8]) -> Result<Option<(u16, &str)>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation::BadClosePayload),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            if !is_sendable(code) {
                return Err(Violation::BadCloseCode);
            }
            let reason = std::str::from_utf8(reason).map_err(|_| Violation::InvalidUtf8)?;
            Ok(Some((code, reason)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_close_payload_is_empty_or_a_code_and_a_reason() {
        assert_eq!(parse(&[]), Ok(None));
        assert_eq!(parse(&[3]), Err(Violation::BadClosePayload));
        assert_eq!(parse(&[0x03, 0xe8]), Ok(Some((1000, ""))));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok(Some((4000, "bye"))));
        assert_eq!(parse(b"\x03\xed"), Err(Violation::BadCloseCode));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(Violation::InvalidUtf8));
    }
}
