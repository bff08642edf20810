//! How does history reach a client?
//!
//! One page at a time, for the first job of a session that is live, or held for the latest events of keys. A page that the socket cannot take is let go and read
//! again later, so that a slow reader's history costs no more than its live events do.

use super::connection::Connection;
use super::context::Context;
use super::history::{HistoryJob, Question};
use super::messages::{HistoryPage, Request, Ticket};
use super::outbox::{Wrote, write};
use super::past::Reading;
use super::session::ASK_AGAIN_MS;
use super::world::{Socket, World};
use crate::metrics::metrics;
use carillon_backplane::log::LogError;
use carillon_protocol::server::ServerFrame;

/// Asks for the next page of a session's first job, unless something is being read or waits to be written.
pub(super) fn ask_next<W: World>(
    connection: &mut Connection<W::Socket>,
    index: usize,
    context: &mut Context<W>,
) {
    if !connection.outbox.is_empty() {
        return;
    }
    let (id, last) = (connection.id, connection.last_ticket);
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    if !session.is_live() && !session.is_held() {
        return;
    }
    let (Reading::Nothing, Some(job)) = (session.past.reading(), session.past.front()) else { return };
    let (Question { selection, from, upto }, reader) = (job.question(), session.reader());
    let ticket = last.wrapping_add(1);
    session.past.set_reading(Reading::Asked(ticket));
    connection.last_ticket = ticket;
    context.world.request(Request::History { connection: id, ticket, reader, selection, from, upto });
}

/// A page of history has come.
pub(super) fn take_history<W: World>(
    connection: &mut Connection<W::Socket>,
    ticket: Ticket,
    page: Result<HistoryPage, LogError>,
    context: &mut Context<W>,
) {
    let sessions = connection.sessions_mut();
    let Some(index) = sessions.iter_mut().position(|session| session.answered(ticket)) else { return };
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            tracing::debug!(%error, "a page of history could not be read");
            connection.turns.pass(index);
            return failed(connection, index, context.now_ms);
        }
    };
    if !connection.flush(context) {
        return connection.turns.keep(index);
    }
    connection.turns.pass(index);
    let Some(job) = job_of(connection, index) else { return };
    job.took(&page);
    let id = job.id().unwrap_or("null").to_owned();
    let tenant = connection.sessions().get(index).map(|session| session.tenant().clone());
    let tenant = tenant.as_ref().and_then(|tenant| connection.naming(tenant));
    for event in &page.events {
        let frame = connection.wire.history(event, &id, tenant);
        let wrote = write(&mut connection.socket, &frame);
        if let (Wrote::All | Wrote::Blocked(1..), Some(job)) = (wrote, job_of(connection, index)) {
            job.sent(event.seq);
        }
        match wrote {
            Wrote::All => connection.wrote(frame.len() as u64, context),
            Wrote::Blocked(taken) => {
                if taken > 0 {
                    connection.outbox.begun(frame.slice(taken..));
                }
                return connection.blocked(taken, context);
            }
            Wrote::Broken => return connection.lose(),
        }
    }
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    let Some(job) = session.past.front_mut() else { return };
    if job.passed(&page) {
        let Some(job) = session.past.pop() else { return };
        connection.say_of(index, &job.complete(), None, context.now_ms);
    }
}

/// The first piece of history of one of a connection's sessions.
fn job_of<S: Socket>(connection: &mut Connection<S>, session: usize) -> Option<&mut HistoryJob> {
    connection.sessions_mut().get_mut(session)?.past.front_mut()
}

/// A read failed: it is tried again, or the job is refused; the subscription itself is live.
fn failed<S: Socket>(connection: &mut Connection<S>, index: usize, now_ms: u64) {
    let Some(session) = connection.sessions_mut().get_mut(index) else { return };
    let Some(job) = session.past.front_mut() else { return };
    if job.failed() {
        session.past.set_reading(Reading::Later(now_ms + ASK_AGAIN_MS));
        return;
    }
    let Some(job) = session.past.pop() else { return };
    let (id, message) = (job.id(), "the history cannot be read now; the subscription is live");
    let id = id.and_then(|id| serde_json::from_str(id).ok());
    metrics().frame_refused("history_unavailable");
    let error = ServerFrame::Error { id, code: "history_unavailable", message, channels: None };
    connection.say_of(index, &error, None, now_ms);
}
