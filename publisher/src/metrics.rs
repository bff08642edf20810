//! What does the publisher count, and what does each number say?
//!
//! Handles are made once; the hot path touches them without a lookup. No label names a tenant.

use crate::batcher::NotAppended;
use crate::commits::Commits;
use crate::http::problem::Code;
use carillon_backplane::log::{Appended, Unwritable};
use carillon_platform::auth;
use carillon_platform::share::Refused;
use carillon_platform::telemetry::{Metric, MetricKind, describe};
use http::StatusCode;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::sync::OnceLock;

const EVENTS: Metric = Metric {
    name: "carillon_events_published_total",
    kind: MetricKind::Counter,
    labels: "result: stored, replayed, conflict, refused, unknown_tenant",
    what: "Events that reached the log, by what became of them",
};
const REQUESTS_LOST: Metric = Metric {
    name: "carillon_publish_refused_total",
    kind: MetricKind::Counter,
    labels: "reason: overloaded, tenant_share, caller_share, tenant_busy, unavailable, busy, too_slow, database_full, database_read_only, database_standby, no_partition, session, failed",
    what: "Publish requests that did not get an answer from the log",
};
const LIMITED: Metric = Metric {
    name: "carillon_limited_publishes_total",
    kind: MetricKind::Counter,
    labels: "limit: events (a second), notices (a day)",
    what: "Publish requests refused because their tenant has published as much as its limit says",
};
const BODIES_REFUSED: Metric = Metric {
    name: "carillon_bodies_refused_total",
    kind: MetricKind::Counter,
    labels: "reason: share (of a tenant, key or user), overloaded (all of it), timeout",
    what: "Request bodies that were not read to their end",
};
const PUBLISH_SECONDS: Metric = Metric {
    name: "carillon_publish_duration_seconds",
    kind: MetricKind::Histogram,
    labels: "phase: db (one batch in the database), total (one request, from its body to its answer)",
    what: "Time to publish",
};
const BATCH_EVENTS: Metric = Metric {
    name: "carillon_batch_events",
    kind: MetricKind::Histogram,
    labels: "",
    what: "Events in one transaction",
};
const INTAKE_EVENTS: Metric = Metric {
    name: "carillon_intake_events",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Events waiting for their commit; at 20,000 requests are refused, at 10,000 of one tenant those of that tenant",
};
const INTAKE_BYTES: Metric = Metric {
    name: "carillon_intake_bytes",
    kind: MetricKind::Gauge,
    labels: "",
    what: "Bytes waiting for their commit, for each event at least 1.6 KiB; at 32 MiB requests are refused, at 16 MiB of one tenant those of that tenant",
};
const PARSING_REFUSED: Metric = Metric {
    name: "carillon_parsing_refused_total",
    kind: MetricKind::Counter,
    labels: "bound: total, group (tenant), member (key or user)",
    what: "Publish requests refused because too many large bodies wait to be parsed",
};
const LOOKUPS_REFUSED: Metric = Metric {
    name: "carillon_tenant_lookups_refused_total",
    kind: MetricKind::Counter,
    labels: "bound: total (also: no turn within 1.5 s), group (key or user), member",
    what: "Questions whether a tenant exists that were not asked: too many of this key or user, or of all, were before them",
};
const BODIES_CUT: Metric = Metric {
    name: "carillon_refused_bodies_cut_total",
    kind: MetricKind::Counter,
    labels: "bound: total, group (address), member",
    what: "Refused requests whose body was not read on, because its address, or all together, had as many under way as they may: the client may not see the answer",
};
const READS_REFUSED: Metric = Metric {
    name: "carillon_reads_refused_total",
    kind: MetricKind::Counter,
    labels: "resource: turn (to ask the database), memory (of unread answers), presence (to ask Redis who is here), webhook_test (under way); bound: total, group (tenant), member (key or user)",
    what: "Requests that read the log, channel rules or who is here, or that test a webhook, and that a share refused",
};
const HTTP_REQUESTS: Metric = Metric {
    name: "carillon_http_requests_total",
    kind: MetricKind::Counter,
    labels: "route: publish (also POST /v1/notices), list, event, position, presence, rules, event_types, preferences, tenants, tickets, connections, activity, inbox, health, console (also /v1/console/*), openapi, docs, other (also webhooks, analytics, audit, API keys, why, dry runs, GET and DELETE of notices); status: the HTTP status",
    what: "Requests answered",
};

const PRESENCE_ANSWERS: Metric = Metric {
    name: "carillon_presence_answers_total",
    kind: MetricKind::Counter,
    labels: "state: fresh, stale (Redis is away or was just now: as it was before), unavailable (nothing is known)",
    what: "Questions over REST who is in a channel or where somebody is, by how they were answered",
};

const TYPES_FORGOTTEN: Metric = Metric {
    name: "carillon_event_types_forgotten_total",
    kind: MetricKind::Counter,
    labels: "",
    what: "Times that a tenant's event types were given up for want of room (32 MiB of all tenants together): they are read again with its next event",
};

/// Every metric of this service, for `/metrics` and the reference page.
pub const ALL: &[Metric] = &[
    EVENTS,
    REQUESTS_LOST,
    LIMITED,
    BODIES_REFUSED,
    PUBLISH_SECONDS,
    BATCH_EVENTS,
    INTAKE_EVENTS,
    INTAKE_BYTES,
    PARSING_REFUSED,
    LOOKUPS_REFUSED,
    BODIES_CUT,
    READS_REFUSED,
    PRESENCE_ANSWERS,
    TYPES_FORGOTTEN,
    HTTP_REQUESTS,
];

/// Every reason a publish request gets no answer from the log.
const REASONS: [NotAppended; 13] = [
    NotAppended::Overloaded,
    NotAppended::TenantShare,
    NotAppended::CallerShare,
    NotAppended::TenantBusy,
    NotAppended::Unavailable,
    NotAppended::Busy,
    NotAppended::TooSlow,
    NotAppended::Unwritable(Unwritable::Full),
    NotAppended::Unwritable(Unwritable::ReadOnly),
    NotAppended::Unwritable(Unwritable::Standby),
    NotAppended::Unwritable(Unwritable::NoPartition),
    NotAppended::Session,
    NotAppended::Failed,
];

/// The routes requests are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// `POST` of events
    Publish,
    /// `GET /v1/events`
    List,
    /// `GET /v1/events/{id}`
    Event,
    /// `GET /v1/position`
    Position,
    /// `GET /v1/presence`
    Presence,
    /// `/v1/channel-rules`
    Rules,
    /// `/v1/event-types`
    Types,
    /// `/v1/preferences`
    Preferences,
    /// `/v1/tenants`
    Tenants,
    /// `/v1/tickets`
    Tickets,
    /// `/v1/connections`, `/v1/revocations` and `/v1/stats`.
    Connections,
    /// `GET /v1/activity`
    Activity,
    /// A person's inbox.
    Inbox,
    /// `/v1/health`
    Health,
    /// `/console` and `/v1/console`
    Console,
    /// `GET /openapi.json` and `GET /asyncapi.json`
    OpenApi,
    /// `GET /docs` and its assets
    Docs,
    /// Whatever else was asked for.
    Other,
}

const ROUTES: [(Route, &str); 18] = [
    (Route::Publish, "publish"),
    (Route::List, "list"),
    (Route::Event, "event"),
    (Route::Position, "position"),
    (Route::Presence, "presence"),
    (Route::Rules, "rules"),
    (Route::Types, "event_types"),
    (Route::Preferences, "preferences"),
    (Route::Tenants, "tenants"),
    (Route::Tickets, "tickets"),
    (Route::Connections, "connections"),
    (Route::Activity, "activity"),
    (Route::Inbox, "inbox"),
    (Route::Health, "health"),
    (Route::Console, "console"),
    (Route::OpenApi, "openapi"),
    (Route::Docs, "docs"),
    (Route::Other, "other"),
];
/// The statuses this service answers with; any other is counted as 500, which it would be.
const STATUSES: [(u16, &str); 19] = [
    (200, "200"),
    (201, "201"),
    (202, "202"),
    (204, "204"),
    (304, "304"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (422, "422"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (503, "503"),
];

/// The handles.
pub struct Metrics {
    stored: Counter,
    replayed: Counter,
    conflict: Counter,
    refused: Counter,
    unknown_tenant: Counter,
    lost: [(NotAppended, Counter); REASONS.len()],
    bodies_refused: [(Code, Counter); 3],
    intake_events: Gauge,
    intake_bytes: Gauge,
    /// Time of one batch in the database.
    pub database_seconds: Histogram,
    /// Time of one publish request.
    pub total_seconds: Histogram,
    /// Events in one transaction.
    pub batch_events: Histogram,
    /// The last commit of events.
    pub commits: Commits,
    /// By route and status; made on first use, so that `/metrics` shows no series nobody has seen.
    requests: [[OnceLock<Counter>; STATUSES.len() + 1]; ROUTES.len()],
}

impl Metrics {
    /// Makes the handles; the recorder must be installed before.
    pub fn new() -> Self {
        describe(ALL);
        describe(auth::METRICS);
        // There from the beginning: of a counter that begins with its first count the first burst is not seen as growth.
        for status in ["201", "500", "503"] {
            counter!(HTTP_REQUESTS.name, "route" => "publish", "status" => status).increment(0);
        }
        for resource in ["turn", "memory", "presence", "webhook_test"] {
            for bound in [Refused::Total, Refused::Group, Refused::Member] {
                counter!(READS_REFUSED.name, "resource" => resource, "bound" => bound.label()).increment(0);
            }
        }
        for bound in [Refused::Total, Refused::Group, Refused::Member] {
            counter!(PARSING_REFUSED.name, "bound" => bound.label()).increment(0);
        }
        for state in ["fresh", "stale", "unavailable"] {
            counter!(PRESENCE_ANSWERS.name, "state" => state).increment(0);
        }
        for metric in [LOOKUPS_REFUSED, BODIES_CUT] {
            for bound in [Refused::Total, Refused::Group] {
                counter!(metric.name, "bound" => bound.label()).increment(0);
            }
        }
        counter!(TYPES_FORGOTTEN.name).increment(0);
        for limit in ["events", "notices"] {
            counter!(LIMITED.name, "limit" => limit).increment(0);
        }
        let events = |result: &'static str| counter!(EVENTS.name, "result" => result);
        let lost = |reason: &'static str| counter!(REQUESTS_LOST.name, "reason" => reason);
        let bodies = |reason: &'static str| counter!(BODIES_REFUSED.name, "reason" => reason);
        let seconds = |phase: &'static str| histogram!(PUBLISH_SECONDS.name, "phase" => phase);
        Self {
            stored: events("stored"),
            replayed: events("replayed"),
            conflict: events("conflict"),
            refused: events("refused"),
            unknown_tenant: events("unknown_tenant"),
            lost: REASONS.map(|reason| (reason, lost(reason.reason()))),
            bodies_refused: [
                (Code::BodyShareFull, bodies("share")),
                (Code::Overloaded, bodies("overloaded")),
                (Code::RequestTimeout, bodies("timeout")),
            ],
            intake_events: gauge!(INTAKE_EVENTS.name),
            intake_bytes: gauge!(INTAKE_BYTES.name),
            database_seconds: seconds("db"),
            total_seconds: seconds("total"),
            batch_events: histogram!(BATCH_EVENTS.name),
            commits: Commits::default(),
            requests: Default::default(),
        }
    }

    /// Counts what the log answered to one request.
    pub fn answered(&self, answer: &Result<Vec<Appended>, NotAppended>) {
        match answer {
            Ok(results) => {
                for result in results {
                    match result {
                        Appended::Stored { .. } => self.stored.increment(1),
                        Appended::Replayed { .. } => self.replayed.increment(1),
                        Appended::Conflict => self.conflict.increment(1),
                        Appended::Refused => self.refused.increment(1),
                        Appended::UnknownTenant => self.unknown_tenant.increment(1),
                    }
                }
            }
            Err(fault) => {
                self.lost.iter().filter(|(known, _)| known == fault).for_each(|(_, lost)| lost.increment(1))
            }
        }
    }

    /// Counts a request that a limit of its tenant refused. Rare, so it has no handle.
    pub fn publish_limited(&self, limit: &'static str) {
        counter!(LIMITED.name, "limit" => limit).increment(1);
    }

    /// Counts a body that was not read to its end.
    pub fn body_refused(&self, code: Code) {
        self.bodies_refused
            .iter()
            .filter(|(known, _)| *known == code)
            .for_each(|(_, lost)| lost.increment(1));
    }

    /// The intake holds so much more.
    pub fn intake_grows(&self, events: usize, bytes: usize) {
        self.intake_events.increment(events as f64);
        self.intake_bytes.increment(bytes as f64);
    }

    /// The intake holds so much less.
    pub fn intake_shrinks(&self, events: usize, bytes: usize) {
        self.intake_events.decrement(events as f64);
        self.intake_bytes.decrement(bytes as f64);
    }

    /// Counts a request that a share of reading, or of tests of webhooks, refused. Rare, so it has no handle.
    pub fn read_refused(&self, resource: &'static str, bound: Refused) {
        counter!(READS_REFUSED.name, "resource" => resource, "bound" => bound.label()).increment(1);
    }

    /// Counts an answer who is here.
    pub fn presence_answered(&self, stale: bool) {
        let state = if stale { "stale" } else { "fresh" };
        counter!(PRESENCE_ANSWERS.name, "state" => state).increment(1);
    }

    /// Counts a question who is here that got no answer.
    pub fn presence_unanswered(&self) {
        counter!(PRESENCE_ANSWERS.name, "state" => "unavailable").increment(1);
    }

    /// Counts tenants whose types were given up for want of room.
    pub fn event_types_forgotten(&self, tenants: u64) {
        if tenants > 0 {
            counter!(TYPES_FORGOTTEN.name).increment(tenants);
        }
    }

    /// Counts a large body that found too many waiting.
    pub fn parsing_refused(&self, bound: Refused) {
        counter!(PARSING_REFUSED.name, "bound" => bound.label()).increment(1);
    }

    /// Counts one answered request.
    pub fn request(&self, route: Route, status: StatusCode) {
        let row = ROUTES.iter().position(|(known, _)| *known == route).unwrap_or(ROUTES.len() - 1);
        let column =
            STATUSES.iter().position(|(known, _)| *known == status.as_u16()).unwrap_or(STATUSES.len());
        let status = STATUSES.get(column).map_or("500", |(_, text)| text);
        let make = || counter!(HTTP_REQUESTS.name, "route" => ROUTES[row].1, "status" => status);
        self.requests[row][column].get_or_init(make).increment(1);
    }
}

/// Counts a tenant that was not looked up.
pub fn tenant_lookup_refused(bound: Refused) {
    counter!(LOOKUPS_REFUSED.name, "bound" => bound.label()).increment(1);
}

/// Counts a refused body that was not read on.
pub fn body_not_discarded(bound: Refused) {
    counter!(BODIES_CUT.name, "bound" => bound.label()).increment(1);
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
