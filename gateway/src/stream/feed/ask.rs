//! What may others ask of the feed?

use crate::metrics::metrics;
use crate::stream::Stream;
use carillon_backplane::log::LogError;
use carillon_protocol::TenantId;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// How long a client waits for its tenant's stream, at the longest: less than the ten seconds in which a connection has
/// to come in, so that it hears why.
const OPENED_WITHIN: Duration = Duration::from_secs(9);

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("there is no such tenant")]
    UnknownTenant,
    #[error("the log is busy: {0}")]
    Busy(String),
    #[error("the log cannot be read now: {0}")]
    Unavailable(String),
}

impl From<&LogError> for OpenError {
    fn from(error: &LogError) -> Self {
        let why = error.to_string();
        if error.is_overload() { Self::Busy(why) } else { Self::Unavailable(why) }
    }
}

pub(super) type OpenedStream = Result<Arc<Stream>, OpenError>;

/// Asks the feed for streams.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(super) ask: mpsc::Sender<Ask>,
    pub(super) health: Arc<FeedHealth>,
}

/// What others see of the feed without asking.
#[derive(Debug, Default)]
pub(super) struct FeedHealth {
    pub(super) log: Mutex<LogHealth>,
    pub(super) bus_down: AtomicBool,
    pub(super) followed: AtomicUsize,
}

/// Whether the log answers this node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LogHealth {
    /// It has, at least once. A node with a wrong URL never gets here.
    pub(crate) ever: bool,
    /// Why it did not, the last time it was asked.
    pub(crate) fault: Option<LogError>,
}

pub(super) enum Ask {
    Open(TenantId, oneshot::Sender<OpenedStream>),
    CheckHeads,
    Usage(oneshot::Sender<Vec<(TenantId, [u64; 3])>>),
    /// The same with subscriptions.
    Numbers(oneshot::Sender<Vec<(TenantId, [u64; 4])>>),
}

impl FeedHealth {
    /// Notes what the log said; the log file hears of every change. A log that is only busy or slow is there.
    pub(super) fn heard_of_log(&self, error: Option<&LogError>) {
        let error = error.filter(|error| !error.is_overload());
        let mut known = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        match (error, &known.fault) {
            (Some(error), None) => tracing::warn!(down = true, %error, "postgres: cannot be used"),
            (None, Some(_)) => tracing::info!(down = false, "postgres: back"),
            _ => {}
        }
        *known = LogHealth { ever: known.ever || error.is_none(), fault: error.cloned() };
    }
}

impl Streams {
    /// The stream of a tenant, with its Redis subscription confirmed (or Redis known to be away) and its head known.
    /// Waits for its turn among tenants that are opened at the same time, for [`OPENED_WITHIN`] at the longest.
    pub(crate) async fn open(&self, tenant: &TenantId) -> OpenedStream {
        let (answer, opened) = oneshot::channel();
        let stopping = || OpenError::Unavailable("the node is stopping".into());
        self.ask.send(Ask::Open(tenant.clone(), answer)).await.map_err(|_| stopping())?;
        match tokio::time::timeout(OPENED_WITHIN, opened).await {
            Ok(answer) => answer.map_err(|_| stopping())?,
            Err(_) => {
                metrics().openings_refused.increment(1);
                Err(OpenError::Busy(format!("no turn within {} s", OPENED_WITHIN.as_secs())))
            }
        }
    }

    /// Has the heads asked for now instead of at the next beat.
    pub(crate) async fn check_heads(&self) {
        // The feed ends only when the node does.
        let _ = self.ask.send(Ask::CheckHeads).await;
    }

    /// What each tenant uses on this node: connections now, events and deliveries since its stream was opened.
    pub(crate) async fn usage(&self) -> Vec<(TenantId, [u64; 3])> {
        let (answer, usage) = oneshot::channel();
        match self.ask.send(Ask::Usage(answer)).await {
            Ok(()) => usage.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Of each tenant here: connections, events and deliveries as in [`Stream::usage`], and subscriptions.
    pub(crate) async fn numbers(&self) -> Vec<(TenantId, [u64; 4])> {
        let (answer, numbers) = oneshot::channel();
        match self.ask.send(Ask::Numbers(answer)).await {
            Ok(()) => numbers.await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }

    /// Tenants this node follows.
    pub(crate) fn followed(&self) -> usize {
        self.health.followed.load(Ordering::Relaxed)
    }

    pub(crate) fn log_health(&self) -> LogHealth {
        self.health.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn bus_is_down(&self) -> bool {
        self.health.bus_down.load(Ordering::Relaxed)
    }
}
