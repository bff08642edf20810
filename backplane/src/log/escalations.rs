//! Which people have not taken note of a notice in time, and how is each named once?
//!
//! A step of a notice is a cursor on its audience (migrations, V31). One call is one transaction: it locks the step, then the notice (who
//! takes note meanwhile waits), looks at the next people by name or at those for whom it was quiet, appends the event that names them,
//! and moves the cursor. So whatever dies, a person is named once in a step, and never after an ack that was committed before.

mod lag;

use super::append::{Append, append_here};
use super::error::LogError;
use super::pool::{Log, exchange};
use super::read::signed;
use super::scope::scoped;
use super::session::Session;
use super::work::Work;
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Seq, TenantId};
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub use lag::EscalationLag;

/// People who are looked at in one transaction.
pub const ESCALATED: usize = 100;
/// Devices that are looked at in one transaction, to find out who is in a channel: more than one person has.
const DEVICES: i64 = 2_000;
/// Longest wait for a row: of a notice while people take note of it, of a tenant while events are appended.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// When people are looked at again for whom no end of the quiet is in sight.
const ENDLESS: SignedDuration = SignedDuration::from_hours(24);

const DUE: &str = "SELECT tenant, seq, step, waited FROM carillon.escalations_due($1, $2)";
const ENTER: &str = "SELECT set_config('carillon.tenant', $1, true), set_config('lock_timeout', $2, true)";
const CLAIM: &str = "
SELECT webhook, who, after, looked_to FROM carillon.escalations
WHERE tenant_id = $1 AND seq = $2 AND step = $3 AND due_at <= clock_timestamp() FOR NO KEY UPDATE SKIP LOCKED";
/// `is_open`: it stands in inboxes.
const NOTICE: &str = "
SELECT id, type, priority, title, \"group\", action, time, retracted_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp()) AS is_open
FROM carillon.notices WHERE tenant_id = $1 AND seq = $2 FOR UPDATE";
/// What their tenant says about everybody, what is said about the type, and whether the webhook sends.
const SAID: &str = "
SELECT (SELECT preferences FROM carillon.preference_defaults WHERE tenant_id = $1) AS defaults,
    (SELECT definition FROM carillon.event_types WHERE tenant_id IN ($1, '*') AND type = $2 ORDER BY tenant_id DESC LIMIT 1) AS definition,
    EXISTS (SELECT FROM carillon.webhooks WHERE tenant_id = $1 AND id = $3 AND state = 'enabled') AS is_sent";

/// What these people have done with a notice, who have neither taken note nor (`$5`) got it, and what they say about what they get.
macro_rules! people {
    ($candidates:literal) => {
        concat!(
            "
WITH n AS MATERIALIZED (
    SELECT n.seq, n.at, n.channels, t.epoch FROM carillon.notices n JOIN carillon.tenants t ON t.id = n.tenant_id
    WHERE n.tenant_id = $1 AND n.seq = $2
), candidates AS MATERIALIZED (",
            $candidates,
            "
), done AS (
    SELECT p.user_id, m.acked_at, coalesce(m.read, n.seq <= s.read_to, false) AS read,
        coalesce(m.read, n.seq <= s.read_to, false) OR coalesce(n.seq <= s.seen_to, false) AS seen,
        EXISTS (SELECT FROM carillon.devices d WHERE d.tenant_id = $1 AND d.user_id = p.user_id AND d.epoch = n.epoch
            AND greatest(d.delivered, d.acked) >= n.seq) AS reached
    FROM n CROSS JOIN candidates p
        LEFT JOIN carillon.inbox_state s ON s.tenant_id = $1 AND s.user_id = p.user_id
        LEFT JOIN carillon.inbox_marks m ON m.tenant_id = $1 AND m.user_id = p.user_id AND m.seq = n.seq
)
SELECT d.user_id, d.read, d.seen, d.reached OR d.seen AS delivered, d.acked_at IS NULL AND NOT ($5 AND (d.reached OR d.seen)) AS missed,
    p.preferences
FROM done d LEFT JOIN carillon.preferences p ON p.tenant_id = $1 AND p.user_id = d.user_id ORDER BY d.user_id"
        )
    };
}
/// The first `$4` of the audience after `$3` by name, up to `$6`: of each way to be in it so many, and of these the first. Of `$7` devices
/// it is looked whether they are in a channel.
const NEXT: &str = people!(
    "
    SELECT u.user_id FROM (
        SELECT substr(c.channel, 6) AS user_id FROM n, unnest(n.channels) AS c(channel)
            WHERE c.channel LIKE 'user:%' AND substr(c.channel, 6) > $3
        UNION (SELECT s.user_id FROM carillon.inbox_state s
            WHERE s.tenant_id = $1 AND s.user_id > $3 AND s.since < $2 AND (SELECT 'tenant' = ANY (n.channels) FROM n)
            ORDER BY s.user_id LIMIT $4)
        UNION SELECT f.user_id FROM n, unnest(n.channels) AS c(channel) CROSS JOIN LATERAL (
            SELECT f.user_id FROM carillon.followers f
            WHERE f.tenant_id = $1 AND f.channel = c.channel AND f.user_id > $3 AND f.since < $2 ORDER BY f.user_id LIMIT $4) AS f
        UNION SELECT d.user_id FROM (
            SELECT * FROM n WHERE EXISTS (SELECT FROM unnest(n.channels) AS c(channel) WHERE c.channel NOT LIKE 'user:%')
        ) AS n CROSS JOIN LATERAL (
            SELECT DISTINCT d.user_id FROM (SELECT * FROM carillon.devices d WHERE d.tenant_id = $1 AND d.user_id > $3
                ORDER BY d.user_id LIMIT $7) AS d
            WHERE d.channels && n.channels AND d.first_seen <= n.at
            ORDER BY d.user_id LIMIT $4) AS d
        UNION (SELECT m.user_id FROM carillon.inbox_marks m WHERE m.tenant_id = $1 AND m.seq = $2 AND m.user_id > $3
            ORDER BY m.user_id LIMIT $4)
    ) AS u WHERE $6::text IS NULL OR u.user_id <= $6 ORDER BY u.user_id LIMIT $4"
);
/// These.
const AGAIN: &str = people!("SELECT unnest($3::text[]) AS user_id LIMIT $4");
const HELD: &str = "
SELECT user_id FROM carillon.escalations_held WHERE tenant_id = $1 AND seq = $2 AND step = $3 AND due_at <= clock_timestamp()
ORDER BY due_at, user_id LIMIT $4";
const FREE: &str = "
DELETE FROM carillon.escalations_held WHERE tenant_id = $1 AND seq = $2 AND step = $3 AND user_id = ANY ($4)";
const HOLD: &str = "
INSERT INTO carillon.escalations_held (tenant_id, seq, step, user_id, due_at)
SELECT $1, $2, $3, h.user_id, h.due_at FROM unnest($4::text[], $5::timestamptz[]) AS h(user_id, due_at)";
/// Moves the cursor. With people left it is due at once, after all that are due by now: many pages of one tenant delay nobody else. Else it
/// is due when the first of those is that are held.
const MOVE: &str = "
UPDATE carillon.escalations SET looked_to = $4, told = told + $5, due_at = CASE WHEN $4::text IS NOT NULL THEN clock_timestamp()
    ELSE (SELECT min(h.due_at) FROM carillon.escalations_held h WHERE h.tenant_id = $1 AND h.seq = $2 AND h.step = $3) END
WHERE tenant_id = $1 AND seq = $2 AND step = $3";
/// Where devices are looked at no further in one go: the last person before that one's whose device is so many after `$2`. Nothing: the
/// devices end before, or the notice is for no channel that devices are looked at for.
const EDGE: &str = "
SELECT (SELECT max(l.user_id) FROM carillon.devices l WHERE l.tenant_id = $1 AND l.user_id > $2 AND l.user_id < e.user_id) AS edge
FROM (SELECT d.user_id FROM carillon.devices d WHERE d.tenant_id = $1 AND d.user_id > $2
        AND EXISTS (SELECT FROM carillon.notices n, unnest(n.channels) AS c(channel)
            WHERE n.tenant_id = $1 AND n.seq = $3 AND c.channel NOT LIKE 'user:%')
    ORDER BY d.user_id OFFSET $4 LIMIT 1) AS e";
/// Who of these people has taken note of a notice; no row: it stands in no inbox any more.
const ACKED: &str = "
SELECT ARRAY(SELECT m.user_id FROM carillon.inbox_marks m
    WHERE m.tenant_id = $1 AND m.seq = $2 AND m.user_id = ANY ($4) AND m.acked_at IS NOT NULL) AS acked
FROM carillon.notices n WHERE n.tenant_id = $1 AND n.seq = $2 AND n.id = $3
    AND n.retracted_at IS NULL AND (n.expires_at IS NULL OR n.expires_at > clock_timestamp())";
/// Ends a step: its notice is in no inbox any more.
const END: &str = "
WITH held AS (DELETE FROM carillon.escalations_held WHERE tenant_id = $1 AND seq = $2 AND step = $3)
UPDATE carillon.escalations SET looked_to = NULL, due_at = NULL WHERE tenant_id = $1 AND seq = $2 AND step = $3";

/// A step that is due.
#[derive(Debug, Clone, PartialEq)]
pub struct DueStep {
    /// Whose.
    pub tenant: TenantId,
    /// Of which notice.
    pub seq: Seq,
    /// Which of its steps, from 1.
    pub step: i16,
    /// For how long it is due.
    pub waited: Duration,
}

/// What is known when a step is taken.
#[derive(Debug, Clone)]
pub struct Escalating {
    /// The id of the notice's event.
    pub id: String,
    /// Its number.
    pub seq: Seq,
    /// Its type.
    pub kind: String,
    /// Its priority.
    pub priority: String,
    /// Its title.
    pub title: String,
    /// Its group.
    pub group: Option<String>,
    /// Where a click leads.
    pub action: Option<String>,
    /// When it happened.
    pub time: Timestamp,
    /// Which step.
    pub step: i16,
    /// Seconds after which it is due.
    pub after: u32,
    /// Which webhook is told.
    pub webhook: String,
    /// Of whom.
    pub who: String,
    /// Whether people come after these.
    pub more: bool,
    /// What the tenant says about what everybody gets, JSON.
    pub defaults: Option<String>,
    /// What is said about the type, JSON.
    pub definition: Option<String>,
    /// Who has missed it: at most [`ESCALATED`], by name.
    pub people: Vec<Missing>,
}

/// Somebody who has missed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// Who.
    pub user: String,
    /// Whether they have read it.
    pub read: bool,
    /// Whether they have seen it.
    pub seen: bool,
    /// Whether it has reached them.
    pub delivered: bool,
    /// What they say about what they get, JSON.
    pub preferences: Option<String>,
}

/// What is done about them.
#[derive(Debug, Default)]
pub struct EscalationPlan {
    /// The event that names people, and how many.
    pub event: Option<(NewEvent, u64)>,
    /// For whom it is quiet, and until when; without an end they are looked at a day later.
    pub held: Vec<(String, Option<Timestamp>)>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Escalated {
    /// People who were named.
    pub told: u64,
    /// People for whom it is quiet.
    pub held: u64,
    /// Whether the webhook is one that sends.
    pub is_sent: bool,
    /// Whether more of the step is due now.
    pub more: bool,
}

/// What people are looked at, and how the cursor stands afterwards.
struct Page {
    people: Vec<Row>,
    looked_to: Option<String>,
}

impl Log {
    /// Steps that are due, those first that are due longest, but for these tenants.
    pub async fn escalations_due(&self, passed: &[String], most: u32) -> Result<Vec<DueStep>, LogError> {
        let rows = exchange(self.client(Work::Upkeep, "escalations_due").await?, async |client| {
            let due = client.prepare_cached(DUE).await?;
            Ok(client.query(&due, &[&passed, &(most as i32)]).await?)
        })
        .await?;
        let read = |row: &Row| {
            let tenant = TenantId::new(row.get::<_, &str>("tenant"))
                .map_err(|error| LogError::Database(format!("stored tenant: {error}")))?;
            let waited = Duration::try_from_secs_f64(row.get("waited")).unwrap_or_default();
            Ok(DueStep { tenant, seq: Seq(row.get::<_, i64>("seq") as u64), step: row.get("step"), waited })
        };
        rows.iter().map(read).collect()
    }

    /// Who of these people has taken note of a notice meanwhile. None: it was taken back, has expired or is not there.
    pub async fn acked_since(
        &self,
        tenant: &TenantId,
        (id, seq): (&str, Seq),
        people: &[String],
    ) -> Result<Option<Vec<String>>, LogError> {
        let client = self.client(Work::Deliver, "acked_since").await?;
        let params: [&(dyn ToSql + Sync); 4] = [&tenant.as_str(), &signed(seq), &id, &people];
        let rows = scoped(client, std::iter::once(tenant), ACKED, &params).await?;
        Ok(rows.first().map(|row| row.get("acked")))
    }

    /// Takes a step for its next people: `plan` says what is done about them. Nothing is done if somebody else is at it, or it is not due.
    pub async fn escalate(
        &self,
        due: &DueStep,
        plan: impl FnOnce(&Escalating) -> EscalationPlan,
    ) -> Result<Escalated, LogError> {
        exchange(self.client(Work::Upkeep, "escalate").await?, async |client| {
            let escalated = escalate_here(client, due, plan).await;
            if escalated.is_err() {
                // A session that does not answer is closed by its deadline.
                client.batch_execute("ROLLBACK").await?;
            }
            escalated
        })
        .await
    }
}

async fn escalate_here(
    client: &Session,
    due: &DueStep,
    plan: impl FnOnce(&Escalating) -> EscalationPlan,
) -> Result<Escalated, LogError> {
    let (tenant, seq, step) = (due.tenant.as_str(), due.seq.0 as i64, due.step);
    let of_step: [&(dyn ToSql + Sync); 3] = [&tenant, &seq, &step];
    let (enter, claim) = (client.prepare_cached(ENTER).await?, client.prepare_cached(CLAIM).await?);
    // What is said of the installation's types is seen, too.
    let (scope, lock_wait) = (format!("{tenant},*"), LOCK_WAIT.as_millis().to_string());
    let scope: [&(dyn ToSql + Sync); 2] = [&scope, &lock_wait];
    let (begun, entered, claimed) = tokio::join!(
        biased;
        client.batch_execute("BEGIN"),
        client.query(&enter, &scope),
        client.query(&claim, &of_step),
    );
    begun?;
    entered?;
    let claimed = claimed?;
    let Some(claimed) = claimed.first() else {
        client.batch_execute("COMMIT").await?;
        return Ok(Escalated::default());
    };
    let notice = query(client, NOTICE, &[&tenant, &seq]).await?;
    let open = notice.first().filter(|notice| notice.get("is_open"));
    let Some(notice) = open else {
        query(client, END, &of_step).await?;
        client.batch_execute("COMMIT").await?;
        return Ok(Escalated::default());
    };
    let (kind, webhook, who): (&str, &str, &str) =
        (notice.get("type"), claimed.get("webhook"), claimed.get("who"));
    let page = page(client, of_step, claimed.get("looked_to"), who == "not_delivered").await?;
    let said = query(client, SAID, &[&tenant, &kind, &webhook]).await?;
    let said = said.first().ok_or_else(|| LogError::Database("nothing was said".into()))?;
    let escalating = Escalating {
        id: notice.get("id"),
        seq: due.seq,
        kind: kind.to_owned(),
        priority: notice.get("priority"),
        title: notice.get("title"),
        group: notice.get("group"),
        action: notice.get("action"),
        time: notice.get("time"),
        step,
        after: claimed.get::<_, i32>("after") as u32,
        webhook: webhook.to_owned(),
        who: who.to_owned(),
        more: page.looked_to.is_some(),
        defaults: said.get("defaults"),
        definition: said.get("definition"),
        people: page.people.iter().filter(|row| row.get("missed")).map(missing).collect(),
    };
    let EscalationPlan { event, held } = plan(&escalating);
    let told = event.as_ref().map_or(0, |(_, told)| *told);
    hold(client, of_step, &held).await?;
    if let Some((event, _)) = event {
        let append = Append { tenant: due.tenant.clone(), request: 0, event, key: None, except: None };
        append_here(client, &[append], LOCK_WAIT).await?;
    }
    let told_now = told as i64;
    let moved: [&(dyn ToSql + Sync); 5] = [&tenant, &seq, &step, &page.looked_to, &told_now];
    let advance = client.prepare_cached(MOVE).await?;
    let (moved, committed) =
        tokio::join!(biased; client.query(&advance, &moved), client.batch_execute("COMMIT"));
    moved?;
    committed?;
    let more = escalating.more || page.people.len() >= ESCALATED;
    Ok(Escalated { told, held: held.len() as u64, is_sent: said.get("is_sent"), more })
}

/// The next people of a step: of its audience, and when all of that was looked at, those who were held.
async fn page(
    client: &Session,
    of_step: [&(dyn ToSql + Sync); 3],
    looked_to: Option<String>,
    if_not_delivered: bool,
) -> Result<Page, LogError> {
    let [tenant, seq, step] = of_step;
    let most = ESCALATED as i64;
    if let Some(looked_to) = looked_to {
        let edge = query(client, EDGE, &[tenant, &looked_to, seq, &DEVICES]).await?;
        let edge = edge.first().and_then(|row| row.get::<_, Option<String>>("edge"));
        let params: [&(dyn ToSql + Sync); 7] =
            [tenant, seq, &looked_to, &most, &if_not_delivered, &edge, &DEVICES];
        let people = query(client, NEXT, &params).await?;
        let last = people.last().filter(|_| people.len() >= ESCALATED).map(|row| row.get("user_id"));
        return Ok(Page { looked_to: last.or(edge), people });
    }
    let held = query(client, HELD, &[tenant, seq, step, &most]).await?;
    let names: Vec<&str> = held.iter().map(|row| row.get("user_id")).collect();
    query(client, FREE, &[tenant, seq, step, &names]).await?;
    let people = query(client, AGAIN, &[tenant, seq, &names, &most, &if_not_delivered]).await?;
    Ok(Page { looked_to: None, people })
}

async fn hold(
    client: &Session,
    of_step: [&(dyn ToSql + Sync); 3],
    held: &[(String, Option<Timestamp>)],
) -> Result<(), LogError> {
    if held.is_empty() {
        return Ok(());
    }
    let [tenant, seq, step] = of_step;
    let endless = Timestamp::now().checked_add(ENDLESS).unwrap_or(Timestamp::MAX);
    let (names, times): (Vec<&str>, Vec<Timestamp>) =
        held.iter().map(|(user, until)| (user.as_str(), until.unwrap_or(endless))).unzip();
    query(client, HOLD, &[tenant, seq, step, &names, &times]).await.map(drop)
}

async fn query(client: &Session, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LogError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, params).await?)
}

fn missing(row: &Row) -> Missing {
    Missing {
        user: row.get("user_id"),
        read: row.get("read"),
        seen: row.get("seen"),
        delivered: row.get("delivered"),
        preferences: row.get("preferences"),
    }
}
