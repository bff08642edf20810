use super::*;
use crate::wait;

fn shell(folder: &Path, script: &str) -> Spec {
    Spec {
        name: "child".into(),
        program: "/bin/sh".into(),
        args: vec!["-c".into(), script.into()],
        env: Vec::new(),
        log: folder.join("child.log"),
        folder: folder.into(),
        account: None,
        lifetime: Lifetime::Tied(Signal::KILL),
        stop: Signal::TERM,
        grace: Duration::from_secs(5),
    }
}

#[tokio::test]
async fn a_child_that_ends_too_early_shows_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(shell(folder.path(), "echo cannot bind; exit 3")).unwrap();
    let fault = process.ready(Duration::from_secs(5), || std::future::ready(false)).await.unwrap_err();
    assert!(fault.to_string().contains("cannot bind"), "{fault}");
    assert!(matches!(fault, ProcessError::Exited { status, .. } if status.code() == Some(3)));
}

#[tokio::test]
async fn killing_reaches_the_grandchildren() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(shell(folder.path(), "sleep 600 & echo $!; wait")).unwrap();
    let grandchild = wait::until("the grandchild", Duration::from_secs(5), || async {
        fs::read_to_string(process.log_path()).ok()?.trim().parse::<u32>().ok()
    })
    .await
    .unwrap();
    let identity = Identity::of(grandchild).unwrap();
    process.kill().unwrap();
    wait::until_true("the grandchild's end", Duration::from_secs(5), || !identity.is_alive()).await.unwrap();
    assert!(!process.is_running());
}

#[tokio::test]
async fn a_deaf_child_is_killed_after_its_grace_and_can_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let spec = Spec {
        grace: Duration::from_millis(200),
        ..shell(folder.path(), "trap '' TERM; echo up; sleep 600")
    };
    let process = Process::start(spec).unwrap();
    process
        .ready(Duration::from_secs(5), || std::future::ready(process.log_tail().contains("up")))
        .await
        .unwrap();
    let first = process.pid();
    let status = process.terminate().await.unwrap();
    assert_eq!(status.code(), None, "ended by a signal");
    process.restart().unwrap();
    assert!(process.is_running());
    assert_ne!(process.pid(), first);
}

#[tokio::test]
async fn a_frozen_child_does_nothing_until_it_is_thawed() {
    let folder = tempfile::tempdir().unwrap();
    let script = "while :; do echo tick; sleep 0.01; done";
    let process = Process::start(shell(folder.path(), script)).unwrap();
    let length = || fs::metadata(process.log_path()).map_or(0, |meta| meta.len());
    wait::until_true("ticks", Duration::from_secs(5), || length() > 0).await.unwrap();
    process.freeze().unwrap();
    let state =
        || fs::read_to_string(format!("/proc/{}/stat", process.pid())).unwrap_or_default().contains(") T ");
    wait::until_true("the freeze", Duration::from_secs(5), state).await.unwrap();
    let frozen = length();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(length(), frozen);
    process.thaw().unwrap();
    wait::until_true("more ticks", Duration::from_secs(5), || length() > frozen).await.unwrap();
}

#[tokio::test]
async fn a_dropped_handle_takes_its_child_along() {
    let folder = tempfile::tempdir().unwrap();
    let process = Process::start(shell(folder.path(), "sleep 600")).unwrap();
    let identity = process.identity().unwrap();
    drop(process);
    assert!(!identity.is_alive());
}

/// The test starts itself once more as the supervisor (a file in its working folder tells it so), lets that
/// one start a child, kills it without warning and expects the child to die too.
#[tokio::test]
async fn children_die_with_a_supervisor_that_was_killed() {
    const ROLE: &str = "be-the-supervisor";
    const NOTE: &str = "sleeper.pid";
    if Path::new(ROLE).exists() {
        let sleeper = Process::start(shell(Path::new("."), "exec sleep 600")).unwrap();
        fs::write(NOTE, sleeper.pid().to_string()).unwrap();
        return std::future::pending().await;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(ROLE), "").unwrap();
    let supervisor = Process::start(Spec {
        program: std::env::current_exe().unwrap(),
        args: vec!["children_die_with_a_supervisor_that_was_killed".into()],
        log: folder.path().join("supervisor.log"),
        ..shell(folder.path(), "")
    })
    .unwrap();
    let sleeper = wait::until("the sleeper's note", Duration::from_secs(10), || async {
        fs::read_to_string(folder.path().join(NOTE)).ok()?.parse::<u32>().ok().and_then(Identity::of)
    })
    .await
    .unwrap();
    signal(supervisor.pid(), Signal::KILL).unwrap();
    wait::until_true("the sleeper's end", Duration::from_secs(5), || !sleeper.is_alive()).await.unwrap();
}
