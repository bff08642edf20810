//! How does a piece of an answer travel whose length nobody knows yet (RFC 9112 section 7.1)?
//!
//! An answer that only ends with its connection is held back by caches until enough of it has come. In chunks, each message of an event
//! stream is whole when it arrives, and an answer that was cut off is told from one that has ended.

/// What ends an answer in chunks.
pub(crate) const LAST: &[u8] = b"0\r\n\r\n";

/// What ends a chunk.
const END: &[u8] = b"\r\n";

/// One chunk with these parts, and where in it they stand. There must be a part with something in it: an empty chunk is the last.
pub(crate) fn chunk(parts: &[&[u8]]) -> (Vec<u8>, std::ops::Range<usize>) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    debug_assert!(length > 0, "an empty chunk would end the answer");
    let head = format!("{length:x}\r\n");
    let mut out = Vec::with_capacity(head.len() + length + END.len());
    out.extend_from_slice(head.as_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let within = head.len()..out.len();
    out.extend_from_slice(END);
    (out, within)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_says_how_long_it_is() {
        let (bytes, within) = chunk(&[b"data: ", &[b'x'; 20], b"\n\n"]);
        assert_eq!(bytes, b"1c\r\ndata: xxxxxxxxxxxxxxxxxxxx\n\n\r\n");
        assert_eq!(&bytes[within], b"data: xxxxxxxxxxxxxxxxxxxx\n\n");
    }
}
