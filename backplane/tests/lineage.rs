//! Does a log whose database is another than before get a new epoch, once, before its first number, and only then?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{Append, Appended, Log, LogConfig, Opened, Role, migrate};
use carillon_devstack::find;
use carillon_devstack::postgres::{Postgres, PostgresConfig};
use carillon_protocol::{Seq, Tag};
use database::{Database, append, tenant};
use std::collections::BTreeSet;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

impl Database {
    /// As if everything so far had been written in another lineage.
    async fn change_lineage(&self) {
        self.sql("UPDATE carillon.tenants SET lineage = '7:1'").await;
    }

    async fn open(&self, name: &str) -> Opened {
        self.gateway.open_tenant(&tenant(name), true).await.unwrap().unwrap()
    }

    /// Appends one event to each of these; their seqs and epochs.
    async fn append(&self, names: &[&str]) -> Vec<(u64, String)> {
        let batch: Vec<Append> = names.iter().enumerate().map(|(n, name)| event(name, n as u32)).collect();
        let done = self.publisher.append(&batch).await.unwrap();
        let stored = done.into_iter().map(|appended| match appended {
            Appended::Stored { seq, epoch, .. } => (seq.0, epoch.to_string()),
            other => panic!("{other:?}"),
        });
        stored.collect()
    }
}

fn event(name: &str, request: u32) -> Append {
    let mut event = append(name, request, "e", None);
    event.event.body = format!("{{\"id\":\"é\",\"n\":{request}}}");
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_the_first_number_in_another_lineage_is_given_in_a_new_epoch() {
    let database = Database::start().await;
    let before = [database.open("a").await, database.open("b").await];
    for _ in 0..5 {
        database.append(&["a", "b", "a"]).await;
    }
    assert_eq!(database.open("a").await.head.epoch, before[0].head.epoch, "nothing has changed");
    database.change_lineage().await;
    let after = database.append(&["b", "a", "b"]).await;
    assert_eq!(after.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [6, 11, 7], "no number is left out");
    for (opened, (name, (_, epoch), upto)) in before.iter().zip([("a", &after[1], 10), ("b", &after[0], 5)]) {
        let now = database.open(name).await;
        assert_eq!(now.head.epoch.as_str(), epoch);
        assert_ne!(now.head.epoch, opened.head.epoch);
        assert_eq!(now.epochs.good_up_to(&opened.head.epoch), Some(Seq(upto)), "{name}");
        assert!(now.writable);
    }
    assert_eq!(database.append(&["a"]).await[0].1, after[1].1, "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_many_who_come_first_in_another_lineage_agree_on_one_epoch() {
    let database = Database::start().await;
    database.open("a").await;
    database.append(&["a", "b"].map(|_| "a")).await;
    database.change_lineage().await;
    let racers: Vec<_> = (0..16)
        .map(|n| {
            let (publisher, gateway) = (database.publisher.clone(), database.gateway.clone());
            tokio::spawn(async move {
                if n % 2 == 0 {
                    return gateway.open_tenant(&tenant("a"), true).await.unwrap().unwrap().head.epoch;
                }
                match publisher.append(&[event("a", 0)]).await.unwrap().remove(0) {
                    Appended::Stored { epoch, .. } => epoch,
                    other => panic!("{other:?}"),
                }
            })
        })
        .collect();
    let mut epochs = BTreeSet::new();
    for racer in racers {
        epochs.insert(racer.await.unwrap());
    }
    assert_eq!(epochs.len(), 1);
    let head = database.open("a").await;
    assert_eq!((head.head.seq, database.count("SELECT count(*) FROM carillon.epochs").await), (Seq(10), 2));
    assert_eq!(database.count("SELECT max(began_after) FROM carillon.epochs").await, 2);
}

/// What an owner's DELETE and UPDATE leave: the row itself says that it was longer.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_head_that_was_set_back_begins_an_epoch_before_it_grows_again() {
    let database = Database::start().await;
    let before = database.open("a").await;
    database.append(&["a"; 10]).await;
    database.sql("DELETE FROM carillon.events WHERE seq > 5; UPDATE carillon.tenants SET head = 5").await;
    let [(seq, epoch)] = &database.append(&["a"]).await[..] else { panic!("one event") };
    let now = database.open("a").await;
    assert_eq!((*seq, epoch.as_str()), (6, now.head.epoch.as_str()));
    assert_eq!(now.epochs.good_up_to(&before.head.epoch), Some(Seq(5)));
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_an_epoch_ends_only_when_the_log_itself_shows_the_loss() {
    let database = Database::start().await;
    let before = database.open("a").await.head.epoch;
    database.append(&["a"; 10]).await;
    let head = database.open("a").await.head;
    let end = async |delivered: u64, seen: Option<Tag>| {
        let old = database.open("a").await.head.epoch;
        database.gateway.end_epoch(&tenant("a"), &old, Seq(delivered), seen).await.unwrap()
    };
    let (right, wrong) = (Tag::of(event("a", 9).event.body.as_bytes()), Tag::of(b"another"));
    assert_eq!(head.tag, right, "the database's tag is ours");
    assert!(!end(10, right).await && !end(10, None).await && !end(3, None).await);
    assert_eq!(database.open("a").await.head.epoch, before, "nothing was decided");
    // The event before the newest: its tag is computed from the log.
    assert!(!end(9, Tag::of(event("a", 8).event.body.as_bytes())).await);
    assert!(end(9, wrong).await);
    let first = database.open("a").await;
    assert_eq!(first.epochs.good_up_to(&before), Some(Seq::ZERO), "nobody knows where it began to differ");
    assert!(end(11, None).await, "shorter than what was delivered");
    let second = database.open("a").await;
    assert_ne!(second.head.epoch, first.head.epoch);
    assert!(database.gateway.end_epoch(&tenant("a"), &before, Seq(99), None).await.unwrap(), "over already");
    assert_eq!(database.open("a").await.head.epoch, second.head.epoch);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_gateways_that_notice_a_lost_end_agree_on_one_new_epoch() {
    let database = Database::start().await;
    let old = database.open("restored").await.head.epoch;
    let ends: Vec<_> = (0..8)
        .map(|_| {
            let (gateway, epoch) = (database.gateway.clone(), old.clone());
            tokio::spawn(async move {
                gateway.end_epoch(&tenant("restored"), &epoch, Seq(5), None).await.unwrap()
            })
        })
        .collect();
    for end in ends {
        assert!(end.await.unwrap());
    }
    assert_ne!(database.open("restored").await.head.epoch, old);
    assert_eq!(database.count("SELECT count(*) FROM carillon.epochs").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn i4_the_tag_before_a_batch_is_that_of_the_event_before_it() {
    let database = Database::start().await;
    database.open("a").await;
    let befores = async |count: u32| -> Vec<Option<Tag>> {
        let batch: Vec<Append> = (0..count).map(|n| event("a", n)).collect();
        let done = database.publisher.append(&batch).await.unwrap();
        let before = done.into_iter().map(|appended| match appended {
            Appended::Stored { before, .. } => before,
            other => panic!("{other:?}"),
        });
        before.collect()
    };
    let tag = |n| Tag::of(event("a", n).event.body.as_bytes());
    assert_eq!(befores(2).await, [None, None], "before the first there is nothing");
    assert_eq!(befores(3).await, [tag(1), None, None]);
    // A publisher of the release before counts up and sets no tag.
    database.sql("UPDATE carillon.tenants SET head = head + 1").await;
    assert_eq!(database.open("a").await.head.tag, None);
    assert_eq!(befores(1).await, [None]);
    assert_eq!(befores(1).await, [tag(0)]);
}

/// Where the provider hides what the lineage is made of, everything but this works.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_lineage_changes_nothing() {
    let database = Database::start().await;
    database.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC").await;
    let before = database.open("a").await.head.epoch;
    database.append(&["a"; 3]).await;
    database.sql("UPDATE carillon.tenants SET lineage = '7:1'").await;
    assert_eq!(database.append(&["a"]).await, [(4, before.to_string())]);
    assert_eq!(database.open("a").await.head.epoch, before);
    let owner = database.log(Role::Owner);
    assert_eq!(owner.rotate_epochs(Some(&tenant("a")), true).await.unwrap(), 1);
    let now = database.open("a").await;
    assert_eq!(now.epochs.good_up_to(&before), Some(Seq(4)));
    assert_eq!(database.append(&["a"]).await, [(5, now.head.epoch.to_string())]);
    // Once it may be read, it is taken as it is.
    database.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC").await;
    let later = database.log(Role::Publisher);
    database.sql("UPDATE carillon.tenants SET lineage = NULL").await;
    later.append(&[event("a", 0)]).await.unwrap();
    assert_eq!(database.open("a").await.head.epoch, now.head.epoch);
    assert_eq!(database.count("SELECT count(*) FROM carillon.tenants WHERE lineage LIKE '%:1'").await, 1);
}

/// Runs a program of Postgres; what it prints.
fn postgres_tool(name: &str, arguments: &[&str]) -> String {
    let output =
        Command::new(find::servers().unwrap().postgres_bin.join(name)).args(arguments).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A new database of this server, with what a dump has; its URL.
fn restored(server: &str, dump: &str) -> String {
    postgres_tool("psql", &[server, "-qXc", "CREATE DATABASE restored"]);
    let url = format!("{}/restored", server.rsplit_once('/').unwrap().0);
    postgres_tool("psql", &[&url, "-qX", "-v", "ON_ERROR_STOP=1", "-f", dump]);
    url
}

/// Of a dump in another server the database shows it. In the server that it came from nothing does, and OPERATIONS says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn i4_a_dump_in_another_server_begins_an_epoch_and_in_the_same_one_an_operator_does() {
    let database = Database::start().await;
    // With a password it is no copy of the one from which other tests' servers are made.
    let folder = tempfile::tempdir().unwrap();
    set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let mut config = PostgresConfig::throw_away(find::servers().unwrap().postgres_bin, folder.path());
    config.password = Some("secret".into());
    let elsewhere = Postgres::start(config).await.unwrap();
    let elsewhere_url = Postgres::url(elsewhere.port(), Some("secret"));
    // For the roles, which are a server's and in no dump of a database.
    migrate(&elsewhere_url).await.unwrap();

    let old = database.open("a").await.head.epoch;
    for _ in 0..5 {
        database.append(&["a"]).await;
    }
    let dumps = tempfile::tempdir().unwrap();
    let dump = dumps.path().join("dump.sql");
    let dump = dump.to_str().unwrap();
    postgres_tool("pg_dump", &[&database.url, "-f", dump]);
    // What is lost.
    for _ in 0..3 {
        database.append(&["a"]).await;
    }
    let append_to = async |url: &str| {
        let log = Log::connect(LogConfig { url: url.to_owned(), role: Role::Publisher }).unwrap();
        let done = log.append(&[event("a", 0)]).await.unwrap();
        let [Appended::Stored { seq, epoch, .. }] = done.as_slice() else { panic!("{done:?}") };
        let opened = log.open_tenant(&tenant("a"), false).await.unwrap().unwrap();
        (*seq, epoch.clone(), opened.epochs.good_up_to(&old))
    };
    let (seq, epoch, good) = append_to(&restored(&elsewhere_url, dump)).await;
    assert_eq!((seq, good), (Seq(6), Some(Seq(5))), "who saw the sixth event of the old epoch is reset");
    assert_ne!(epoch, old);

    let (seq, epoch, _) = append_to(&restored(&database.url, dump)).await;
    assert_eq!((seq, &epoch), (Seq(6), &old), "another sixth event in the same epoch");
    database.sql("DROP DATABASE restored WITH (FORCE)").await;
    let same = restored(&database.url, dump);
    let owner = Log::connect(LogConfig { url: same.clone(), role: Role::Owner }).unwrap();
    assert_eq!(owner.rotate_epochs(None, true).await, Ok(1));
    let (seq, epoch, good) = append_to(&same).await;
    assert_eq!((seq, good), (Seq(6), Some(Seq(5))));
    assert_ne!(epoch, old);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_ends_the_epochs_of_all() {
    let database = Database::start().await;
    let names: Vec<String> = (0..1_203).map(|n| format!("t{n}")).collect();
    let list = names.join(",");
    database
        .sql(&format!(
            "SELECT carillon.open_tenant(name, true) FROM unnest(string_to_array('{list}', ',')) AS name"
        ))
        .await;
    let before = [database.open("t0").await, database.open("t1202").await];
    let owner = database.log(Role::Owner);
    assert_eq!(owner.rotate_epochs(None, false).await.unwrap(), 1_203);
    for (name, before) in ["t0", "t1202"].into_iter().zip(&before) {
        let now = database.open(name).await;
        assert_eq!(now.epochs.good_up_to(&before.head.epoch), Some(Seq::ZERO));
        assert_ne!(now.head.epoch, before.head.epoch);
    }
    assert_eq!(owner.rotate_epochs(Some(&tenant("nobody")), false).await.unwrap(), 0);
    for _ in 0..120 {
        owner.rotate_epochs(Some(&tenant("t0")), true).await.unwrap();
    }
    let kept = database.count("SELECT count(*) FROM carillon.epochs WHERE tenant_id = 't0'").await;
    assert!(kept <= 101, "i10: {kept} epochs are remembered");
}
