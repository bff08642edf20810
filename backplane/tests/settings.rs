//! Do settings move their version with every write, and does everybody see their own alone?

#![expect(clippy::unwrap_used, reason = "a test panics on what it does not expect")]

mod database;

use carillon_backplane::log::{LogError, Owner, RuleChange, StoredApplication};
use carillon_protocol::SettingsVersion;
use database::{Database, tenant};

const RULE: RuleChange<'static> = RuleChange::Put(r#"{"subscribe": ["anyone"]}"#);

fn owner(name: &str) -> Owner {
    Owner::Tenant(tenant(name))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_moves_the_version_that_the_watch_reads_with_the_heads() {
    let database = Database::start().await;
    let log = &database.publisher;
    let (one, two) = (tenant("one"), tenant("two"));
    for tenant in [&one, &two] {
        log.open_tenant(tenant, true).await.unwrap();
    }
    let watched = async || -> Vec<SettingsVersion> {
        let mut found = database.gateway.heads(&[one.clone(), two.clone()]).await.unwrap();
        found.sort_by(|one, two| one.head.tenant.cmp(&two.head.tenant));
        found.into_iter().map(|watched| watched.settings).collect()
    };
    assert_eq!(watched().await, [SettingsVersion::default(); 2]);
    assert!(log.change_rule(&owner("one"), 0, "order:*", RULE).await.unwrap());
    let [first, untouched] = watched().await[..] else { panic!() };
    assert!(first.tenant > 0 && first.defaults == 0 && untouched == SettingsVersion::default());
    // Who has read an older version changes nothing.
    assert!(!log.change_rule(&owner("one"), 0, "order:*", RuleChange::Delete).await.unwrap());
    assert_eq!(watched().await[0], first);
    assert!(log.change_rule(&owner("one"), first.tenant, "order:*", RuleChange::Delete).await.unwrap());
    assert!(watched().await[0].tenant > first.tenant);
    assert!(log.change_rule(&Owner::Installation, 0, "*", RULE).await.unwrap());
    let now = watched().await;
    assert!(now[0].defaults > 0 && now[0].defaults == now[1].defaults, "what holds for all moves for all");
    // A database that was set back and goes on from there gives no version twice.
    let last = now[0].tenant;
    database.sql("UPDATE carillon.tenants SET settings_version = 3 WHERE id = 'one'").await;
    assert!(log.change_rule(&owner("one"), 3, "order:*", RULE).await.unwrap());
    assert!(watched().await[0].tenant > last);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_settings_are_seen_by_their_tenant_alone_and_the_installations_by_all() {
    let database = Database::start().await;
    let log = &database.publisher;
    for name in ["one", "two"] {
        log.open_tenant(&tenant(name), true).await.unwrap();
        assert!(log.change_rule(&owner(name), 0, &format!("{name}:*"), RULE).await.unwrap());
    }
    assert!(log.change_rule(&Owner::Installation, 0, "*", RULE).await.unwrap());
    let patterns = |rules: &[carillon_backplane::log::StoredRule]| -> Vec<String> {
        rules.iter().map(|rule| rule.pattern.clone()).collect()
    };
    let (defaults, found) =
        database.gateway.settings(&[(tenant("one"), 0), (tenant("nobody"), 0)]).await.unwrap();
    assert_eq!(patterns(&defaults.rules), ["*"]);
    let found: Vec<_> = found.iter().map(|(tenant, own)| (tenant.as_str(), patterns(&own.rules))).collect();
    assert_eq!(found, [("one", vec!["one:*".to_owned()])]);
    assert_eq!(log.settings_of(&owner("nobody")).await.unwrap(), None);
    assert!(!log.change_rule(&owner("nobody"), 0, "a", RULE).await.unwrap());
    // A gateway reads and changes nothing; a session without a scope sees nothing.
    let refused = database.gateway.change_rule(&owner("one"), 0, "a", RULE).await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
    for role in ["carillon_gateway", "carillon_publisher"] {
        database.sql(&format!("SET ROLE {role}")).await;
        for table in ["channel_rules", "installation"] {
            let seen = database.count(&format!("SELECT count(*) FROM carillon.{table}")).await;
            assert_eq!(seen, 0, "{role} sees {table}");
        }
        database.sql("RESET ROLE").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_writes_at_the_same_time_one_moves_the_version_that_all_of_them_had_read() {
    let database = Database::start().await;
    let log = &database.publisher;
    log.open_tenant(&tenant("busy"), true).await.unwrap();
    let (owner, names) = (owner("busy"), (0..6).map(|n| format!("c{n}")).collect::<Vec<_>>());
    let writes = names.iter().map(|name| log.change_rule(&owner, 0, name, RULE));
    let written = futures_util::future::join_all(writes).await;
    assert_eq!(written.into_iter().filter(|one| *one.as_ref().unwrap()).count(), 1);
    assert_eq!(log.settings_of(&owner).await.unwrap().unwrap().rules.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn i5_an_application_is_set_moves_the_version_and_is_seen_by_its_tenant_alone() {
    let database = Database::start().await;
    let log = &database.publisher;
    for name in ["one", "two"] {
        log.open_tenant(&tenant(name), true).await.unwrap();
    }
    let application = StoredApplication {
        url: "https://app.example/?key=hidden".into(),
        secret: "whsec_a".into(),
        before: Some(("whsec_b".into(), 4_000_000_000)),
        generation: 0,
    };
    assert!(!format!("{application:?}").contains("whsec_") && !format!("{application:?}").contains("hidden"));
    assert!(log.set_application(&tenant("one"), 0, Some(&application)).await.unwrap());
    assert!(!log.set_application(&tenant("one"), 0, None).await.unwrap(), "of an older version");
    assert!(!log.set_application(&tenant("nobody"), 0, None).await.unwrap());
    let (_, found) = database.gateway.settings(&[(tenant("one"), 0), (tenant("two"), 0)]).await.unwrap();
    let of = |name: &str| found.iter().find(|(own, _)| own.as_str() == name).unwrap().1.clone();
    let one = of("one");
    let expected = StoredApplication { generation: one.version, ..application };
    assert_eq!((one.application.as_ref(), of("two").application), (Some(&expected), None));
    // A rule moves the version and leaves the application's generation.
    assert!(log.change_rule(&owner("one"), one.version, "order:*", RULE).await.unwrap());
    let later = log.settings_of(&owner("one")).await.unwrap().unwrap();
    assert!(later.version > one.version && later.application.as_ref() == Some(&expected));
    assert!(log.set_application(&tenant("one"), later.version, None).await.unwrap());
    assert_eq!(log.settings_of(&owner("one")).await.unwrap().unwrap().application, None);
    let refused = database.gateway.set_application(&tenant("one"), 0, None).await;
    assert!(matches!(refused, Err(LogError::Database(_))), "{refused:?}");
    for role in ["carillon_gateway", "carillon_publisher"] {
        database.sql(&format!("SET ROLE {role}")).await;
        assert_eq!(database.count("SELECT count(*) FROM carillon.tenant_settings").await, 0, "{role}");
        database.sql("RESET ROLE").await;
    }
}
