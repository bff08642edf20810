//! Whom does a ticket let in?
//!
//! Its row is deleted in the database of all nodes, so of all handshakes that bring it one gets in. Whoever brings one has not
//! proven anything yet: what cannot be a ticket costs no question, and addresses take turns.

use crate::authorize::Refusal;
use carillon_backplane::log::Log;
use carillon_platform::auth::ticket::{self, KeyTicket};
use carillon_platform::auth::{AuthError, Identity};
use carillon_platform::share::{AddressGroup, KeyLookups};
use carillon_protocol::CloseCode;
use std::time::{SystemTime, UNIX_EPOCH};

/// Whom a ticket lets in.
pub(crate) enum Admits {
    /// A person, as their token said.
    Person(Identity),
    /// The bearer of an API key: it is looked up by whoever takes the ticket.
    Key(KeyTicket),
}

/// Takes tickets.
pub(crate) struct Tickets {
    log: Log,
    lookups: KeyLookups,
}

impl Tickets {
    pub(crate) fn new(log: Log) -> Self {
        Self { log, lookups: KeyLookups::default() }
    }

    /// Whom this ticket lets in, that comes from this address. It is used up by that, whatever becomes of the handshake.
    pub(crate) async fn redeem(&self, text: &str, from: AddressGroup) -> Result<Admits, Refusal> {
        let hash = ticket::read(text).ok_or_else(invalid)?;
        let Ok(_turn) = self.lookups.turn(from, false).await else {
            let message = "too many tickets wait to be looked up; come back soon";
            return Err(Refusal { message: message.into(), ..Refusal::busy() });
        };
        let stored = self.log.redeem_ticket(&hash).await.map_err(|error| {
            if error.is_overload() {
                return Refusal::busy();
            }
            tracing::warn!(%error, "a ticket cannot be looked up");
            Refusal::unavailable("the ticket cannot be looked up now; come back soon")
        })?;
        let stored = stored.ok_or_else(invalid)?;
        if let Some(of_key) = ticket::key(&stored) {
            return Ok(Admits::Key(of_key));
        }
        let identity = ticket::bearer(&stored).ok_or_else(invalid)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        match now.checked_sub(identity.expires_at) {
            Some(ago) => Err(AuthError::Expired { ago }.into()),
            None => Ok(Admits::Person(identity)),
        }
    }
}

fn invalid() -> Refusal {
    let message = "the ticket is not known: it works once and for 30 s; get another one";
    Refusal::new("ticket_invalid", message, 401, CloseCode::Unauthenticated)
}
