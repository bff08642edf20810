//! What does somebody of a team's back office do, as a goose user on a WebSocket?
//!
//! The connection lives from transaction to transaction in the user's session: it listens, asks, leaves and comes back,
//! and at the end waits for everything that was acknowledged. goose has no WebSocket; what it cannot see by itself it
//! is told with `record_custom_request`.

use std::sync::Arc;
use std::time::Duration;

use goose::prelude::*;
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::{Instant, sleep};

use crate::ledger::{Happening, LEDGER};
use crate::publisher::tenant;
use crate::settings::Settings;
use crate::socket::{Address, Fault, Socket};
use crate::team::{LISTENER, Team};
use crate::token::{Claims, mint};

/// How long a turn of listening is.
const TURN: Duration = Duration::from_millis(500);
/// Longest wait, at the end, for what was acknowledged.
const CATCH_UP: Duration = Duration::from_secs(10);

struct Session {
    tenant: String,
    socket: Socket,
    questions: u64,
}

/// The back office of a team.
pub(crate) fn scenario(team: &'static Team, settings: &Settings) -> Result<Scenario, GooseError> {
    let settings = settings.clone();
    let enter: TransactionFunction = Arc::new(move |user| {
        let session = Session::of(team, &settings);
        Box::pin(async move {
            let session = session.map_err(|error| Box::new(TransactionError::Custom(error.to_string())))?;
            user.set_session_data(Arc::new(Mutex::new(session)));
            enter(user, "welcome").await
        })
    });
    Ok(Scenario::new(&format!("{} listens", team.name))
        .register_transaction(Transaction::new(enter).set_on_start())
        .register_transaction(transaction!(listen).set_name("listen").set_weight(8)?)
        .register_transaction(transaction!(ask).set_name("ask").set_weight(1)?)
        .register_transaction(transaction!(travel).set_name("leave and come back").set_weight(2)?)
        .register_transaction(transaction!(conclude).set_name("wait for the rest").set_on_stop()))
}

impl Session {
    fn of(team: &'static Team, settings: &Settings) -> Result<Self, jsonwebtoken::errors::Error> {
        let tenant = tenant(team, settings);
        let claims =
            Claims { sub: LISTENER, tenant: &tenant, roles: team.roles, channels: &["*"], caps: &[] };
        let token = mint(&claims, &settings.secret)?;
        let base = settings.url.replacen("http", "ws", 1);
        // Names of channels need no escaping in a query.
        let url = format!("{base}/v1/ws?channels={}", team.channels.join(","));
        Ok(Self { tenant, socket: Socket::new(Address { url, token }), questions: 0 })
    }

    async fn ask(&mut self) -> Result<Duration, Fault> {
        self.questions += 1;
        self.socket.ping(self.questions).await
    }
}

/// goose wants session data that can be cloned, which a socket cannot; nobody else ever holds this one.
async fn session(user: &GooseUser) -> OwnedMutexGuard<Session> {
    Arc::clone(user.get_session_data_unchecked::<Arc<Mutex<Session>>>()).lock_owned().await
}

/// Connects, tells goose how long it took, and counts who was not let in.
async fn enter(user: &mut GooseUser, name: &'static str) -> TransactionResult {
    let entered = session(user).await.socket.enter().await;
    if entered.is_err() {
        LEDGER.count(Happening::Refused);
    }
    tell(user, name, entered).await
}

async fn listen(user: &mut GooseUser) -> TransactionResult {
    let heard = session(user).await.socket.listen(Instant::now() + TURN, None).await;
    stay(user, heard).await
}

async fn ask(user: &mut GooseUser) -> TransactionResult {
    let answered = session(user).await.ask().await;
    match answered {
        Ok(took) => tell(user, "ping", Ok(took)).await,
        Err(fault) => stay(user, Err(fault)).await,
    }
}

async fn travel(user: &mut GooseUser) -> TransactionResult {
    session(user).await.socket.leave().await;
    sleep(Duration::from_millis(fastrand::u64(200..1_200))).await;
    enter(user, "come back").await
}

/// Everything that has a receipt by now has to come.
async fn conclude(user: &mut GooseUser) -> TransactionResult {
    let mut session = session(user).await;
    let Session { tenant, socket, .. } = &mut *session;
    let head = LEDGER.head(tenant);
    if socket.listen(Instant::now() + CATCH_UP, Some(head)).await.is_err() {
        LEDGER.count(Happening::Broken);
    }
    if let Some(seen) = socket.seen {
        LEDGER.conclude(&seen, head.saturating_sub(seen.cursor));
    }
    socket.leave().await;
    Ok(())
}

/// A connection that ended although its user wanted to stay is counted, and made again.
async fn stay(user: &mut GooseUser, heard: Result<(), Fault>) -> TransactionResult {
    let Err(fault) = heard else { return Ok(()) };
    LEDGER.count(Happening::Broken);
    tell(user, "listen", Err(fault)).await?;
    // So that a server that is away is not asked without a pause.
    sleep(TURN).await;
    enter(user, "come back").await
}

/// Tells goose about something on the socket.
async fn tell(
    user: &mut GooseUser,
    name: &'static str,
    outcome: Result<Duration, Fault>,
) -> TransactionResult {
    match outcome {
        Ok(took) => {
            let ms = took.as_millis() as u64;
            LEDGER.time(name, ms);
            user.record_custom_request("WS", name, ms, true, None, None).await
        }
        Err(fault) => user.record_custom_request("WS", name, 0, false, None, Some(&fault.to_string())).await,
    }
}
