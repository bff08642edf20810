//! Does a day get whole into the archive when publishers die in the middle of it?

use crate::faults::probe::sql;
use crate::faults::{PATIENCE, alone, dice};
use crate::system::{ArchiveSystem, day};
use carillon_devstack::wait;

const TENANTS: usize = 60;
const KILLS: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn i1_publishers_die_in_the_middle_and_no_partition_goes_before_it_is_whole_in_the_archive() {
    let _alone = alone().await;
    let system = ArchiveSystem::start_anywhere(2).await;
    let names: Vec<String> = (0..TENANTS).map(|n| format!("tenant-{n:02}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    system.old_day(20, &names, 400).await;
    system.old_day(19, &names[..7], 900).await;
    let (stack, mut dice) = (&system.scene.stack, dice());
    let copied = "SELECT count(*) FROM carillon.archive_objects";
    let mut seen_under_way = 0;
    for kill in 0..KILLS {
        // A few tenants further, both die at once: one of them is in the middle of an object.
        let before: usize = sql(stack, copied).await.parse().unwrap();
        let further = dice.between(1, 12) as usize;
        let moved = || async {
            let now: usize = sql(stack, copied).await.parse().unwrap();
            (now >= before + further || now < before || system.due().await == 0).then_some(())
        };
        wait::until(format!("{further} tenants more before kill {kill}"), PATIENCE, moved).await.unwrap();
        for publisher in stack.publishers() {
            publisher.kill().unwrap();
        }
        let now: usize = sql(stack, copied).await.parse().unwrap();
        seen_under_way += usize::from(now > 0 && now < TENANTS);
        // What is gone is whole; what is not finished is still in the log.
        for days_ago in [20, 19] {
            let name = day(days_ago);
            let part = format!("SELECT to_regclass('carillon.events_{}') IS NOT NULL", name.replace('-', ""));
            if sql(stack, &part).await == "f" {
                let verified = system.archive(&["verify", "--day", &name]).await;
                assert!(verified.status.success(), "{name} is gone after kill {kill}: {verified:?}");
            }
        }
        for publisher in stack.publishers() {
            publisher.restart().await.unwrap();
        }
        // The thirty seconds pass in which nobody takes over from a dead one.
        sql(
            stack,
            "UPDATE carillon.maintenance SET held_until = now() WHERE task IN ('archive', 'retention')",
        )
        .await;
    }
    assert!(seen_under_way >= 2, "{seen_under_way} kills were in the middle");
    for publisher in stack.publishers() {
        publisher.ready().await.unwrap();
    }
    system.all_dropped().await;
    system.assert_whole().await;
    system.publishes().await;
}
