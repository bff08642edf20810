//! Reading the log over REST: what does it cost the publisher and those who publish?

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use carillon_devstack::client::post::Post;
use carillon_devstack::stack::{Service, Stack, StackConfig};
use carillon_devstack::wait;
use futures_util::future::join_all;
use serde_json::json;

use crate::faults::probe::{client, get, memory, sample, sql};
use crate::faults::{PATIENCE, Scene, alone};
use crate::figures::{Figures, Switch, assert_unhurt, assert_unhurt_in_turns};
use crate::publishing::innocents;

const READER: &str = "reader";
/// What a publisher may take however many answers nobody reads.
const MOST_MEMORY: u64 = 256 * 1024 * 1024;

/// Fills the reader's log with 200 events of 60 kB: one page of 12 MB.
async fn fill(scene: &Scene) {
    let note = "x".repeat(60_000);
    for part in 0..20 {
        let post = |n| Post::new(READER, "t", json!({ "n": part * 10 + n, "note": note })).tenant_wide();
        scene.publishers()[0].publish_many(&Vec::from_iter((0..10).map(post)), None).await.unwrap();
    }
}

/// Asks for the largest page and does not read the answer.
fn ask_and_stay_silent(stack: &Stack, token: &str) -> TcpStream {
    let mut socket = TcpStream::connect(stack.publisher(0).addr()).unwrap();
    write!(
        socket,
        "GET /v1/events?tenant={READER}&limit=200 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\r\n"
    )
    .unwrap();
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn six_hundred_unread_pages_cost_their_readers_alone() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    fill(&scene).await;
    let publisher = scene.stack.publisher(0);
    let tokens: Vec<String> = (0..20).map(|n| scene.token(READER, &format!("user-{n}"))).collect();
    let others_page = async || {
        let url = format!("{}/v1/events?tenant=other", publisher.url());
        let answer = client().get(&url).bearer_auth(scene.stack.api_key()).send().await;
        let answer = answer.map_err(|error| error.to_string())?;
        if answer.status() == 200 {
            answer.bytes().await.map(drop).map_err(|error| error.to_string())
        } else {
            Err(answer.status().to_string())
        }
    };
    scene.publishers()[0].publish(&Post::new("other", "t", json!(1)).tenant_wide(), None).await.unwrap();
    let compare = async || {
        let mut without = Figures::of(60, &others_page).await;
        let refused_before = refused_reads(publisher).await;
        let unread: Vec<TcpStream> =
            (0..600).map(|n| ask_and_stay_silent(&scene.stack, &tokens[n % tokens.len()])).collect();
        // Some are being answered, and for the others there is no turn or no memory.
        wait::until("refusals", PATIENCE, || async {
            assert!(memory(publisher) < MOST_MEMORY, "{} MiB", memory(publisher) >> 20);
            (refused_reads(publisher).await >= refused_before + 100.0).then_some(())
        })
        .await
        .unwrap();
        // Somebody else's page comes, whole.
        let with = Figures::of(120, &others_page).await;
        let page = get(&scene.stack, "/v1/events?tenant=other").await;
        assert_eq!(page["events"].as_array().map(Vec::len), Some(1));
        assert!(memory(publisher) < MOST_MEMORY, "{} MiB", memory(publisher) >> 20);
        drop(unread);
        // Its reader gets its page when the others are gone.
        let whole = wait::until("the memory being free again", PATIENCE, || async {
            let url = format!("{}/v1/events?tenant={READER}&limit=200", publisher.url());
            let answer = client().get(&url).bearer_auth(&tokens[0]).send().await.ok()?;
            (answer.status() == 200).then_some(())?;
            answer.json::<serde_json::Value>().await.ok()
        });
        assert_eq!(whole.await.unwrap()["events"].as_array().map(Vec::len), Some(200));
        without.join(Figures::of(60, &others_page).await);
        (without, with)
    };
    assert_unhurt("unread pages", compare).await;
}

/// How many reads a publisher has refused.
async fn refused_reads(publisher: &Service) -> f64 {
    let mut refused = 0.0;
    for (resource, bound) in
        [("turn", "group"), ("turn", "member"), ("memory", "group"), ("memory", "member")]
    {
        let name = format!(r#"carillon_reads_refused_total{{resource="{resource}",bound="{bound}"}}"#);
        refused += sample(publisher, &name).await;
    }
    refused
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_searches_on_forty_connections_is_noticed_by_nobody_who_publishes() {
    let _alone = alone().await;
    let scene = Scene::start(StackConfig { gateways: 1, ..StackConfig::default() }).await;
    let publisher = &scene.publishers()[0];
    publisher.publish(&Post::new(READER, "t", json!(0)).tenant_wide(), None).await.unwrap();
    // A long log: 200,000 more events, written past the publisher.
    sql(
        &scene.stack,
        "insert into carillon.events (tenant_id, seq, at, id, type, source, channels, time, body)
         select 'reader', n, now(), 'e' || n, 't', 's', array['tenant'], now(), '{\"data\":\"' || repeat(md5(n::text), 8) || '\"}'
         from generate_series(2, 200001) n;
         update carillon.tenants set head = 200001 where id = 'reader'",
    )
    .await;
    innocents(publisher, 2).await;
    let (switch, answered) = (Switch::new(), AtomicUsize::new(0));
    let token = scene.token(READER, "anna");
    let http = client();
    let url = format!("{}/v1/events?tenant={READER}&q=no+such+text", scene.stack.publisher(0).url());
    let search = async || {
        while let Some(_under_way) = switch.next().await {
            let answer = http.get(&url).bearer_auth(&token).send().await.unwrap();
            match answer.status().as_u16() {
                200 => _ = answered.fetch_add(1, Ordering::Relaxed),
                status => {
                    assert!(matches!(status, 429 | 503), "{status}");
                    assert!(answer.headers().contains_key("retry-after"));
                    // Does not wait as long as it is told to.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    };
    let watched = async {
        let (measure, hostile) = (async || innocents(publisher, 20).await, async |on| switch.turn(on).await);
        assert_unhurt_in_turns("searches", measure, hostile).await;
        switch.end();
    };
    tokio::join!(join_all((0..40).map(|_| search())), watched);
    assert!(answered.into_inner() > 0, "it gets on as well");
}
