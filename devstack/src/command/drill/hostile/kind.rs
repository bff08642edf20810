//! Which loads are there, and what does each do?

use super::address::connect;
use super::innocent::Needs;
use super::low_priority::LowPriorityThreads;
use super::raw::{Answers, UPGRADE, ask, head, read_answer, text_frame};
use crate::command::CommandError;
use crate::stack::{KeyTenant, Stack};
use crate::token::{Claims, now};
use serde_json::json;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;
use tokio::task::JoinSet;
use tokio::time::sleep;

/// The hostile tenant.
const TENANT: &str = "hostile";
/// Names the session of the database that a load has.
const HOLDER: &str = "drill-holder";
/// Stores rows on and on, in a table of its own that is emptied at the start.
const ROWS: [&str; 2] = [
    "DROP TABLE IF EXISTS public.rows; CREATE TABLE public.rows (number bigint PRIMARY KEY, id text UNIQUE, at timestamptz, body text)",
    "DO $$ DECLARE n bigint := 0; BEGIN LOOP
         INSERT INTO public.rows SELECT n + k, gen_random_uuid()::text, clock_timestamp(), repeat('x', 450) FROM generate_series(1, 500) AS k;
         COMMIT; n := n + 500; PERFORM pg_sleep(0.02);
     END LOOP; END $$",
];
/// Pause after a connection was lost, so that the drill measures the services and not the client's own loop.
const PAUSE: Duration = Duration::from_millis(20);
/// Where thousands of connections are held: the time in which they are opened, and the pause before one that was closed is
/// opened again. 1,600 a second, which costs less than the machine has.
const OPENING: Duration = Duration::from_secs(5);
/// Over how many tenants one key spreads its events.
const SPREAD_OVER: usize = 250;
/// Pause between two handshakes of one connection that names many channels: 400 a second together.
const NEXT_HANDSHAKE: Duration = Duration::from_millis(50);

/// What one holder does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// 8,192 connections to the gateway that say nothing.
    SilentGateway,
    /// 8,192 connections to the publisher that say nothing.
    SilentPublisher,
    /// 3,000 WebSockets without a token.
    Tokenless,
    /// 200 connections that ask the publisher on and on, and read no answer.
    UnreadAnswers,
    /// 60 connections that ask for pages of large events, and read none.
    UnreadPages,
    /// 97 request bodies that come byte by byte.
    SlowBodies,
    /// 16 searches at a time for a text that is nowhere.
    Searches,
    /// 10 connections of one user with 32 histories each.
    Histories,
    /// 40 connections that import 500 events a request.
    Import,
    /// 20 connections with one key for all tenants, each request with 100 events for as many of 250 tenants.
    Spread,
    /// 20 connections that name 990 channels in the URL, with a wrong token.
    ManyChannels,
    /// 20 connections without a token that name 990 channels in the URL, and hang up when they are let in.
    ManyChannelsTokenless,
    /// 4 connections that join and leave 990 channels 25 times a second.
    Subscriptions,
    /// 40 connections that send bodies of a megabyte that are JSON and no event.
    Parsing,
    /// 60 connections with one key for all tenants, each request for a tenant that nobody has named before.
    TenantLookups,
    /// 60 connections of one user that come back with a cursor of an epoch that never was.
    Cursors,
    /// The same, each connection of another user of one tenant.
    CursorsOfMany,
    /// A transaction holds the tenant's row, and 20 requests want to append to it.
    LockedTenant,
    /// None of ours: a session of the database stores 500 rows of the size of events 40 times a second, as the import does.
    Rows,
}

/// How much of a load is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// What its description says: for services built with optimisation.
    Whole,
    /// A quarter of the connections: for services built without, beside which nothing else has room on two cores.
    Quarter,
}

impl Size {
    /// Connections where all but a few wait for their turn: they cost nothing, and a quarter of fewer would not be many.
    fn connections_that_wait(self) -> usize {
        match self {
            Self::Whole => 60,
            Self::Quarter => 200,
        }
    }
}

/// Connections and requests under way.
#[derive(Debug)]
pub struct Load {
    tasks: JoinSet<()>,
    threads: LowPriorityThreads,
    size: Size,
    answers: Answers,
    /// The client of the database's session that it has, if any.
    holding: Option<Child>,
}

impl Load {
    /// Ends it and tells what it was answered.
    pub async fn stop(mut self, stack: &Stack) -> Result<String, CommandError> {
        self.tasks.shutdown().await;
        if self.holding.take().is_some() {
            // A server process that sleeps does not notice that its client has gone.
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = '{HOLDER}'"
            );
            stack.sql(&end).await?;
        }
        Ok(self.answers.text())
    }

    /// Has a session of the database do something until the load ends.
    fn hold(&mut self, stack: &Stack, sql: &[&str]) -> Result<(), CommandError> {
        let name = format!("SET application_name = '{HOLDER}'");
        self.holding = Some(stack.sql_until_dropped(&[&[name.as_str()], sql].concat())?);
        Ok(())
    }

    /// Does something on and on, so many times at once.
    fn repeat<F, Fut>(&mut self, times: usize, work: F)
    where
        F: Fn(usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send,
    {
        self.repeat_from(times, Duration::ZERO, work);
    }

    /// The same; they begin one after the other, spread over `within`.
    fn repeat_from<F, Fut>(&mut self, times: usize, within: Duration, work: F)
    where
        F: Fn(usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = io::Result<()>> + Send,
    {
        let times = match self.size {
            Size::Whole => times,
            Size::Quarter => times.div_ceil(4),
        };
        for n in 0..times {
            let (work, answers) = (work.clone(), self.answers.clone());
            let begin = within.mul_f64(n as f64 / times as f64);
            let on_and_on = async move {
                sleep(begin).await;
                loop {
                    if work(n).await.is_err() {
                        answers.note("closed");
                        sleep(PAUSE).await;
                    }
                }
            };
            self.tasks.spawn_on(on_and_on, self.threads.handle());
        }
    }
}

/// Writes so many events into the hostile tenant's log, past the publisher: a load needs a long log at once.
pub async fn prepare(stack: &Stack, events: u32) -> Result<(), CommandError> {
    stack.create_api_key(KeyTenant::One(TENANT), &["publish", "read"]).await?;
    let note = "lorem ipsum dolor sit amet consectetur ".repeat(5);
    let sql = format!(
        "SELECT carillon.open_tenant('{TENANT}', true); SET row_security = off;
         INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
         SELECT '{TENANT}', n, now(), 'event-' || n, 'order.changed', 'drill',
             ARRAY[CASE WHEN n % 1000 = 0 THEN 'order:rare' ELSE 'tenant' END], now(),
             '{{\"specversion\":\"1.0\",\"id\":\"event-' || n || '\",\"source\":\"drill\",\"type\":\"order.changed\",\"data\":\"{note}'
                 || CASE WHEN n > {events} - 400 THEN repeat('x', 50000) ELSE '' END || '\"}}'
         FROM generate_series(1, {events}) AS n;
         UPDATE carillon.tenants SET head = {events} WHERE id = '{TENANT}'; ANALYZE carillon.events"
    );
    stack.sql(&sql).await?;
    Ok(())
}

impl Kind {
    /// In the order in which they run.
    pub(super) const ALL: [Self; 19] = [
        Self::SilentGateway,
        Self::SilentPublisher,
        Self::Tokenless,
        Self::UnreadAnswers,
        Self::UnreadPages,
        Self::SlowBodies,
        Self::Searches,
        Self::Histories,
        Self::Import,
        Self::Spread,
        Self::ManyChannels,
        Self::ManyChannelsTokenless,
        Self::Subscriptions,
        Self::Parsing,
        Self::TenantLookups,
        Self::Cursors,
        Self::CursorsOfMany,
        Self::LockedTenant,
        Self::Rows,
    ];

    /// As one types it.
    pub(super) fn name(self) -> String {
        use clap::ValueEnum;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// What it does, in words.
    pub(super) fn title(self) -> String {
        use clap::ValueEnum;
        let help = self.to_possible_value().and_then(|value| value.get_help().map(ToString::to_string));
        help.unwrap_or_default()
    }

    /// What an innocent must do to need what this load takes.
    pub fn needs(self) -> Needs {
        match self {
            Self::Parsing => Needs::Parsing,
            Self::TenantLookups => Needs::TenantLookups,
            Self::Cursors | Self::CursorsOfMany => Needs::Cursors,
            _ => Needs::Nothing,
        }
    }

    /// Starts it.
    pub fn start(self, stack: &Stack, size: Size) -> Result<Load, CommandError> {
        let (gateway, publisher) = (stack.gateway(0).addr(), stack.publisher(0).addr());
        let key = stack.api_key().to_owned();
        let token = Claims::new(TENANT, "mallory", now(), 36_000).channels(["*"]).sign(stack.jwt_secret())?;
        let threads = LowPriorityThreads::start()?;
        let mut load =
            Load { tasks: JoinSet::new(), threads, size, answers: Answers::default(), holding: None };
        let answers = load.answers.clone();
        match self {
            Self::SilentGateway => {
                load.repeat_from(8_192, OPENING, move |_| silent(gateway, Vec::new()));
            }
            Self::SilentPublisher => {
                load.repeat_from(8_192, OPENING, move |_| silent(publisher, Vec::new()));
            }
            Self::Tokenless => {
                let request = head("GET", "/v1/ws", "", UPGRADE).into_bytes();
                load.repeat_from(3_000, OPENING, move |_| silent(gateway, request.clone()));
            }
            Self::UnreadAnswers => {
                let request = head("GET", "/openapi.json", "", "").repeat(50).into_bytes();
                load.repeat(200, move |_| unread(publisher, request.clone()));
            }
            Self::UnreadPages => {
                let path = format!("/v1/events?limit=200&tenant={TENANT}");
                let request = head("GET", &path, &key, "").into_bytes();
                load.repeat(60, move |_| unread(publisher, request.clone()));
            }
            Self::SlowBodies => {
                let more = "Content-Type: application/json\r\nContent-Length: 1000000\r\n";
                let request = head("POST", "/v1/events", &key, more).into_bytes();
                load.repeat(97, move |_| slow_body(publisher, request.clone(), answers.clone()));
            }
            Self::Searches => {
                let request =
                    head("GET", "/v1/events?q=no+such+text", &token, "Connection: close\r\n").into_bytes();
                load.repeat(16, move |_| {
                    let (request, answers) = (request.clone(), answers.clone());
                    async move { ask(publisher, &request, &answers).await }
                });
            }
            Self::Histories => load.repeat(10, move |_| histories(gateway, token.clone())),
            Self::Import => {
                let event = json!({
                    "tenant": TENANT, "type": "order.changed", "channels": ["order:1"], "data": "x".repeat(300),
                });
                let body = serde_json::Value::from(vec![event; 500]).to_string();
                let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                let request = (head("POST", "/v1/events", &key, &more) + &body).into_bytes();
                load.repeat(40, move |_| again(publisher, request.clone(), answers.clone()));
            }
            Self::Spread => load.repeat(20, move |n| {
                // Neighbours share most of their tenants.
                let event = |tenant: usize| {
                    let tenant = format!("{TENANT}-{}", tenant % SPREAD_OVER);
                    json!({"tenant": tenant, "type": "order.changed", "channels": ["order:1"], "data": "x"})
                };
                let body = serde_json::Value::from_iter((0..100).map(|k| event(n * 8 + k))).to_string();
                let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                let request = (head("POST", "/v1/events", &key, &more) + &body).into_bytes();
                again(publisher, request, answers.clone())
            }),
            Self::ManyChannels => {
                let path = format!("/v1/ws?channels={}", many_channels().join(","));
                let request = head("GET", &path, &format!("{token}x"), UPGRADE).into_bytes();
                load.repeat(20, move |_| {
                    let (request, answers) = (request.clone(), answers.clone());
                    async move {
                        sleep(NEXT_HANDSHAKE).await;
                        ask(gateway, &request, &answers).await
                    }
                });
            }
            Self::ManyChannelsTokenless => {
                let path = format!("/v1/ws?channels={}", many_channels().join(","));
                let request = head("GET", &path, "", UPGRADE).into_bytes();
                load.repeat(20, move |_| {
                    let (request, answers) = (request.clone(), answers.clone());
                    async move {
                        sleep(NEXT_HANDSHAKE).await;
                        ask(gateway, &request, &answers).await
                    }
                });
            }
            Self::Subscriptions => {
                // On each shard of a small gateway, too.
                let connections = if size == Size::Whole { 4 } else { 16 };
                load.repeat(connections, move |_| subscriptions(gateway, token.clone(), answers.clone()))
            }
            Self::Parsing => {
                // Parsed one after the other. Whoever comes waits for two of them at the most, so without optimisation they are
                // no larger than the innocent's own, and more wait.
                let (connections, body) = match size {
                    Size::Whole => (40, vec![json!({"no": vec![0; 900]}); 500].into()),
                    Size::Quarter => (120, json!({"no": "x".repeat(40_000)})),
                };
                let body = body.to_string();
                let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                let request = (head("POST", "/v1/events", &key, &more) + &body).into_bytes();
                load.repeat(connections, move |_| again(publisher, request.clone(), answers.clone()));
            }
            Self::TenantLookups => load.repeat(size.connections_that_wait(), move |n| {
                new_tenants(publisher, key.clone(), n, answers.clone())
            }),
            Self::Cursors => load.repeat(size.connections_that_wait(), move |n| {
                invented_cursor(gateway, token.clone(), n, answers.clone())
            }),
            Self::CursorsOfMany => {
                let secret = stack.jwt_secret().to_owned();
                let user = |n| Claims::new(TENANT, format!("mallory-{n}"), now(), 36_000).sign(&secret);
                let tokens = (0..size.connections_that_wait()).map(user).collect::<Result<Vec<_>, _>>()?;
                load.repeat(tokens.len(), move |n| {
                    invented_cursor(gateway, tokens[n].clone(), n, answers.clone())
                });
            }
            Self::LockedTenant => {
                let lock = format!(
                    "SET row_security = off; BEGIN; SELECT 1 FROM carillon.tenants WHERE id = '{TENANT}' FOR UPDATE; SELECT pg_sleep(600)"
                );
                load.hold(stack, &[&lock])?;
                let body =
                    json!({"tenant": TENANT, "type": "order.changed", "tenant_wide": true}).to_string();
                let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
                let request = (head("POST", "/v1/events", &key, &more) + &body).into_bytes();
                load.repeat(20, move |_| again(publisher, request.clone(), answers.clone()));
            }
            Self::Rows => load.hold(stack, &ROWS)?,
        }
        Ok(load)
    }
}

/// Says `first` and then nothing until it is closed.
async fn silent(to: SocketAddr, first: Vec<u8>) -> io::Result<()> {
    let mut stream = connect(to, None).await?;
    stream.write_all(&first).await?;
    let mut bytes = [0; 1024];
    while stream.read(&mut bytes).await.is_ok_and(|n| n > 0) {}
    sleep(OPENING).await;
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// Asks as long as it is let, and reads nothing.
async fn unread(to: SocketAddr, request: Vec<u8>) -> io::Result<()> {
    let mut stream = connect(to, Some(4_096)).await?;
    loop {
        stream.write_all(&request).await?;
        sleep(Duration::from_millis(100)).await;
    }
}

/// Sends the same request on one connection, each time after the answer.
async fn again(to: SocketAddr, request: Vec<u8>, answers: Answers) -> io::Result<()> {
    let mut stream = connect(to, None).await?;
    loop {
        stream.write_all(&request).await?;
        answers.note(read_answer(&mut stream).await?);
    }
}

/// Publishes to tenants that nobody has named before.
async fn new_tenants(to: SocketAddr, key: String, number: usize, answers: Answers) -> io::Result<()> {
    let mut stream = connect(to, None).await?;
    let began = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_micros();
    for n in 0.. {
        let tenant = format!("{TENANT}-{began}-{number}-{n}");
        let body = json!({"tenant": tenant, "type": "order.changed", "tenant_wide": true}).to_string();
        let more = format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
        stream.write_all((head("POST", "/v1/events", &key, &more) + &body).as_bytes()).await?;
        answers.note(read_answer(&mut stream).await?);
    }
    Ok(())
}

/// Comes back with a cursor of an epoch that never was.
async fn invented_cursor(to: SocketAddr, token: String, number: usize, answers: Answers) -> io::Result<()> {
    let path = format!("/v1/poll?since=1&epoch=never{number}-{}", now());
    ask(to, head("GET", &path, &token, "").as_bytes(), &answers).await
}

/// A body that comes byte by byte.
async fn slow_body(to: SocketAddr, request: Vec<u8>, answers: Answers) -> io::Result<()> {
    let stream = connect(to, None).await?;
    let (mut reader, mut writer) = stream.into_split();
    writer.write_all(&request).await?;
    let mut answer = [0; 1024];
    loop {
        tokio::select! {
            read = reader.read(&mut answer) => {
                let text = String::from_utf8_lossy(&answer[..read?]).into_owned();
                answers.note(text.split(' ').nth(1).unwrap_or("closed"));
                return Ok(());
            }
            () = sleep(Duration::from_millis(500)) => writer.write_all(b" ").await?,
        }
    }
}

/// Welcomed on a WebSocket of the hostile user.
async fn member(to: SocketAddr, token: &str) -> io::Result<tokio::net::TcpStream> {
    let mut stream = connect(to, None).await?;
    stream.write_all(head("GET", "/v1/ws", token, UPGRADE).as_bytes()).await?;
    Ok(stream)
}

/// As many histories of a rare channel as one connection may have under way, again and again.
async fn histories(to: SocketAddr, token: String) -> io::Result<()> {
    let mut stream = member(to, &token).await?;
    let subscribe =
        text_frame(&json!({"type": "subscribe", "channels": ["order:rare"], "history": 1000}).to_string());
    stream.write_all(&subscribe.repeat(32)).await?;
    let mut bytes = vec![0; 64 * 1024];
    // One ends every so often; another takes its place.
    let mut read = 0;
    loop {
        let n = stream.read(&mut bytes).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        read += n;
        if read > 100_000 {
            read = 0;
            stream.write_all(&subscribe).await?;
        }
    }
}

fn many_channels() -> Vec<String> {
    (0..990).map(|n| format!("contact:{n}")).collect()
}

/// Joins and leaves as many channels as fit, 25 times a second.
async fn subscriptions(to: SocketAddr, token: String, answers: Answers) -> io::Result<()> {
    let stream = member(to, &token).await?;
    let (mut reader, mut writer) = stream.into_split();
    let join = text_frame(&json!({"type": "subscribe", "channels": many_channels()}).to_string());
    let leave = text_frame(&json!({"type": "unsubscribe", "channels": many_channels()}).to_string());
    let mut bytes = vec![0; 64 * 1024];
    let mut next = tokio::time::interval(Duration::from_millis(40));
    loop {
        tokio::select! {
            read = reader.read(&mut bytes) => {
                let n = read?;
                if n == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if bytes[..n].windows(14).any(|part| part == b"\"type\":\"error\"") {
                    answers.note("error frame");
                }
            }
            _ = next.tick() => {
                writer.write_all(&join).await?;
                writer.write_all(&leave).await?;
            }
        }
    }
}
