//! A system whose days get old, and its archive.

#![allow(unreachable_pub, reason = "a part of one test")]

use crate::faults::probe::sql;
use crate::faults::{PATIENCE, Scene};
use carillon_devstack::find;
use carillon_devstack::stack::StackConfig;
use carillon_devstack::wait;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

/// Days that events stay.
const KEEP: u32 = 3;

/// What `archive restore` is to write, of all that was put into old days.
const LINES: &str = r#"
SELECT '{"seq":' || seq || ',"tenant":"' || tenant_id || '","at":"' || to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
    || '","channels":' || array_to_json(channels) || coalesce(',"traceparent":' || to_json(traceparent)::text, '')
    || ',"event":' || body || '}'
FROM public.kept ORDER BY at::date, tenant_id COLLATE "C", seq"#;

/// A server that speaks S3, and what it wants to know: `make archive-s3` names it for the tests that need no directory.
const S3: &str = "CARILLON_TEST_S3_ENDPOINT";

/// A system with an archive.
pub struct ArchiveSystem {
    pub scene: Scene,
    /// Where it is, if it is a directory.
    pub archive: PathBuf,
    /// The variables that name it.
    place: Vec<(String, String)>,
    _folder: TempDir,
}

impl ArchiveSystem {
    /// Its archive is a directory.
    pub async fn start(publishers: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let archive = folder.path().join("archive");
        std::fs::create_dir(&archive).unwrap();
        let place = vec![("CARILLON_ARCHIVE_URL".to_owned(), url(&archive))];
        Self::start_with(publishers, folder, archive, place).await
    }

    /// Its archive is in a bucket, where there is a server for it, else a directory.
    pub async fn start_anywhere(publishers: u16) -> Self {
        let Ok(endpoint) = std::env::var(S3) else { return Self::start(publishers).await };
        let folder = tempfile::tempdir().unwrap();
        let bucket = format!("carillon-{}", uuid::Uuid::new_v4().simple());
        // The server asks for no signature here.
        let made = crate::faults::probe::client().put(format!("{endpoint}/{bucket}")).send().await.unwrap();
        assert!(made.status().is_success(), "{made:?}");
        let place = [
            ("CARILLON_ARCHIVE_URL", format!("s3://{bucket}/some/prefix")),
            ("AWS_ENDPOINT_URL", endpoint),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "test".to_owned()),
        ];
        let place = place.map(|(name, value)| (name.to_owned(), value)).to_vec();
        Self::start_with(publishers, folder, PathBuf::new(), place).await
    }

    async fn start_with(
        publishers: u16,
        folder: TempDir,
        archive: PathBuf,
        place: Vec<(String, String)>,
    ) -> Self {
        let mut config = StackConfig { publishers, gateways: 1, ..StackConfig::default() }
            .publisher_var("CARILLON_RETENTION_DAYS", KEEP);
        config.publisher_env.extend(place.iter().cloned());
        let scene = Scene::start(config).await;
        sql(&scene.stack, "CREATE TABLE public.kept AS SELECT * FROM carillon.events WITH NO DATA").await;
        // It has said that there is an archive: from now on nothing goes that is not in it.
        let wanted = "SELECT wanted FROM carillon.archive";
        let said = || async { (sql(&scene.stack, wanted).await == "t").then_some(()) };
        wait::until("a publisher saying that it has an archive", PATIENCE, said).await.unwrap();
        Self { scene, archive, place, _folder: folder }
    }

    /// Lets a day so long ago have had events of these tenants, so many of each; and keeps beside what they were.
    pub async fn old_day(&self, days_ago: u32, tenants: &[&str], events: u32) {
        let names = tenants.iter().map(|name| format!("'{name}'")).collect::<Vec<_>>().join(",");
        let text = format!(
            r#"SET timezone = 'UTC';
            BEGIN;
            DO $$ DECLARE day date := (now() AT TIME ZONE 'UTC')::date - {days_ago}; BEGIN
                EXECUTE format('CREATE TABLE carillon.events_%s PARTITION OF carillon.events FOR VALUES FROM (%L) TO (%L)',
                    to_char(day, 'YYYYMMDD'), day::timestamptz, (day + 1)::timestamptz);
            END $$;
            INSERT INTO carillon.tenants (id, epoch, head)
                SELECT name, 'epoch-of-' || name, 0 FROM unnest(ARRAY[{names}]) AS name ON CONFLICT DO NOTHING;
            WITH made AS (
                INSERT INTO carillon.events (tenant_id, seq, at, id, type, source, channels, time, body, traceparent)
                SELECT t.id, t.head + n, day + n * interval '1 ms', 'e' || t.head + n, 'order.paid', '/shop',
                    CASE n % 3 WHEN 0 THEN ARRAY['tenant'] WHEN 1 THEN ARRAY['user:Zoë "Z" \O', 'order:7'] ELSE ARRAY['role:a,b'] END,
                    day, json_build_object('specversion', '1.0', 'id', 'e' || t.head + n, 'type', 'order.paid', 'source', '/shop',
                        'data', json_build_object('n', n, 'note', E'line\nbreak é 😀', 'more', repeat('x', (n % 50)::int)))::text,
                    CASE WHEN n % 2 = 0 THEN '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' END
                FROM carillon.tenants t, generate_series(1, {events}) AS n,
                    (SELECT ((now() AT TIME ZONE 'UTC')::date - {days_ago})::timestamptz AS day) AS d
                WHERE t.id IN ({names})
                RETURNING *
            ) INSERT INTO public.kept SELECT * FROM made;
            UPDATE carillon.tenants SET head = head + {events}, tag = 0, tag_seq = 0 WHERE id IN ({names});
            COMMIT;"#
        );
        sql(&self.scene.stack, &text).await;
    }

    /// The database comes back as it was before that day went.
    pub async fn log_is_as_before(&self, days_ago: i64) {
        let (of, part) = (day(days_ago), day(days_ago).replace('-', ""));
        let text = format!(
            "SET timezone = 'UTC'; BEGIN; CREATE TABLE carillon.events_{part} PARTITION OF carillon.events
                FOR VALUES FROM ('{of}') TO ('{of}'::date + 1); INSERT INTO carillon.events SELECT * FROM public.kept; COMMIT"
        );
        sql(&self.scene.stack, &text).await;
    }

    /// Partitions past retention.
    pub async fn due(&self) -> usize {
        let due = format!("SELECT count(*) FROM carillon.due_partitions({KEEP})");
        sql(&self.scene.stack, &due).await.parse().unwrap()
    }

    /// Waits until retention has dropped all that is due.
    pub async fn all_dropped(&self) {
        let gone = || async { (self.due().await == 0).then_some(()) };
        if let Err(timeout) = wait::until("the partitions past retention going", PATIENCE, gone).await {
            let state = sql(&self.scene.stack, "SELECT * FROM carillon.archive, carillon.archive_days").await;
            panic!("{timeout}; {state}");
        }
    }

    /// What the archive is to have.
    pub async fn lines(&self) -> String {
        sql(&self.scene.stack, LINES).await
    }

    /// Runs `carillon-publisher archive …`.
    pub async fn archive(&self, args: &[&str]) -> Output {
        let mut command = tokio::process::Command::new(find::own_binary("carillon-publisher").unwrap());
        command.env("DATABASE_URL", self.scene.stack.database_url());
        command.arg("archive").args(args).envs(self.place.iter().cloned()).output().await.unwrap()
    }

    /// Everything is there, whole, and comes back as it was.
    pub async fn assert_whole(&self) {
        let verified = self.archive(&["verify"]).await;
        assert!(verified.status.success(), "{verified:?}");
        let restored = self.archive(&["restore"]).await;
        assert!(restored.status.success(), "{}", String::from_utf8_lossy(&restored.stderr));
        let (is, was) = (String::from_utf8(restored.stdout).unwrap(), self.lines().await);
        let differs = is.lines().zip(was.lines()).find(|(is, was)| is != was);
        assert_eq!(differs, None);
        assert_eq!(is.lines().count(), was.lines().count());
    }

    /// Publishing goes on.
    pub async fn publishes(&self) {
        self.scene.publish(5).await;
    }

    /// Why the archive is not as it should be, as health says.
    pub async fn reasons(&self) -> Vec<Value> {
        let health = crate::faults::probe::get(&self.scene.stack, "/v1/health/events").await;
        health["reasons"].as_array().unwrap().clone()
    }
}

pub fn url(directory: &Path) -> String {
    format!("file://{}", directory.display())
}

pub fn day(days_ago: i64) -> String {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    today.checked_sub(jiff::Span::new().days(days_ago)).unwrap().to_string()
}
