//! What is stored for the notices of a batch, by the statement that stores their events?

use super::Append;
use super::statement::{SEPARATOR, moment};
use crate::log::error::LogError;
use carillon_protocol::event::Priority;
use std::time::SystemTime;
use tokio_postgres::types::ToSql;

/// Writes the notices and, for each, one row for each of its channels and one for each step of its escalation: what people have of it is worked out when they look. So an
/// answered publish is in every inbox that it is for, and one that was rolled back in none.
macro_rules! notices {
    () => {
        ", c AS MATERIALIZED (
    SELECT n.*, m.heads[n.t] + n.n AS seq, m.at
    FROM m, (SELECT unnest($25::text[]) AS tenant_id, unnest($26::int[]) AS t, unnest($27::int[]) AS n,
            unnest($28::text[]) AS id, string_to_array(unnest($29::text[]), E'\\x1f') AS channels,
            unnest($30::text[]) AS type, unnest($31::text[]) AS priority, unnest($32::text[]) AS title,
            unnest($33::text[]) AS body, unnest($34::text[]) AS action, unnest($35::text[]) AS data,
            unnest($36::text[]) AS grouped, unnest($37::bool[]) AS requires_ack,
            unnest($38::timestamptz[]) AS expires_at, unnest($39::text[]) AS actor,
            unnest($40::timestamptz[]) AS time, unnest($48::text[]) AS locales) AS n
    WHERE m.storable
), o AS (
    INSERT INTO carillon.notices (tenant_id, seq, id, channels, type, priority, title, body, action, data, \x22group\x22,
        requires_ack, expires_at, actor, time, at, locales)
    SELECT c.tenant_id, c.seq, c.id, c.channels, c.type, c.priority, c.title, c.body, c.action, c.data, c.grouped,
        c.requires_ack, c.expires_at, c.actor, c.time, c.at, c.locales FROM c
), a AS (
    INSERT INTO carillon.notice_audience (tenant_id, channel, seq, \x22group\x22)
    SELECT c.tenant_id, named.channel, c.seq, c.grouped
    FROM c CROSS JOIN LATERAL unnest(c.channels) AS named(channel)
), es AS (
    INSERT INTO carillon.escalations (tenant_id, seq, step, webhook, who, after, due_at)
    SELECT s.tenant_id, m.heads[s.t] + s.n, s.step, s.webhook, s.who, s.after, m.at + make_interval(secs => s.after)
    FROM m, (SELECT unnest($41::text[]) AS tenant_id, unnest($42::int[]) AS t, unnest($43::int[]) AS n,
            unnest($44::smallint[]) AS step, unnest($45::text[]) AS webhook, unnest($46::text[]) AS who,
            unnest($47::int[]) AS after) AS s
    WHERE m.storable
)"
    };
}
pub(super) use notices;

/// The notices of a batch, one array for each parameter.
#[derive(Default)]
pub(super) struct Notices<'a> {
    tenant: Vec<&'a str>,
    group: Vec<i32>,
    number: Vec<i32>,
    id: Vec<&'a str>,
    channels: Vec<String>,
    kind: Vec<&'a str>,
    priority: Vec<&'a str>,
    title: Vec<&'a str>,
    body: Vec<Option<&'a str>>,
    action: Vec<Option<&'a str>>,
    data: Vec<Option<&'a str>>,
    grouped: Vec<Option<&'a str>>,
    requires_ack: Vec<bool>,
    expires_at: Vec<Option<SystemTime>>,
    actor: Vec<Option<&'a str>>,
    time: Vec<SystemTime>,
    locales: Vec<Option<String>>,
    steps: Steps<'a>,
}

/// The steps of their escalations.
#[derive(Default)]
struct Steps<'a> {
    tenant: Vec<&'a str>,
    group: Vec<i32>,
    number: Vec<i32>,
    step: Vec<i16>,
    webhook: Vec<&'a str>,
    who: Vec<&'a str>,
    after: Vec<i32>,
}

impl<'a> Notices<'a> {
    /// Whether the batch has none.
    pub(super) fn is_empty(&self) -> bool {
        self.id.is_empty()
    }

    /// Adds that of an event, if it has one. `group` and `number` say which of the batch's tenants and of that one's events it is.
    pub(super) fn push(&mut self, append: &'a Append, group: i32, number: i32) -> Result<(), LogError> {
        let event = &append.event;
        let Some(notice) = &event.notice else { return Ok(()) };
        let channels: Vec<&str> = event.channels.iter().map(|channel| channel.as_str()).collect();
        let priority = notice.priority.or(event.priority).unwrap_or(Priority::Normal);
        let expires_at = notice.expires_at.as_deref().map(moment).transpose().map_err(time_fault)?;
        self.tenant.push(append.tenant.as_str());
        self.group.push(group);
        self.number.push(number);
        self.id.push(event.id.as_str());
        self.channels.push(channels.join(SEPARATOR));
        self.kind.push(&event.kind);
        self.priority.push(priority.as_str());
        self.title.push(&notice.title);
        self.body.push(notice.body.as_deref());
        self.action.push(notice.action.as_deref());
        self.data.push(notice.data.as_deref());
        self.grouped.push(notice.group.as_deref());
        self.requires_ack.push(notice.requires_ack);
        self.expires_at.push(expires_at);
        self.actor.push(event.actor.as_ref().map(|actor| actor.as_str()));
        self.time.push(moment(&event.time).map_err(time_fault)?);
        let locales = (!notice.locales.is_empty()).then(|| serde_json::to_string(&notice.locales));
        let locales = locales.transpose();
        self.locales
            .push(locales.map_err(|error| LogError::Database(format!("a notice's languages: {error}")))?);
        for (step, escalation) in (1..).zip(&notice.escalate) {
            self.steps.tenant.push(append.tenant.as_str());
            self.steps.group.push(group);
            self.steps.number.push(number);
            self.steps.step.push(step);
            self.steps.webhook.push(escalation.to.as_str());
            self.steps.who.push(escalation.who.as_str());
            self.steps.after.push(escalation.after as i32);
        }
        Ok(())
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 24] {
        [
            &self.tenant,
            &self.group,
            &self.number,
            &self.id,
            &self.channels,
            &self.kind,
            &self.priority,
            &self.title,
            &self.body,
            &self.action,
            &self.data,
            &self.grouped,
            &self.requires_ack,
            &self.expires_at,
            &self.actor,
            &self.time,
            &self.steps.tenant,
            &self.steps.group,
            &self.steps.number,
            &self.steps.step,
            &self.steps.webhook,
            &self.steps.who,
            &self.steps.after,
            &self.locales,
        ]
    }
}

fn time_fault(error: jiff::Error) -> LogError {
    LogError::Database(format!("a notice's time is none: {error}"))
}
