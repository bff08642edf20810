//! How does an event leave a trace through the system?
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` says where spans go (OTLP over HTTP). A publisher makes one span for each
//! request, with children for the database and Redis; its W3C `traceparent` is stored with the event and goes along in
//! the event's JSON. A gateway makes one span for each event and shard, *linked* to that one and never its child: an
//! event may reach people long after its request is over. There is no span for a single delivery.
//!
//! Names and attributes follow OpenTelemetry's semantic conventions for messaging (1.38, still in development there).

use super::TelemetryError;
use crate::env::{Absent, Count, Url, Var};
use opentelemetry::trace::{
    Link, Span, SpanContext, SpanKind, TraceContextExt, TraceFlags, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, SpanId, TraceId};
use opentelemetry_otlp::{SpanExporter, WithExportConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    Sampler, SamplingDecision, SamplingResult, SdkTracer, SdkTracerProvider, ShouldSample,
};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Where spans go.
pub const ENDPOINT: Var<Url> = Var {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT",
    absent: Absent::Optional("no traces"),
    kind: Url(&["http", "https"]),
    what: "base URL of an OpenTelemetry collector (OTLP over HTTP); spans go to /v1/traces below it",
};

/// How many of the requests that bring no trace of their own are traced.
pub const SAMPLES: Var<Count> = Var {
    name: "CARILLON_TRACE_SAMPLES",
    absent: Absent::Default("10"),
    kind: Count { min: 0, max: 1_000 },
    what: "how many of a thousand requests without a traceparent are traced; with one, its own flag decides",
};

/// Longest time a batch of spans may take to be sent.
const SEND: Duration = Duration::from_secs(5);
/// What stands before a trace in an event's JSON.
const IN_JSON: &[u8] = b"\"traceparent\":\"";
/// Length of a version 00 traceparent.
const LENGTH: usize = 55;

/// Makes spans, or does nothing at all. Clones share one exporter.
#[derive(Clone, Default)]
pub struct Traces(Option<Arc<Exporter>>);

struct Exporter {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Starts the exporter, on a thread of its own. Without an endpoint nothing is started.
    ///
    /// # Errors
    /// The endpoint cannot be used.
    pub fn start(
        endpoint: Option<reqwest::Url>,
        samples: u32,
        service: &'static str,
        node: &str,
    ) -> Result<Self, TelemetryError> {
        let Some(endpoint) = endpoint else { return Ok(Self(None)) };
        let fault = |error: String| TelemetryError::Traces(error);
        let url = format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/'));
        let exporter = SpanExporter::builder()
            .with_http()
            .with_endpoint(url)
            .with_timeout(SEND)
            .build()
            .map_err(|error| fault(error.to_string()))?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.instance.id", node.to_owned()))
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let roots = Sampler::TraceIdRatioBased(f64::from(samples) / 1_000.0);
        let sampler = LikeItsOrigin(Sampler::ParentBased(Box::new(roots)));
        let provider = SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(sampler)
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("carillon");
        Ok(Self(Some(Arc::new(Exporter { provider, tracer }))))
    }

    /// Whether spans go anywhere.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Begins the span of a publish request. The caller's trace is a hint: it is continued, nothing else of it is used.
    pub fn send(&self, caller: Option<&str>) -> Sending {
        let Some(exporter) = &self.0 else {
            return Sending { span: None, traceparent: caller.map(str::to_owned) };
        };
        let parent = caller.and_then(parse).map_or_else(Context::new, remote);
        let span = exporter
            .tracer
            .span_builder("send events")
            .with_kind(SpanKind::Producer)
            .with_attributes([
                KeyValue::new("messaging.system", "carillon"),
                KeyValue::new("messaging.operation.type", "send"),
            ])
            .start_with_context(&exporter.tracer, &parent);
        let traceparent = Some(format(span.span_context()));
        Sending { span: Some(span), traceparent }
    }

    /// A part of the work for a traced event, between two times. Nothing when its trace is not sampled.
    pub fn part(&self, traceparent: &str, name: &'static str, began: SystemTime, ended: SystemTime) {
        let Some(exporter) = &self.0 else { return };
        let Some(parent) = parse(traceparent).filter(SpanContext::is_sampled) else { return };
        exporter
            .tracer
            .span_builder(name)
            .with_kind(SpanKind::Client)
            .with_start_time(began)
            .start_with_context(&exporter.tracer, &remote(parent))
            .end_with_timestamp(ended);
    }

    /// The fan-out of one event by one shard, if the event's JSON brings a sampled trace: from its commit, so many
    /// microseconds ago, to now.
    pub fn fan_out(&self, json: &[u8], subscribers: usize, queued_micros: u64) {
        let Some(exporter) = &self.0 else { return };
        let Some(origin) = in_json(json).and_then(parse).filter(SpanContext::is_sampled) else { return };
        exporter
            .tracer
            .span_builder("deliver event")
            .with_kind(SpanKind::Consumer)
            .with_start_time(SystemTime::now() - Duration::from_micros(queued_micros))
            .with_links(vec![Link::with_context(origin)])
            .with_attributes([
                KeyValue::new("messaging.system", "carillon"),
                KeyValue::new("messaging.operation.type", "process"),
                KeyValue::new("carillon.subscribers", subscribers as i64),
                KeyValue::new("carillon.commit_to_socket_us", queued_micros as i64),
            ])
            .start_with_context(&exporter.tracer, &Context::new())
            .end();
    }

    /// Sends what waits. Blocks for [`SEND`] at the longest: call it where that is allowed.
    pub fn stop(&self) {
        if let Some(exporter) = &self.0 {
            // The process is ending; there is nobody left to tell.
            let _ = exporter.provider.shutdown_with_timeout(SEND);
        }
    }
}

/// The span of a publish request; it ends when dropped.
pub struct Sending {
    span: Option<opentelemetry_sdk::trace::Span>,
    traceparent: Option<String>,
}

impl Sending {
    /// What is stored with the events: this span, or without tracing what the caller sent.
    pub fn traceparent(&self) -> Option<&str> {
        self.traceparent.as_deref()
    }

    /// Notes how many events the request had.
    pub fn events(&mut self, count: usize) {
        if let Some(span) = &mut self.span {
            span.set_attribute(KeyValue::new("messaging.batch.message_count", count as i64));
        }
    }
}

/// A span that is linked to a sampled one is sampled, too; all others as the inner sampler says.
#[derive(Debug, Clone)]
struct LikeItsOrigin(Sampler);

impl ShouldSample for LikeItsOrigin {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        if links.iter().any(|link| link.span_context.is_sampled()) {
            return SamplingResult {
                decision: SamplingDecision::RecordAndSample,
                attributes: Vec::new(),
                trace_state: TraceState::default(),
            };
        }
        self.0.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

fn remote(context: SpanContext) -> Context {
    Context::new().with_remote_span_context(context)
}

/// Reads a `traceparent` (W3C Trace Context). Later versions may append; what is known of them is read.
fn parse(text: &str) -> Option<SpanContext> {
    let mut parts = text.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || trace.len() != 32 || span.len() != 16 {
        return None;
    }
    let flags = u8::from_str_radix(flags.get(..2)?, 16).ok()?;
    let context = SpanContext::new(
        TraceId::from_hex(trace).ok()?,
        SpanId::from_hex(span).ok()?,
        TraceFlags::new(flags & TraceFlags::SAMPLED.to_u8()),
        true,
        TraceState::default(),
    );
    context.is_valid().then_some(context)
}

fn format(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

/// The trace that an event's JSON brings. The publisher writes it before the data, so no user's text is taken for it.
fn in_json(json: &[u8]) -> Option<&str> {
    let at = json.windows(IN_JSON.len()).position(|window| window == IN_JSON)? + IN_JSON.len();
    std::str::from_utf8(json.get(at..at + LENGTH)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let context = parse(PARENT).unwrap();
        assert!(context.is_sampled() && context.is_remote());
        assert_eq!(format(&context), PARENT);
        for bad in [
            "",
            "00",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319x-b7ad6b7169203331-01",
        ] {
            assert!(parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn the_trace_of_an_event_is_found_before_its_data() {
        let json = format!(r#"{{"type":"event","event":{{"id":"1","traceparent":"{PARENT}","data":{{}}}}}}"#);
        assert_eq!(in_json(json.as_bytes()), Some(PARENT));
        assert_eq!(in_json(br#"{"event":{"data":{"traceparent":"short"}}}"#), None);
    }

    #[test]
    fn without_an_endpoint_the_callers_trace_is_stored_as_it_is() {
        let traces = Traces::start(None, 10, "publisher", "publisher-1").unwrap();
        assert!(!traces.is_on());
        assert_eq!(traces.send(Some(PARENT)).traceparent(), Some(PARENT));
        assert_eq!(traces.send(None).traceparent(), None);
    }
}
