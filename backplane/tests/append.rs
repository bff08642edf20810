//! Does a batch come out right when some of its events may not be stored, and stay cheap when all may?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, Appended, LogError};
use carillon_protocol::Seq;
use database::{Database, tenant};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Database {
    /// One that knows these tenants.
    async fn of(tenants: &[&str]) -> Self {
        let database = Self::start().await;
        for name in tenants {
            database.publisher.open_tenant(&tenant(name), true).await.unwrap();
        }
        database
    }

    /// The ids of a tenant's log, oldest first.
    async fn ids(&self, name: &str) -> Vec<String> {
        let page = self.publisher.read(&tenant(name), Seq::ZERO, Seq(1_000)).await.unwrap();
        let numbers: Vec<u64> = page.events.iter().map(|event| event.seq.0).collect();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>(), "{name} has a gap");
        page.events.into_iter().map(|event| event.body).collect()
    }
}

/// An event whose body is its id.
fn append(tenant_name: &str, request: u32, id: &str, key: Option<(&str, u8)>) -> Append {
    let mut append = database::append(tenant_name, request, id, key);
    append.event.body = id.into();
    append
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_mixed_batch_gets_the_number_it_is_stored_under() {
    let names = ["b-2", "b", "b_1", "a", "b-10"];
    let database = Database::of(&names).await;
    let mut expected: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for round in 0..3usize {
        let tenant_of = |n: usize| names[(n * n + round) % names.len()];
        let batch: Vec<Append> =
            (0..40).map(|n| append(tenant_of(n), n as u32, &format!("{round}-{n}"), None)).collect();
        let done = database.publisher.append(&batch).await.unwrap();
        for (n, (appended, asked)) in done.iter().zip(&batch).enumerate() {
            let ids = expected.entry(tenant_of(n)).or_default();
            ids.push(asked.event.body.clone());
            let head = database.publisher.open_tenant(&asked.tenant, false).await.unwrap().unwrap().head;
            let Appended::Stored { seq, epoch, .. } = appended else { panic!("{appended:?}") };
            assert_eq!((seq.0, epoch), (ids.len() as u64, &head.epoch));
        }
    }
    for (name, ids) in expected {
        assert_eq!(database.ids(name).await, ids, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_stored_is_stored_beside_what_may_not() {
    let database = Database::of(&["x", "y"]).await;
    database.publisher.append(&[append("x", 0, "first", Some(("k", 1)))]).await.unwrap();
    let done = database
        .publisher
        .append(&[
            append("y", 0, "y1", Some(("k", 1))), // another tenant's key is another key
            append("x", 1, "repeat", Some(("k", 1))),
            append("x", 1, "x2", None), // goes with a repeat, which is no fault
            append("nobody", 2, "n1", Some(("k", 1))),
            append("y", 3, "mismatch-too", None), // its request is refused for two reasons
            append("x", 3, "mismatch", Some(("k", 2))),
            append("nobody", 3, "n2", None),
            append("y", 4, "y2", Some(("l", 1))),
        ])
        .await
        .unwrap();
    let seqs: Vec<Option<u64>> = done
        .iter()
        .map(|appended| match appended {
            Appended::Stored { seq, .. } => Some(seq.0),
            _ => None,
        })
        .collect();
    assert_eq!(seqs, [Some(1), None, Some(2), None, None, None, None, Some(2)]);
    assert!(matches!(&done[1], Appended::Replayed { id, seq: Seq(1), .. } if id.as_str() == "first"));
    assert_eq!(done[3], Appended::UnknownTenant);
    assert_eq!(done[4..7], [Appended::Refused, Appended::Conflict, Appended::UnknownTenant]);
    assert_eq!(database.ids("x").await, ["first", "x2"]);
    assert_eq!(database.ids("y").await, ["y1", "y2"]);
    // Nothing is left to store: everybody learns what the first time brought.
    let again = database.publisher.append(&[append("y", 0, "y1", Some(("k", 1)))]).await.unwrap();
    assert!(matches!(&again[0], Appended::Replayed { seq: Seq(1), .. }));
    assert_eq!(
        database.publisher.append(&[append("nobody", 0, "n", None)]).await.unwrap(),
        [Appended::UnknownTenant]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_columns_say_what_the_event_says() {
    let database = Database::of(&["x"]).await;
    let mut full = append("x", 0, "full", Some(("k", 1)));
    full.event.subject = Some("order/1".into());
    full.event.traceparent = Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
    database.publisher.append(&[append("x", 0, "bare", None), full]).await.unwrap();
    let rows = database
        .superuser()
        .await
        .query(
            "SELECT e.id, e.channels, e.subject, e.traceparent, e.time = '2026-11-21T10:00:00.123456Z', i.seq
             FROM carillon.events e LEFT JOIN carillon.idempotency i ON i.id = e.id ORDER BY e.seq",
            &[],
        )
        .await
        .unwrap();
    for (row, (id, given)) in rows.iter().zip([("bare", false), ("full", true)]) {
        assert_eq!(row.get::<_, &str>(0), id);
        assert_eq!(row.get::<_, Vec<&str>>(1), ["tenant", "user:Mila, 2"]);
        assert_eq!(row.get::<_, Option<&str>>(2).is_some(), given);
        assert_eq!(row.get::<_, Option<&str>>(3).is_some(), given);
        assert!(row.get::<_, bool>(4));
        assert_eq!(row.get::<_, Option<i64>>(5), given.then_some(2));
    }
    let mut wrong = append("x", 0, "wrong", None);
    wrong.event.time = "yesterday".into();
    let refused = database.publisher.append(&[wrong]).await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
}

/// The statement's plan is made when the table of keys is small and used when it is large: a plan that reads the whole
/// table would be chosen early and stay.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_looked_up_by_index_also_when_the_table_is_new() {
    let database = Database::of(&["x", "y"]).await;
    let batch = |round: u32| -> Vec<Append> {
        let event = |n: u32| {
            let id = format!("{round}-{n}");
            append(["x", "y"][n as usize % 2], n, &id, Some((&id, 1)))
        };
        (0..50).map(event).collect()
    };
    for round in 0..4 {
        database.publisher.append(&batch(round)).await.unwrap();
    }
    let superuser = database.superuser().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        // Statistics arrive a little later, with the next transactions of that connection.
        let done = database.publisher.append(&batch(0)).await.unwrap();
        assert!(done.iter().all(|appended| matches!(appended, Appended::Replayed { .. })));
        let sql = "SELECT idx_scan, seq_tup_read FROM pg_stat_user_tables WHERE relname = 'idempotency'";
        let row = superuser.query_one(sql, &[]).await.unwrap();
        if row.get::<_, i64>(0) >= 200 {
            assert_eq!(row.get::<_, i64>(1), 0, "no row was found by looking through the whole table");
            break;
        }
        assert!(Instant::now() < deadline, "the statistics never came");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_with_an_impossible_name_is_not_made() {
    let database = Database::start().await;
    let superuser = database.superuser().await;
    superuser.batch_execute("SET ROLE carillon_publisher").await.unwrap();
    for name in ["", "A", "a,b", "-a", &"a".repeat(64)] {
        let made = superuser.query("SELECT * FROM carillon.open_tenant($1, true)", &[&name]).await;
        let error = made.unwrap_err();
        assert_eq!(error.code().map(|code| code.code()), Some("23514"), "{name:?}: {error}");
        let looked =
            superuser.query("SELECT * FROM carillon.open_tenant($1, false)", &[&name]).await.unwrap();
        assert!(looked.is_empty(), "{name:?}");
    }
    let insert = "INSERT INTO carillon.tenants (id, epoch) VALUES ('A', 'e')";
    assert!(superuser.execute(insert, &[]).await.is_err(), "a service makes tenants by that function only");
}
