//! Do the services tell in their logs and errors what an operator looks for, and nothing that worries without a reason?

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::future::Future;
use std::process::Stdio;
use std::time::Duration;

use carillon_devstack::client::post::Post;
use carillon_devstack::client::publish::Publisher;
use carillon_devstack::client::socket::{Connect, Socket, SocketError, TokenPlace};
use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::token::{Claims, now};
use carillon_devstack::{find, ports, wait};
use serde_json::{Value, json};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(60);

fn log_of(service: &Service) -> String {
    std::fs::read_to_string(service.process().log_path()).unwrap()
}

async fn logs(service: &Service, what: &str) {
    let logged = || async { log_of(service).contains(what).then_some(()) };
    wait::until(format!("{} logs {what}", service.name()), PATIENCE, logged).await.unwrap();
}

/// Runs one of our programs with these variables alone, and gives its exit code and what it said.
async fn run(program: &str, words: &[&str], env: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = Command::new(find::own_binary(program).unwrap());
    command.args(words).env_clear().envs(env.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.unwrap().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_system_warns_of_nothing_and_what_is_well_again_is_no_warning() {
    let stack = Stack::start(StackConfig { lb: true, ..StackConfig::default() }).await.unwrap();
    let publisher = Publisher::new(&stack.lb_url(), stack.api_key()).unwrap();
    let token = Claims::new("acme", "anna", now(), 3600).sign(stack.jwt_secret()).unwrap();
    let (mut socket, _) = Socket::open(&Connect::new(stack.gateway(0).ws_url(), &token)).await.unwrap();
    publisher.publish(&Post::new("acme", "a.b", json!({})).tenant_wide(), None).await.unwrap();
    socket.next_of("event", PATIENCE).await.unwrap();
    let services = || stack.gateways().iter().chain(stack.publishers());
    let warnings = |log: &str| log.lines().filter(|line| line.contains(" WARN ")).count();
    for service in services() {
        assert_eq!(warnings(&log_of(service)), 0, "{}", log_of(service));
    }

    stack.redis().process().kill().unwrap();
    for gateway in stack.gateways() {
        logs(gateway, "redis: delivering from the log").await;
    }
    for service in services() {
        logs(service, " WARN ").await;
    }
    stack.redis().restart().await.unwrap();
    for gateway in stack.gateways() {
        logs(gateway, "redis: back").await;
    }
    // Each has sides of its own that come back: until then it may warn of another cause.
    for service in services() {
        let is_ready = || async { (service.readiness().await?.status == "ready").then_some(()) };
        wait::until(format!("{} being ready", service.name()), PATIENCE, is_ready).await.unwrap();
    }
    let after: Vec<usize> = services().map(|service| warnings(&log_of(service))).collect();
    for service in services() {
        service.terminate().await.unwrap();
    }
    let last: Vec<usize> = services().map(|service| warnings(&log_of(service))).collect();
    assert_eq!(after, last, "a service that is stopped is healthy");
    assert!(services().all(|service| {
        !log_of(service).lines().any(|line| line.contains(" WARN ") && line.contains(": back"))
    }));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_found_in_the_log_by_its_request_id_and_without_the_secret() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let refused = Socket::open(&Connect::new(stack.gateway(0).ws_url(), stack.api_key())).await.unwrap_err();
    let SocketError::Refused { problem, code, .. } = refused else { panic!("{refused}") };
    assert_eq!(code, "tenant_required", "a key for all tenants does not say which: {problem}");
    logs(stack.gateway(0), problem["request_id"].as_str().unwrap()).await;

    let mistyped = format!("{}x", stack.api_key());
    let publisher = Publisher::new(&stack.publisher(0).url(), &mistyped).unwrap();
    let fault =
        publisher.publish(&Post::new("acme", "a.b", json!({})).tenant_wide(), None).await.unwrap_err();
    let body = &fault.problem().unwrap().body;
    logs(stack.publisher(0), body["request_id"].as_str().unwrap()).await;
    for service in stack.gateways().iter().chain(stack.publishers()) {
        assert!(!log_of(service).contains(stack.api_key()), "{}", log_of(service));
    }
}

/// What a refused request was answered: its status, and the id in its header.
async fn refused(stack: &Stack, path: &str, token: &str) -> (u16, String) {
    let url = format!("{}{path}", stack.gateway(0).url());
    let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
    let id =
        answer.headers().get("x-request-id").expect("every refusal is named").to_str().unwrap().to_owned();
    (answer.status().as_u16(), id)
}

/// Of each code one refusal a second is told: asks until one of them is in the log.
async fn told<F: Future<Output = String>>(service: &Service, what: &str, refuse: impl Fn() -> F) {
    let found = || async {
        let id = refuse().await;
        tokio::time::sleep(Duration::from_millis(100)).await;
        log_of(service).contains(&id).then_some(())
    };
    wait::until(format!("{} logs {what}", service.name()), PATIENCE, found).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_for_want_of_room_is_told_once_a_second_with_how_many_there_were() {
    let config = StackConfig { gateways: 1, ..StackConfig::default() };
    let stack = Stack::start(config.gateway_var("CARILLON_MAX_CONNECTIONS_PER_USER", 1)).await.unwrap();
    let gateway = stack.gateway(0);
    let token = Claims::new("acme", "anna", now(), 3600).sign(stack.jwt_secret()).unwrap();
    let wanted = Connect::new(gateway.ws_url(), &token);
    let (_inside, _) = Socket::open(&wanted).await.unwrap();
    told(gateway, "a refused WebSocket", || async {
        let SocketError::Refused { problem, code, .. } = Socket::open(&wanted).await.unwrap_err() else {
            panic!("it was let in")
        };
        assert_eq!(code, "too_many_connections");
        problem["request_id"].as_str().unwrap().to_owned()
    })
    .await;
    for (path, status) in [("/v1/sse", 200), ("/v1/poll", 429)] {
        told(gateway, path, || async {
            let (answered, id) = refused(&stack, path, &token).await;
            assert_eq!(answered, status, "{path}");
            id
        })
        .await;
    }
    // Five hundred of them are some lines, and none is forgotten.
    let lines = || -> Vec<u64> {
        let log = log_of(gateway);
        let told = log.lines().filter(|line| line.contains(r#"code="too_many_connections" times="#));
        told.map(|line| line.split_once("times=").unwrap().1.parse().unwrap()).collect()
    };
    let (before, began) = (lines(), std::time::Instant::now());
    for _ in 0..500 {
        refused(&stack, "/v1/poll", &token).await;
    }
    let most = before.len() + began.elapsed().as_secs() as usize + 2;
    tokio::time::sleep(Duration::from_secs(1)).await;
    refused(&stack, "/v1/poll", &token).await;
    let all = before.iter().sum::<u64>() + 501;
    let in_time = wait::until_true("all being told", PATIENCE, || lines().iter().sum::<u64>() >= all).await;
    let after = lines();
    assert!(in_time.is_ok(), "{after:?}");
    assert!(after.len() <= most, "{after:?}, of which {} were there before", before.len());

    // The first frame's: counted by code, and told with the connection's name.
    let counted = async |code: &str| {
        let sample = format!(r#"carillon_first_frames_refused_total{{code="{code}"}} "#);
        let text = gateway.metrics().await.unwrap();
        text.lines().find_map(|line| line.strip_prefix(&sample)).map_or(0.0, |value| value.parse().unwrap())
    };
    let elsewhere = Claims::new("acme", "ben", now(), 3600);
    let mistyped = format!("{}x", elsewhere.sign(stack.jwt_secret()).unwrap());
    for (token, code) in [
        (token.as_str(), "too_many_connections"),
        (mistyped.as_str(), "token_signature"),
        (stack.api_key(), "tenant_required"),
        ("nothing", "token_malformed"),
    ] {
        let before = counted(code).await;
        let mut wanted = Connect::new(gateway.ws_url(), token);
        wanted.place = TokenPlace::FirstFrame;
        let closed = Socket::open(&wanted).await.unwrap_err();
        assert!(matches!(closed, SocketError::Closed { .. }), "{code}: {closed}");
        // Counted and told beside what the client is sent, not before it.
        let line = || async {
            let log = log_of(gateway);
            let of_this = |line: &&str| line.contains("refused before the welcome") && line.contains(code);
            let line = log.lines().find(of_this)?.to_owned();
            (counted(code).await > before).then_some(line)
        };
        let line = wait::until(format!("{code} being told"), PATIENCE, line).await.unwrap();
        assert_eq!(counted(code).await, before + 1.0, "{code}");
        assert!(line.contains(r#"connection="gateway-1-"#) && line.contains("close=44"), "{line}");
    }

    // The publisher's, whose log is away.
    let publisher = Publisher::new(&stack.publisher(0).url(), stack.api_key()).unwrap();
    let post = Post::new("acme", "a.b", json!({})).tenant_wide();
    publisher.publish(&post, None).await.unwrap();
    stack.postgres().process().kill().unwrap();
    told(stack.publisher(0), "a 503", || async {
        let fault = publisher.publish(&post, None).await.unwrap_err();
        let problem = fault.problem().unwrap();
        assert_eq!(problem.status, 503);
        problem.body["request_id"].as_str().unwrap().to_owned()
    })
    .await;
    for service in stack.gateways().iter().chain(stack.publishers()) {
        for secret in [stack.api_key(), &token, &mistyped] {
            assert!(!log_of(service).contains(secret), "{}", log_of(service));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_gateways_of_one_name_and_two_installations_on_one_redis_are_told() {
    let mut stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let twin = stack.add_gateway(&[("CARILLON_NODE".into(), "gateway-1".into())]).await.unwrap();
    for gateway in [0, twin] {
        logs(stack.gateway(gateway), "another running gateway has this one's CARILLON_NODE").await;
    }
    assert!(!log_of(stack.gateway(0)).contains("another database"));

    stack.sql("CREATE DATABASE other").await.unwrap();
    let other = format!("{}other", stack.database_url().strip_suffix("carillon").unwrap());
    let (code, said) = run("carillon-publisher", &["migrate"], &[("DATABASE_URL", &other)]).await;
    assert_eq!(code, Some(0), "{said}");
    let stranger = stack.add_gateway(&[("DATABASE_URL".into(), other)]).await.unwrap();
    for gateway in [0, stranger] {
        logs(stack.gateway(gateway), "two installations on one Redis").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_in_redis_are_told_once() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let acl = "ACL SETUSER default -hset -publish";
    stack.redis().command(acl).await.unwrap();
    let publisher = Publisher::new(&stack.publisher(0).url(), stack.api_key()).unwrap();
    let post = Post::new("acme", "t", json!(1)).tenant_wide();
    publisher.publish(&post, None).await.unwrap();
    let (nodes, announcements) = ("redis refuses the hash of the nodes", "redis refuses announcements");
    logs(stack.gateway(0), nodes).await;
    logs(stack.publisher(0), announcements).await;
    for _ in 0..3 {
        publisher.publish(&post, None).await.unwrap();
    }
    logs(stack.gateway(0), "redis refuses a message to ourselves").await;
    assert_eq!(log_of(stack.gateway(0)).matches(nodes).count(), 1);
    assert_eq!(log_of(stack.publisher(0)).matches(announcements).count(), 1);
    // Those for who is here are met when somebody is.
    let url = format!("{}/v1/channel-rules/tenant?tenant=acme", stack.publisher(0).url());
    let rule = json!({"subscribe": ["anyone"], "presence": ["anyone"]});
    let set = reqwest::Client::new().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(set.status(), 200);
    let here = "redis refuses what is needed to know who is here";
    assert!(!log_of(stack.gateway(0)).contains(here));
    let token = Claims::new("acme", "mila", now(), 3_600).sign(stack.jwt_secret()).unwrap();
    let (socket, _) = Socket::open(&Connect::new(stack.gateway(0).ws_url(), token)).await.unwrap();
    logs(stack.gateway(0), here).await;
    logs(stack.gateway(0), "redis refuses a message to ourselves").await;
    assert_eq!(log_of(stack.gateway(0)).matches(here).count(), 1);
    socket.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_name_the_address_the_file_and_the_level() {
    let squatter = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (taken, free) =
        (squatter.local_addr().unwrap().to_string(), ports::loopback(ports::free().unwrap()).to_string());
    let needed = [
        ("DATABASE_URL", "postgres://a@127.0.0.1:1/a"),
        ("REDIS_URL", "redis://127.0.0.1:1"),
        ("CARILLON_JWT_SECRET", "0123456789abcdef0123456789abcdef"),
    ];
    for program in ["carillon-gateway", "carillon-publisher"] {
        let with = |more: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            needed.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let start = async |env: Vec<(&'static str, String)>, words: &[&str]| {
            let env: Vec<(&str, &str)> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
            run(program, words, &env).await
        };
        let (code, said) =
            start(with(&[("CARILLON_LISTEN", &taken), ("CARILLON_OPS_LISTEN", &free)]), &["serve"]).await;
        assert!(code == Some(1) && said.contains(&taken) && said.contains("in use"), "{said}");
        let (code, said) = start(with(&[("CARILLON_LOG", "loud")]), &["serve"]).await;
        assert!(code == Some(64) && said.contains("CARILLON_LOG") && said.contains("loud"), "{said}");
        let (code, said) =
            start(with(&[("CARILLON_JWT_PUBLIC_KEY_FILE", "/no/such/keys.pem")]), &["serve"]).await;
        assert!(code == Some(64) && said.contains("/no/such/keys.pem"), "{said}");
        // The probe of a container has no secrets at hand.
        let (code, said) = run(program, &["healthcheck"], &[("CARILLON_OPS_LISTEN", &taken)]).await;
        assert!(code == Some(1) && said.contains(&taken), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_type_is_answered_with_those_there_are() {
    let stack = Stack::start(StackConfig { gateways: 1, ..StackConfig::default() }).await.unwrap();
    let token = Claims::new("acme", "anna", now(), 3600).sign(stack.jwt_secret()).unwrap();
    let (mut socket, _) = Socket::open(&Connect::new(stack.gateway(0).ws_url(), token)).await.unwrap();
    let (answer, _) = socket.ask(&json!({"type": "reserve", "id": 1}), PATIENCE).await.unwrap();
    assert_eq!((answer.code(), &answer.0["id"]), (Some("unknown_type"), &Value::from(1)));
    let types = "auth, subscribe, unsubscribe, ack, publish, typing, presence, activity, attach, detach, switch, ping";
    assert!(answer.text("message").unwrap().contains(types), "{answer:?}");
}
