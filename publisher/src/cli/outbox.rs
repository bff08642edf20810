//! `outbox`: what becomes of events that could not be appended?

use super::{CliError, print};
use crate::config;
use carillon_backplane::log::{Log, LogConfig, ParkedEvent, Role};
use carillon_platform::env::Env;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use std::time::SystemTime;

#[derive(Subcommand)]
pub(super) enum OutboxCommand {
    /// List what is parked, oldest first, one JSON object a line.
    List {
        /// Only those with a larger number.
        #[arg(long, default_value_t = 0)]
        after: i64,
        /// At most so many.
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        limit: u32,
    },
    /// Put parked events back into the outbox: publishers try them again at once.
    Retry(Which),
    /// Forget parked events. They are lost.
    Discard(Which),
}

#[derive(Args)]
#[command(group(clap::ArgGroup::new("which").required(true).args(["id", "all"])))]
pub(super) struct Which {
    /// The number of an event, as listed; may be given several times.
    #[arg(long)]
    id: Vec<i64>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl OutboxCommand {
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let log = Log::connect(LogConfig { url: config::database_url(env)?, role: Role::Owner })?;
        match self {
            Self::List { after, limit } => {
                let parked = log.parked(after, limit).await?;
                parked.iter().try_for_each(|event| print(&line(event)))
            }
            Self::Retry(which) => which.release(&log, true).await,
            Self::Discard(which) => which.release(&log, false).await,
        }
    }
}

impl Which {
    async fn release(self, log: &Log, keep: bool) -> Result<(), CliError> {
        let ids = (!self.all).then_some(&*self.id);
        let released = log.release_parked(ids, keep).await?;
        if !self.all && released < self.id.len() as u64 {
            let missing = self.id.len() as u64 - released;
            return Err(CliError::Usage(format!(
                "{released} done; {missing} of these numbers are not parked"
            )));
        }
        print(&format!("{released} {}", if keep { "are tried again" } else { "are discarded" }))
    }
}

fn line(event: &ParkedEvent) -> String {
    let time = |at: SystemTime| Timestamp::try_from(at).map(|at| at.to_string()).unwrap_or_default();
    let ParkedEvent { id, tenant, kind, event_id, reason, detail, .. } = event;
    serde_json::json!({
        "outbox_id": id, "tenant": tenant, "type": kind, "id": event_id, "reason": reason, "detail": detail,
        "published_at": time(event.at), "parked_at": time(event.parked_at)
    })
    .to_string()
}
