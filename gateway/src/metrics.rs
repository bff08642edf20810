//! What does a gateway count?
//!
//! Each metric is declared and documented here, once. Handles are made once; the hot path adds up in the shard and
//! reports once a turn. No metric names a tenant, a person or a connection.

mod zero_series;

use crate::minute::Tally;
use crate::shard::{Cause, Counts};
use carillon_platform::share::Refused;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use carillon_protocol::server::Resumed;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use zero_series::register_zero_series;

macro_rules! declare {
    ($($handle:ident: $kind:ident = $name:literal, $what:literal;)*) => {
        /// Every metric of the gateway without labels of its own.
        const PLAIN: &[Metric] = &[$(Metric { name: $name, kind: MetricKind::$kind, labels: "", what: $what }),*];

        /// Handles, made once.
        pub(crate) struct Metrics {
            $(pub(crate) $handle: declare!(@type $kind),)*
            resumed: [Counter; 3],
            /// By kind: published, typing.
            pub(crate) signals_sent: [Counter; 2],
            /// Events that passed, for the rates that are told to other nodes.
            pub(crate) passed: AtomicU64,
            /// Frames written, likewise.
            pub(crate) delivered: AtomicU64,
            /// What others are told of the last minute.
            pub(crate) tally: Tally,
        }

        impl Metrics {
            fn new() -> Self {
                Self {
                    $($handle: declare!(@make $kind, $name),)*
                    resumed: ["live", "replay", "reset"].map(|result| counter!(RESUMES.name, "result" => result)),
                    signals_sent: ["publish", "typing"].map(|kind| counter!(SIGNALS_SENT.name, "kind" => kind)),
                    passed: AtomicU64::new(0),
                    delivered: AtomicU64::new(0),
                    tally: Tally::new(),
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
    polling_sessions: Gauge = "carillon_socketio_polling_sessions", "sessions of Socket.IO that poll at this node; when there is no place left new ones are 503 over_capacity";
    polling_passed_on: Gauge = "carillon_socketio_passed_on", "requests of such sessions of other nodes that this one has passed on and that are not answered yet; when there is no permit left others are 503 over_capacity";
    polling_tunnels: Gauge = "carillon_socketio_websockets_passed_on", "WebSockets of sessions of other nodes that lead there through this one; when there is no permit left others are 503 over_capacity, and their clients poll on";
    deliveries: Counter = "carillon_deliveries_total", "event frames written to sockets";
    writes: Counter = "carillon_socket_writes_total", "writes of event frames; deliveries per write is the coalescing";
    received: Counter = "carillon_frames_received_total", "frames received from clients, pongs excluded";
    violations: Counter = "carillon_protocol_violations_total", "connections that broke the WebSocket protocol";
    frames_too_big: Counter = "carillon_frames_too_big_for_client_total", "clients that closed with 1009: their library takes smaller messages than an event may need (limits.frame_bytes), and they stop there again whenever they resume";
    stuck_cursors: Counter = "carillon_stuck_cursors_total", "cursors that came back three times and ended each time at the same event of 4 KiB or more: the client's library takes smaller messages";
    fell_behind: Counter = "carillon_fell_behind_total", "times a live connection fell behind: its socket could not take an event, or its shard was slower than the ring";
    delivery_seconds: Histogram = "carillon_delivery_latency_seconds", "commit in the database to written to the sockets of a shard, once for each event and shard";
    streams: Gauge = "carillon_streams", "tenants this node follows";
    events_sequenced: Counter = "carillon_events_sequenced_total", "events that passed this node's streams";
    events_repeated: Counter = "carillon_events_repeated_total", "events heard from Redis that had passed already";
    events_repaired: Counter = "carillon_events_repaired_total", "events read from the log because Redis did not bring them";
    gaps: Counter = "carillon_gaps_total", "holes in a stream that were read from the log";
    stream_resets: Counter = "carillon_stream_resets_total", "streams that lost continuity; their clients were told reset";
    head_queries: Counter = "carillon_head_queries_total", "queries of the head watch, one for all tenants of the node";
    early_dropped: Counter = "carillon_early_batches_dropped_total", "batches from Redis for a tenant that was being opened that did not fit; the log has them";
    small_replies: Counter = "carillon_small_replies_total", "polls whose answer takes 16 KiB of events only, because their user or tenant has its share of larger ones";
    bodies_refused: Counter = "carillon_client_bodies_refused_total", "commands and forms of channels turned away because their user or API key, their tenant or all together have as many on their way as they may";
    held_dropped: Counter = "carillon_held_events_dropped_total", "events from Redis that came before their turn and did not fit; the log has them";
    openings_refused: Counter = "carillon_openings_refused_total", "clients turned away because too many tenants were being opened, or theirs had no turn within 9 s";
    envelopes_refused: Counter = "carillon_envelopes_refused_total", "messages from Redis that were no batch of their tenant";
    backlog_reads: Counter = "carillon_backlog_reads_total", "pages of the log read for connections behind their ring";
    backlog_events: Counter = "carillon_backlog_events_total", "events in those pages";
    ring_bytes: Gauge = "carillon_ring_bytes", "memory of the events in all rings, at most CARILLON_RING_BUDGET_BYTES";
    ring_trimmed: Counter = "carillon_ring_trimmed_total", "events that left a ring early because all rings together reached their budget";
    replay_bytes: Gauge = "carillon_replay_bytes", "memory of events between the log and the sockets, at most CARILLON_REPLAY_BUDGET_BYTES";
    replay_waits: Counter = "carillon_replay_waits_total", "reads of the log that waited because replays had reached their budget, or those of one tenant or user their share of it";
    history_reads: Counter = "carillon_history_reads_total", "pages of history read for a subscribe";
    sent_bytes: Counter = "carillon_sent_bytes_total", "bytes written to clients' sockets, WebSocket framing included";
    received_bytes: Counter = "carillon_received_bytes_total", "bytes read from clients' sockets after their handshake";
    handshake_seconds: Histogram = "carillon_handshake_duration_seconds", "from a WebSocket request's headers to its 101: token, stream, channels";
    ping_seconds: Histogram = "carillon_ping_rtt_seconds", "from a WebSocket ping to its pong";
    pings_lost: Counter = "carillon_pings_lost_total", "WebSocket pings whose pong had not come when the next one was due";
    acks: Counter = "carillon_acks_total", "acknowledgements of clients that were taken";
    record_seconds: Histogram = "carillon_records_write_duration_seconds", "one statement that writes records of one kind, its wait for a connection included";
    broadcast_seconds: Histogram = "carillon_broadcast_duration_seconds", "one fan-out of a shard: everything new of one tenant to all its connections there";
    bus_lag_seconds: Histogram = "carillon_bus_lag_seconds", "commit in the database to received from Redis, once for each batch";
    head_lag: Gauge = "carillon_head_lag_events", "events the log was ahead of this node at the last head watch, all tenants together";
    repair_seconds: Histogram = "carillon_repair_duration_seconds", "one read of missing events, its wait for a turn included";
    max_connections: Gauge = "carillon_max_connections", "connections this node may have";
    drain_state: Gauge = "carillon_drain_state", "0 serving, 1 evacuating, 2 draining";
    fleet_nodes: Gauge = "carillon_fleet_nodes", "gateways that serve, as this one sees them; 0 while Redis is away";
    fleet_connections: Gauge = "carillon_fleet_connections", "connections of all of them together";
    rules_read: Counter = "carillon_rules_read_total", "times the rules of a tenant were read: when it was opened here, and when they had changed";
    rules_followed: Counter = "carillon_rules_followed_total", "tenants whose rules had changed and are followed on this node";
    rules_removed: Counter = "carillon_rules_removed_total", "channels that connections were taken out of while they stayed open, one for each connection and channel: a changed rule or the application no longer allows them, or the application could not be asked again";
    limited_connections: Counter = "carillon_limited_connections_total", "clients turned away because their tenant has as many connections as its limit says";
    limited_signals: Counter = "carillon_limited_signals_total", "signals refused because their tenant's clients sent as many as its limit says";
    signals_received: Counter = "carillon_signals_received_total", "signals heard from other nodes";
    signals_delivered: Counter = "carillon_signals_delivered_total", "signal frames written to sockets";
    signal_writes: Counter = "carillon_signal_writes_total", "writes of signal frames; delivered per write is the coalescing";
    presence_people: Gauge = "carillon_presence_people", "people in channels, each once a channel, that this node says are connected to it or were a moment ago";
    presence_channels: Gauge = "carillon_presence_channels", "channels whose people somebody on this node watches";
    presence_frames: Counter = "carillon_presence_frames_total", "presence frames written to sockets";
    presence_changes: Counter = "carillon_presence_changes_total", "times the watchers of a channel were told what had changed, several changes together";
    presence_reads: Counter = "carillon_presence_reads_total", "times another node's hash was read: when a tenant was first asked about, and when something that it said was missing";
    presence_rewrites: Counter = "carillon_presence_rewrites_total", "times this node wrote its hash of a tenant anew: at its beginning, and when Redis had lost it or might have";
    presence_repeated: Counter = "carillon_presence_repeated_total", "changes of other nodes that had come before";
    presence_dropped: Counter = "carillon_presence_dropped_total", "changes of other nodes that did not fit; what they said is read";
    canary_seconds: Histogram = "carillon_canary_round_trip_seconds", "publish request sent to event received, over the public path";
    canary_gaps: Counter = "carillon_canary_gaps_total", "events the canary never saw though a later one came";
    canary_duplicates: Counter = "carillon_canary_duplicates_total", "events the canary saw twice or out of order";
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
const TURNED_AWAY: Metric = Metric {
    name: "carillon_first_frames_refused_total",
    kind: MetricKind::Counter,
    labels: "code",
    what: "connections closed before their welcome, by the code of the refusal: of the token in their first frame, or of what was asked for; token_missing where no token came in time",
};
const FRAMES_REFUSED: Metric = Metric {
    name: "carillon_frames_refused_total",
    kind: MetricKind::Counter,
    labels: "code",
    what: "error frames, by code. A too_many_requests is counted by what it was about: too_many_channel_changes (the price of channels), too_many_histories (32 pieces under way) or too_many_tokens (a second one while one is checked); history_unavailable is history that had no turn or no log",
};
const CURSORS_REFUSED: Metric = Metric {
    name: "carillon_cursor_checks_refused_total",
    kind: MetricKind::Counter,
    labels: "bound: total (also: no turn within 3 s), group (tenant), member (user)",
    what: "clients told log_busy because too many questions about cursors were before theirs",
};
const INBOXES_LEFT_OUT: Metric = Metric {
    name: "carillon_inboxes_left_out_total",
    kind: MetricKind::Counter,
    labels: "bound: total, group (tenant), member (user)",
    what: "welcomes without the inbox that was asked for, because too many counts of inboxes were before theirs for half a second",
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
    what: "clients let in otherwise than at /v1/ws: sse, poll, command; of Socket.IO socketio and socketio_polling (before their CONNECT), socketio_upgrade and socketio_probe_failed (of those that poll), socketio_elsewhere (requests that another node answers), socketio_upgrade_elsewhere (WebSockets that lead to another node), socketio_recovered and socketio_new (of those that recover)",
};
const BEHIND: Metric = Metric {
    name: "carillon_behind",
    kind: MetricKind::Gauge,
    labels: "shard",
    what: "connections whose cursor is behind their tenant's, counted every five seconds",
};
const TOLD_TO_LEAVE: Metric = Metric {
    name: "carillon_told_to_leave_total",
    kind: MetricKind::Counter,
    labels: "cause",
    what: "connections sent away, by drain, rebalance or evacuate",
};
const CANARY_RUNS: Metric = Metric {
    name: "carillon_canary_runs_total",
    kind: MetricKind::Counter,
    labels: "result",
    what: "rounds of the canary: ok, publish_failed, not_received or not_connected",
};
const SIGNALS_SENT: Metric = Metric {
    name: "carillon_signals_sent_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "signals of this node's clients that were passed on: publish, or typing (a start, or the stop after it)",
};
const SIGNALS_DROPPED: Metric = Metric {
    name: "carillon_signals_dropped_total",
    kind: MetricKind::Counter,
    labels: "reason",
    what: "signals that did not reach somebody: behind (a connection that was not live, each counts), busy (too many were on their way within the node, or waited for the connections of one tenant on a shard), redis (it could not be reached, or too many waited for it: other nodes' clients miss them)",
};
const RECORDS_WAITING: Metric = Metric {
    name: "carillon_records_waiting",
    kind: MetricKind::Gauge,
    labels: "kind",
    what: "records that wait to be written: devices (how far each is, one record a device; what is beyond 1,000 a second waits in the shards uncounted), sessions (who is connected, and why whoever was left) or activity (what people did, one record each)",
};
const RECORDS_WRITTEN: Metric = Metric {
    name: "carillon_records_written_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "records written",
};
const RECORDS_DROPPED: Metric = Metric {
    name: "carillon_records_dropped_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "records that were let go: too many waited, because Postgres was away or could not keep up, or the node stopped while it was away; of activity also what was for a day without a partition. What a device acknowledges next says as much again",
};
const RECORDS_FAILED: Metric = Metric {
    name: "carillon_records_write_failures_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "statements that wrote nothing; their records wait for the next",
};
const READ_WAITS: Metric = Metric {
    name: "carillon_log_read_waits_total",
    kind: MetricKind::Counter,
    labels: "kind",
    what: "reads of the log that waited for others of their kind, resume, history or cursor (does it stand in this log?): of all tenants, or of their own tenant or user beyond its share",
};
const PRESENCE_WAITS: Metric = Metric {
    name: "carillon_presence_waits_total",
    kind: MetricKind::Counter,
    labels: "kind: write, heads, read, forget",
    what: "questions to Redis about who is there that waited for others: of all tenants, or of their own tenant beyond its share",
};
const LABELLED: &[Metric] = &[
    CONNECTIONS,
    SUBSCRIPTIONS,
    BEHIND,
    CLOSED,
    REJECTED,
    TURNED_AWAY,
    FRAMES_REFUSED,
    CURSORS_REFUSED,
    INBOXES_LEFT_OUT,
    RESUMES,
    FALLBACKS,
    TOLD_TO_LEAVE,
    CANARY_RUNS,
    READ_WAITS,
    PRESENCE_WAITS,
    SIGNALS_SENT,
    SIGNALS_DROPPED,
    RECORDS_WAITING,
    RECORDS_WRITTEN,
    RECORDS_DROPPED,
    RECORDS_FAILED,
];

impl Metrics {
    /// Adds what a shard did in one turn.
    pub(crate) fn report(&self, shard: usize, counts: &Counts, connections: usize, subscriptions: u64) {
        if counts.deliveries > 0 || counts.writes > 0 {
            self.deliveries.increment(counts.deliveries);
            self.delivered.fetch_add(counts.deliveries, Ordering::Relaxed);
            self.writes.increment(counts.writes);
        }
        if counts.signals > 0 || counts.signal_writes > 0 {
            self.signals_delivered.increment(counts.signals);
            self.signal_writes.increment(counts.signal_writes);
        }
        if counts.presence > 0 {
            self.presence_frames.increment(counts.presence);
        }
        if counts.sent_bytes > 0 {
            self.sent_bytes.increment(counts.sent_bytes);
        }
        if counts.received > 0 {
            self.received.increment(counts.received);
        }
        if counts.acks > 0 {
            self.acks.increment(counts.acks);
        }
        if counts.received_bytes > 0 {
            self.received_bytes.increment(counts.received_bytes);
        }
        let gauges = shard_gauges(shard);
        gauges.open.set(connections as f64);
        gauges.subscribed.set(subscriptions as f64);
    }

    /// Notes how many connections of a shard are behind.
    pub(crate) fn behind(&self, shard: usize, connections: usize) {
        shard_gauges(shard).behind.set(connections as f64);
    }

    /// Counts events that passed the node's streams.
    pub(crate) fn sequenced(&self, events: usize) {
        self.events_sequenced.increment(events as u64);
        self.passed.fetch_add(events as u64, Ordering::Relaxed);
    }

    /// Counts signals that did not reach somebody.
    pub(crate) fn signals_dropped(&self, reason: &'static str, count: u64) {
        counter!(SIGNALS_DROPPED.name, "reason" => reason).increment(count);
    }

    /// Notes how many records of a kind wait.
    pub(crate) fn records_waiting(&self, kind: &'static str, count: usize) {
        gauge!(RECORDS_WAITING.name, "kind" => kind).set(count as f64);
    }

    /// Counts records that were written.
    pub(crate) fn records_written(&self, kind: &'static str, count: u64) {
        counter!(RECORDS_WRITTEN.name, "kind" => kind).increment(count);
    }

    /// Counts records that were let go.
    pub(crate) fn records_dropped(&self, kind: &'static str, count: u64) {
        counter!(RECORDS_DROPPED.name, "kind" => kind).increment(count);
    }

    /// Counts a statement that wrote nothing.
    pub(crate) fn records_failed(&self, kind: &'static str) {
        counter!(RECORDS_FAILED.name, "kind" => kind).increment(1);
    }

    /// Counts connections that were sent away.
    pub(crate) fn told_to_leave(&self, cause: Cause, connections: u64) {
        counter!(TOLD_TO_LEAVE.name, "cause" => cause.name()).increment(connections);
    }

    /// Counts a round of the canary.
    pub(crate) fn canary_ran(&self, result: &'static str) {
        counter!(CANARY_RUNS.name, "result" => result).increment(1);
    }

    /// Counts a connection's end.
    pub(crate) fn closed(&self, reason: &'static str) {
        counter!(CLOSED.name, "reason" => reason).increment(1);
        self.tally.closed(reason);
    }

    /// Counts a live connection that fell behind.
    pub(crate) fn fell_behind(&self) {
        self.fell_behind.increment(1);
        self.tally.fell_behind.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a handshake that was refused.
    pub(crate) fn rejected(&self, code: &'static str) {
        counter!(REJECTED.name, "code" => code).increment(1);
        self.tally.handshakes_rejected.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a connection that was closed before its welcome.
    pub(crate) fn turned_away(&self, code: &'static str) {
        counter!(TURNED_AWAY.name, "code" => code).increment(1);
    }

    /// Counts an error frame.
    pub(crate) fn frame_refused(&self, code: &'static str) {
        counter!(FRAMES_REFUSED.name, "code" => code).increment(1);
    }

    /// Counts a cursor that nobody had the time to compare with the log.
    pub(crate) fn cursor_check_refused(&self, bound: Refused) {
        counter!(CURSORS_REFUSED.name, "bound" => bound.label()).increment(1);
    }

    /// Counts a welcome without the inbox that was asked for.
    pub(crate) fn inbox_left_out(&self, bound: Refused) {
        counter!(INBOXES_LEFT_OUT.name, "bound" => bound.label()).increment(1);
    }

    /// Counts a client that was let in without a WebSocket.
    pub(crate) fn fallback(&self, kind: &'static str) {
        counter!(FALLBACKS.name, "kind" => kind).increment(1);
    }

    /// Counts a read of the log that others were before.
    pub(crate) fn read_waited(&self, kind: &'static str) {
        counter!(READ_WAITS.name, "kind" => kind).increment(1);
    }

    /// Counts a question to Redis about who is there that others were before.
    pub(crate) fn presence_waited(&self, kind: &'static str) {
        counter!(PRESENCE_WAITS.name, "kind" => kind).increment(1);
    }

    /// Counts a welcome.
    pub(crate) fn resumed(&self, resumed: Resumed) {
        let index = match resumed {
            Resumed::Live => 0,
            Resumed::Replay => 1,
            Resumed::Reset => 2,
        };
        self.resumed[index].increment(1);
        self.tally.resumed(resumed);
    }
}

/// What `/metrics/tenants` tells. Places on it go by the first.
pub const OF_TENANTS: &[Metric; 3] = &[
    Metric {
        name: "carillon_tenant_connections",
        kind: MetricKind::Gauge,
        labels: "tenant",
        what: "open connections",
    },
    Metric {
        name: "carillon_tenant_events_total",
        kind: MetricKind::Counter,
        labels: "tenant",
        what: "events that passed this node's stream of the tenant",
    },
    Metric {
        name: "carillon_tenant_deliveries_total",
        kind: MetricKind::Counter,
        labels: "tenant",
        what: "event frames written to sockets",
    },
];

/// Every metric of the gateway, for the reference page.
pub fn all() -> Vec<Metric> {
    [PLAIN, LABELLED].concat()
}

/// The handles. Made at first use, which is after the recorder was installed.
pub(crate) fn metrics() -> &'static Metrics {
    static METRICS: OnceLock<Metrics> = OnceLock::new();
    METRICS.get_or_init(|| {
        describe(&all());
        register_zero_series();
        Metrics::new()
    })
}

struct ShardGauges {
    open: Gauge,
    subscribed: Gauge,
    behind: Gauge,
}

fn shard_gauges(shard: usize) -> &'static ShardGauges {
    static GAUGES: OnceLock<Vec<ShardGauges>> = OnceLock::new();
    let gauges = GAUGES.get_or_init(|| {
        (0..64)
            .map(|shard: usize| {
                let gauge = |metric: &Metric| gauge!(metric.name, "shard" => shard.to_string());
                ShardGauges {
                    open: gauge(&CONNECTIONS),
                    subscribed: gauge(&SUBSCRIPTIONS),
                    behind: gauge(&BEHIND),
                }
            })
            .collect()
    });
    &gauges[shard % gauges.len()]
}
