//! How do three Redis servers become a cluster?

use std::time::Duration;

use super::{Redis, RedisConfig, RedisError};
use crate::wait;

/// Nodes, each a primary with a third of the slots; the smallest cluster that survives as one.
const NODES: u16 = 3;
const SLOTS: u16 = 16_384;
/// Gossip needs a few rounds of a second at most.
const FORMED: Duration = Duration::from_secs(20);

/// Starts the nodes of a cluster without replicas as `<name>-1`…, and waits until every one of them says that it
/// is whole.
pub async fn start_cluster(config: RedisConfig) -> Result<Vec<Redis>, RedisError> {
    let mut nodes = Vec::new();
    for number in 1..=NODES {
        let name = format!("{}-{number}", config.name);
        let node = RedisConfig {
            folder: config.folder.join(&name),
            log: config.log.with_file_name(format!("{name}.log")),
            name,
            ..config.clone()
        };
        let bus = config.ports.take(&format!("{}.bus", node.name)).map_err(std::io::Error::from)?;
        nodes.push(Redis::start_as(node, Some(bus)).await?);
    }
    form(&nodes).await?;
    Ok(nodes)
}

async fn form(nodes: &[Redis]) -> Result<(), RedisError> {
    let fault = |what: &str, source: std::io::Error| RedisError::Cluster(format!("{what}: {source}"));
    let share = SLOTS / NODES;
    for (number, node) in (0..NODES).zip(nodes) {
        let first = number * share;
        let last = if number == NODES - 1 { SLOTS - 1 } else { first + share - 1 };
        // Distinct epochs from the start: nodes that begin equal would first have to settle a conflict.
        let orders = [
            format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1),
            format!("CLUSTER ADDSLOTSRANGE {first} {last}"),
        ];
        for order in orders {
            node.command(&order).await.map_err(|source| fault(&order, source))?;
        }
    }
    let [first, others @ ..] = nodes else { return Ok(()) };
    for other in others {
        let (port, bus) = (other.addr().port(), other.bus.unwrap_or_default());
        let order = format!("CLUSTER MEET 127.0.0.1 {port} {bus}");
        first.command(&order).await.map_err(|source| fault(&order, source))?;
    }
    wait::until("a whole cluster", FORMED, || async {
        for node in nodes {
            let info = node.command("CLUSTER INFO").await.ok()?;
            let known = format!("cluster_known_nodes:{NODES}");
            (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())?;
        }
        Some(())
    })
    .await
    .map_err(|timeout| RedisError::Cluster(timeout.to_string()))
}
