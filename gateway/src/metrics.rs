//! What does a gateway count?
//!
//! Each metric is declared and documented here, once. Handles are made once; the hot path adds up in the shard and
//! reports once a turn. No metric names a tenant, a person or a connection.

use crate::shard::Counts;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use carillon_protocol::server::Resumed;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::OnceLock;

macro_rules! declare {
    ($($handle:ident: $kind:ident = $name:literal, $what:literal;)*) => {
        /// Every metric of the gateway without labels of its own.
        const PLAIN: &[Metric] = &[$(Metric { name: $name, kind: MetricKind::$kind, labels: "", what: $what }),*];

        /// Handles, made once.
        pub(crate) struct Metrics {
            $(pub(crate) $handle: declare!(@type $kind),)*
            resumed: [Counter; 3],
        }

        impl Metrics {
            fn new() -> Self {
                Self {
                    $($handle: declare!(@make $kind, $name),)*
                    resumed: ["live", "replay", "reset"].map(|result| counter!(RESUMES.name, "result" => result)),
                }
            }
        }
    };
    (@type Counter) => { Counter };
    (@type Gauge) => { Gauge };
    (@type Histogram) => { Histogram };
    (@make Counter, $name:literal) => { counter!($name) };
    (@make Gauge, $name:literal) => { gauge!($name) };
    (@make Histogram, $name:literal) => { histogram!($name) };
}

declare! {
    accepted: Counter = "carillon_connections_accepted_total", "connections taken in: WebSockets, event streams and polls";
    deliveries: Counter = "carillon_deliveries_total", "event frames written to sockets";
    writes: Counter = "carillon_socket_writes_total", "writes of event frames; deliveries per write is the coalescing";
    received: Counter = "carillon_frames_received_total", "frames received from clients, pongs excluded";
    violations: Counter = "carillon_protocol_violations_total", "connections that broke the WebSocket protocol";
    fell_behind: Counter = "carillon_fell_behind_total", "times a live connection fell behind: its socket could not take an event, or its shard was slower than the ring";
    delivery_seconds: Histogram = "carillon_delivery_latency_seconds", "commit in the database to written to the sockets of a shard, once for each event and shard";
    streams: Gauge = "carillon_streams", "tenants this node follows";
    events_sequenced: Counter = "carillon_events_sequenced_total", "events that passed this node's streams";
    events_repeated: Counter = "carillon_events_repeated_total", "events heard from Redis that had passed already";
    events_repaired: Counter = "carillon_events_repaired_total", "events read from the log because Redis did not bring them";
    gaps: Counter = "carillon_gaps_total", "holes in a stream that were read from the log";
    stream_resets: Counter = "carillon_stream_resets_total", "streams that lost continuity; their clients were told reset";
    head_queries: Counter = "carillon_head_queries_total", "queries of the head watch, one for all tenants of the node";
    envelopes_refused: Counter = "carillon_envelopes_refused_total", "messages from Redis that were no batch of their tenant";
    backlog_reads: Counter = "carillon_backlog_reads_total", "pages of the log read for connections behind their ring";
    backlog_events: Counter = "carillon_backlog_events_total", "events in those pages";
    ring_bytes: Gauge = "carillon_ring_bytes", "memory of the events in all rings, at most CARILLON_RING_BUDGET_BYTES";
    ring_trimmed: Counter = "carillon_ring_trimmed_total", "events that left a ring early because all rings together reached their budget";
    replay_bytes: Gauge = "carillon_replay_bytes", "memory of events between the log and the sockets, at most CARILLON_REPLAY_BUDGET_BYTES";
    replay_waits: Counter = "carillon_replay_waits_total", "reads of the log that waited because replays had reached their budget";
    history_reads: Counter = "carillon_history_reads_total", "pages of history read for a subscribe";
}

const CONNECTIONS: Metric = Metric {
    name: "carillon_connections",
    kind: MetricKind::Gauge,
    labels: "shard",
    what: "open connections: WebSockets, event streams and polls",
};
const SUBSCRIPTIONS: Metric = Metric {
    name: "carillon_subscriptions",
    kind: MetricKind::Gauge,
    labels: "shard",
    what: "channel subscriptions of all connections",
};
const CLOSED: Metric = Metric {
    name: "carillon_connections_closed_total",
    kind: MetricKind::Counter,
    labels: "reason",
    what: "connections ended: a close code's name, answered for a poll, or left when the client or its network ended it",
};
const REJECTED: Metric = Metric {
    name: "carillon_handshakes_rejected_total",
    kind: MetricKind::Counter,
    labels: "code",
    what: "requests refused before they became a connection, by problem code",
};
const RESUMES: Metric = Metric {
    name: "carillon_resumes_total",
    kind: MetricKind::Counter,
    labels: "result",
    what: "welcomes: live, replay (missed events follow) or reset (the cursor could not be honoured)",
};
const FALLBACKS: Metric = Metric {
    name: "carillon_fallback_requests_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "clients let in without a WebSocket: sse or poll",
};
const LABELLED: &[Metric] = &[CONNECTIONS, SUBSCRIPTIONS, CLOSED, REJECTED, RESUMES, FALLBACKS];

impl Metrics {
    /// Adds what a shard did in one turn.
    pub(crate) fn report(&self, shard: usize, counts: &Counts, connections: usize, subscriptions: u64) {
        if counts.deliveries > 0 || counts.writes > 0 {
            self.deliveries.increment(counts.deliveries);
            self.writes.increment(counts.writes);
        }
        if counts.received > 0 {
            self.received.increment(counts.received);
        }
        let (open, subscribed) = shard_gauges(shard);
        open.set(connections as f64);
        subscribed.set(subscriptions as f64);
    }

    /// Counts a connection's end.
    pub(crate) fn closed(&self, reason: &'static str) {
        counter!(CLOSED.name, "reason" => reason).increment(1);
    }

    /// Counts a handshake that was refused.
    pub(crate) fn rejected(&self, code: &'static str) {
        counter!(REJECTED.name, "code" => code).increment(1);
    }

    /// Counts a client that was let in without a WebSocket.
    pub(crate) fn fallback(&self, kind: &'static str) {
        counter!(FALLBACKS.name, "kind" => kind).increment(1);
    }

    /// Counts a welcome.
    pub(crate) fn resumed(&self, resumed: Resumed) {
        let index = match resumed {
            Resumed::Live => 0,
            Resumed::Replay => 1,
            Resumed::Reset => 2,
        };
        self.resumed[index].increment(1);
    }
}

/// Every metric of the gateway, for the reference page.
pub fn all() -> Vec<Metric> {
    [PLAIN, LABELLED].concat()
}

/// The handles. Made at first use, which is after the recorder was installed.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        describe(&all());
        Metrics::new()
    })
}

fn shard_gauges(shard: usize) -> &'static (Gauge, Gauge) {
    static GAUGES: OnceLock<Vec<(Gauge, Gauge)>> = OnceLock::new();
    let gauges = GAUGES.get_or_init(|| {
        (0..64)
            .map(|shard: usize| {
                let name = shard.to_string();
                (
                    gauge!(CONNECTIONS.name, "shard" => name.clone()),
                    gauge!(SUBSCRIPTIONS.name, "shard" => name),
                )
            })
            .collect()
    });
    &gauges[shard % gauges.len()]
}
