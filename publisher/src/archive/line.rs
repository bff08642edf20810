//! What does an event look like in the archive?
//!
//! One line of JSON: `{"seq":7,"tenant":"acme","at":"2026-10-30T09:26:53.589793Z","channels":["tenant"],"event":{…}}`, with
//! `"traceparent"` before `event` where there is one. `event` is the CloudEvents JSON, byte for byte as clients got it. How long the lines
//! of many events are is known from the bytes of what differs between them, before one of them is written. Pure.

use carillon_backplane::log::{ArchivedRow, DayMeasure};
use carillon_protocol::TenantId;
use std::io::Write;

const SEQ: &[u8] = b"{\"seq\":";
const TENANT: &[u8] = b",\"tenant\":\"";
const AT: &[u8] = b"\",\"at\":\"";
const CHANNELS: &[u8] = b"\",\"channels\":";
const TRACE: &[u8] = b",\"traceparent\":";
const EVENT: &[u8] = b",\"event\":";
const END: &[u8] = b"}\n";
/// `2026-10-30T09:26:53.589793Z`
const MOMENT: usize = 27;

/// Bytes of the lines of events that are so much.
pub(super) fn bytes(tenant: &TenantId, measure: DayMeasure) -> u64 {
    let parts = [SEQ, TENANT, AT, CHANNELS, EVENT, END].iter().map(|part| part.len()).sum::<usize>();
    let each = (parts + tenant.as_str().len() + MOMENT) as u64;
    measure.bytes + measure.events * each + measure.traced * TRACE.len() as u64
}

/// Writes an event's line.
pub(super) fn write(to: &mut Vec<u8>, tenant: &TenantId, row: &ArchivedRow) {
    let mut put = |part: &[u8]| to.extend_from_slice(part);
    put(SEQ);
    // Writing into memory cannot fail.
    let _ = write!(to, "{}", row.seq.0);
    let mut put = |part: &[u8]| to.extend_from_slice(part);
    put(TENANT);
    put(tenant.as_str().as_bytes());
    put(AT);
    moment(to, row.at_micros);
    let mut put = |part: &[u8]| to.extend_from_slice(part);
    put(CHANNELS);
    put(row.channels.as_bytes());
    if let Some(traceparent) = &row.traceparent {
        put(TRACE);
        put(traceparent.as_bytes());
    }
    put(EVENT);
    let from = to.len();
    to.extend_from_slice(row.body.as_bytes());
    // Stored JSON has no line breaks. One that came into the table in another way stays one line, and as long.
    for byte in to[from..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
    to.extend_from_slice(END);
}

/// Writes a moment to the microsecond.
fn moment(to: &mut Vec<u8>, micros: i64) {
    let text = jiff::Timestamp::from_microsecond(micros).map(|at| format!("{at:.6}"));
    to.extend_from_slice(text.unwrap_or_default().as_bytes());
}

/// The number of the event whose line begins so.
pub(super) fn seq_of(line: &[u8]) -> Option<u64> {
    let digits = line.strip_prefix(SEQ)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::Seq;
    use proptest::prelude::*;
    use serde_json::Value;

    fn row(seq: u64, traceparent: Option<&str>, body: &str) -> ArchivedRow {
        let at_micros = 1_793_352_413_589_793;
        let channels = r#"["tenant","user:\"é\""]"#.to_owned();
        ArchivedRow {
            seq: Seq(seq),
            at_micros,
            channels,
            traceparent: traceparent.map(str::to_owned),
            body: body.to_owned(),
        }
    }

    #[test]
    fn a_line_has_everything_of_its_event_and_ends_where_it_ends() {
        let tenant = TenantId::new("acme").unwrap();
        let mut line = Vec::new();
        write(&mut line, &tenant, &row(7, Some(r#""00-ab-cd-01""#), r#"{"id":"a","data":{"n":1}}"#));
        let text = std::str::from_utf8(&line).unwrap();
        assert_eq!(
            text,
            "{\"seq\":7,\"tenant\":\"acme\",\"at\":\"2026-10-30T09:26:53.589793Z\",\"channels\":[\"tenant\",\"user:\\\"é\\\"\"],\
             \"traceparent\":\"00-ab-cd-01\",\"event\":{\"id\":\"a\",\"data\":{\"n\":1}}}\n"
        );
        assert_eq!(serde_json::from_str::<Value>(text).unwrap()["event"]["data"]["n"], 1);
        assert_eq!(seq_of(&line), Some(7));
        assert_eq!((seq_of(b"{\"seq\":}"), seq_of(b"{\"seq\":12"), seq_of(b"[]")), (None, None, None));
    }

    #[test]
    fn an_event_with_line_breaks_is_one_line_all_the_same() {
        let tenant = TenantId::new("acme").unwrap();
        let mut line = Vec::new();
        write(&mut line, &tenant, &row(1, None, "{\n\"a\":\r\n1}"));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
        assert_eq!(serde_json::from_slice::<Value>(&line).unwrap()["event"]["a"], 1);
    }

    proptest! {
        #[test]
        fn the_length_of_lines_is_known_before_they_are_written(
            seqs in prop::collection::vec((0u64..i64::MAX as u64, any::<bool>(), "[a-z\n]{0,40}"), 0..20)
        ) {
            let tenant = TenantId::new("a-tenant").unwrap();
            let (mut lines, mut measure) = (Vec::new(), DayMeasure::default());
            for (seq, traced, body) in seqs {
                let row = row(seq, traced.then_some("\"00-1\""), &body);
                write(&mut lines, &tenant, &row);
                measure.events += 1;
                measure.traced += u64::from(traced);
                let trace = row.traceparent.map_or(0, |text| text.len());
                measure.bytes += (seq.to_string().len() + row.channels.len() + trace + row.body.len()) as u64;
            }
            prop_assert_eq!(bytes(&tenant, measure), lines.len() as u64);
        }
    }
}
