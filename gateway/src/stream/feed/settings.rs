//! Which rules do the streams have, and are these still what the database has?
//!
//! The head watch reads the versions of settings with the heads. Streams whose version is another have theirs read anew, some
//! in one query, one query at a time; a word from Redis only makes the watch look at once. A query that fails may fail because
//! of one tenant: the next one has fewer and begins behind the tenant that this one began with, so that the others' changes
//! are followed.

use super::{Feed, Found, Tracked};
use crate::metrics::metrics;
use crate::rules::Known;
use carillon_backplane::log::LogError;
use carillon_platform::rules::RuleSet;
use carillon_platform::telemetry::Seldom;
use carillon_protocol::TenantId;
use std::sync::Arc;
use std::time::Instant;

/// Tenants whose settings one query reads at most.
pub(super) const TOGETHER: usize = 64;

static NOT_READ: Seldom<()> = Seldom::new();

/// Rules of tenants, read together.
pub(super) type ReadRules = Result<Vec<(TenantId, Arc<RuleSet>)>, LogError>;

/// Whose settings are read by the next query, and how many at a time. (pure)
#[derive(Debug)]
pub(super) struct Batches {
    most: usize,
    /// The tenant that the last failed query began with: the next one begins behind it.
    behind: Option<TenantId>,
    /// The tenant that the query under way began with, and how many it has.
    under_way: Option<(TenantId, usize)>,
}

impl Default for Batches {
    fn default() -> Self {
        Self { most: TOGETHER, behind: None, under_way: None }
    }
}

impl Batches {
    /// Takes those that are read now, and says whether others are left.
    pub(super) fn begin(&mut self, mut tenants: Vec<TenantId>) -> (Vec<TenantId>, bool) {
        tenants.sort_unstable();
        if let Some(behind) = &self.behind {
            let start = tenants.partition_point(|tenant| tenant <= behind);
            tenants.rotate_left(start);
        }
        let more = tenants.len() > self.most;
        tenants.truncate(self.most);
        self.under_way = tenants.first().map(|first| (first.clone(), tenants.len()));
        (tenants, more)
    }

    /// The query under way is over. Whether it failed, and fewer at once may be read.
    pub(super) fn ended(&mut self, failed: bool) -> bool {
        let Some((first, count)) = self.under_way.take() else { return false };
        if failed {
            self.most = (count / 2).max(1);
            self.behind = Some(first);
        } else {
            self.most = (self.most * 2).min(TOGETHER);
        }
        failed && count > 1
    }
}

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
    pub(super) fn read_settings(&mut self, tenants: Vec<TenantId>) {
        if tenants.is_empty() {
            return;
        }
        if let Reading::UnderWay { again } = &mut self.settings {
            *again = true;
            return;
        }
        let (tenants, again) = self.batches.begin(tenants);
        self.settings = Reading::UnderWay { again };
        let known = |tenant: TenantId| {
            let rules = match self.tracked.get(&tenant) {
                Some(Tracked::Open(open)) => Some(open.stream.rules()),
                _ => None,
            };
            (tenant, rules)
        };
        let tenants: Vec<Known> = tenants.into_iter().map(known).collect();
        let (rules, finder) = (self.rules.clone(), self.finder.clone());
        tokio::spawn(async move {
            let read = rules.read(&tenants).await;
            let _ = finder.send(Found::Rules(read));
        });
    }

    pub(super) fn rules_read(&mut self, result: ReadRules) {
        let again = self.settings == Reading::UnderWay { again: true };
        self.settings = Reading::Nothing;
        let failed = result.is_err();
        let fewer = self.batches.ended(failed);
        match result {
            Ok(found) => found.into_iter().for_each(|(tenant, rules)| self.follow(&tenant, rules)),
            Err(error) => {
                if let Some(times) = NOT_READ.due(()) {
                    tracing::warn!(%error, times, "changed channel rules cannot be read; the known ones hold");
                }
            }
        }
        // Fewer are tried at once; one alone that cannot be read waits for the watch.
        if fewer || (again && !failed) {
            self.heads.wish(Instant::now());
        }
    }

    fn follow(&mut self, tenant: &TenantId, rules: Arc<RuleSet>) {
        let Some(Tracked::Open(open)) = self.tracked.get(tenant) else { return };
        if open.stream.rules().version() != rules.version() {
            metrics().rules_followed.increment(1);
            let told = open.stream.set_rules(rules);
            self.config.limits.watch(&open.stream);
            self.shards.tell_rules(told, &open.stream);
        }
    }
}
