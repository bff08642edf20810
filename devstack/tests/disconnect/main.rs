//! Is somebody who was disconnected out within a second on every node, and do they stay out with the token they had?
//!
//! One stack with two gateways for what leaves it whole; whoever kills something has one of its own.

#![allow(clippy::unwrap_used, reason = "a test ends at the first surprise")]

#[path = "../support/wire/mod.rs"]
mod wire;

mod doors;
mod faults;
mod people;

use carillon_devstack::client::socket::{Socket, SocketError};
use carillon_devstack::stack::{Stack, StackConfig};
use serde_json::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};
use wire::{PATIENCE, Shared};

/// How long it may take until everybody who is meant is out. The promise is a second, by the node's clock; a busy machine has the time
/// that it takes for a few requests beside it.
const OUT: Duration = Duration::from_millis(1_500);

/// Does something, and says within which time everybody must be out: small requests are made beside it, one after the other, and the
/// slowest of them shows how busy the machine is.
async fn bounded<T>(stack: &Stack, work: impl Future<Output = T>) -> (T, Duration) {
    let url = format!("{}/v1/position?tenant=beside", stack.publisher(0).url());
    let http = wire::http();
    let mut slowest = Duration::ZERO;
    tokio::pin!(work);
    loop {
        let began = Instant::now();
        let request = async {
            // Whatever is answered, it was asked for.
            let _ = http.get(&url).bearer_auth(stack.api_key()).send().await;
            let took = began.elapsed();
            tokio::time::sleep(Duration::from_millis(20)).await;
            took
        };
        tokio::select! {
            done = &mut work => return (done, OUT + 4 * slowest.max(began.elapsed())),
            took = request => slowest = slowest.max(took),
        }
    }
}

async fn stack() -> Arc<Stack> {
    static SHARED: Shared = Shared::new();
    SHARED.stack(|| async { Stack::start(StackConfig::default()).await.unwrap() }).await
}

/// Disconnects with a key for everything; the answer's status and JSON.
async fn disconnect(stack: &Stack, query: &str) -> (u16, Value) {
    disconnect_as(stack, stack.api_key(), query).await
}

async fn disconnect_as(stack: &Stack, bearer: &str, query: &str) -> (u16, Value) {
    let url = format!("{}/v1/connections?{query}", stack.publisher(0).url());
    let answer = wire::http().delete(url).bearer_auth(bearer).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Waits until a socket is closed by an administrator, and says how long after `began` that was.
async fn out(socket: &mut Socket, began: Instant) -> Duration {
    let ended = socket.ended(PATIENCE).await;
    let took = began.elapsed();
    assert_eq!(ended.close_code(), Some(4410), "{ended:?}");
    assert!(ended.is_terminal());
    took
}

/// Why somebody is not let in: the status before the upgrade, or the close code after it, and the code of the problem or the reason.
fn refused(result: Result<Socket, SocketError>) -> (u16, String) {
    match result {
        Err(SocketError::Refused { status, code, .. }) => (status, code),
        Err(SocketError::Closed { code, reason }) => (code, reason),
        other => panic!("was not refused: {other:?}"),
    }
}

/// Sets a rule over REST.
async fn set(stack: &Stack, tenant: &str, pattern: &str, rule: Value) {
    let pattern = pattern.replace('{', "%7B").replace('}', "%7D");
    let url = format!("{}/v1/channel-rules/{pattern}?tenant={tenant}", stack.publisher(0).url());
    let answer = wire::http().put(url).json(&rule).bearer_auth(stack.api_key()).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}
