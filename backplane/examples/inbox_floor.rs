//! How fast are the statements of an inbox alone, where very many people, notices and marks are stored? It also stores them.
//!
//! The floor for what the API takes for the same: the same statements through the same driver, without HTTP, tokens and JSON.
//! `inbox_floor <superuser's database url> load <people> <notices> <marks>`, once for each database, then
//! `inbox_floor <superuser's database url> measure <people> <requests a second> <seconds>`: prints one JSON object with p50 and p99
//! of each kind in µs, from the moment at which it was to begin.

use carillon_backplane::log::{
    InboxAsk, Log, LogConfig, LogError, MOST_COUNTED, Mark, Role, Sight, View, migrate,
};
use carillon_protocol::{Channel, Seq, TenantId, UserId};
use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};
use tokio_postgres::NoTls;

type Fault = Box<dyn Error + Send + Sync>;

/// Whose inboxes these are; `carillon-loadtest inbox` asks for the same.
const TENANT: &str = "inbox-bench";
/// Of a hundred notices two are for everybody, eight for all clerks, and the others for one person each. Up to a fiftieth of the notices is
/// unread.
const LOAD: &str = "
SET statement_timeout = 0;
UPDATE carillon.tenants SET head = NOTICES, tag = 0, tag_seq = 0 WHERE id = 'inbox-bench';
INSERT INTO carillon.notices (tenant_id, seq, at, id, channels, type, priority, title, body, requires_ack, time)
SELECT 'inbox-bench', n, now() - (NOTICES - n) * interval '1 s', 'n' || n,
    ARRAY[CASE WHEN n % 100 < 2 THEN 'tenant' WHEN n % 100 < 10 THEN 'role:clerk' ELSE 'user:p' || 1 + n * 7919 % PEOPLE END],
    'order.paid', 'normal', 'Order ' || n || ' was paid', '120.00 EUR from somebody who bought more than one thing', false, now()
FROM generate_series(1, NOTICES::bigint) AS n;
INSERT INTO carillon.notice_audience (tenant_id, channel, seq)
SELECT tenant_id, channels[1], seq FROM carillon.notices WHERE tenant_id = 'inbox-bench';
INSERT INTO carillon.inbox_state (tenant_id, user_id, since, read_to, seen_to)
SELECT 'inbox-bench', 'p' || n, 0, NOTICES - n * 7919 % greatest(NOTICES / 50, 1), NOTICES - n * 104729 % greatest(NOTICES / 100, 1)
FROM generate_series(1, PEOPLE::bigint) AS n;
INSERT INTO carillon.inbox_marks (tenant_id, user_id, seq, read, archived)
SELECT 'inbox-bench', 'p' || 1 + m % PEOPLE, 100 * (NOTICES / 100 - 1 - (m / PEOPLE * 20 + m % 20)) + 1, m % 2 = 0, CASE WHEN m % 3 = 0 THEN true END
FROM generate_series(0, MARKS::bigint - 1) AS m WHERE NOTICES / 100 > (MARKS / PEOPLE + 1) * 20;
ANALYZE carillon.notices;
ANALYZE carillon.notice_audience";
/// What a loaded table is left as by maintenance.
const TIDY: &str = "VACUUM (ANALYZE) carillon.inbox_state; VACUUM (ANALYZE) carillon.inbox_marks";

#[tokio::main]
async fn main() -> Result<(), Fault> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, what, numbers @ ..] = args.as_slice() else {
        return Err("an address and load or measure are missing".into());
    };
    let numbers: Vec<u64> = numbers.iter().map(|text| text.parse()).collect::<Result<_, _>>()?;
    match (what.as_str(), numbers.as_slice()) {
        ("load", &[people, notices, marks]) if people.min(notices).min(marks) > 0 => {
            load(url, [people, notices, marks]).await
        }
        ("measure", &[people, rate, seconds]) if people.min(rate).min(seconds) > 0 => {
            measure(url, people, rate, seconds).await
        }
        _ => {
            Err("load takes people, notices and marks; measure people, requests a second and seconds".into())
        }
    }
}

async fn load(url: &str, [people, notices, marks]: [u64; 3]) -> Result<(), Fault> {
    migrate(url).await?;
    let log = Log::connect(LogConfig { url: url.into(), role: Role::Publisher })?;
    let tenant = TenantId::new(TENANT)?;
    if log.open_tenant(&tenant, true).await?.is_some_and(|opened| opened.head.seq > Seq::ZERO) {
        return Err("this database is loaded".into());
    }
    let began = Instant::now();
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    let sql = [("PEOPLE", people), ("NOTICES", notices), ("MARKS", marks)]
        .iter()
        .fold(LOAD.to_owned(), |sql, (name, number)| sql.replace(name, &number.to_string()));
    client.batch_execute(&sql).await?;
    for statement in TIDY.split(';') {
        client.batch_execute(statement).await?;
    }
    let stored = "SELECT (SELECT count(*) FROM carillon.inbox_state), (SELECT count(*) FROM carillon.notices), (SELECT count(*) FROM carillon.inbox_marks)";
    let row = client.query_one(stored, &[]).await?;
    let numbers = [people, notices, marks].map(|number| number as i64);
    let stored: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    if stored != numbers {
        return Err(format!("{stored:?} rows are stored").into());
    }
    let said = format!(
        "{people} people, {notices} notices, {marks} marks in {:.0} s",
        began.elapsed().as_secs_f64()
    );
    Ok(writeln!(std::io::stdout(), "{said}")?)
}

/// What is asked for.
#[derive(Clone, Copy)]
enum Kind {
    Unread,
    List,
    ReadAll,
}

async fn measure(url: &str, people: u64, rate: u64, seconds: u64) -> Result<(), Fault> {
    let log = Log::connect(LogConfig { url: url.into(), role: Role::Publisher })?;
    let mut said = Vec::new();
    for (name, kind) in [("unread", Kind::Unread), ("list", Kind::List), ("read_all", Kind::ReadAll)] {
        // The first second opens connections and prepares statements.
        at_rate(&log, kind, people, (rate, 1)).await?;
        let mut times = at_rate(&log, kind, people, (rate, seconds)).await?;
        times.sort_unstable();
        let at =
            |part: usize| times.get(times.len() * part / 100).or(times.last()).map_or(0, Duration::as_micros);
        said.push(format!(r#""{name}":{{"count":{},"p50_us":{},"p99_us":{}}}"#, times.len(), at(50), at(99)));
    }
    Ok(writeln!(std::io::stdout(), "{{{}}}", said.join(","))?)
}

/// Begins as many a second, whether the earlier ones have ended or not; how long each took from its moment on.
async fn at_rate(
    log: &Log,
    kind: Kind,
    people: u64,
    (rate, seconds): (u64, u64),
) -> Result<Vec<Duration>, Fault> {
    let begin = Instant::now();
    let mut running = Vec::new();
    for number in 0..rate * seconds {
        let moment = begin + Duration::from_micros(number * 1_000_000 / rate);
        tokio::time::sleep_until(moment.into()).await;
        let log = log.clone();
        let person = 1 + number.wrapping_mul(2_654_435_761) % people;
        running.push(tokio::spawn(async move {
            // Every connection is in use: its time goes on.
            while let Err(error) = once(&log, kind, person).await {
                match error.downcast_ref() {
                    Some(LogError::Busy(_)) => tokio::time::sleep(Duration::from_millis(1)).await,
                    _ => return Err(error),
                }
            }
            Ok(moment.elapsed())
        }));
    }
    let mut times = Vec::new();
    for one in running {
        times.push(one.await??);
    }
    Ok(times)
}

async fn once(log: &Log, kind: Kind, person: u64) -> Result<(), Fault> {
    let (tenant, user) = (TenantId::new(TENANT)?, UserId::new(format!("p{person}"))?);
    let whose = (&tenant, &user);
    let inbox = log.inbox(&tenant, &user).await?.ok_or("the tenant is not there")?;
    let own = [Channel::tenant(), Channel::user(&user), Channel::new("role:clerk")?];
    let sight = Sight::of(&user, &own, &inbox, |_| false);
    match kind {
        Kind::Unread => {}
        Kind::List => {
            let ask = InboxAsk {
                view: View::Standing,
                before: inbox.newest.next(),
                types: Vec::new(),
                q: None,
                limit: 20,
            };
            log.inbox_page(whose, &inbox, &sight, &ask).await?.ok_or("somebody changed it")?;
        }
        Kind::ReadAll => {
            log.advance_inbox(whose, Mark::Read, inbox.newest).await?.ok_or("nobody is there")?;
            let inbox = log.inbox(&tenant, &user).await?.ok_or("the tenant is not there")?;
            log.inbox_counts(whose, &inbox, &sight, MOST_COUNTED).await?.ok_or("somebody changed it")?;
            return Ok(());
        }
    }
    log.inbox_counts(whose, &inbox, &sight, MOST_COUNTED).await?.ok_or("somebody changed it")?;
    Ok(())
}
