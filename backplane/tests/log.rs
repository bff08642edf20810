//! Does the log keep its promises on a real Postgres? I1, I2, I5 at their root, idempotency, paging, partitions.

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{ApiKey, Append, Appended, Role};
use carillon_protocol::Seq;
use database::{Database, append, tenant};

fn seq(appended: &Appended) -> u64 {
    match appended {
        Appended::Stored { seq, .. } | Appended::Replayed { seq, .. } => seq.0,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn i2_concurrent_batches_over_shared_tenants_number_without_gaps_in_commit_order() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    let names: Vec<String> = (0..5).map(|n| format!("order-{n}")).collect();
    for name in &names {
        log.open_tenant(&tenant(name), true).await.unwrap().unwrap();
    }
    let writers = (0..8).map(|writer| {
        let (log, names) = (log.clone(), names.clone());
        tokio::spawn(async move {
            for round in 0..25 {
                // Each writer names the tenants in another order: only the statement's own order avoids deadlocks.
                let batch: Vec<Append> = (0..10)
                    .map(|n| {
                        append(
                            &names[(n * (writer + 1) + round) % 5],
                            n as u32,
                            &format!("{writer}-{round}-{n}"),
                            None,
                        )
                    })
                    .collect();
                for appended in log.append(&batch).await.unwrap() {
                    assert!(matches!(appended, Appended::Stored { .. }));
                }
            }
        })
    });
    for writer in writers {
        writer.await.unwrap();
    }
    let superuser = database.superuser().await;
    let rows = superuser
        .query(
            "SELECT tenant_id, count(*), min(seq), max(seq), count(DISTINCT seq),
                    bool_and(ordered) FROM (SELECT *, at >= lag(at, 1, at) OVER (PARTITION BY tenant_id ORDER BY seq) AS ordered
                    FROM carillon.events WHERE tenant_id LIKE 'order-%') e GROUP BY tenant_id",
            &[],
        )
        .await
        .unwrap();
    let total: i64 = rows.iter().map(|row| row.get::<_, i64>(1)).sum();
    assert_eq!(total, 8 * 25 * 10);
    for row in rows {
        let (count, min, max, distinct): (i64, i64, i64, i64) =
            (row.get(1), row.get(2), row.get(3), row.get(4));
        assert_eq!((min, max, distinct), (1, count, count));
        assert!(row.get::<_, bool>(5), "time of commit ascends with seq");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_stored_once_however_many_publishers_race() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant("race"), true).await.unwrap();
    let racers: Vec<_> = (0..50)
        .map(|n| {
            let log = log.clone();
            tokio::spawn(async move {
                let batch = [
                    append("race", 0, &format!("r{n}"), Some(("k", 7))),
                    append("race", 1, &format!("x{n}"), None),
                ];
                loop {
                    match log.append(&batch).await {
                        Ok(done) => break done,
                        Err(error) => assert!(error.is_down() || error.is_overload(), "{error}"),
                    }
                }
            })
        })
        .collect();
    let mut stored = 0;
    let mut seqs = std::collections::BTreeSet::new();
    for racer in racers {
        let done = racer.await.unwrap();
        stored += u32::from(matches!(done[0], Appended::Stored { .. }));
        seqs.insert(seq(&done[0]));
    }
    assert_eq!((stored, seqs.len()), (1, 1));
    let head = log.open_tenant(&tenant("race"), false).await.unwrap().unwrap();
    assert_eq!(head.head.seq, Seq(51), "repeats burn no numbers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicting_key_refuses_its_whole_request_and_nothing_else() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant("conflict"), true).await.unwrap();
    log.append(&[append("conflict", 0, "a", Some(("k", 1)))]).await.unwrap();
    let done = log
        .append(&[
            append("conflict", 0, "b", None),
            append("conflict", 0, "c", Some(("k", 2))),
            append("conflict", 1, "d", None),
            append("nobody", 2, "e", None),
            append("conflict", 2, "f", None),
            append("conflict", 3, "a", Some(("k", 1))),
        ])
        .await
        .unwrap();
    assert_eq!(done[0], Appended::Refused);
    assert_eq!(done[1], Appended::Conflict);
    assert_eq!(seq(&done[2]), 2);
    assert_eq!(done[3], Appended::UnknownTenant);
    assert_eq!(done[4], Appended::Refused);
    assert!(matches!(&done[5], Appended::Replayed { id, seq: Seq(1), .. } if id.as_str() == "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_a_connection_sees_only_the_tenants_its_transaction_names() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    for name in ["iso-a", "iso-b"] {
        log.open_tenant(&tenant(name), true).await.unwrap();
        log.append(&[append(name, 0, name, None)]).await.unwrap();
    }
    let gateway = database.log(Role::Gateway);
    let page = gateway.read(&tenant("iso-a"), Seq::ZERO, Seq(100)).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert!(page.events[0].body.contains("iso-a"));
    assert!(gateway.append(&[append("iso-a", 0, "x", None)]).await.is_err(), "a gateway cannot write");

    // The same login, stepped down as the services do, sees nothing before it names a tenant, nor after.
    let superuser = database.superuser().await;
    for role in ["carillon_publisher", "carillon_gateway", "carillon_owner"] {
        superuser.batch_execute(&format!("SET ROLE {role}")).await.unwrap();
        let before = superuser.query_one("SELECT count(*) FROM carillon.events", &[]).await.unwrap();
        assert_eq!(before.get::<_, i64>(0), 0, "{role}");
        superuser.batch_execute("BEGIN; SELECT set_config('carillon.tenant', 'iso-a', true)").await.unwrap();
        let within = superuser.query_one("SELECT count(*) FROM carillon.events", &[]).await.unwrap();
        assert_eq!(within.get::<_, i64>(0), 1, "{role}");
        superuser.batch_execute("COMMIT").await.unwrap();
        let after = superuser.query_one("SELECT count(*) FROM carillon.events", &[]).await.unwrap();
        assert_eq!(after.get::<_, i64>(0), 0, "{role}");
        superuser.batch_execute("RESET ROLE").await.unwrap();
    }
    superuser
        .batch_execute(
            "SET ROLE carillon_publisher; BEGIN; SELECT set_config('carillon.tenant', 'iso-a', true)",
        )
        .await
        .unwrap();
    let foreign = superuser
        .execute("INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body) VALUES ('iso-b', 9, now(), 'x', 't', 's', '{tenant}', now(), '{}')", &[])
        .await
        .unwrap_err();
    assert!(foreign.as_db_error().unwrap().message().contains("row-level security"));
    superuser.batch_execute("ROLLBACK; RESET ROLE").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_pages_by_rows_and_by_bytes_and_leaves_nothing_out() {
    let database = Database::start().await;
    let log = database.log(Role::Publisher);
    log.open_tenant(&tenant("pages"), true).await.unwrap();
    for round in 0..6u64 {
        let mut batch: Vec<Append> =
            (0..100).map(|n| append("pages", n, &format!("{round}-{n}"), None)).collect();
        batch[51].event.body = format!("\"{}\"", "x".repeat(200_000));
        log.append(&batch).await.unwrap();
    }
    let gateway = database.log(Role::Gateway);
    let (mut cursor, mut pages) = (Seq::ZERO, 0);
    loop {
        let page = gateway.read(&tenant("pages"), cursor, Seq(600)).await.unwrap();
        for event in &page.events {
            assert_eq!(event.seq, cursor.next());
            cursor = event.seq;
        }
        pages += 1;
        assert!(page.events.iter().map(|e| e.body.len()).sum::<usize>() < 800_000);
        if page.complete {
            break;
        }
    }
    assert_eq!(cursor, Seq(600));
    assert!(pages > 2, "{pages}");
    assert_eq!(gateway.oldest(&tenant("pages")).await.unwrap(), Some(Seq(1)));
    assert_eq!(gateway.oldest(&tenant("unknown")).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_by_their_id_alone_and_end_when_revoked() {
    let database = Database::start().await;
    let (owner, publisher) = (database.log(Role::Owner), database.log(Role::Publisher));
    let key = ApiKey {
        id: "k1".into(),
        hash: [9; 32],
        tenant: Some(tenant("acme")),
        publish: true,
        read: false,
        admin: false,
        relay: false,
        expires_at_secs: None,
    };
    owner.create_api_key(&key).await.unwrap();
    assert_eq!(publisher.api_key("k1").await.unwrap(), Some(key));
    assert_eq!(publisher.api_key("k2").await.unwrap(), None);
    assert!(owner.revoke_api_key("k1").await.unwrap());
    assert!(!owner.revoke_api_key("k1").await.unwrap());
    assert_eq!(publisher.api_key("k1").await.unwrap(), None);
}
