//! A batch was refused by the database, and the log goes away between its two halves: is the second one still sent?
//!
//! On one thread: both requests are in one batch, and nothing comes between the answer to the first half and the look at the log's
//! health before the second.

use crate::harness::Database;
use carillon_backplane::log::{Append, Role};
use carillon_platform::telemetry::Traces;
use carillon_protocol::envelope::Batch;
use carillon_protocol::event::NewEvent;
use carillon_protocol::{Channel, EventId, TenantId};
use carillon_publisher::batcher::{Batcher, NotAppended, Publisher};
use carillon_publisher::health::Health;
use carillon_publisher::limits::NoticesTaken;
use carillon_publisher::metrics::Metrics;
use carillon_publisher::worker::Activation;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The first statement is refused, the second ends its session, and every further one would be stored.
const FAILS: &str = "CREATE SEQUENCE public.statements;
    CREATE FUNCTION public.fails() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
    BEGIN
        CASE nextval('public.statements')
            WHEN 1 THEN RAISE EXCEPTION 'refused';
            WHEN 2 THEN PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(10);
            ELSE NULL;
        END CASE;
        RETURN NEW;
    END $$;
    CREATE TRIGGER fails BEFORE INSERT ON carillon.events FOR EACH ROW EXECUTE FUNCTION public.fails()";

fn append(id: &str) -> Vec<Append> {
    let event = NewEvent {
        id: EventId::new(id).unwrap(),
        kind: "t".into(),
        source: "s".into(),
        subject: None,
        actor: None,
        priority: None,
        channels: vec![Channel::tenant()],
        time: "2026-12-01T00:00:00Z".into(),
        body: "{}".into(),
        traceparent: None,
        latest: None,
        notice: None,
    };
    vec![Append { tenant: TenantId::new("halves").unwrap(), request: 0, event, key: None, except: None }]
}

#[tokio::test]
async fn when_the_log_goes_away_between_two_halves_of_a_batch_the_second_is_refused_without_a_statement() {
    let database = Database::own().await;
    database.sql("SELECT carillon.open_tenant('halves', true)");
    database.sql(FAILS);
    let (log, metrics) = (database.log(Role::Publisher), Arc::new(Metrics::new()));
    let health = Health::new(log.clone(), Activation::default(), CancellationToken::new());
    let batcher = Batcher::start(log, health.clone(), Arc::new(|_: Batch| {}), metrics, &Traces::default());
    let (intake, publisher) = (batcher.intake(), Publisher { name: "key:k".into(), several_tenants: false });
    let (first, second) = tokio::join!(
        intake.append(append("first"), &publisher, None, NoticesTaken::default()),
        intake.append(append("second"), &publisher, None, NoticesTaken::default()),
    );
    assert_eq!((first, second), (Err(NotAppended::Unavailable), Err(NotAppended::Unavailable)));
    let statements = || database.sql("SELECT last_value FROM public.statements");
    assert_eq!(statements(), "2", "of the batch, and of its first half");
    // As soon as the log is there again it is written to: a third statement would have been stored.
    let deadline = Instant::now() + Duration::from_secs(20);
    while health.check_writing().is_err() {
        assert!(Instant::now() < deadline, "{:?}", health.check_writing());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(intake.append(append("third"), &publisher, None, NoticesTaken::default()).await.is_ok());
    assert_eq!(statements(), "3");
    assert_eq!(database.sql("SELECT string_agg(id, ',') FROM carillon.events"), "third");
    assert!(batcher.stop(Duration::from_secs(5)).await);
}
