//! Does retention wait for the archive, and for how long?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Dropped, Maintenance, Role};
use database::Database;
use std::time::Duration;

const KEEP_DAYS: u32 = 30;
/// An archive's place.
const HERE: &str = "file:///here";

#[tokio::test]
async fn a_partition_goes_only_when_its_copy_was_read_back_within_the_hour() {
    let database = Database::start().await;
    let log = &database.publisher;
    database.old_partitions(31, 2).await;
    let days = [2, 1].map(|n| database::days_ago(30 + n));
    let next = log.announce_archive(KEEP_DAYS, HERE).await.unwrap();
    assert_eq!((next.day, next.marked), (Some(days[0]), None));
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 2 });
    assert_eq!(log.archive_state(KEEP_DAYS).await.unwrap().waiting, 2);
    // What publishers of other versions call does not drop it either.
    database.sql("DO $$ BEGIN ASSERT carillon.drop_partitions(30) = 0; END $$").await;

    log.store_archive_mark(HERE).await.unwrap();
    // The newer one was read back: it may go, the older one stays.
    log.store_day_verified(days[1], HERE).await.unwrap();
    assert_eq!(log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day, Some(days[0]));
    let dropped = log.drop_due_partition(KEEP_DAYS).await.unwrap();
    assert!(matches!(dropped, Dropped::One { left: 1, .. }), "{dropped:?}");
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });

    // Read back too long ago.
    log.store_day_verified(days[0], HERE).await.unwrap();
    assert_eq!(log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day, None);
    database.sql("UPDATE carillon.archive_days SET verified_at = now() - interval '61 minutes'").await;
    assert_eq!(log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day, Some(days[0]));
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });

    // No publisher is there for days: nothing goes on that account.
    let days_pass = "UPDATE carillon.archive SET said_at = now() - interval '3 days'";
    database.sql(days_pass).await;
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });
    assert_eq!(log.archive_state(KEEP_DAYS).await.unwrap().waiting, 1);

    // An operator says that there is no archive any more; not while a publisher has one, or copies.
    let owner = database.log(Role::Owner);
    log.announce_archive(KEEP_DAYS, HERE).await.unwrap();
    assert!(!owner.archive_off().await.unwrap(), "a publisher has one");
    database.sql(days_pass).await;
    log.lease_maintenance(Maintenance::Archive, "a", Duration::from_secs(30)).await.unwrap();
    assert!(!owner.archive_off().await.unwrap(), "a publisher copies");
    log.lease_maintenance(Maintenance::Archive, "a", Duration::ZERO).await.unwrap();
    database.sql("UPDATE carillon.maintenance SET held_until = now() - interval '1 s'").await;
    assert!(log.archive_off().await.is_err(), "a publisher may not say so");
    assert!(owner.archive_off().await.unwrap());
    let sql = "SELECT concat_ws(' ', tenant_id, split_part(actor, ':', 1), action, target, before, after) FROM carillon.audit ORDER BY id";
    let rows = database.superuser().await.query(sql, &[]).await.unwrap();
    let recorded: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let began = r#"* service archive.changed archive {"wanted": false} {"wanted": true}"#;
    let ended = r#"* login archive.changed archive {"wanted": true} {"wanted": false}"#;
    assert_eq!(recorded, [began, ended], "who began and who ended it");
    let state = log.archive_state(KEEP_DAYS).await.unwrap();
    assert_eq!((state.wanted, state.waiting), (false, 0));
    let dropped = log.drop_due_partition(KEEP_DAYS).await.unwrap();
    assert!(matches!(dropped, Dropped::One { left: 0, .. }), "{dropped:?}");
    assert_eq!(database.count("SELECT count(*) FROM carillon.archive_days").await, 0);
}

#[tokio::test]
async fn what_was_read_back_in_another_place_does_not_let_a_partition_go() {
    let database = Database::start().await;
    let log = &database.publisher;
    database.old_partitions(31, 1).await;
    let day = database::days_ago(31);
    let tenant = database::tenant("shop");
    log.announce_archive(KEEP_DAYS, HERE).await.unwrap();
    log.store_archive_mark(HERE).await.unwrap();
    let archived = async || {
        log.keep_archived(day, &tenant, Some("{}")).await.unwrap();
        log.store_day_verified(day, HERE).await.unwrap();
    };
    archived().await;
    assert_eq!(log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day, None);

    // A publisher has another place: what was said of the first one does not count, neither before the mark stands there nor after.
    assert_eq!(log.announce_archive(KEEP_DAYS, "file:///there").await.unwrap().day, Some(day));
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });
    archived().await;
    log.store_archive_mark("file:///there").await.unwrap();
    assert_eq!(log.kept_archived(day, "", 10).await.unwrap(), []);
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });
    // One that still has the first place and has just finished there.
    log.store_day_verified(day, HERE).await.unwrap();
    assert_eq!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::NotArchived { due: 1 });
    log.store_day_verified(day, "file:///there").await.unwrap();
    assert!(matches!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::One { left: 0, .. }));
}

#[tokio::test]
async fn a_day_that_cannot_be_archived_comes_after_the_others_and_is_told_until_it_is() {
    let database = Database::start().await;
    let log = &database.publisher;
    database.old_partitions(31, 3).await;
    let days = [3, 2, 1].map(|n| database::days_ago(30 + n));
    let next = async || log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day;
    let fault = async || log.archive_state(KEEP_DAYS).await.unwrap().fault;
    log.store_archive_mark(HERE).await.unwrap();
    log.note_archive(Some("it differs"), Some(days[0])).await.unwrap();
    assert_eq!(next().await, Some(days[1]));
    log.note_archive(None, None).await.unwrap();
    assert_eq!(fault().await.as_deref(), Some("it differs"), "another day's success does not end it");
    log.store_day_verified(days[1], HERE).await.unwrap();
    log.note_archive(Some("so does this"), Some(days[2])).await.unwrap();
    assert_eq!(next().await, Some(days[0]), "the one that was tried longest ago");
    log.note_archive(Some("it differs"), Some(days[0])).await.unwrap();
    assert_eq!(next().await, Some(days[2]));
    assert!(matches!(log.drop_due_partition(KEEP_DAYS).await.unwrap(), Dropped::One { left: 2, .. }));
    log.store_day_verified(days[2], HERE).await.unwrap();
    log.store_day_verified(days[0], HERE).await.unwrap();
    log.note_archive(None, None).await.unwrap();
    assert_eq!((next().await, fault().await), (None, None));
}

#[tokio::test]
async fn a_drop_leaves_what_is_kept_of_copies_and_slices_take_it_away() {
    let database = Database::start().await;
    let log = &database.publisher;
    database.old_partitions(31, 2).await;
    let days = [2, 1].map(|n| database::days_ago(30 + n));
    log.announce_archive(KEEP_DAYS, HERE).await.unwrap();
    log.store_archive_mark(HERE).await.unwrap();
    for day in days {
        for n in 0..7 {
            let one = database::tenant(&format!("t-{n}"));
            log.keep_archived(day, &one, Some("{}")).await.unwrap();
        }
    }
    let kept = "SELECT count(*) FROM carillon.archive_objects";
    log.store_day_verified(days[0], HERE).await.unwrap();
    assert_eq!(log.forget_archived(5).await.unwrap(), 0, "both partitions are there");
    let dropped = log.drop_due_partition(KEEP_DAYS).await.unwrap();
    assert!(matches!(dropped, Dropped::One { left: 1, .. }), "{dropped:?}");
    assert_eq!(database.count(kept).await, 14, "the drop deletes no row a tenant");
    assert_eq!(database.count("SELECT count(*) FROM carillon.archive_days").await, 0);
    // A backup brings the day back meanwhile: nothing of it counts as copied, and it waits until nothing is kept of the day before.
    database.old_partitions(32, 1).await;
    log.note_archive(Some("it is tried last"), Some(days[1])).await.unwrap();
    let next = async || log.announce_archive(KEEP_DAYS, HERE).await.unwrap().day;
    assert_eq!(next().await, Some(days[1]));
    // What somebody holds is passed over, and nobody waits.
    let holder = database.superuser().await;
    holder.batch_execute("BEGIN; SELECT FROM carillon.archive_objects LIMIT 1 FOR UPDATE").await.unwrap();
    let (first, second) = (log.forget_archived(5).await.unwrap(), log.forget_archived(5).await.unwrap());
    assert_eq!((first, second), (5, 1));
    assert_eq!(next().await, Some(days[1]));
    holder.batch_execute("COMMIT").await.unwrap();
    assert_eq!(log.forget_archived(5).await.unwrap(), 1);
    assert_eq!(log.forget_archived(5).await.unwrap(), 0);
    assert_eq!(next().await, Some(days[0]));
    assert!(log.kept_archived(days[0], "", 10).await.unwrap().is_empty());
    assert_eq!(database.count(kept).await, 7, "those of the day that is there");
    assert_eq!(log.kept_archived(days[1], "", 10).await.unwrap().len(), 7);
}
