//! Does the command line keep its promises to somebody who uses it for the first time?
//!
//! The real `carillon`, as a person calls it: up, status, kill, up again, down, and against "any installation".

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use carillon_devstack::authority::Authority;
use carillon_devstack::find;
use carillon_devstack::ports;
use carillon_devstack::process::{Identity, Signal, signal};
use carillon_devstack::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(60);

/// One `carillon` in a data folder of its own; the stack ends with it.
struct Machine {
    data: tempfile::TempDir,
}

impl Machine {
    fn new() -> Self {
        Self { data: tempfile::tempdir().unwrap() }
    }

    async fn carillon(&self, words: &[&str]) -> Output {
        carillon(self.data.path(), words).await
    }

    /// Runs it, expects success, and reads the JSON it prints.
    async fn json(&self, words: &[&str]) -> (Value, String) {
        let output = self.carillon(words).await;
        assert!(output.status.success(), "{words:?}: {}", told(&output));
        (serde_json::from_slice(&output.stdout).unwrap(), told(&output))
    }

    async fn up(&self, more: &[&str]) -> (Value, String) {
        self.json(&[&["up", "--detach", "--json"], more].concat()).await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let program = find::own_binary("carillon").unwrap();
        let mut down = std::process::Command::new(program);
        down.arg("--data").arg(self.data.path()).arg("down").stderr(Stdio::null());
        assert!(down.status().unwrap().success() || std::thread::panicking(), "the stack did not stop");
    }
}

async fn carillon(data: &Path, words: &[&str]) -> Output {
    let program = find::own_binary("carillon").unwrap();
    let mut command = Command::new(program);
    command.arg("--data").arg(data).args(words).stdin(Stdio::null()).kill_on_drop(true);
    tokio::time::timeout(2 * PATIENCE, command.output()).await.unwrap().unwrap()
}

/// What it said on stderr.
fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Kills a process of the stack and waits until it is gone.
async fn kill(info: &Value, name: &str) {
    let identity = Identity::of(info["pids"][name].as_u64().unwrap() as u32).unwrap();
    signal(identity.pid, Signal::KILL).unwrap();
    wait::until_true(format!("the end of {name}"), PATIENCE, || !identity.is_alive()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_killed_comes_back_in_its_place_and_nothing_else_moves() {
    let machine = Machine::new();
    let (first, _) = machine.up(&["--no-demo"]).await;
    for name in ["gateway-1", "haproxy", "publisher"] {
        kill(&first, name).await;
    }
    let status = machine.carillon(&["status"]).await;
    assert!(!status.status.success() && told(&status).contains("carillon up"), "{}", told(&status));
    let (second, heard) = machine.up(&["--no-demo"]).await;
    assert!(heard.contains("gateway-1 is gone, starting it again"), "{heard}");
    for (name, pid) in first["pids"].as_object().unwrap() {
        let back = ["gateway-1", "haproxy", "publisher"].contains(&name.as_str());
        assert_eq!(second["pids"][name] != *pid, back, "{name}: {pid} and {}", second["pids"][name]);
    }
    for place in ["lb", "gateways", "publisher", "ops", "database_url", "redis_url", "jwt_secret", "api_key"]
    {
        assert_eq!(second[place], first[place], "{place}");
    }
    let (status, _) = machine.json(&["status", "--json"]).await;
    assert_eq!(status["healthy"], true, "{status}");
    for (place, value) in second.as_object().unwrap() {
        assert_eq!(&status[place], value, "status --json has what up --json has: {place}");
    }
    let refused = machine.carillon(&["up", "--detach"]).await;
    assert!(!refused.status.success() && told(&refused).contains("already runs"), "{}", told(&refused));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_with_a_supervisor_gets_back_what_it_lost_from_its_supervisor() {
    let machine = Machine::new();
    let mut supervisor = Command::new(find::own_binary("carillon").unwrap())
        .arg("--data")
        .arg(machine.data.path())
        .args(["up", "--json", "--no-demo", "--gateways", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(supervisor.stdout.take().unwrap());
    tokio::time::timeout(2 * PATIENCE, stdout.read_line(&mut line)).await.unwrap().unwrap();
    let first: Value = serde_json::from_str(&line).unwrap();
    for name in ["gateway-1", "redis"] {
        kill(&first, name).await;
    }
    let (second, heard) = machine.json(&["up", "--json"]).await;
    assert!(heard.contains("gateway-1 is gone"), "{heard}");
    for (name, pid) in first["pids"].as_object().unwrap() {
        let back = ["gateway-1", "redis"].contains(&name.as_str());
        assert_eq!(second["pids"][name] != *pid, back, "{name}");
    }
    assert_eq!((&second["lb"], &second["gateways"]), (&first["lb"], &first["gateways"]));
    let (status, _) = machine.json(&["status", "--json"]).await;
    assert_eq!(status["healthy"], true, "{status}");
    assert!(supervisor.try_wait().unwrap().is_none(), "it goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_stay_over_a_restart_and_a_taken_port_is_told_by_name() {
    let machine = Machine::new();
    let (first, _) = machine.up(&["--no-demo", "--gateways", "1"]).await;
    machine.carillon(&["down"]).await;
    let (second, heard) = machine.up(&["--no-demo", "--gateways", "2"]).await;
    for place in ["lb", "publisher", "database_url", "redis_url", "api_key"] {
        assert_eq!(second[place], first[place], "{place}: {heard}");
    }
    assert_eq!(second["gateways"][0], first["gateways"][0]);
    machine.carillon(&["down"]).await;

    let address = first["lb"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let port = address.rsplit(':').next().unwrap();
    let squatter = TcpListener::bind(&address).await.unwrap();
    let whose = format!("(pid {})", std::process::id());
    let refused = machine.carillon(&["up", "--detach", "--no-demo", "--port", port]).await;
    let fault = told(&refused);
    assert!(!refused.status.success() && fault.contains(&address) && fault.contains(&whose), "{fault}");
    assert!(!fault.contains("Postgres"), "nothing was started: {fault}");

    let (third, heard) = machine.up(&["--no-demo", "--gateways", "1"]).await;
    assert!(heard.contains(&address) && heard.contains(&whose), "{heard}");
    assert_ne!(third["lb"], first["lb"]);
    assert_eq!(third["gateways"][0], first["gateways"][0]);
    drop(squatter);
    machine.carillon(&["down"]).await;
    let (fourth, _) = machine.up(&["--no-demo", "--gateways", "1", "--port", port]).await;
    assert_eq!(fourth["lb"], first["lb"], "a port that was asked for is taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_tail_and_who_serve_any_installation() {
    let machine = Machine::new();
    let (info, _) = machine.up(&["--no-demo", "--gateways", "1"]).await;
    let (lb, key) = (info["lb"].as_str().unwrap(), info["api_key"].as_str().unwrap());
    let token = said(&machine.carillon(&["token", "--user", "mila", "--role", "front"]).await);
    let token = token.trim();
    let secrets = tempfile::tempdir().unwrap();
    let file = secrets.path().join("token");
    std::fs::write(&file, token).unwrap();
    let from_file = format!("@{}", file.display());
    let nowhere = tempfile::tempdir().unwrap();
    let elsewhere = |words: Vec<&str>, with: [&str; 4]| {
        let words: Vec<String> =
            words.into_iter().map(str::to_owned).chain(with.map(str::to_owned)).collect();
        let data = nowhere.path().join("no-stack");
        async move { carillon(&data, &words.iter().map(String::as_str).collect::<Vec<_>>()).await }
    };

    let ack =
        elsewhere(vec!["publish", "a.b", "{\"n\":1}", "--user", "mila"], ["--url", lb, "--api-key", key])
            .await;
    let ack: Value = serde_json::from_str(&said(&ack)).unwrap();
    assert_eq!(ack["seq"], 1);
    let heard = elsewhere(
        vec!["tail", "--since", "0", "--count", "1", "--json"],
        ["--url", lb, "--token", &from_file],
    )
    .await;
    let heard: Value = serde_json::from_str(&said(&heard)).unwrap();
    assert_eq!((&heard["seq"], &heard["event"]["data"]["n"]), (&Value::from(1), &Value::from(1)));

    let who = elsewhere(vec!["who", "--json"], ["--url", lb, "--token", token]).await;
    let who: Value = serde_json::from_str(&said(&who)).unwrap();
    assert_eq!((who["user"].as_str(), who["tenant"].as_str()), (Some("mila"), Some("studio-nova")));
    assert_eq!((&who["roles"][0], &who["head"]), (&Value::from("front"), &Value::from(1)));
    let who =
        elsewhere(vec!["who", "--tenant", "studio-nova", "--json"], ["--url", lb, "--api-key", key]).await;
    let who: Value = serde_json::from_str(&said(&who)).unwrap();
    assert_eq!(
        (&who["publish"], &who["read"], &who["all_tenants"]),
        (&true.into(), &true.into(), &true.into())
    );
    assert!(!who.to_string().contains(key));

    let who = elsewhere(
        vec!["who", "room:1", "--tenant", "studio-nova", "--json"],
        ["--url", lb, "--api-key", key],
    );
    let who: Value = serde_json::from_str(&said(&who.await)).unwrap();
    assert_eq!(who, serde_json::json!({"channel": "room:1", "count": 0, "members": [], "next": null}));
    let who = elsewhere(vec!["who", "--user", "mila"], ["--url", lb, "--token", token]).await;
    assert_eq!(said(&who), "mila is in no channel that you see\n");
    let refused = elsewhere(vec!["who", "room:1"], ["--url", lb, "--token", token]).await;
    assert!(told(&refused).contains("forbidden"), "{}", told(&refused));

    let disconnected = elsewhere(
        vec!["disconnect", "--user", "mila", "--tenant", "studio-nova"],
        ["--url", lb, "--api-key", key],
    );
    let out = said(&disconnected.await);
    assert!(out.ends_with("; tokens issued before are refused\n"), "{out}");
    let out = elsewhere(vec!["who"], ["--url", lb, "--token", token]).await;
    assert!(told(&out).contains("token_revoked"), "{}", told(&out));
    let listed = elsewhere(
        vec!["disconnect", "--list", "--json", "--tenant", "studio-nova"],
        ["--url", lb, "--api-key", key],
    );
    let listed: Value = serde_json::from_str(&said(&listed.await)).unwrap();
    let id = listed["revocations"][0]["id"].as_str().unwrap();
    let lifted = elsewhere(
        vec!["disconnect", "--lift", id, "--tenant", "studio-nova"],
        ["--url", lb, "--api-key", key],
    );
    assert_eq!(said(&lifted.await), "may come in again\n");
    wait::until("the token is good again", PATIENCE, || async {
        let who = elsewhere(vec!["who"], ["--url", lb, "--token", token]).await;
        who.status.success().then_some(())
    })
    .await
    .unwrap();
    let nothing = elsewhere(vec!["disconnect"], ["--url", lb, "--api-key", key]).await;
    assert!(told(&nothing).contains("--user"), "{}", told(&nothing));

    let mistyped = elsewhere(vec!["who"], ["--url", lb, "--token", "a.b.c"]).await;
    assert!(told(&mistyped).contains("token_malformed"), "{}", told(&mistyped));
    let nobody = carillon(nowhere.path(), &["publish", "a.b", "--url", lb]).await;
    assert!(told(&nobody).contains("--api-key"), "{}", told(&nobody));
}

#[tokio::test(flavor = "multi_thread")]
async fn publish_tail_and_who_reach_an_installation_over_tls_and_name_a_certificate_they_do_not_trust() {
    let machine = Machine::new();
    let (info, _) = machine.up(&["--no-demo", "--gateways", "1"]).await;
    let (lb, key) = (info["lb"].as_str().unwrap(), info["api_key"].as_str().unwrap());
    let token = said(&machine.carillon(&["token", "--user", "mila"]).await);
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority").unwrap();
    let server = authority.sign(folder.path(), "DNS:localhost").unwrap();
    let both = [&server.certificate, &server.key].map(|file| std::fs::read_to_string(file).unwrap()).concat();
    let (pem, file) = (folder.path().join("both.pem"), folder.path().join("haproxy.cfg"));
    std::fs::write(&pem, both).unwrap();
    let (port, plain) = (ports::free().unwrap(), lb.trim_start_matches("http://"));
    let config = format!(
        "defaults\n  mode http\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n  timeout tunnel 1h\n\
         listen tls\n  bind 127.0.0.1:{port} ssl crt {}\n  server lb {plain}\n",
        pem.display()
    );
    std::fs::write(&file, config).unwrap();
    let mut terminator = Command::new(find::servers().unwrap().haproxy);
    let mut terminator = terminator.arg("-db").arg("-f").arg(&file).kill_on_drop(true).spawn().unwrap();
    let listens = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait::until_true("the end of TLS", PATIENCE, listens).await.unwrap();

    let url = format!("https://localhost:{port}");
    let call = async |trusted: bool, words: &[&str]| {
        let mut command = Command::new(find::own_binary("carillon").unwrap());
        command.arg("--data").arg(folder.path().join("no-stack")).args(words).args(["--url", &url]);
        if trusted {
            command.env("SSL_CERT_FILE", authority.certificate());
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        tokio::time::timeout(2 * PATIENCE, command.output()).await.unwrap().unwrap()
    };
    let publish = ["publish", "a.b", "1", "--user", "mila", "--api-key", key];
    let tail = ["tail", "--since", "0", "--count", "1", "--json", "--token", token.trim()];
    let who = ["who", "--json", "--token", token.trim()];
    for words in [&publish[..], &tail, &who] {
        let refused = call(false, words).await;
        let fault = told(&refused);
        assert!(!refused.status.success() && fault.contains("UnknownIssuer"), "{words:?}: {fault}");
    }
    let read = |output: &Output| serde_json::from_str::<Value>(&said(output)).unwrap();
    assert_eq!(read(&call(true, &publish).await)["seq"], 1);
    assert_eq!(read(&call(true, &tail).await)["seq"], 1);
    assert_eq!(read(&call(true, &who).await)["user"], "mila");
    terminator.kill().await.unwrap();
}

/// Answers everything with these bytes, as a balancer or somebody's web server would.
async fn something_else(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = socket.read(&mut [0; 4096]).await;
                let _ = socket.write_all(answer.as_bytes()).await;
                // Until the client has read it.
                let _ = socket.read(&mut [0; 4096]).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn when_no_service_answers_the_commands_say_what_did() {
    let machine = Machine::new();
    let (info, _) = machine.up(&["--no-demo", "--gateways", "1"]).await;
    let token = said(&machine.carillon(&["token", "--user", "mila"]).await);
    let refusal = async |words: &[&str]| {
        let output = machine.carillon(words).await;
        assert!(!output.status.success(), "{words:?}");
        told(&output)
    };
    for name in ["gateway-1", "publisher"] {
        kill(&info, name).await;
    }
    let told = refusal(&["publish", "a.b"]).await;
    let words = "refused with HTTP 503 unavailable: no publisher answers now; repeat with the same";
    assert!(told.contains(words), "{told}");
    let told = refusal(&["who", "--token", token.trim()]).await;
    assert!(told.contains("refused with HTTP 503 unavailable: no gateway answers now"), "{told}");

    for (answer, words) in [
        (
            "HTTP/1.1 503 x\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<h1>",
            "a balancer answered HTTP 503 (text/html): is a SERVICE running?",
        ),
        (
            "HTTP/1.1 502 x\r\ncontent-length: 0\r\n\r\n",
            "a balancer answered HTTP 502 (no content type): is a SERVICE running?",
        ),
        (
            "HTTP/1.1 404 x\r\ncontent-type: application/json; charset=utf-8\r\ncontent-length: 14\r\n\r\n{\"code\":\"none\"}",
            "HTTP 404 (application/json) is no answer of a SERVICE: is the address right?",
        ),
        (
            "HTTP/1.1 422 x\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n",
            "HTTP 422 (text/plain) is no answer of a SERVICE: is the address right?",
        ),
        (
            "HTTP/1.1 200 x\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<h1>",
            "HTTP 200 (text/html) is no answer of a SERVICE: is the address right?",
        ),
    ] {
        let url = something_else(answer).await;
        let (publisher, gateway) =
            (words.replace("SERVICE", "publisher"), words.replace("SERVICE", "gateway"));
        for words in [
            &["publish", "a.b", "--url", &url, "--api-key", "crln_x_y"][..],
            &["who", "--url", &url, "--api-key", "crln_x_y"],
        ] {
            let told = refusal(words).await;
            assert!(told.contains(&publisher), "{words:?}: {told}");
        }
        let told = refusal(&["who", "--url", &url, "--token", "a.b.c"]).await;
        assert!(told.contains(&gateway), "{told}");
    }
    // Followed it would be a GET, and its list no acknowledgement.
    let list = "HTTP/1.1 200 x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let to = something_else(list).await;
    let redirect = format!("HTTP/1.1 301 x\r\nlocation: {to}/v1/events\r\ncontent-length: 0\r\n\r\n");
    let url = something_else(redirect.leak()).await;
    let told = refusal(&["publish", "a.b", "--url", &url, "--api-key", "crln_x_y"]).await;
    assert!(told.contains(&format!("HTTP 301 leads to {to}/v1/events: give the address")), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_read_fits_a_hundred_columns() {
    let machine = Machine::new();
    let version = said(&machine.carillon(&["--version"]).await);
    assert_eq!(version.trim(), format!("carillon {}", env!("CARGO_PKG_VERSION")));
    let up = said(&machine.carillon(&["up", "--detach", "--rate", "50"]).await);
    let events = machine.carillon(&["tail", "--count", "40"]).await;
    let status = said(&machine.carillon(&["status"]).await);
    let mut texts = vec![up.clone(), said(&events), told(&events), status];
    for command in
        ["up", "down", "status", "token", "publish", "tail", "who", "demo", "reset", "drill", "install"]
    {
        texts.push(said(&machine.carillon(&[command, "--help"]).await));
    }
    // The token is one word that people copy; its line has nothing else.
    let token = up.lines().map(str::trim).find(|line| line.starts_with("eyJ")).unwrap();
    // The commands name the folder of this test.
    let folder = machine.data.path().display().to_string();
    for line in texts.iter().flat_map(|text| text.lines()) {
        let line = line.replace(&format!("--data {folder} "), "").replace(&folder, ".carillon");
        let line = line.replace(
            &find::own_binary("carillon").unwrap().display().to_string(),
            "./target/release/carillon",
        );
        assert!(
            line.chars().count() <= 100 || line.trim() == token,
            "{} columns: {line}",
            line.chars().count()
        );
    }
    // README's page asks for `contact:123` with the token that was printed.
    let who = machine.carillon(&["who", "--token", token]).await;
    assert!(said(&who).contains("anna of studio-nova"));
    let tail =
        machine.carillon(&["tail", "--token", token, "--channel", "contact:123", "--count", "1"]).await;
    assert!(told(&tail).contains("contact:123"), "{}", told(&tail));
}
