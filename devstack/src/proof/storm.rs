//! What if several things go wrong at once, in an order nobody thought of?

use std::time::{Duration, Instant};

use super::api::ProofError;
use super::fault::{no_links, pause, process};
use super::world::World;
use crate::chaos::{ChaosProxy, Way};
use crate::client::dice::Dice;

/// How long it lasts.
const LENGTH: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Blow {
    PublisherKilled(usize),
    GatewayKilled(usize),
    GatewayStopped(usize),
    GatewayFrozen(usize),
    RedisKilled,
    RedisFrozen,
    PostgresKilled,
    PostgresFrozen,
    RedisLink(usize, u8),
    PostgresLink(usize, u8),
    ClientCut(usize),
    ClientPaused(usize),
}

/// Two at a time, for a moment each, until the time is over.
pub(super) async fn rages(world: &World, dice: &mut Dice) -> Result<(), ProofError> {
    let begun = Instant::now();
    while begun.elapsed() < LENGTH {
        let blows = [blow(dice, world.clients.len()), blow(dice, world.clients.len())];
        for blow in blows {
            strike(world, blow).await?;
        }
        pause(Duration::from_millis(u64::from(dice.between(50, 2_000)))).await;
        for blow in blows {
            mend(world, blow).await?;
        }
    }
    for service in world.stack.gateways().iter().chain(world.stack.publishers()) {
        service.ready().await.map_err(process)?;
    }
    Ok(())
}

fn blow(dice: &mut Dice, clients: usize) -> Blow {
    match dice.below(16) {
        0 => Blow::PublisherKilled(dice.below(2)),
        1 => Blow::GatewayKilled(dice.below(3)),
        2 => Blow::GatewayStopped(dice.below(3)),
        3 => Blow::GatewayFrozen(dice.below(3)),
        4 => Blow::RedisKilled,
        5 => Blow::RedisFrozen,
        6 => Blow::PostgresKilled,
        7 => Blow::PostgresFrozen,
        8..=10 => Blow::RedisLink(dice.below(5), dice.below(4) as u8),
        11 | 12 => Blow::PostgresLink(dice.below(5), dice.below(4) as u8),
        13 | 14 => Blow::ClientCut(dice.below(clients)),
        _ => Blow::ClientPaused(dice.below(clients)),
    }
}

async fn strike(world: &World, blow: Blow) -> Result<(), ProofError> {
    let stack = &world.stack;
    match blow {
        Blow::PublisherKilled(n) => stack.publisher(n).kill().map_err(process),
        Blow::GatewayKilled(n) => stack.gateway(n).kill().map_err(process),
        Blow::GatewayStopped(n) => stack.gateway(n).terminate().await.map(drop).map_err(process),
        Blow::GatewayFrozen(n) => stack.gateway(n).freeze().map_err(process),
        Blow::RedisKilled => stack.redis().process().kill().map_err(process),
        Blow::RedisFrozen => stack.redis().process().freeze().map_err(process),
        Blow::PostgresKilled => stack.postgres().process().kill().map_err(process),
        Blow::PostgresFrozen => stack.postgres().process().freeze().map_err(process),
        Blow::RedisLink(n, how) => trouble(&links(world, n)?.redis, how).await,
        Blow::PostgresLink(n, how) => trouble(&links(world, n)?.postgres, how).await,
        Blow::ClientCut(n) => {
            world.clients[n].sever().await;
            Ok(())
        }
        Blow::ClientPaused(n) => {
            world.clients[n].pause().await;
            Ok(())
        }
    }
}

/// Ends it. Services are started without waiting for them: they may lack what the other blow took away.
async fn mend(world: &World, blow: Blow) -> Result<(), ProofError> {
    let stack = &world.stack;
    match blow {
        Blow::PublisherKilled(n) => stack.publisher(n).process().restart().map_err(process),
        Blow::GatewayKilled(n) | Blow::GatewayStopped(n) => {
            stack.gateway(n).process().restart().map_err(process)
        }
        Blow::GatewayFrozen(n) => stack.gateway(n).thaw().map_err(process),
        Blow::RedisKilled => stack.redis().restart().await.map_err(process),
        Blow::RedisFrozen => stack.redis().process().thaw().map_err(process),
        Blow::PostgresKilled => stack.postgres().restart().await.map_err(process),
        Blow::PostgresFrozen => stack.postgres().process().thaw().map_err(process),
        Blow::RedisLink(n, _) => links(world, n)?.redis.restore().await.map_err(ProofError::of("a link")),
        Blow::PostgresLink(n, _) => {
            links(world, n)?.postgres.restore().await.map_err(ProofError::of("a link"))
        }
        Blow::ClientPaused(n) => {
            world.clients[n].go().await;
            Ok(())
        }
        Blow::ClientCut(_) => Ok(()),
    }
}

fn links(world: &World, service: usize) -> Result<&crate::stack::Links, ProofError> {
    let mut services = world.stack.gateways().iter().chain(world.stack.publishers());
    services.nth(service).and_then(|service| service.links()).ok_or_else(no_links)
}

async fn trouble(link: &ChaosProxy, how: u8) -> Result<(), ProofError> {
    match how {
        0 => return link.cut().await.map_err(ProofError::of("a link")),
        1 => link.silence(Way::Both),
        2 => link.silence(Way::Back),
        _ => link.delay(Duration::from_millis(200)),
    }
    Ok(())
}
