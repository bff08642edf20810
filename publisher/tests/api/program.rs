//! Does the program itself behave: commands, exit codes, serving over TCP, the graceful stop?

use crate::harness::{Database, SECRET};
use carillon_backplane::log::Role;
use carillon_protocol::TenantId;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_carillon-publisher");

fn command(args: &[&str], env: &[(&str, &str)]) -> Command {
    let mut command = Command::new(PROGRAM);
    command.args(args).env_clear().envs(env.iter().copied());
    command
}

fn run(args: &[&str], env: &[(&str, &str)]) -> Output {
    command(args, env).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

fn free_address() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// One request on a connection of its own; the status and the JSON.
fn http(address: SocketAddr, request: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let status = answer.get(9..12)?.parse().ok()?;
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    Some((status, serde_json::from_str(body).unwrap_or(Value::Null)))
}

fn post(address: SocketAddr, key: &str, event: &Value) -> Option<(u16, Value)> {
    let body = event.to_string();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {key}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    http(address, &(head + &body))
}

struct Served {
    child: Child,
    listen: SocketAddr,
    ops: SocketAddr,
}

impl Served {
    fn start(database: &str) -> Self {
        let (listen, ops) = (free_address(), free_address());
        let env = [
            ("DATABASE_URL", database),
            // Nothing listens there: the service is degraded, not unready.
            ("REDIS_URL", "redis://127.0.0.1:1"),
            ("CARILLON_JWT_SECRET", SECRET),
            ("CARILLON_LISTEN", &listen.to_string()),
            ("CARILLON_OPS_LISTEN", &ops.to_string()),
        ];
        let child = command(&["serve"], &env).stderr(Stdio::null()).spawn().unwrap();
        let served = Self { child, listen, ops };
        let deadline = Instant::now() + Duration::from_secs(20);
        while served.ready().is_none_or(|(status, _)| status != 200) {
            assert!(Instant::now() < deadline, "not ready: {:?}", served.ready());
            std::thread::sleep(Duration::from_millis(30));
        }
        served
    }

    fn ready(&self) -> Option<(u16, Value)> {
        http(self.ops, "GET /readyz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn wrong_configuration_is_exit_code_64_and_one_line() {
    for (args, env) in [
        (vec!["serve"], vec![]),
        (
            vec!["serve"],
            vec![("DATABASE_URL", "mysql://x"), ("REDIS_URL", "redis://x"), ("CARILLON_JWT_SECRET", SECRET)],
        ),
        (vec!["migrate"], vec![]),
        (
            vec!["api-key", "create", "--tenant", "BAD", "--scope", "read"],
            vec![("DATABASE_URL", "postgres://127.0.0.1/x")],
        ),
        (vec!["token", "--tenant", "a", "--user", "u"], vec![]),
    ] {
        let output = run(&args, &env);
        assert_eq!(output.status.code(), Some(64), "{args:?} {}", text(&output.stderr));
        assert_eq!(text(&output.stderr).lines().count(), 1, "{}", text(&output.stderr));
    }
    for args in [
        &["nothing"][..],
        &["api-key", "create", "--scope", "read"],
        &["api-key", "create", "--tenant", "a", "--all-tenants", "--scope", "read"],
    ] {
        assert_eq!(run(args, &[]).status.code(), Some(64), "{args:?}");
    }
    let shown = run(&["config"], &[("DATABASE_URL", "postgres://u:hunter2@h/x")]);
    assert!(shown.status.success() && text(&shown.stdout).contains("CARILLON_RETENTION_DAYS"));
    assert!(!text(&shown.stdout).contains("hunter2"));
}

/// What a command prints, one JSON object a line.
fn lines(args: &[&str], env: &[(&str, &str)]) -> Vec<Value> {
    let output = run(args, env);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_listed_and_rotated_tenants_suspended_and_who_did_it_is_listed() {
    let database = Database::shared().await;
    let env = [("DATABASE_URL", database.url.as_str())];
    let of = ["--tenant", "prog-admin"];
    let made =
        lines(&[&["api-key", "create", "--scope", "read", "--json"][..], &of].concat(), &env).remove(0);
    let id = made["id"].as_str().unwrap();
    let rotate = ["api-key", "rotate", id, "--overlap-seconds", "60", "--json"];
    let next = lines(&rotate, &env).remove(0);
    assert_eq!((&next["replaces"], &next["tenant"]), (&json!(id), &json!("prog-admin")));
    assert!(next["key"].as_str().unwrap().starts_with("crln_"), "{next}");
    let listed = lines(&[&["api-key", "list"][..], &of].concat(), &env);
    assert_eq!(listed.len(), 2, "{listed:?}");
    let old = listed.iter().find(|key| key["id"] == id).unwrap();
    assert_eq!(old["replaced_by"], next["id"]);
    assert!(old["expires_at"].is_string() && old["revoked_at"].is_null() && old["key"].is_null(), "{old}");
    let ended = run(&["api-key", "revoke", id], &env);
    assert!(ended.status.success());
    assert_eq!(run(&["api-key", "rotate", id], &env).status.code(), Some(64), "it has ended");
    assert_eq!(run(&["tenants", "suspend", "prog-admin"], &env).status.code(), Some(64), "it has no log");
    database.log(Role::Publisher).open_tenant(&TenantId::new("prog-admin").unwrap(), true).await.unwrap();
    for (what, is_so) in [("suspend", "true"), ("suspend", "true"), ("resume", "false")] {
        assert!(run(&["tenants", what, "prog-admin"], &env).status.success(), "{what}");
        let suspended = "select suspended from carillon.tenant_limits where tenant_id = 'prog-admin'";
        assert_eq!(database.sql(suspended), is_so[..1]);
    }
    let audit = |more: &[&str]| lines(&[&["audit"][..], &of, more].concat(), &env);
    let actions: Vec<_> =
        audit(&[]).iter().map(|entry| entry["action"].as_str().unwrap().to_owned()).collect();
    let expected =
        ["suspension.changed", "suspension.created", "api_key.changed", "api_key.changed", "api_key.created"];
    assert_eq!(actions, expected);
    let newest = audit(&["--limit", "1"]).remove(0);
    assert!(newest["actor"].as_str().unwrap().starts_with("login:"), "{newest}");
    assert_eq!(newest["after"], json!({"suspended": false}));
    let (at, before) = (newest["at"].as_str().unwrap(), newest["id"].to_string());
    let counts = [
        (vec!["--action", "suspension"], 2),
        (vec!["--action", "suspension.created"], 1),
        (vec!["--target", id], 3),
        (vec!["--actor", "user:nobody"], 0),
        (vec!["--from", at], 1),
        (vec!["--to", at], 4),
        (vec!["--before", &before], 4),
    ];
    for (more, count) in counts {
        assert_eq!(audit(&more).len(), count, "{more:?}");
    }
    let wrong = run(&["audit", "--tenant", "prog-admin", "--from", "noon"], &env);
    assert_eq!(wrong.status.code(), Some(64));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_migrates_makes_keys_serves_and_stops_in_order() {
    let database = Database::shared().await;
    let env = [("DATABASE_URL", database.url.as_str())];
    assert!(run(&["migrate"], &env).status.success(), "again is nothing to do");
    let made = run(&["api-key", "create", "--tenant", "prog", "--scope", "publish,read", "--json"], &env);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    assert_eq!((&made["tenant"], &made["scopes"]), (&json!("prog"), &json!(["publish", "read"])));
    let key = made["key"].as_str().unwrap();

    let mut served = Served::start(&database.url);
    let (_, ready) = served.ready().unwrap();
    assert_eq!((&ready["status"], &ready["reasons"][0]["code"]), (&json!("degraded"), &json!("redis")));
    let ops = served.ops.to_string();
    assert!(run(&["healthcheck"], &[("CARILLON_OPS_LISTEN", &ops)]).status.success());
    let event = json!({"type": "t", "channels": ["c"]});
    assert_eq!(post(served.listen, key, &event).unwrap().1["seq"], 1, "Redis is not needed to publish");
    assert!(run(&["api-key", "revoke", made["id"].as_str().unwrap()], &env).status.success());
    assert_eq!(run(&["api-key", "revoke", "nobody"], &env).status.code(), Some(64));

    // A request under way when the stop is asked for is still answered.
    let mut slow = TcpStream::connect(served.listen).unwrap();
    let body = event.to_string();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).unwrap();
    slow.write_all(&body.as_bytes()[..5]).unwrap();
    std::thread::sleep(Duration::from_millis(200));
    let pid = served.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    // Until balancers know, it still answers; nobody may keep the connection for a next request.
    let deadline = Instant::now() + Duration::from_secs(10);
    while served.ready().unwrap().0 != 503 {
        assert!(Instant::now() < deadline, "still ready");
    }
    assert_eq!(served.ready().unwrap().1["reasons"][0]["code"], "draining");
    let mut last = TcpStream::connect(served.listen).unwrap();
    last.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    last.write_all(format!("{head}{body}").as_bytes()).unwrap();
    let mut answer = String::new();
    last.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201") && answer.contains("connection: close"), "{answer}");
    while TcpStream::connect(served.listen).is_ok() {
        assert!(Instant::now() < deadline, "still accepts");
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.write_all(&body.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    slow.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert_eq!(served.child.wait().unwrap().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_send_nonsense_or_too_much_see_an_answer() {
    let database = Database::shared().await;
    let served = Served::start(&database.url);
    assert_eq!(http(served.listen, "NONSENSE\r\n\r\n").unwrap().0, 400);
    let large = " ".repeat(3 * 1024 * 1024);
    let request = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{large}",
        large.len()
    );
    let (status, problem) = http(served.listen, &request).unwrap();
    assert_eq!(
        (status, problem["code"].as_str()),
        (401, Some("credentials_missing")),
        "not a reset connection"
    );
}
