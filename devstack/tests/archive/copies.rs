//! What is in the archive, and does it come back?

use crate::faults::probe::sql;
use crate::faults::{PATIENCE, alone};
use crate::system::{ArchiveSystem, day};
use carillon_devstack::wait;
use serde_json::Value;

const EVENTS: u32 = 2_500;

#[tokio::test(flavor = "multi_thread")]
async fn i1_a_day_is_in_the_archive_line_for_line_before_its_partition_goes() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(2).await;
    system.old_day(12, &["acme", "zebra-9"], EVENTS).await;
    system.old_day(11, &["acme", "a", "quiet_one"], 40).await;
    system.all_dropped().await;
    system.assert_whole().await;

    let listed = system.archive(&["list", "--json"]).await;
    let listed: Vec<Value> = String::from_utf8(listed.stdout)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(
        (listed[0]["day"].as_str(), listed[0]["events"].as_u64()),
        (Some(&*day(12)), Some(2 * u64::from(EVENTS)))
    );
    assert_eq!((listed[1]["tenants"].as_u64(), listed[1]["finished"].as_bool()), (Some(3), Some(true)));

    // Whoever reads it needs the manifest and any zstd.
    let folder = system.archive.join(format!("day={}", day(11)));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(folder.join("manifest.json")).unwrap()).unwrap();
    let entry = &manifest["tenants"][1];
    assert_eq!((entry["tenant"].as_str(), entry["epoch"].as_str()), (Some("acme"), Some("epoch-of-acme")));
    let (first, last) = (u64::from(EVENTS) + 1, u64::from(EVENTS) + 40);
    assert_eq!((entry["first_seq"].as_u64(), entry["last_seq"].as_u64()), (Some(first), Some(last)));
    let object = std::fs::read(system.archive.join(entry["object"].as_str().unwrap())).unwrap();
    assert_eq!(object.len() as u64, entry["stored_bytes"].as_u64().unwrap());
    let lines = zstd::decode_all(&object[..]).unwrap();
    assert_eq!(
        (lines.len() as u64, lines.split(|b| *b == b'\n').count()),
        (entry["bytes"].as_u64().unwrap(), 41)
    );
    assert_eq!(
        std::fs::read_dir(&folder).unwrap().count(),
        4,
        "three tenants and the manifest, nothing else"
    );
    let kept = "SELECT count(*) FROM carillon.archive_objects";
    let gone = || async { (sql(&system.scene.stack, kept).await == "0").then_some(()) };
    wait::until("nothing being left behind", PATIENCE, gone).await.unwrap();
    system.publishes().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_of_the_archive_comes_back_and_what_was_changed_is_found() {
    let _alone = alone().await;
    let system = ArchiveSystem::start(1).await;
    system.old_day(9, &["acme", "zebra"], 300).await;
    system.old_day(8, &["acme"], 20).await;
    system.all_dropped().await;
    let text = |output: &std::process::Output| String::from_utf8(output.stdout.clone()).unwrap();
    let one = system.archive(&["restore", "--day", &day(9), "--tenant", "zebra"]).await;
    assert_eq!((text(&one).lines().count(), text(&one).contains("acme")), (300, false));
    let from = system.archive(&["restore", "--from", &day(8)]).await;
    assert_eq!(text(&from).lines().count(), 20);
    let missing = system.archive(&["restore", "--day", "2020-01-01"]).await;
    assert_eq!(missing.status.code(), Some(64), "{missing:?}");

    let file = system.archive.parent().unwrap().join("all.ndjson");
    let stored = system.archive(&["restore", "--output", file.to_str().unwrap()]).await;
    assert!(stored.status.success(), "{stored:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim_end(), system.lines().await.trim_end());

    let object = system.archive.join(format!("day={}/tenant=zebra/events.ndjson.zst", day(9)));
    let whole = std::fs::read(&object).unwrap();
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for (changed, what) in [
        (&flipped[..], "flipped"),
        (&whole[..whole.len() - 1], "cut"),
        (&[&whole[..], &whole[..]].concat(), "twice"),
    ] {
        std::fs::write(&object, changed).unwrap();
        let verified = system.archive(&["verify"]).await;
        assert_eq!(verified.status.code(), Some(1), "{what}: {verified:?}");
        assert!(
            text(&verified).contains("tenant=zebra/events.ndjson.zst is not what was written"),
            "{what}: {verified:?}"
        );
        let other = system.archive(&["verify", "--day", &day(8)]).await;
        assert!(other.status.success(), "the other day is whole: {other:?}");
        std::fs::remove_file(&file).ok();
        let restored = system.archive(&["restore", "--output", file.to_str().unwrap()]).await;
        assert_eq!(
            (restored.status.code(), file.exists()),
            (Some(1), false),
            "{what}: no half of it is taken for the whole"
        );
    }
    std::fs::remove_file(&object).unwrap();
    assert_eq!(system.archive(&["verify"]).await.status.code(), Some(1), "missing");
    std::fs::write(&object, &whole).unwrap();
    system.assert_whole().await;

    // A manifest that cannot be read is named with the command that repairs it, from objects that are whole.
    let path = system.archive.join(format!("day={}/manifest.json", day(9)));
    let manifest = std::fs::read_to_string(&path).unwrap();
    let repaired = |text: &str| {
        let epoch = |line: &&str| !line.contains("\"epoch\"");
        text.lines().filter(epoch).map(str::to_owned).collect::<Vec<_>>()
    };
    std::fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    let verified = system.archive(&["verify"]).await;
    let said = String::from_utf8(verified.stderr.clone()).unwrap();
    assert!(
        !verified.status.success() && said.contains(&format!("archive repair --day {}", day(9))),
        "{said}"
    );
    std::fs::write(&object, &flipped).unwrap();
    let refused = system.archive(&["repair", "--day", &day(9)]).await;
    assert!(!refused.status.success(), "an object is not whole: {refused:?}");
    std::fs::write(&object, &whole[..whole.len() - 40]).unwrap();
    let refused = system.archive(&["repair", "--day", &day(9)]).await;
    assert!(!refused.status.success(), "an object is cut: {refused:?}");
    std::fs::write(&object, &whole).unwrap();
    let done = system.archive(&["repair", "--day", &day(9)]).await;
    assert!(done.status.success() && text(&done).contains("600 events of 2 tenants"), "{done:?}");
    assert_eq!(repaired(&std::fs::read_to_string(&path).unwrap()), repaired(&manifest));
    system.assert_whole().await;
    // One that is gone is not taken for a day that was finished, unless somebody says so.
    std::fs::remove_file(&path).unwrap();
    assert_eq!(system.archive(&["repair", "--day", &day(9)]).await.status.code(), Some(64));
    assert!(system.archive(&["repair", "--day", &day(9), "--missing"]).await.status.success());
    let again = system.archive(&["repair", "--day", &day(9)]).await;
    assert!(again.status.success() && text(&again).contains("nothing is changed"), "{again:?}");
    system.assert_whole().await;
    // What is lost is named where something tells of it, and of nothing no manifest is made.
    let other = system.archive.join(format!("day={}/tenant=acme/events.ndjson.zst", day(9)));
    let refused = async |args: &[&str], says: &str| {
        let refused = system.archive(&[&["repair", "--day"][..], args].concat()).await;
        let why = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(64) && why.contains(says), "{says}: {refused:?}");
    };
    let manifest = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, &manifest[..manifest.len() - 3]).unwrap();
    let acme = std::fs::read(&other).unwrap();
    std::fs::remove_file(&other).unwrap();
    refused(&[&day(9)], "of the tenants acme").await;
    std::fs::remove_file(&object).unwrap();
    refused(&[&day(9), "--without-lost"], "no object").await;
    std::fs::write(&other, acme).unwrap();
    std::fs::write(&object, &whole).unwrap();
    assert!(system.archive(&["repair", "--day", &day(9)]).await.status.success());
    system.assert_whole().await;
    // A day that the log has is the publishers' to finish.
    system.scene.stack.publisher(0).kill().unwrap();
    system.old_day(7, &["acme"], 20).await;
    let unfinished = system.archive.join(format!("day={}/tenant=acme", day(7)));
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::write(unfinished.join("events.ndjson.zst"), &whole).unwrap();
    refused(&[&day(7), "--missing"], "a publisher copies it").await;
}
