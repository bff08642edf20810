//! Which measurements does a process keep, and how does Prometheus get them?

use super::process;
use super::runtime::RuntimeWatch;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::fmt::Write;
use std::time::Duration;

/// Upper bounds of the buckets of every histogram whose name ends in `_seconds`, in seconds. A bound stands on
/// each threshold our objectives name (0.1, 0.25 and 1 s).
pub const LATENCY_BUCKETS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Upper bounds of the buckets of every histogram whose name ends in `_bytes`.
pub const BYTE_BUCKETS: [f64; 10] =
    [64.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0, 262144.0, 1048576.0, 4194304.0, 16777216.0];
/// Upper bounds of the buckets of every other histogram: it counts things.
pub const COUNT_BUCKETS: [f64; 13] =
    [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10000.0];

/// How often histograms move their samples into buckets. Without it they grow until the next scrape
/// (api7/aisix#850: 118 MiB a minute).
const UPKEEP: Duration = Duration::from_secs(5);

/// Telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter does not parse.
    #[error("log filter: {0}")]
    Filter(String),
    /// Logging or metrics were started before in this process.
    #[error("telemetry was started before in this process")]
    AlreadyStarted,
    /// The exporter of traces refused its settings.
    #[error("traces: {0}")]
    Traces(String),
    /// The metrics recorder refused its settings.
    #[error("metrics: {0}")]
    Metrics(#[source] BuildError),
}

/// A metric, declared once by the module that records it.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its full name, as Prometheus shows it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels and their possible values in words; empty when it has none.
    pub labels: &'static str,
    /// What it says.
    pub what: &'static str,
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// Gives the declared metrics their HELP text in `/metrics`.
pub fn describe(metrics: &[Metric]) {
    for metric in metrics {
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(metric.name, metric.what),
            MetricKind::Gauge => metrics::describe_gauge!(metric.name, metric.what),
            MetricKind::Histogram => metrics::describe_histogram!(metric.name, metric.what),
        }
    }
}

/// The metrics as a Markdown table, in the order given: the text of docs/METRICS.md.
pub fn metrics_reference(metrics: &[Metric]) -> String {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for Metric { name, kind, labels, what } in metrics {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        // Writing to a String cannot fail.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {what} |");
    }
    table
}

/// The process's metrics, ready to be rendered.
#[derive(Debug, Clone)]
pub struct MetricsHandle(PrometheusHandle);

impl MetricsHandle {
    /// All metrics in Prometheus's text format 0.0.4, the process's own (`process_*`) read now. Takes
    /// milliseconds with thousands of series, and reads files: call it where blocking is allowed.
    pub fn render(&self) -> String {
        let mut text = self.0.render();
        text.push_str(&process::render());
        text
    }
}

/// Starts keeping metrics: installs the recorder behind the `metrics` macros, and its upkeep. Needs a tokio
/// runtime. Fails when the process keeps metrics already.
pub fn install(service: &'static str, version: &'static str) -> Result<MetricsHandle, TelemetryError> {
    let recorder = builder().map_err(TelemetryError::Metrics)?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|_| TelemetryError::AlreadyStarted)?;
    metrics::describe_gauge!("carillon_build_info", "Always 1; the labels say what runs.");
    metrics::gauge!("carillon_build_info", "service" => service, "version" => version).set(1.0);
    let upkept = handle.clone();
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(UPKEEP);
        let mut runtime = RuntimeWatch::new();
        loop {
            ticks.tick().await;
            upkept.run_upkeep();
            runtime.look();
        }
    });
    Ok(MetricsHandle(handle))
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&COUNT_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTE_BUCKETS)
}

#[cfg(test)]
impl MetricsHandle {
    /// A recorder for one test, beside the process's.
    pub(crate) fn for_test() -> (metrics_exporter_prometheus::PrometheusRecorder, Self) {
        let recorder = builder().unwrap().build_recorder();
        let handle = Self(recorder.handle());
        (recorder, handle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATENCY: Metric = Metric {
        name: "carillon_commit_seconds",
        kind: MetricKind::Histogram,
        labels: "",
        what: "Time of a commit.",
    };

    #[test]
    fn histograms_have_the_buckets_of_their_unit() {
        let (recorder, handle) = MetricsHandle::for_test();
        metrics::with_local_recorder(&recorder, || {
            describe(&[LATENCY]);
            metrics::histogram!("carillon_commit_seconds").record(0.1);
            metrics::histogram!("carillon_frame_bytes").record(100.0);
            metrics::histogram!("carillon_batch_events").record(3.0);
        });
        let text = handle.render();
        assert!(text.contains("# HELP carillon_commit_seconds Time of a commit."), "{text}");
        assert!(text.contains("carillon_commit_seconds_bucket{le=\"0.05\"} 0"), "{text}");
        assert!(text.contains("carillon_commit_seconds_bucket{le=\"0.1\"} 1"), "{text}");
        assert!(text.contains("carillon_frame_bytes_bucket{le=\"256\"} 1"), "{text}");
        assert!(text.contains("carillon_batch_events_bucket{le=\"5\"} 1"), "{text}");
        assert!(!text.contains("quantile"), "summaries do not add up over nodes: {text}");
    }

    #[test]
    fn a_render_holds_the_state_of_the_process() {
        let (_recorder, handle) = MetricsHandle::for_test();
        let text = handle.render();
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
            assert!(text.contains(&format!("\n{name} ")), "{name}: {text}");
        }
    }

    #[test]
    fn the_reference_is_a_table() {
        assert!(metrics_reference(&[LATENCY]).ends_with(
            "|---|---|---|---|\n| `carillon_commit_seconds` | histogram |  | Time of a commit. |\n"
        ));
    }

    #[tokio::test]
    async fn metrics_start_once_and_name_the_build() {
        let handle = install("gateway", "1.2.3").unwrap();
        assert!(handle.render().contains("carillon_build_info{service=\"gateway\",version=\"1.2.3\"} 1"));
        assert!(matches!(install("gateway", "1.2.3"), Err(TelemetryError::AlreadyStarted)));
    }
}
