//! One node of socketioxide with its Redis adapter: subscribers over WebSocket, events in as lines of JSON.
//!
//! `peer-socketioxide REDIS_URL` prints `{"port":…,"publish":…}` and serves until it is killed. Compression and logs are
//! off (their defaults); the buffers are raised, of a socket from 128 packets and between Redis and the adapter from 32,
//! or a burst would be dropped.

use std::error::Error;

use axum::Router;
use axum::serve::ListenerExt;
use serde::{Deserialize, Serialize};
use socketioxide::extract::SocketRef;
use socketioxide::{SocketIo, TransportType};
use socketioxide_redis::drivers::fred::FredDriver;
use socketioxide_redis::drivers::fred::fred_client::prelude::{Builder, Config};
use socketioxide_redis::drivers::fred::fred_client::types::RespVersion;
use socketioxide_redis::{FredAdapter, RedisAdapterConfig, RedisAdapterCtr};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

type Adapter<E> = FredAdapter<E>;

/// Packets that may wait for one socket, or for the adapter.
const BUFFER: usize = 4096;

/// An event of the load test; a type of its own so that the order of fields stays.
#[derive(Deserialize, Serialize)]
struct Event {
    n: u64,
    stamp: u64,
    filling: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: peer-socketioxide REDIS_URL")?;
    let mut config = Config::from_url(&url)?;
    config.version = RespVersion::RESP3;
    let client = Builder::from_config(config)
        .with_performance_config(|performance| performance.broadcast_channel_capacity = BUFFER)
        .build_subscriber_client()?;
    let buffers = RedisAdapterConfig::new().with_stream_buffer(BUFFER);
    let adapter = RedisAdapterCtr::new_with_driver(FredDriver::new(client).await?, buffers);
    let (layer, io) = SocketIo::builder()
        .transports([TransportType::Websocket])
        .max_buffer_size(BUFFER)
        .with_adapter::<Adapter<_>>(adapter)
        .build_layer();
    io.ns("/", async |socket: SocketRef<Adapter<_>>| {
        socket.join("load");
        // A socket that is gone already needs no answer.
        let _ = socket.emit("subscribed", &());
    })
    .await?;

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let lines = TcpListener::bind("127.0.0.1:0").await?;
    println!(r#"{{"port":{},"publish":{}}}"#, listener.local_addr()?.port(), lines.local_addr()?.port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = lines.accept().await {
            tokio::spawn(publish(stream, io.clone()));
        }
    });
    // As the others do by themselves.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    axum::serve(listener, Router::new().layer(layer)).await?;
    Ok(())
}

async fn publish<A: socketioxide::adapter::Adapter>(stream: TcpStream, io: SocketIo<A>) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str::<Event>(&line) {
            // What is lost here is missed by every subscriber, and counted there.
            Ok(event) => drop(io.to("load").emit("event", &event).await),
            Err(_) => return,
        }
    }
}
