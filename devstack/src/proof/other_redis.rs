//! What if another Redis takes over while the old one is alive, and half of the services still hear the old one?

use std::time::Duration;

use super::api::ProofError;
use super::fault::{no_links, pause};
use super::world::World;
use crate::find;
use crate::ports::Ports;
use crate::redis::{Redis, RedisConfig};
use crate::stack::Service;

/// A replica becomes a primary, publishers go to it, gateways follow later, and in the end all go back.
pub(super) async fn moves(world: &World, time: Duration) -> Result<(), ProofError> {
    let folder = world.stack.folder().join("other-redis");
    let other = Redis::start(RedisConfig {
        name: "other-redis".into(),
        program: find::servers().map_err(ProofError::of("Redis"))?.redis,
        log: world.stack.folder().join("log").join("other-redis.log"),
        folder,
        detached: false,
        ports: Ports::random(),
    });
    let other = other.await.map_err(ProofError::of("another Redis"))?;
    let old = world.stack.redis().addr();
    let obeys = ProofError::of("another Redis");
    other.command(&format!("REPLICAOF {} {}", old.ip(), old.port())).await.map_err(&obeys)?;
    pause(time / 4).await;
    other.command("REPLICAOF NO ONE").await.map_err(&obeys)?;
    lead(world.stack.publishers(), &other).await?;
    pause(time).await;
    lead(world.stack.gateways(), &other).await?;
    pause(time / 2).await;
    // And back, gateways first.
    lead(world.stack.gateways(), world.stack.redis()).await?;
    pause(time / 2).await;
    lead(world.stack.publishers(), world.stack.redis()).await
}

async fn lead(services: &[Service], redis: &Redis) -> Result<(), ProofError> {
    for service in services {
        let link = &service.links().ok_or_else(no_links)?.redis;
        link.lead_to(redis.addr()).await.map_err(ProofError::of("a link"))?;
        link.cut_once().await.map_err(ProofError::of("a link"))?;
    }
    Ok(())
}
