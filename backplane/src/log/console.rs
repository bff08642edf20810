//! Which API key does a session of the console stand for?

use super::error::LogError;
use super::keys::{ApiKey, api_key};
use super::pool::{Log, exchange};
use super::work::Work;
use std::time::Duration;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const ISSUE: &str = "SELECT carillon.issue_console_code($1, $2, $3)";
const BEGIN: &str = "SELECT carillon.begin_console_session($1, $2, $3, $4, $5)";
const FIND: &str = "SELECT * FROM carillon.find_console_session($1)";
const END: &str = "SELECT carillon.end_console_session($1)";

/// For whom a session begins.
#[derive(Debug, Clone, Copy)]
pub enum SessionFor<'a> {
    /// For the key of this id.
    Key(&'a str),
    /// For the key of the code that has this hash; the code works no more.
    Code(&'a [u8; 32]),
}

impl Log {
    /// Stores a code that signs in once with this key. False: the key does not work.
    pub async fn issue_console_code(
        &self,
        hash: &[u8; 32],
        key: &str,
        lasts: Duration,
    ) -> Result<bool, LogError> {
        let (hash, seconds) = (hash.as_slice(), lasts.as_secs() as i32);
        let rows = self.console(ISSUE, &[&hash, &key, &seconds]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// Begins a session, found by `id` and proven by `hash`. False: the key or the code does not work.
    pub async fn begin_console_session(
        &self,
        (id, hash): (&str, &[u8; 32]),
        whose: SessionFor<'_>,
        lasts: Duration,
    ) -> Result<bool, LogError> {
        let (key, code) = match whose {
            SessionFor::Key(key) => (Some(key), None),
            SessionFor::Code(code) => (None, Some(code.as_slice())),
        };
        let (hash, seconds) = (hash.as_slice(), lasts.as_secs() as i32);
        let rows = self.console(BEGIN, &[&id, &hash, &key, &code, &seconds]).await?;
        Ok(rows.first().is_some_and(|row| row.get(0)))
    }

    /// The key that the session of this id stands for, with the session's hash and end. None: it has ended, or its key has.
    pub async fn console_session(&self, id: &str) -> Result<Option<ApiKey>, LogError> {
        self.console(FIND, &[&id]).await?.first().map(api_key).transpose()
    }

    /// Ends a session; there may be none.
    pub async fn end_console_session(&self, id: &str) -> Result<(), LogError> {
        self.console(END, &[&id]).await.map(drop)
    }

    async fn console(&self, sql: &str, params: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, LogError> {
        exchange(self.client(Work::Ask, "console").await?, async |client| {
            let statement = client.prepare_cached(sql).await?;
            Ok(client.query(&statement, params).await?)
        })
        .await
    }
}
