//! How does text a stranger sent stay harmless in a log line?
//!
//! A record reaches the writer whole, with one line break at its end. Everything else in it that could break the
//! line, or steer a terminal that shows it, is written as an escape. In a JSON line every control character that
//! is left by then stands inside a string, so there the escape is JSON's.

use std::io;
use tracing_subscriber::fmt::MakeWriter;

/// Makes writers whose every write is one line.
pub(super) struct OneLine<W>(pub(super) W);

/// A writer whose every write is one line.
pub(super) struct OneLineWriter<W>(W);

impl<'a, W: MakeWriter<'a>> MakeWriter<'a> for OneLine<W> {
    type Writer = OneLineWriter<W::Writer>;

    fn make_writer(&'a self) -> Self::Writer {
        OneLineWriter(self.0.make_writer())
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        OneLineWriter(self.0.make_writer_for(meta))
    }
}

impl<W: io::Write> io::Write for OneLineWriter<W> {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        match escaped(record) {
            Some(line) => self.0.write_all(&line)?,
            None => self.0.write_all(record)?,
        }
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The record with everything harmful escaped; `None` when it holds nothing harmful, as nearly always.
fn escaped(record: &[u8]) -> Option<Vec<u8>> {
    let text = String::from_utf8_lossy(record);
    let body = text.strip_suffix('\n').unwrap_or(&text);
    if !body.chars().any(harmful) {
        return None;
    }
    let mut line = String::with_capacity(text.len() + 16);
    for c in body.chars() {
        match c {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if harmful(c) => line.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => line.push(c),
        }
    }
    line.push_str(&text[body.len()..]);
    Some(line.into_bytes())
}

/// Control characters, the two Unicode line breaks, and the marks that reorder what a reader sees
/// (CVE-2021-42574). All are in the Basic Multilingual Plane, so four hexadecimal digits suffice.
fn harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn written(record: &str) -> String {
        let mut writer = OneLineWriter(Vec::new());
        writer.write_all(record.as_bytes()).unwrap();
        String::from_utf8(writer.0).unwrap()
    }

    #[test]
    fn an_ordinary_record_is_written_as_it_is() {
        assert_eq!(written("INFO ready Kovač 🎵\n"), "INFO ready Kovač 🎵\n");
        assert_eq!(written("without end"), "without end");
    }

    #[test]
    fn only_the_last_line_break_stays() {
        assert_eq!(written("a\nb\r\n\n"), "a\\nb\\r\\n\n");
        assert_eq!(written("\x1b[31mred\x07\u{9b}\u{202e}\n"), "\\u001b[31mred\\u0007\\u009b\\u202e\n");
    }
}
