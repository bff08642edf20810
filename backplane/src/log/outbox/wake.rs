//! How does a publisher hear that an application's transaction has published?
//!
//! By `LISTEN carillon_outbox`, on a connection of its own. Anybody who can log in may notify there, so it says nothing but "look". It
//! may never come: behind a pooler in transaction mode, or where applications leave notifying out. Whoever waits looks now and then.

use crate::log::error::LogError;
use crate::log::pool::Log;
use std::future::poll_fn;
use tokio::sync::Notify;
use tokio_postgres::AsyncMessage;

/// In lower case: `LISTEN` folds a name that is not quoted, `pg_notify` does not.
const LISTEN: &str = "LISTEN carillon_outbox";

impl Log {
    /// Wakes `wake` for each notification until the connection ends, and tells why it did.
    pub async fn listen_outbox(&self, wake: &Notify) -> LogError {
        let (config, tls) = self.direct();
        let (client, mut connection) = match config.connect(tls.clone()).await {
            Ok(connected) => connected,
            Err(error) => return error.into(),
        };
        let listening = async {
            match client.batch_execute(LISTEN).await {
                // Something may have been published before.
                Ok(()) => wake.notify_one(),
                Err(error) => return LogError::from(error),
            }
            std::future::pending().await
        };
        let hearing = async {
            loop {
                match poll_fn(|context| connection.poll_message(context)).await {
                    Some(Ok(AsyncMessage::Notification(_))) => wake.notify_one(),
                    Some(Ok(_)) => {}
                    Some(Err(error)) => return LogError::from(error),
                    None => return LogError::Down("the connection was closed".to_owned()),
                }
            }
        };
        tokio::select! {
            error = listening => error,
            error = hearing => error,
        }
    }
}
