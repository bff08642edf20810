//! What do these tests ask a database, beside its own questions?

use carillon_backplane::log::{Append, ChannelIndex, Log, News, Progress, Reader, Turn};

use crate::database::{self, Database, channel, tenant};

impl Database {
    /// Events of a tenant, made by the database itself: `channels` is an SQL expression of the number `n`.
    pub(crate) async fn fill(&self, tenant: &str, events: u32, channels: &str) {
        self.publisher.open_tenant(&self::tenant(tenant), true).await.unwrap();
        let sql = format!(
            "INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
             SELECT '{tenant}', n, now() - interval '2 hours' + n * interval '1 ms', 'e' || n, 'order.paid', 'api',
                ({channels})::text[], now(), '{{\"n\":' || n || '}}' FROM generate_series(1, {events}) AS n;
             UPDATE carillon.tenants SET head = {events} WHERE id = '{tenant}'"
        );
        self.sql(&sql).await;
    }

    /// Where the index differs from the log: rows of both kinds, none when they say the same.
    pub(crate) async fn differences(&self) -> i64 {
        let sql = "WITH log AS (SELECT e.tenant_id, c.channel, e.seq FROM carillon.events e, unnest(e.channels) AS c(channel)),
                index AS (SELECT i.tenant_id, i.channel, s.seq FROM carillon.channel_index i, unnest(i.seqs) AS s(seq))
            SELECT (SELECT count(*) FROM (SELECT * FROM log EXCEPT ALL SELECT * FROM index) AS missing)
                + (SELECT count(*) FROM (SELECT * FROM index EXCEPT ALL SELECT * FROM log) AS wrong)";
        self.count(sql).await
    }
}

/// An event in these channels.
pub(crate) fn append(tenant_name: &str, request: u32, id: &str, channels: &[&str]) -> Append {
    let mut append = database::append(tenant_name, request, id, None);
    append.event.channels = channels.iter().map(|name| channel(name)).collect();
    append
}

/// Reads on until no tenant of this worker's slots has news.
pub(crate) async fn read_all(log: &Log, worker: &str) {
    let name = ChannelIndex.name();
    loop {
        let slots = log.lease_slots(name, worker).await.unwrap();
        let news = log.projector_news(name, &slots, None, 100).await.unwrap();
        if news.is_empty() {
            return;
        }
        for News { tenant, slot, .. } in news {
            let slot = *slots.iter().find(|held| held.number == slot).unwrap();
            let turn = Turn { tenant: &tenant, slot, worker };
            assert_ne!(log.project(&ChannelIndex, turn).await.unwrap(), Progress::LeaseLost);
        }
    }
}
