//! Which rules do the streams have, and are these still what the database has?
//!
//! The head watch reads the versions of settings with the heads. Streams whose version is another have theirs read anew, all
//! in one query, one query at a time; a word from Redis only makes the watch look at once.

use super::{Feed, Found, Tracked};
use crate::metrics::metrics;
use carillon_backplane::log::LogError;
use carillon_platform::rules::RuleSet;
use carillon_platform::telemetry::Seldom;
use carillon_protocol::TenantId;
use std::sync::Arc;
use std::time::Instant;

/// Tenants whose settings one query reads.
const TOGETHER: usize = 500;

static NOT_READ: Seldom<()> = Seldom::new();

/// Rules of tenants, read together.
pub(super) type ReadRules = Result<Vec<(TenantId, Arc<RuleSet>)>, LogError>;

/// How far the reading of changed settings is.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Reading {
    /// None is under way.
    #[default]
    Nothing,
    /// One is; and settings may have changed since it began.
    UnderWay { again: bool },
}

impl Feed {
    /// Has the settings of these tenants read, unless some are being read: then they are looked at again after those.
    pub(super) fn read_settings(&mut self, mut tenants: Vec<TenantId>) {
        if tenants.is_empty() {
            return;
        }
        let again = tenants.len() > TOGETHER;
        if let Reading::UnderWay { again } = &mut self.settings {
            *again = true;
            return;
        }
        tenants.truncate(TOGETHER);
        self.settings = Reading::UnderWay { again };
        let (rules, finder) = (self.rules.clone(), self.finder.clone());
        tokio::spawn(async move {
            let read = rules.read(&tenants).await;
            let _ = finder.send(Found::Rules(read));
        });
    }

    pub(super) fn rules_read(&mut self, result: ReadRules) {
        let again = self.settings == Reading::UnderWay { again: true };
        self.settings = Reading::Nothing;
        match result {
            Ok(found) => found.into_iter().for_each(|(tenant, rules)| self.follow(&tenant, rules)),
            Err(error) => {
                if let Some(times) = NOT_READ.due(()) {
                    tracing::warn!(%error, times, "changed channel rules cannot be read; the known ones hold");
                }
                return;
            }
        }
        if again {
            self.heads.wish(Instant::now());
        }
    }

    fn follow(&mut self, tenant: &TenantId, rules: Arc<RuleSet>) {
        let Some(Tracked::Open(open)) = self.tracked.get(tenant) else { return };
        if open.stream.rules().version() != rules.version() {
            metrics().rules_followed.increment(1);
            let told = open.stream.set_rules(rules);
            self.shards.tell_rules(told, &open.stream);
        }
    }
}
