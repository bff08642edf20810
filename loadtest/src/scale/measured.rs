//! Which constants does the arithmetic use, and where in a bench.json do they stand?

use serde::Serialize;
use serde_json::Value;

use crate::failure::Failure;

/// What one of each thing costs. CPU is user and system time of the processes named.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Measured {
    /// The line that describes machine, commit and date.
    pub(super) circumstances: String,
    /// Processors of the machine, of which Postgres had what the clients and services left.
    pub(super) processors: f64,
    /// B3: resident bytes of a gateway for each connection at rest, the slope through all sizes.
    pub(super) connection_bytes: f64,
    /// B3: what the kernel holds for each socket, at the largest size.
    pub(super) socket_bytes: f64,
    /// B3: how far the largest size is from what the smaller ones foretell, in percent.
    pub(super) memory_error_percent: f64,
    /// B1: gateway, for each delivery, one frame a write.
    pub(super) delivery_us: f64,
    /// B6: gateway, for each connect with nothing to replay.
    pub(super) connect_us: f64,
    /// B7: gateway, for each event of a small tenant that it receives, without the deliveries.
    pub(super) reception_us: f64,
    /// B7: publisher, for each event that comes alone.
    pub(super) publish_us: f64,
    /// B7: Postgres, for each event that comes alone.
    pub(super) append_us: f64,
    /// B5: events a second of 64 tenants, a hundred in a request, on all of the machine.
    pub(super) bulk_per_second: f64,
    /// B7: Postgres, for each tenant that a gateway follows, a second.
    pub(super) followed_postgres_us: f64,
    /// B7: gateway, for each tenant that it follows, a second.
    pub(super) followed_gateway_us: f64,
    /// R1: Redis, for an announcement itself.
    pub(super) announcement_us: f64,
    /// R1: Redis, for each gateway that it goes to.
    pub(super) handed_us: f64,
}

impl Measured {
    /// Reads what `bench` wrote.
    pub(crate) fn read(bench: &Value) -> Result<Self, Failure> {
        let resting = points(bench, "/curves/resting", "connections", "resident_bytes")?;
        let grown: Vec<(f64, f64)> = resting.iter().map(|(at, each)| (*at, at * each)).collect();
        let told = points(bench, "/curves/announcements", "subscribers", "redis_us")?;
        let (announcement_us, handed_us) = line(&told);
        let delivery_us = row(bench, "B1", "gateway CPU per delivery")?;
        let small = small_rooms(bench)?;
        let (followed_postgres_us, followed_gateway_us) = followed(bench)?;
        let per_event = |process: &str| small.cpu_us(process) / small.events;
        let deliveries = small.deliveries / small.events;
        Ok(Self {
            circumstances: circumstances(bench),
            processors: number(bench, "/circumstances/processors")?,
            connection_bytes: line(&grown).1,
            socket_bytes: points(bench, "/curves/resting", "connections", "kernel_bytes")?
                .last()
                .map_or(0.0, |(_, bytes)| *bytes),
            memory_error_percent: foretold_error(&grown)?,
            delivery_us,
            connect_us: 1e6 / row(bench, "B6", "authenticated connects, nothing")?,
            reception_us: (per_event("gateway") - deliveries * delivery_us).max(0.0),
            publish_us: per_event("publisher"),
            append_us: per_event("postgres"),
            bulk_per_second: row(bench, "B5", "durable events, 100 in a request, 64")?,
            followed_postgres_us,
            followed_gateway_us,
            announcement_us: announcement_us.max(0.0),
            handed_us,
        })
    }
}

/// One run of `fanout` as bench.json has it.
struct Run<'a> {
    report: &'a Value,
    events: f64,
    deliveries: f64,
    seconds: f64,
}

impl Run<'_> {
    /// CPU of all processes whose name begins so.
    fn cpu_us(&self, process: &str) -> f64 {
        let all = self.report.get("cpu").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let named =
            all.iter().filter(|used| used["process"].as_str().is_some_and(|name| name.starts_with(process)));
        named
            .map(|used| {
                (used["user_ms"].as_f64().unwrap_or(0.0) + used["system_ms"].as_f64().unwrap_or(0.0)) * 1e3
            })
            .sum()
    }
}

/// The runs of B7 that publish, with how many tenants and bystanders each had.
fn growth_runs(bench: &Value) -> Vec<(f64, f64, Run<'_>)> {
    let runs = bench.get("runs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let published = runs.iter().filter(|run| run["measure"] == "B7" && run["report"]["events"].is_number());
    published
        .filter_map(|run| {
            let report = &run["report"];
            let of = |name: &str| report[name].as_f64();
            let (events, rate) = (of("events")?, of("events_per_second")?);
            let run = Run { report, events, deliveries: of("deliveries")?, seconds: events / rate };
            Some((of("tenants")?, of("bystanders")?, run))
        })
        .collect()
}

/// The run in which each event goes to another of the most tenants.
fn small_rooms(bench: &Value) -> Result<Run<'_>, Failure> {
    let most = growth_runs(bench).into_iter().max_by(|(a, ..), (b, ..)| a.total_cmp(b));
    let spread = most.filter(|(tenants, ..)| *tenants > 1.0);
    spread.map(|(.., run)| run).ok_or_else(|| missing("a run of B7 with many tenants"))
}

/// CPU a second of Postgres and of the gateway for each tenant that is followed: the runs with the most bystanders beside
/// those with none. 0 where the difference is lost among the rest.
fn followed(bench: &Value) -> Result<(f64, f64), Failure> {
    let runs: Vec<(f64, Run<'_>)> = growth_runs(bench)
        .into_iter()
        .filter(|(tenants, ..)| *tenants == 1.0)
        .map(|(_, by, run)| (by, run))
        .collect();
    let most = runs.iter().map(|(bystanders, _)| *bystanders).fold(0.0, f64::max);
    if most == 0.0 || !runs.iter().any(|(bystanders, _)| *bystanders == 0.0) {
        return Err(missing("runs of B7 with and without tenants that are only followed"));
    }
    let mean = |bystanders: f64, process: &str| {
        let with = runs.iter().filter(|(by, _)| *by == bystanders);
        let each: Vec<f64> = with.map(|(_, run)| run.cpu_us(process) / run.seconds).collect();
        each.iter().sum::<f64>() / each.len() as f64
    };
    let each = |process: &str| ((mean(most, process) - mean(0.0, process)) / most).max(0.0);
    Ok((each("postgres"), each("gateway")))
}

/// The figure of the first row of a measure whose words begin so.
fn row(bench: &Value, measure: &str, what: &str) -> Result<f64, Failure> {
    let rows = bench.get("rows").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of = |row: &&Value| {
        row["measure"] == measure && row["what"].as_str().is_some_and(|words| words.starts_with(what))
    };
    let found = rows.iter().find(of).and_then(|row| row["carillon"].as_f64());
    found.filter(|figure| *figure > 0.0).ok_or_else(|| missing(&format!("{measure}: {what}")))
}

/// Pairs of a curve.
fn points(bench: &Value, curve: &str, x: &str, y: &str) -> Result<Vec<(f64, f64)>, Failure> {
    let all = bench.pointer(curve).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let points: Vec<(f64, f64)> =
        all.iter().filter_map(|point| Some((point[x].as_f64()?, point[y].as_f64()?))).collect();
    if points.len() < 2 { Err(missing(&format!("two points of {curve}"))) } else { Ok(points) }
}

fn number(bench: &Value, pointer: &str) -> Result<f64, Failure> {
    bench.pointer(pointer).and_then(Value::as_f64).ok_or_else(|| missing(pointer))
}

fn missing(what: &str) -> Failure {
    Failure::Usage(format!("the bench.json has not: {what}; run `bench` with B1, B3, B5, B6, B7 and R1"))
}

fn circumstances(bench: &Value) -> String {
    let of = |name: &str| match &bench["circumstances"][name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let quick = if bench["circumstances"]["quick"] == true { ", a quick run" } else { "" };
    format!("commit {}, {}, {} × {}{quick}", of("commit"), of("date"), of("processors"), of("processor"))
}

/// Where the line of least squares meets zero, and its slope.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len() as f64;
    let (sum_x, sum_y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (mean_x, mean_y) = (sum_x / count, sum_y / count);
    let across: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let along: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let slope = across / along;
    (mean_y - slope * mean_x, slope)
}

/// How far the largest point lies from the line through the smaller ones, in percent of itself. At least three points.
fn foretold_error(points: &[(f64, f64)]) -> Result<f64, Failure> {
    let Some(((x, y), smaller)) = points.split_last().filter(|(_, smaller)| smaller.len() >= 2) else {
        return Err(missing("three sizes of B3"));
    };
    let (base, slope) = line(smaller);
    Ok(((base + slope * x) - y).abs() / y * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A bench.json with simple figures.
    pub(crate) fn bench() -> Value {
        let cpu = |postgres: f64, publisher: f64, gateway: f64| {
            json!([{"process": "postgres", "user_ms": postgres, "system_ms": 0.0},
                {"process": "publisher", "user_ms": publisher, "system_ms": 0.0},
                {"process": "gateway-1", "user_ms": gateway / 2.0, "system_ms": gateway / 2.0}])
        };
        let run = |tenants: u32, bystanders: u32, deliveries: u32, cpu: Value| {
            json!({"measure": "B7", "report": {"tenants": tenants, "bystanders": bystanders, "events": 1_000, "events_per_second": 500.0,
                "deliveries": deliveries, "cpu": cpu}})
        };
        json!({
            "circumstances": {"commit": "abc", "date": "2026-11-30", "processors": 2, "processor": "CPU", "quick": false},
            "rows": [
                {"measure": "B1", "what": "gateway CPU per delivery, one frame", "carillon": 6.0},
                {"measure": "B5", "what": "durable events, 100 in a request, 64 tenants", "carillon": 40_000.0},
                {"measure": "B6", "what": "authenticated connects, nothing to replay", "carillon": 10_000.0}],
            "curves": {
                "resting": [{"connections": 1_000, "resident_bytes": 3_000.0, "kernel_bytes": 900.0},
                    {"connections": 5_000, "resident_bytes": 1_400.0, "kernel_bytes": 900.0},
                    {"connections": 15_000, "resident_bytes": 17e6 / 15e3, "kernel_bytes": 1_000.0}],
                "announcements": [{"subscribers": 1, "redis_us": 14.0}, {"subscribers": 8, "redis_us": 28.0}, {"subscribers": 64, "redis_us": 140.0}]},
            "runs": [
                run(5_000, 0, 2_000, cpu(400.0, 250.0, 212.0)),
                run(1, 0, 100_000, cpu(100.0, 50.0, 600.0)),
                run(1, 4_999, 100_000, cpu(199.98, 50.0, 699.98))]
        })
    }

    #[test]
    fn the_constants_are_found_in_a_bench_json() {
        let measured = Measured::read(&bench()).unwrap();
        // 2 MB and 1,000 bytes each: every size lies on one line.
        assert_eq!((measured.connection_bytes.round(), measured.socket_bytes), (1_000.0, 1_000.0));
        assert!(measured.memory_error_percent < 0.01, "{}", measured.memory_error_percent);
        assert_eq!((measured.announcement_us.round(), measured.handed_us.round()), (12.0, 2.0));
        assert_eq!((measured.append_us, measured.publish_us, measured.reception_us), (400.0, 250.0, 200.0));
        assert_eq!((measured.delivery_us, measured.connect_us), (6.0, 100.0));
        // 50 ms a second more for 4,999 tenants.
        assert_eq!(
            (measured.followed_postgres_us.round(), measured.followed_gateway_us.round()),
            (10.0, 10.0)
        );
    }

    #[test]
    fn what_is_missing_is_named() {
        let mut without = bench();
        without["curves"]["announcements"] = json!([]);
        let fault = Measured::read(&without).unwrap_err().to_string();
        assert!(fault.contains("announcements") && fault.contains("R1"), "{fault}");
        let mut without = bench();
        without["rows"] = json!([]);
        assert!(Measured::read(&without).unwrap_err().to_string().contains("B1"));
        let mut without = bench();
        without["runs"] = json!([]);
        assert!(Measured::read(&without).unwrap_err().to_string().contains("B7"));
        let mut without = bench();
        without["curves"]["resting"].as_array_mut().unwrap().pop();
        assert!(Measured::read(&without).unwrap_err().to_string().contains("three sizes"));
    }

    #[test]
    fn a_line_goes_through_its_points() {
        assert_eq!(line(&[(0.0, 1.0), (2.0, 5.0)]), (1.0, 2.0));
        assert_eq!(foretold_error(&[(0.0, 0.0), (1.0, 1.0), (4.0, 5.0)]).unwrap(), 20.0);
    }
}
