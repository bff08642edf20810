//! C1: what does a delivery cost, and how many bytes has it, when the event is compressed once for all its readers?
//!
//! The same load plain and compressed, in turns. Plain stands in the floor's column.

use std::time::Duration;

use serde_json::Value;

use super::Suite;
use super::args::Measure;
use super::delivery::{AROUND, SINGLE_WRITES};
use super::row::{Row, Unit};
use super::runner::number;
use super::statistics::Repeats;
use crate::failure::Failure;

/// Sockets that get every event.
const SOCKETS: u32 = 2_000;
/// Events for each second: few enough that each is a write of its own.
const RATE: u32 = 20;
/// Bytes of an event's data.
const SIZES: [u32; 2] = [200, 1_000];
/// Bytes of the data around its filling: `{"stamp":1234567890123,"filling":""}`.
const AROUND_FILLING: u32 = 36;

/// One of the two ways, over its turns.
#[derive(Debug, Default)]
struct Way {
    cpu_us: Repeats,
    bytes: Repeats,
    per_write: Repeats,
    /// Of all deliveries, those that came compressed.
    share: Repeats,
    json_bytes: f64,
}

impl Way {
    fn add(&mut self, report: &Value) -> Result<(), Failure> {
        self.cpu_us.add(number(report, "/cpu_per_delivery/total_us")?);
        self.bytes.add(number(report, "/bytes_per_delivery")?);
        self.per_write.add(number(report, "/deliveries_per_write")?);
        self.share.add(number(report, "/deliveries_compressed")? / number(report, "/deliveries")?.max(1.0));
        self.json_bytes = number(report, "/frame_bytes")?;
        Ok(())
    }
}

/// C1
pub(super) async fn measure(suite: &mut Suite) -> Result<(), Failure> {
    let (rounds, seconds) = (suite.plan.rounds, suite.plan.growth_seconds);
    let limit = AROUND + Duration::from_secs(seconds.into());
    for size in SIZES {
        let filling = size - AROUND_FILLING;
        let plainly = format!(
            "fanout --connections {SOCKETS} --tenants 1 --rate {RATE} --seconds {seconds} --bytes {filling}"
        );
        let (mut plain, mut compressed) = (Way::default(), Way::default());
        for _ in 0..rounds {
            plain.add(&suite.runner.measure(Measure::C1, &plainly, limit).await?)?;
            let offered = format!("{plainly} --compress");
            compressed.add(&suite.runner.measure(Measure::C1, &offered, limit).await?)?;
        }
        suite.rows.extend(rows(size, &plain, &compressed)?);
    }
    Ok(())
}

/// CPU and bytes, compressed beside plain.
fn rows(size: u32, plain: &Way, compressed: &Way) -> Result<[Row; 2], Failure> {
    let share = compressed.share.median();
    if share == 0.0 {
        return Err(Failure::Usage("the gateway agreed to compress and compressed nothing".into()));
    }
    let row = |what: &str, unit, of: fn(&Way) -> &Repeats| {
        let what = format!("{what} per delivery, compressed beside plain, {size} bytes of data");
        Row::new(Measure::C1, what, unit, of(compressed).median()).floor(of(plain).median())
    };
    let mut note = format!("{SOCKETS} sockets, {RATE} events/s");
    if let (Some(compressed), Some(plain)) = (compressed.cpu_us.range(), plain.cpu_us.range()) {
        note += &format!("; rounds {compressed}, plain {plain}");
    }
    if plain.per_write.median().max(compressed.per_write.median()) > SINGLE_WRITES {
        note += "; NOT one frame a write: the machine was too busy to tell";
    }
    let cpu = row("gateway CPU", Unit::Microseconds, |way| &way.cpu_us).note(note);
    let note = format!(
        "all that came from the sockets; JSON of {:.0} bytes, {:.0} % of the deliveries compressed",
        compressed.json_bytes,
        share * 100.0
    );
    let bytes = row("bytes", Unit::Bytes, |way| &way.bytes).note(note);
    Ok([cpu, bytes])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(cpu_us: f64, bytes: f64, per_write: f64, compressed: u32) -> Way {
        let mut way = Way::default();
        let report = serde_json::json!({
            "cpu_per_delivery": {"total_us": cpu_us}, "bytes_per_delivery": bytes, "frame_bytes": 400,
            "deliveries_per_write": per_write, "deliveries_compressed": compressed, "deliveries": 100,
        });
        way.add(&report).unwrap();
        way
    }

    #[test]
    fn compressed_stands_beside_plain_and_is_not_judged() {
        let [cpu, bytes] = rows(200, &way(5.0, 400.0, 1.0, 0), &way(4.0, 300.0, 1.0, 100)).unwrap();
        assert_eq!((cpu.ratio, bytes.ratio), (Some(0.8), Some(0.75)));
        assert_eq!((cpu.goal, cpu.met, bytes.goal, bytes.met), (None, None, None, None));
        assert_eq!(cpu.note, "2000 sockets, 20 events/s");
        assert!(
            bytes.note.ends_with("JSON of 400 bytes, 100 % of the deliveries compressed"),
            "{}",
            bytes.note
        );
    }

    #[test]
    fn a_busy_machine_is_told_and_a_run_that_compressed_nothing_is_none() {
        let [cpu, _] = rows(200, &way(5.0, 400.0, 1.3, 0), &way(4.0, 300.0, 1.0, 50)).unwrap();
        assert!(cpu.note.ends_with("too busy to tell"), "{}", cpu.note);
        assert!(rows(200, &way(5.0, 400.0, 1.0, 0), &way(4.0, 300.0, 1.0, 0)).is_err());
        assert!(Way::default().add(&serde_json::json!({})).is_err());
    }
}
