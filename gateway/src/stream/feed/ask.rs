//! What may others ask of the feed?

use crate::stream::Stream;
use carillon_protocol::TenantId;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use tokio::sync::{mpsc, oneshot};

/// Why a stream could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("there is no such tenant")]
    UnknownTenant,
    #[error("the log cannot be read now: {0}")]
    Unavailable(String),
}

pub(super) type Opened = Result<Arc<Stream>, OpenError>;

/// Asks the feed for streams.
#[derive(Clone)]
pub(crate) struct Streams {
    pub(super) ask: mpsc::Sender<Ask>,
    pub(super) health: Arc<FeedHealth>,
}

/// What others see of the feed without asking.
#[derive(Debug, Default)]
pub(super) struct FeedHealth {
    pub(super) database_down: AtomicBool,
    pub(super) bus_down: AtomicBool,
    pub(super) followed: AtomicUsize,
}

pub(super) enum Ask {
    Open(TenantId, oneshot::Sender<Opened>),
    CheckHeads,
    Usage(oneshot::Sender<Vec<(TenantId, [u64; 3])>>),
}

impl Streams {
    /// The stream of a tenant, with its Redis subscription confirmed (or Redis known to be away) and its head known.
    pub(crate) async fn open(&self, tenant: &TenantId) -> Opened {
        let (answer, opened) = oneshot::channel();
        let stopping = || OpenError::Unavailable("the node is stopping".into());
        self.ask.send(Ask::Open(tenant.clone(), answer)).await.map_err(|_| stopping())?;
        opened.await.map_err(|_| stopping())?
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

    /// Tenants this node follows.
    pub(crate) fn followed(&self) -> usize {
        self.health.followed.load(Ordering::Relaxed)
    }

    pub(crate) fn database_is_down(&self) -> bool {
        self.health.database_down.load(Ordering::Relaxed)
    }

    pub(crate) fn bus_is_down(&self) -> bool {
        self.health.bus_down.load(Ordering::Relaxed)
    }
}
