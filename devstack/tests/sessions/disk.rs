//! The disk of Postgres is full, for a while.
//!
//! The test runs a second time in a mount namespace of its own, where Postgres keeps its data on a small tmpfs: nothing
//! else sees it, and it goes with the last process. Root may mount by right, everybody else in a user namespace.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use carillon_devstack::stack::StackConfig;

use crate::faults::pair::open_folder;
use crate::faults::probe::readiness_becomes;
use crate::faults::{Scene, stop};
use crate::refused;

const TEST: &str = "disk::a_full_disk_is_named_and_nothing_acknowledged_is_lost";
/// Tells the second run where its stack lies.
const STACK: &str = "CARILLON_TEST_STACK_ON_SMALL_DISK";
/// In the stack's folder.
const DISK: &str = "postgres";
const SIZE: &str = "192m";

#[test]
fn a_full_disk_is_named_and_nothing_acknowledged_is_lost() {
    match std::env::var_os(STACK) {
        None => once_more_on_a_small_disk(),
        Some(folder) => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(the_disk_fills_up(folder.into()));
        }
    }
}

async fn the_disk_fills_up(folder: PathBuf) {
    let config = StackConfig { gateways: 1, data: Some(folder.clone()), ..StackConfig::default() };
    let mut scene = Scene::start(config).await;
    scene.follow_at(0, 2).await;
    let load = scene.load(40.0);
    scene.acknowledged_more(20).await;
    let filler = folder.join(DISK).join("filler");
    fill(&filler);
    let (publisher, gateway) = (scene.stack.publisher(0), scene.stack.gateway(0));
    readiness_becomes(publisher, "unready", Some("database_full")).await;
    let began = Instant::now();
    for _ in 0..20 {
        refused::by_name(&scene, "database_full", 5).await;
    }
    told_seldom(&std::fs::read_to_string(publisher.process().log_path()).unwrap(), began.elapsed());
    readiness_becomes(gateway, "ready", None).await;
    std::fs::remove_file(&filler).unwrap();
    readiness_becomes(publisher, "ready", None).await;
    scene.acknowledged_more(20).await;
    stop(load).await;
    scene.assert_whole().await;
}

/// A disk that is full shall not fill another one: what goes on is a line a minute, with how often it came.
fn told_seldom(log: &str, since: Duration) {
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for line in log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")) {
        let said = line.split_once(" carillon").map_or(line, |(_, said)| said);
        let kind = said.chars().filter(|c| !c.is_ascii_digit()).take(60).collect();
        *kinds.entry(kind).or_default() += 1;
    }
    let most = 2 + since.as_secs() / 60;
    assert!(kinds.values().all(|lines| *lines <= most), "{kinds:#?}");
    let named: Vec<&str> = log.lines().filter(|line| line.contains("No space left")).collect();
    assert!(!named.is_empty(), "{kinds:#?}");
    // Where something else than a batch was the first to notice, no batch was tried at all.
    let uncounted = |line: &&&str| line.contains("batch not stored") && !line.contains("times=");
    assert_eq!(named.iter().find(uncounted), None);
}

/// Writes until not one byte is left.
fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 20, 4096, 1] {
        let piece = vec![b'x'; size];
        let error = std::iter::repeat_with(|| file.write_all(&piece)).find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    }
}

fn once_more_on_a_small_disk() {
    let folder = open_folder();
    std::fs::create_dir(folder.path().join(DISK)).unwrap();
    let (user, group) = (rustix::process::getuid(), rustix::process::getgid());
    let mut command = Command::new("unshare");
    command.arg("--mount");
    let mut then = "exec \"$@\"".to_owned();
    if !user.is_root() {
        command.args(["--user", "--map-root-user"]);
        // Postgres refuses to run as root: whoever mounted is nobody special again.
        let (user, group) = (user.as_raw(), group.as_raw());
        then = format!("exec unshare --user --map-user={user} --map-group={group} -- \"$@\"");
    }
    command.args(["--", "sh", "-c"]);
    command.arg(format!("mount -t tmpfs -o size={SIZE},mode=0755 carillon \"$0\" && {then}"));
    command.arg(folder.path().join(DISK)).arg(std::env::current_exe().unwrap());
    command.args(["--exact", TEST, "--nocapture"]).env(STACK, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "needs util-linux, and the right to mount (CAP_SYS_ADMIN, or user namespaces): {said}"
    );
}
