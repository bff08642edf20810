//! What happens to a day while the archive cannot take it?

use crate::faults::probe::{sample, sample_reaches, sql};
use crate::faults::{PATIENCE, alone};
use crate::system::{ArchiveSystem, day, url};
use carillon_devstack::wait;

/// The day stays, the fault is counted and told, and publishing goes on.
async fn stays(system: &ArchiveSystem, days_ago: i64, reason: &str, says: &str) {
    let (stack, publisher) = (&system.scene.stack, system.scene.stack.publisher(0));
    let counter = format!("carillon_archive_faults_total{{reason=\"{reason}\"}}");
    let before = sample(publisher, &counter).await;
    sample_reaches(publisher, &counter, before + 2.0).await;
    sample_reaches(publisher, "carillon_archive_days_waiting", 1.0).await;
    sample_reaches(publisher, "carillon_archive_failing_seconds", 0.001).await;
    let fault = sql(stack, "SELECT fault FROM carillon.archive").await;
    assert!(fault.contains(says), "{fault}");
    let part = format!("SELECT count(*) FROM carillon.events_{}", day(days_ago).replace('-', ""));
    assert_eq!(sql(stack, &part).await, "50", "its partition stays");
    let dropped = sql(stack, "SELECT busy FROM carillon.drop_due_partition(3)").await;
    assert_eq!(
        dropped, "archive",
        "nor does a publisher without an archive, or of the release before, drop it"
    );
    system.publishes().await;
    // What health says does not wait for half a minute here.
    sql(stack, "UPDATE carillon.archive SET fault_since = now() - interval '1 minute'").await;
    let told = || async {
        let reasons = system.reasons().await;
        let ours = reasons.iter().find(|reason| reason["code"] == "archive_failing")?;
        ours["message"].as_str().unwrap().contains(says).then_some(())
    };
    wait::until("health saying why", PATIENCE, told).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_day_stays_while_the_archive_is_away_and_goes_when_it_is_back() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    system.old_day(9, &["acme"], 50).await;
    system.all_dropped().await;
    let elsewhere = system.archive.with_file_name("elsewhere");

    std::fs::rename(&system.archive, &elsewhere).unwrap();
    system.old_day(8, &["acme"], 50).await;
    stays(&system, 8, "place", "cannot be used").await;

    // A volume that is not mounted: the directory is there, and empty.
    std::fs::create_dir(&system.archive).unwrap();
    stays(&system, 8, "owner", "is the right volume mounted").await;

    // A file stands where a directory should be: nothing can be written.
    std::fs::remove_dir(&system.archive).unwrap();
    std::fs::rename(&elsewhere, &system.archive).unwrap();
    system.all_dropped().await;
    std::fs::write(system.archive.join(format!("day={}", day(7))), "").unwrap();
    system.old_day(7, &["acme"], 50).await;
    stays(&system, 7, "place", "cannot be used").await;
    std::fs::remove_file(system.archive.join(format!("day={}", day(7)))).unwrap();

    system.all_dropped().await;
    system.assert_whole().await;
    let publisher = system.scene.stack.publisher(0);
    let well =
        || async { (sample(publisher, "carillon_archive_failing_seconds").await == 0.0).then_some(()) };
    wait::until("the fault being over", PATIENCE, well).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_installation_or_another_log_has_in_the_archive_is_not_replaced() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    let mark = system.archive.join("archive.json");
    system.old_day(9, &["acme"], 50).await;
    system.all_dropped().await;
    let own = std::fs::read(&mark).unwrap();
    std::fs::write(&mark, "{\"installation\":\"another\"}\n").unwrap();
    system.old_day(8, &["acme"], 50).await;
    stays(&system, 8, "owner", "belongs to another installation").await;
    std::fs::write(&mark, own).unwrap();
    system.all_dropped().await;

    // The database comes back as it was before a day, of whose copies it knows nothing, and the day is lived again, otherwise.
    let before = system.lines().await;
    sql(&system.scene.stack, &format!("DELETE FROM carillon.archive_objects WHERE day = '{}'", day(8))).await;
    sql(&system.scene.stack, "TRUNCATE public.kept").await;
    system.old_day(8, &["acme"], 50).await;
    stays(&system, 8, "conflict", "nothing is replaced").await;
    let restored = system.archive(&["restore"]).await;
    assert_eq!(String::from_utf8(restored.stdout).unwrap().trim_end(), before.trim_end(), "it is as it was");
    assert_eq!(url(&system.archive), format!("file://{}", system.archive.display()));

    // It does not hold up the days after it, and is told all the same.
    system.old_day(7, &["acme"], 50).await;
    let others_are_gone = || async { (system.due().await == 1).then_some(()) };
    wait::until("the later day being archived and going", PATIENCE, others_are_gone).await.unwrap();
    stays(&system, 8, "conflict", "nothing is replaced").await;
    let verified = system.archive(&["verify", "--day", &day(7)]).await;
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_was_damaged_after_its_manifest_was_written_is_copied_again_while_the_log_has_it() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    system.old_day(9, &["acme", "zebra"], 50).await;
    system.all_dropped().await;
    let folder = system.archive.join(format!("day={}", day(9)));
    let object = folder.join("tenant=zebra/events.ndjson.zst");
    let whole = std::fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let manifest = folder.join("manifest.json");
    for damage in [
        "flipped",
        "missing",
        "no manifest that can be read",
        "neither a manifest nor an object",
        "no manifest, and an object that was lost",
        "a manifest that was written again without what was lost",
        "other bytes of the same lines",
    ] {
        match damage {
            "flipped" => std::fs::write(&object, &flipped).unwrap(),
            "missing" => std::fs::remove_file(&object).unwrap(),
            "no manifest that can be read" => std::fs::write(&manifest, "{").unwrap(),
            "neither a manifest nor an object" => {
                std::fs::write(&manifest, "{").unwrap();
                std::fs::write(&object, &flipped).unwrap();
            }
            "no manifest, and an object that was lost" => {
                std::fs::write(&manifest, "{").unwrap();
                std::fs::remove_file(&object).unwrap();
            }
            "a manifest that was written again without what was lost" => {
                let text = std::fs::read_to_string(&manifest).unwrap();
                std::fs::write(&manifest, &text[..text.len() - 3]).unwrap();
                std::fs::remove_file(&object).unwrap();
                let refused = system.archive(&["repair", "--day", &day(9)]).await;
                let why = String::from_utf8_lossy(&refused.stderr);
                assert!(refused.status.code() == Some(64) && why.contains("zebra"), "{refused:?}");
                let done = system.archive(&["repair", "--day", &day(9), "--without-lost"]).await;
                assert!(done.status.success(), "{done:?}");
            }
            _ => {
                let mut text: serde_json::Value =
                    serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
                text["tenants"][1]["stored_sha256"] = "0".repeat(64).into();
                std::fs::write(&manifest, text.to_string()).unwrap();
            }
        }
        let found = if damage.starts_with("a manifest") { 0 } else { 1 };
        assert_eq!(system.archive(&["verify"]).await.status.code(), Some(found), "{damage}");
        system.log_is_as_before(9).await;
        system.all_dropped().await;
        system.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_damaged_and_that_neither_a_manifest_nor_the_log_tells_of_is_named() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    system.old_day(9, &["acme", "zebra"], 50).await;
    system.all_dropped().await;
    let folder = system.archive.join(format!("day={}", day(9)));
    let (zebra, ghost) = ("tenant=zebra/events.ndjson.zst", "tenant=ghost/events.ndjson.zst");
    let mut flipped = std::fs::read(folder.join(zebra)).unwrap();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::create_dir(folder.join("tenant=ghost")).unwrap();
    std::fs::write(folder.join(ghost), flipped).unwrap();
    std::fs::write(folder.join("manifest.json"), "{").unwrap();
    system.log_is_as_before(9).await;
    system.all_dropped().await;

    let name = format!("day={}/{ghost}", day(9));
    sample_reaches(system.scene.stack.publisher(0), "carillon_archive_damaged_objects_total", 1.0).await;
    let says = async |args: &[&str], code: i32| {
        let output = system.archive(args).await;
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(says(&["verify"], 1).await.contains(&name));
    assert!(!says(&["verify", "--tenant", "acme"], 0).await.contains(&name), "another's is whole");
    assert!(says(&["list"], 0).await.contains(&name));
    let listed: serde_json::Value = serde_json::from_str(&says(&["list", "--json"], 0).await).unwrap();
    assert_eq!((&listed["damaged"], &listed["tenants"]), (&serde_json::json!([name]), &2.into()));

    // Somebody has a copy of it: the manifest is made again of what is there.
    std::fs::copy(folder.join(zebra), folder.join(ghost)).unwrap();
    std::fs::remove_file(folder.join("manifest.json")).unwrap();
    says(&["repair", "--day", &day(9), "--missing"], 0).await;
    assert!(!says(&["verify"], 0).await.contains(&name));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_archived_stays_however_long_no_publisher_was_there_until_an_operator_says_that_it_may_go()
 {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    let (stack, publisher) = (&system.scene.stack, system.scene.stack.publisher(0));
    let off = async || system.archive(&["off"]).await;
    assert_eq!(off().await.status.code(), Some(64), "a publisher has an archive");
    publisher.kill().unwrap();
    system.old_day(9, &["acme"], 50).await;
    // Days pass without a publisher.
    sql(stack, "UPDATE carillon.archive SET said_at = now() - interval '3 days'").await;
    for function in ["drop_due_partition", "drop_partitions"] {
        sql(stack, &format!("SELECT carillon.{function}(3)")).await;
        assert_eq!(
            system.due().await,
            1,
            "a publisher without an archive, or of the release before, drops it"
        );
    }
    sql(stack, "UPDATE carillon.maintenance SET held_until = now() WHERE task = 'archive'").await;
    let done = off().await;
    assert!(done.status.success(), "{done:?}");
    sql(stack, "SELECT carillon.drop_due_partition(3)").await;
    assert_eq!(system.due().await, 0);
    publisher.restart().await.unwrap();
    publisher.ready().await.unwrap();
    system.old_day(8, &["acme"], 50).await;
    sql(stack, "DELETE FROM public.kept WHERE at < (now() AT TIME ZONE 'UTC')::date - 8").await;
    system.all_dropped().await;
    system.assert_whole().await;
}
