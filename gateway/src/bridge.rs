//! The async bridge: who does for the shards what has to wait?
//!
//! A shard never waits. What needs the database or a key set is done here, beside it, and comes back as a message. At
//! most one token and, in each of its tenants, one page of a connection are under way, so the number of requests is bounded by connections; what
//! those leave behind that come and go quickly is bounded by the shares of their users (`stream::backlog`), and so is what is
//! asked of tenants' applications (`carillon_platform::ask`).

use crate::authorize::{Authorized, Authorizer, Bearer, Recovered, Refusal, Resume};
use crate::edge::RawQuery;
use crate::relay::{NotPublished, Order, Relay, Relayed, Turn};
use crate::shard::{Attached, HistoryFrom, HistoryPage, Published, Request, Shards, ToShard};
use crate::socketio::connect::{ComesBack, id_prefix};
use crate::stream::backlog::{Backlog, Reader, Selection};
use crate::verdicts::Verdicts;
use carillon_backplane::bus::RecoveryStore;
use carillon_backplane::log::LogError;
use carillon_platform::ask::Verdict;
use carillon_platform::share::AddressGroup;
use carillon_protocol::client::{ConnectParameters, connect_parameters};
use carillon_protocol::{CloseCode, Seq};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;

/// How long the channels of a client of Socket.IO may take to be found: some clients wait a second for all of it.
const FINDING: Duration = Duration::from_millis(500);

/// Carries out requests until the shards are gone.
pub(crate) async fn run(
    mut requests: UnboundedReceiver<Request>,
    shards: Shards,
    authorizer: Authorizer,
    backlog: Backlog,
    relay: Arc<Relay>,
    recovery: RecoveryStore,
) {
    let mut order = Order::default();
    while let Some(request) = requests.recv().await {
        let (shards, authorizer, backlog) = (shards.clone(), authorizer.clone(), backlog.clone());
        let (relay, recovery) = (relay.clone(), recovery.clone());
        // In the order in which they come from a connection.
        let turn = match &request {
            Request::Publish { connection, .. } => Some(order.next(*connection)),
            _ => None,
        };
        tokio::spawn(async move {
            let failed = failed(&request);
            // Whoever waits for an answer gets one, also when finding it panics.
            let answered = tokio::spawn(async move {
                carry_out(request, turn, &authorizer, &backlog, &relay, &recovery).await
            });
            let (shard, message) = answered.await.unwrap_or(failed);
            shards.send(shard, message);
        });
    }
}

async fn carry_out(
    request: Request,
    turn: Option<Turn>,
    authorizer: &Authorizer,
    backlog: &Backlog,
    relay: &Relay,
    recovery: &RecoveryStore,
) -> (usize, ToShard) {
    match request {
        Request::Publish { connection, frame, relayed, under_way } => {
            let result = relay.publish(&relayed, turn).await;
            drop(under_way);
            let Relayed { tenant, channel, .. } = *relayed;
            let answer = Published { tenant, frame, channel, result };
            (connection.shard.into(), ToShard::Published(connection, Box::new(answer)))
        }
        Request::Keep { connection, number, tenant, user, session, channels } => {
            // As long as Redis takes: a shard asks for one at a time, and what comes after this is newer.
            let at_us =
                SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
            let kept = recovery.keep((&tenant, &user, &session), at_us, &channels).await;
            let is_kept = matches!(kept, Ok(true));
            (connection.shard.into(), ToShard::Kept(connection, number, is_kept))
        }
        Request::Enter { connection, from, token, frame, url, comes_back } => {
            let comes_back = comes_back.as_deref().map(|back| (back, recovery));
            let result = enter(authorizer, &token, from, (&frame, &url), comes_back).await;
            (connection.shard.into(), ToShard::Entered(connection, result.map(Box::new)))
        }
        Request::Refresh { connection, from, frame, token } => {
            let result = authorizer.verify(&token, from).await;
            (connection.shard.into(), ToShard::Refreshed(connection, frame, result.map(Box::new)))
        }
        Request::Attach { connection, bearer, attaching } => {
            let result = match authorizer.attach(&bearer, attaching.wanted.clone()).await {
                Ok(authorized) => authorizer.take_place(authorized).await,
                Err(refusal) => Err(refusal),
            };
            let attached = Attached { attaching: *attaching, bearer, result };
            (connection.shard.into(), ToShard::Attached(connection, Box::new(attached)))
        }
        Request::Page { connection, ticket, reader, life, cursor, head } => {
            let page = backlog.page(&reader, life, cursor, head).await;
            (connection.shard.into(), ToShard::Page(connection, ticket, page))
        }
        Request::History { connection, ticket, reader, selection, from, upto } => {
            let page = history(backlog, &reader, &selection, from, upto).await;
            (connection.shard.into(), ToShard::History(connection, ticket, page))
        }
        Request::Ask { connection, tenant, ticket, endpoint, questions } => {
            let said = authorizer.asker().ask_all(&endpoint, questions).await;
            let verdicts = Verdicts::new(endpoint.generation(), said);
            (connection.shard.into(), ToShard::Asked(connection, tenant, ticket, Box::new(verdicts)))
        }
    }
}

/// Lets somebody in whose token came with the first frame. What that frame and the URL ask for is read for those alone whose
/// token is good.
async fn enter(
    authorizer: &Authorizer,
    token: &str,
    from: AddressGroup,
    (frame, url): (&str, &RawQuery),
    comes_back: Option<(&ComesBack, &RecoveryStore)>,
) -> Result<Authorized, Refusal> {
    let bearer = authorizer.verify(token, from).await?;
    let of_url = url.connect_parameters()?;
    let of_frame = connect_parameters(frame).map_err(|why| {
        Refusal::new("invalid_frame", format!("auth: {why}"), 400, CloseCode::ProtocolError)
    })?;
    let hello = of_frame.or(of_url);
    if let Some((back, recovery)) = comes_back
        && let Some((before, recovered)) = as_before(&bearer, &hello, back, recovery).await
    {
        match authorizer.admit(&bearer, before).await {
            Ok(authorized) if matches!(authorized.resume, Resume::From { .. }) => {
                return authorizer.take_place(Authorized { recovered, ..authorized }).await;
            }
            // The log does not go back that far, or a channel is not open to them any more: they begin anew, and hear it.
            Ok(_) => {}
            // Who comes back soon still gets what was missed.
            Err(refusal) if refusal.channels.is_empty() || refusal.code == "unavailable" => {
                return Err(refusal);
            }
            Err(_) => {}
        }
    }
    let authorized = authorizer.admit(&bearer, hello).await?;
    authorizer.take_place(authorized).await
}

/// What a client asks for that goes on where it was; none if that is not known.
async fn as_before(
    bearer: &Bearer,
    hello: &ConnectParameters,
    back: &ComesBack,
    recovery: &RecoveryStore,
) -> Option<(ConnectParameters, Recovered)> {
    let cursor = back.cursor.clone()?;
    let identity = bearer.enter(hello.tenant.as_ref()).ok()?;
    if !back.id.starts_with(&id_prefix(&identity.tenant, &identity.user)) {
        return None;
    }
    let mut before = hello.clone();
    (before.since, before.epoch, before.last) = (Some(cursor.seq), Some(cursor.epoch), None);
    if !back.rooms {
        return Some((before, Recovered::Position));
    }
    let kept = recovery.channels(&identity.tenant, &identity.user, &back.id);
    match timeout(FINDING, kept).await {
        Ok(Ok(Some(channels))) => {
            let own = identity.channels();
            if hello.channels.iter().any(|named| !channels.contains(named) && !own.contains(named)) {
                // It wants more than it had, and is to know that it has not had that.
                return None;
            }
            before.channels = channels;
        }
        Ok(Ok(None)) => return None,
        // Redis does not say: what was missed in the channels that it names itself comes all the same, to a new session.
        Ok(Err(_)) | Err(_) => return Some((before, Recovered::Nothing)),
    }
    Some((before, Recovered::Rooms))
}

/// The answer to a request that was not carried out.
fn failed(request: &Request) -> (usize, ToShard) {
    let refusal = || Refusal::unavailable("this cannot be answered now; come back soon");
    let error = || LogError::Busy("the request was not carried out".to_owned());
    match request {
        Request::Publish { connection, frame, relayed, .. } => {
            let failed =
                Err(NotPublished::unavailable("it is not known what became of it; repeat with the same id"));
            let (tenant, channel) = (relayed.tenant.clone(), relayed.channel.clone());
            let answer = Published { tenant, frame: frame.clone(), channel, result: failed };
            (connection.shard.into(), ToShard::Published(*connection, Box::new(answer)))
        }
        Request::Keep { connection, number, .. } => {
            (connection.shard.into(), ToShard::Kept(*connection, *number, false))
        }
        Request::Enter { connection, .. } => {
            (connection.shard.into(), ToShard::Entered(*connection, Err(refusal())))
        }
        Request::Refresh { connection, frame, .. } => {
            (connection.shard.into(), ToShard::Refreshed(*connection, frame.clone(), Err(refusal())))
        }
        Request::Attach { connection, bearer, attaching } => {
            let (attaching, bearer) = ((**attaching).clone(), bearer.clone());
            let attached = Attached { attaching, bearer, result: Err(refusal()) };
            (connection.shard.into(), ToShard::Attached(*connection, Box::new(attached)))
        }
        Request::Page { connection, ticket, .. } => {
            (connection.shard.into(), ToShard::Page(*connection, *ticket, Err(error())))
        }
        Request::History { connection, ticket, .. } => {
            (connection.shard.into(), ToShard::History(*connection, *ticket, Err(error())))
        }
        Request::Ask { connection, tenant, ticket, endpoint, questions } => {
            let none = questions.iter().map(|(question, _)| (question.clone(), Verdict::Unavailable));
            let verdicts = Verdicts::new(endpoint.generation(), none.collect());
            (
                connection.shard.into(),
                ToShard::Asked(*connection, tenant.clone(), *ticket, Box::new(verdicts)),
            )
        }
    }
}

async fn history(
    backlog: &Backlog,
    reader: &Reader,
    selection: &Selection,
    from: HistoryFrom,
    upto: Seq,
) -> Result<HistoryPage, LogError> {
    let (start, more) = match from {
        HistoryFrom::Latest(after) => {
            let (events, reached, held) = backlog.latest(reader, selection, after, upto).await?;
            let (complete, next) = (reached >= upto, HistoryFrom::Latest(reached));
            return Ok(HistoryPage { events, complete, more: false, from, next, _held: Some(held) });
        }
        HistoryFrom::After(seq) => (seq, false),
        HistoryFrom::Newest { start, .. } if from.asks_for_none(upto) => (start, false),
        HistoryFrom::Newest { count, after, below, start } => {
            let found = backlog.history_start(reader, selection, (after, below), count, start).await?;
            if let Some(below) = found.stopped {
                let next =
                    HistoryFrom::Newest { count: count - found.events, after, below, start: found.start };
                return Ok(HistoryPage {
                    events: Vec::new(),
                    complete: false,
                    more: false,
                    from,
                    next,
                    _held: None,
                });
            }
            (found.start, found.more)
        }
    };
    let from = HistoryFrom::After(start);
    if start >= upto {
        return Ok(HistoryPage { events: Vec::new(), complete: true, more, from, next: from, _held: None });
    }
    let (events, reached, held) = backlog.history(reader, selection, start, upto).await?;
    let next = HistoryFrom::After(reached);
    Ok(HistoryPage { events, complete: reached >= upto, more, from, next, _held: Some(held) })
}
