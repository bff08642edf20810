//! Is an event that is alone in its batch stored and answered as a batch would be? It takes a way of its own
//! (`carillon.append_event`, docs/adr/0022); an event with an `except` takes the way of batches, and is otherwise the same.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, Appended, LogError, Role};
use carillon_protocol::event::Priority;
use carillon_protocol::{Channel, ConnectionName, Except, Tag, UserId};
use database::{Database, append, tenant};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// What happens to a tenant's log.
#[derive(Debug, Clone)]
enum Step {
    /// An event alone in its batch.
    Alone(What),
    /// Two in one batch, of one request or of two.
    Both(What, What, bool),
    /// As if everything so far had been written in another lineage.
    Lineage,
    /// As if the log had lost its newest event.
    Back,
    /// As if a publisher that knows no tags had appended.
    NoTag,
}

/// An event.
#[derive(Debug, Clone)]
struct What {
    /// Of a tenant that nobody has made.
    nobody: bool,
    key: Option<(u8, u8)>,
    body: String,
    subject: Option<String>,
    actor: bool,
    important: bool,
    traced: bool,
    channels: usize,
}

const CHANNELS: [&str; 3] = ["tenant", "user:Mila, 2", "user:é{}\"\\"];

fn what() -> impl Strategy<Value = What> {
    let key = proptest::option::of((0..3u8, 0..2u8));
    let texts = ("[a-zé\u{1f600}'\\\\\"{}, ]{0,12}", proptest::option::of("[ -~]{1,8}"));
    let flags = (prop::bool::weighted(0.1), any::<bool>(), any::<bool>(), any::<bool>());
    (key, texts, flags, 1..=CHANNELS.len()).prop_map(
        |(key, (body, subject), (nobody, actor, important, traced), channels)| What {
            nobody,
            key,
            body,
            subject,
            actor,
            important,
            traced,
            channels,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => what().prop_map(Step::Alone),
        3 => (what(), what(), any::<bool>()).prop_map(|(one, other, same)| Step::Both(one, other, same)),
        1 => Just(Step::Lineage),
        1 => Just(Step::Back),
        1 => Just(Step::NoTag),
    ]
}

impl What {
    fn append(&self, name: &str, request: u32, number: usize) -> Append {
        let name = if self.nobody { "nobody" } else { name };
        let key = self.key.map(|(key, hash)| (format!("k{key}"), hash));
        let id = format!("e{number}-{request}");
        let mut append = append(name, request, &id, key.as_ref().map(|(key, hash)| (key.as_str(), *hash)));
        let event = &mut append.event;
        event.body.clone_from(&self.body);
        event.subject.clone_from(&self.subject);
        event.actor = self.actor.then(|| UserId::new("mila").unwrap());
        event.priority = self.important.then_some(Priority::High);
        event.traceparent =
            self.traced.then(|| "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
        event.channels = CHANNELS[..self.channels].iter().map(|name| Channel::new(name).unwrap()).collect();
        append
    }
}

/// One tenant, appended to by one of the two ways.
struct Side<'a> {
    database: &'a Database,
    name: String,
    alone: bool,
    /// Its epochs in the order in which answers named them: their texts are random.
    epochs: Vec<String>,
    answers: Vec<String>,
}

impl<'a> Side<'a> {
    async fn new(database: &'a Database, name: String, alone: bool) -> Self {
        database.publisher.open_tenant(&tenant(&name), true).await.unwrap();
        Self { database, name, alone, epochs: Vec::new(), answers: Vec::new() }
    }

    async fn step(&mut self, number: usize, step: &Step) {
        let (name, sql) =
            (&self.name, |set: &str| format!("UPDATE carillon.tenants SET {set} WHERE id = '{}'", self.name));
        let mut batch = match step {
            Step::Alone(what) => vec![what.append(name, 0, number)],
            Step::Both(one, other, same) => {
                // Two events of a tenant in one batch never have the same key: the publisher sees to that.
                let other = What {
                    key: other.key.filter(|key| one.key.map(|it| it.0) != Some(key.0)),
                    ..other.clone()
                };
                vec![one.append(name, 0, number), other.append(name, u32::from(!same), number + 1_000)]
            }
            Step::Lineage => return self.database.sql(&sql("lineage = '7:1'")).await,
            Step::Back => {
                let delete = "DELETE FROM carillon.events e USING carillon.tenants t
                    WHERE t.id = e.tenant_id AND e.seq = t.head AND t.id";
                self.database
                    .sql(&format!("{delete} = '{name}'; {}", sql("head = greatest(head - 1, 0)")))
                    .await;
                return;
            }
            Step::NoTag => return self.database.sql(&sql("tag_seq = 0")).await,
        };
        if !self.alone {
            let connection = ConnectionName::new("gateway-1-5f0c7a1e-0-4-7").unwrap();
            batch[0].except = Some(Box::new(Except { connection, of: None }));
        }
        let began = jiff::Timestamp::now().as_microsecond() as u64;
        for appended in self.database.publisher.append(&batch).await.unwrap() {
            let told = match appended {
                Appended::Stored { seq, epoch, at_micros, before } => {
                    assert!(at_micros + 60_000_000 > began && at_micros < began + 60_000_000, "{at_micros}");
                    format!("stored {seq} {} {before:?}", self.epoch(epoch.as_str()))
                }
                Appended::Replayed { id, seq, epoch } => {
                    format!("replayed {id} {seq} {}", self.epoch(epoch.as_str()))
                }
                other => format!("{other:?}"),
            };
            self.answers.push(told);
        }
    }

    fn epoch(&mut self, epoch: &str) -> usize {
        self.epochs.iter().position(|known| known == epoch).unwrap_or_else(|| {
            self.epochs.push(epoch.to_owned());
            self.epochs.len() - 1
        })
    }

    /// The rows that the two ways write, with what is random or of the clock left out.
    async fn rows(&mut self) -> Vec<String> {
        let client = self.database.superuser().await;
        let mut rows = Vec::new();
        for sql in [
            "SELECT (to_jsonb(e) - 'at' - 'tenant_id')::text, NULL, e.at::text FROM carillon.events e WHERE tenant_id = $1 ORDER BY seq",
            "SELECT (to_jsonb(i) - 'at' - 'tenant_id' - 'epoch')::text, i.epoch, NULL FROM carillon.idempotency i
                WHERE tenant_id = $1 ORDER BY key",
            "SELECT (to_jsonb(t) - 'id' - 'epoch' - 'created_at')::text, NULL, NULL FROM carillon.tenants t WHERE id = $1",
            "SELECT (to_jsonb(e) - 'tenant_id' - 'epoch' - 'began_at')::text, NULL, NULL FROM carillon.epochs e
                WHERE tenant_id = $1 ORDER BY number",
        ] {
            let mut last = String::new();
            for row in client.query(sql, &[&self.name]).await.unwrap() {
                let epoch = row.get::<_, Option<&str>>(1).map(|epoch| self.epoch(epoch));
                let at = row.get::<_, Option<&str>>(2).unwrap_or_default();
                assert!(last.as_str() <= at, "time ascends with seq");
                last = at.to_owned();
                rows.push(format!("{} {epoch:?}", row.get::<_, &str>(0)));
            }
        }
        rows
    }
}

/// How often the function was called, as soon as the statistics have all of it.
async fn calls(database: &Database, enough: i64) -> i64 {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let calls = database
            .count("SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_user_functions WHERE funcname = 'append_event'")
            .await;
        if calls >= enough || Instant::now() > deadline {
            return calls;
        }
        // Each backend reports after a transaction, once a second.
        database.publisher.append(&[append("statistics", 0, "s", None)]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_alone_is_answered_and_stored_as_a_batch_would_be() {
    let database = Database::start_with(&[("track_functions", "all")]).await;
    database.publisher.open_tenant(&tenant("statistics"), true).await.unwrap();
    let (cases, alone) = (Cell::new(0), Cell::new(0));
    let runner = || {
        let mut runner =
            TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
        runner.run(&proptest::collection::vec(step(), 1..24), |steps| {
            let case = cases.replace(cases.get() + 1);
            Handle::current().block_on(async {
                let mut one = Side::new(&database, format!("one-{case}"), true).await;
                let mut batch = Side::new(&database, format!("batch-{case}"), false).await;
                for (number, step) in steps.iter().enumerate() {
                    one.step(number, step).await;
                    batch.step(number, step).await;
                    alone.set(alone.get() + i64::from(matches!(step, Step::Alone(_))));
                }
                assert_eq!(one.answers, batch.answers);
                assert_eq!(one.rows().await, batch.rows().await);
            });
            Ok(())
        })
    };
    tokio::task::block_in_place(runner).unwrap();
    assert!(
        calls(&database, alone.get()).await >= alone.get(),
        "what was compared with batches went the other way"
    );
}

/// Some events alone, some in batches, with keys that several ask for, while the lineage changes now and then.
#[tokio::test(flavor = "multi_thread")]
async fn i2_events_alone_and_batches_number_one_log_without_gaps_and_store_each_key_once() {
    let database = Database::start().await;
    let names = ["a", "b"];
    for name in names {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
    }
    let writers: Vec<_> = (0..8usize)
        .map(|writer| {
            let log =
                if writer % 2 == 0 { database.publisher.clone() } else { database.log(Role::Publisher) };
            tokio::spawn(async move {
                let mut told = Vec::new();
                for round in 0..60usize {
                    let key = format!("k{}", (round * 7 + writer * 3) % 40);
                    let key = (round % 3 != 0).then_some((key.as_str(), 1));
                    let name = names[(round + writer) % 2];
                    let mut batch = vec![append(name, 0, &format!("{writer}-{round}"), key)];
                    if round % 5 == 4 {
                        batch.push(append(names[round % 2], 1, &format!("{writer}-{round}-more"), None));
                    }
                    let done = loop {
                        match log.append(&batch).await {
                            Ok(done) => break done,
                            Err(error) => assert!(error.is_overload(), "{error}"),
                        }
                    };
                    told.extend(batch.into_iter().zip(done));
                }
                told
            })
        })
        .collect();
    // One tenant a statement: one for all would lock rows in another order than batches do.
    for _ in 0..5 {
        for name in names {
            database.sql(&format!("UPDATE carillon.tenants SET lineage = '7:1' WHERE id = '{name}'")).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    let mut told = Vec::new();
    for writer in writers {
        told.extend(writer.await.unwrap());
    }
    let client = database.superuser().await;
    for name in names {
        let sql = "SELECT seq, id, body, at FROM carillon.events WHERE tenant_id = $1 ORDER BY seq";
        let rows = client.query(sql, &[&name]).await.unwrap();
        let seqs: Vec<i64> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(seqs, (1..=rows.len() as i64).collect::<Vec<_>>(), "{name} has a gap");
        assert!(rows.is_sorted_by_key(|row| row.get::<_, std::time::SystemTime>(3)), "time ascends with seq");
        let mut first = BTreeMap::new();
        let of_name = || told.iter().filter(|(asked, _)| asked.tenant.as_str() == name);
        for (asked, appended) in of_name() {
            let Appended::Stored { seq, before, .. } = appended else { continue };
            let row = &rows[seq.0 as usize - 1];
            assert_eq!(row.get::<_, &str>(1), asked.event.id.as_str(), "{name} {seq}");
            if let Some(before) = before {
                let body: &str = rows[seq.0 as usize - 2].get(2);
                assert_eq!(Tag::of(body.as_bytes()), Some(*before), "the event before {name} {seq}");
            }
            if let Some(key) = &asked.key {
                assert_eq!(
                    first.insert(key.name.clone(), (*seq, &asked.event.id)),
                    None,
                    "{} twice",
                    key.name
                );
            }
        }
        let stored = of_name().filter(|(_, done)| matches!(done, Appended::Stored { .. })).count();
        assert_eq!(stored, rows.len(), "{name}: what is stored was answered, once");
        for (asked, appended) in of_name() {
            match appended {
                Appended::Stored { .. } => {}
                Appended::Replayed { id, seq, .. } => {
                    assert_eq!(first[&asked.key.as_ref().unwrap().name], (*seq, id));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// The row of the answer leaves the server before the commit.
#[tokio::test(flavor = "multi_thread")]
async fn i1_an_event_alone_whose_commit_fails_is_not_acknowledged() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("a"), true).await.unwrap();
    database
        .sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'refused at commit'; END $$;
             CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON carillon.tenants DEFERRABLE INITIALLY DEFERRED
                FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    // Longer than what the server holds back: its row is on the way before the commit.
    let mut long = append("a", 0, "long", Some(("k", 1)));
    long.event.body = "x".repeat(50_000);
    for event in [append("a", 0, "short", None), long] {
        let refused = database.publisher.append(&[event]).await;
        assert!(
            matches!(&refused, Err(LogError::Database(why)) if why.contains("refused at commit")),
            "{refused:?}"
        );
    }
    assert_eq!(database.count("SELECT count(*) FROM carillon.events").await, 0);
    database.sql("DROP TRIGGER refuse ON carillon.tenants").await;
    let stored = database.publisher.append(&[append("a", 0, "long", Some(("k", 1)))]).await.unwrap();
    assert!(matches!(&stored[0], Appended::Stored { seq, .. } if seq.0 == 1), "{stored:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_alone_waits_for_its_tenants_row_no_longer_than_it_may() {
    let database = Database::start().await;
    for name in ["held", "free"] {
        database.publisher.open_tenant(&tenant(name), true).await.unwrap();
    }
    // The first event opens a session and prepares the call; how long that takes is not asked here.
    database.publisher.append(&[append("free", 0, "first", None)]).await.unwrap();
    database.sql("BEGIN; SELECT FROM carillon.tenants WHERE id = 'held' FOR UPDATE").await;
    let wait = Duration::from_millis(50);
    let began = Instant::now();
    let locked = database.publisher.append_within(&[append("held", 0, "e", None)], wait).await;
    assert!(matches!(locked, Err(LogError::Locked(_))), "{locked:?}");
    assert!(
        began.elapsed() >= wait && began.elapsed() < Duration::from_millis(1_400),
        "{:?}",
        began.elapsed()
    );
    let free = database.publisher.append_within(&[append("free", 0, "e", None)], wait).await.unwrap();
    assert!(matches!(free[0], Appended::Stored { .. }));
    database.sql("COMMIT").await;
    let stored = database.publisher.append_within(&[append("held", 0, "e", None)], wait).await.unwrap();
    assert!(
        matches!(&stored[0], Appended::Stored { seq, .. } if seq.0 == 1),
        "nothing was counted: {stored:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_alone_is_stored_in_a_database_that_has_no_such_call_yet() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("a"), true).await.unwrap();
    database.sql("DROP FUNCTION carillon.append_event").await;
    for seq in 1..=2 {
        let stored =
            database.publisher.append(&[append("a", 0, &format!("e{seq}"), Some(("k", 1)))]).await.unwrap();
        match seq {
            1 => assert!(matches!(&stored[0], Appended::Stored { seq, .. } if seq.0 == 1), "{stored:?}"),
            _ => assert!(!matches!(&stored[0], Appended::Stored { .. }), "the key is known: {stored:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn publishers_alone_append_by_the_function_and_it_leaves_no_scope_behind() {
    let database = Database::start().await;
    database.publisher.open_tenant(&tenant("a"), true).await.unwrap();
    let client = database.superuser().await;
    let roles = "SELECT rolname::text FROM pg_roles WHERE NOT rolsuper AND rolname NOT LIKE 'pg_%'
        AND has_function_privilege(oid, 'carillon.append_event', 'EXECUTE') ORDER BY 1";
    client.batch_execute("CREATE ROLE anybody").await.unwrap();
    let roles: Vec<String> = client
        .query(
            &roles.replace(
                "'carillon.append_event'",
                "(SELECT oid FROM pg_proc WHERE proname = 'append_event')",
            ),
            &[],
        )
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(roles, ["carillon_owner", "carillon_publisher"]);
    client.batch_execute("SET ROLE carillon_publisher").await.unwrap();
    let call = "SELECT head FROM carillon.append_event('a', '1000', 'e', 't', 's', NULL, NULL, NULL, 'tenant', now(), '{}', NULL, NULL, NULL, 0)";
    assert_eq!(client.query_one(call, &[]).await.unwrap().get::<_, Option<i64>>(0), Some(0));
    for sql in ["SELECT count(*) FROM carillon.events", "SELECT count(*) FROM carillon.tenants"] {
        assert_eq!(client.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0, "{sql}");
    }
    let waits = client.query_one("SELECT current_setting('lock_timeout')", &[]).await.unwrap();
    assert_ne!(waits.get::<_, &str>(0), "1s");
}
