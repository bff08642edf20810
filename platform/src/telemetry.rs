//! How does a process tell what it does: which logs, which metrics?
//!
//! Logs go to stderr, one line for each record whatever text a client sent. Metrics are kept in this process and
//! rendered by the ops port.

mod escape;
mod metrics;
mod process;
mod runtime;
mod seldom;
mod tenants;
mod traces;

pub use metrics::{
    BYTE_BUCKETS, COUNT_BUCKETS, LATENCY_BUCKETS, Metric, MetricKind, MetricsHandle, describe, install,
};
pub use metrics::{TelemetryError, metrics_reference};
pub use runtime::METRICS as RUNTIME_METRICS;
pub use seldom::Seldom;
pub use tenants::TenantBoard;
pub use traces::{ENDPOINT as TRACE_ENDPOINT, SAMPLES as TRACE_SAMPLES, Sending, Traces};

use crate::env::{Absent, ConfigError, Env, Kind, OneOf, Var};
use escape::OneLine;
use std::io;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// What is logged.
pub const LOG: Var<Filter> =
    Var { name: "CARILLON_LOG", absent: Absent::Default("info"), kind: Filter, what: "what is logged" };

/// How it is logged.
pub const LOG_FORMAT: Var<OneOf<LogFormat>> = Var {
    name: "CARILLON_LOG_FORMAT",
    absent: Absent::Default("json"),
    kind: OneOf(&[("json", LogFormat::Json), ("text", LogFormat::Text)]),
    what: "how log lines look: json for machines, text for people",
};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// One readable line, control characters escaped.
    Text,
}

/// Kind of [`LOG`]: levels, alone or for a module.
#[derive(Debug, Clone, Copy)]
pub struct Filter;

impl Kind for Filter {
    type Value = String;

    fn parse(&self, text: &str) -> Result<String, String> {
        // To the library a word that is no level is the name of a module, and nothing else would be logged.
        let words =
            text.split(',').map(str::trim).filter(|word| !word.is_empty() && !word.contains(['=', '[']));
        for word in words {
            if word.parse::<LevelFilter>().is_err() {
                return Err(format!("has the word {word:?}, which is no level"));
            }
        }
        match EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(format!("is not a filter: {error}")),
        }
    }

    fn allowed(&self) -> String {
        "error, warn, info, debug or trace, also for a module, for example info,carillon_gateway=debug"
            .to_owned()
    }
}

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Levels, as [`LOG`] accepts them.
    pub filter: String,
    /// How lines look.
    pub format: LogFormat,
}

impl LogConfig {
    /// Reads and checks it.
    pub fn read(env: &Env) -> Result<Self, ConfigError> {
        Ok(Self { filter: env.get(&LOG)?, format: env.get(&LOG_FORMAT)? })
    }
}

/// Starts logging to stderr, panics included. Fails when the process logs already.
pub fn init(config: &LogConfig) -> Result<(), TelemetryError> {
    let logger = subscriber(config, io::stderr)?;
    tracing::subscriber::set_global_default(logger).map_err(|_| TelemetryError::AlreadyStarted)?;
    std::panic::set_hook(Box::new(|panic| {
        let what = panic.payload_as_str().unwrap_or("no text");
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "panic: {what}");
    }));
    Ok(())
}

fn subscriber<W>(
    config: &LogConfig,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(&config.filter).map_err(|error| TelemetryError::Filter(error.to_string()))?;
    let lines =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(OneLine(writer));
    Ok(match config.format {
        LogFormat::Json => Box::new(lines.json().flatten_event(true).with_span_list(false).finish()),
        LogFormat::Text => Box::new(lines.finish()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_word_that_is_no_level_is_refused_and_not_taken_for_a_module() {
        for good in ["info", "INFO", "off", "warn,carillon_gateway=debug", "carillon_gateway=trace", "info,"]
        {
            assert_eq!(Filter.parse(good).as_deref(), Ok(good));
        }
        for bad in ["verbose", "infos", "info,loud", "carillon_gateway", "carillon_gateway=loud"] {
            assert!(Filter.parse(bad).is_err(), "{bad}");
        }
    }

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
        let captured = Captured::default();
        let writer = captured.clone();
        let config = LogConfig { filter: filter.to_owned(), format };
        let subscriber = subscriber(&config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, act);
        let bytes = captured.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "a\r\nERROR forged\x1b[2J\u{9b}31m\u{2028}\0b";

    fn hostile() {
        let _span = tracing::info_span!("request", path = HOSTILE).entered();
        tracing::info!(agent = HOSTILE, shown = %HOSTILE, debug = ?HOSTILE, "said {HOSTILE}");
    }

    #[test]
    fn text_a_client_sent_never_breaks_or_colours_a_text_line() {
        let line = logged(LogFormat::Text, "info", hostile);
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(line.ends_with('\n'));
        assert!(!line.trim_end_matches('\n').chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
    }

    #[test]
    fn text_a_client_sent_stays_inside_its_json_object() {
        let line = logged(LogFormat::Json, "info", hostile);
        assert_eq!(line.lines().count(), 1, "{line:?}");
        assert!(!line.trim_end_matches('\n').chars().any(|c| c.is_control() || c == '\u{2028}'), "{line:?}");
        let object: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(object["agent"], HOSTILE);
        assert_eq!(object["level"], "INFO");
    }

    #[test]
    fn the_filter_decides_what_is_logged() {
        let act = || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        };
        let lines = logged(LogFormat::Text, "warn", act);
        assert!(lines.contains("loud") && !lines.contains("quiet"), "{lines}");
    }

    #[test]
    fn a_filter_that_does_not_parse_is_refused_at_the_start() {
        assert!(Filter.parse("info,carillon_gateway=debug").is_ok());
        assert!(Filter.parse("carillon=loud=1").is_err());
    }
}
