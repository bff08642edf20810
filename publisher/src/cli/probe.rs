//! Does an event get through the whole installation?

use super::{CliError, print};
use carillon_platform::env::{Env, Kind, Url};
use carillon_platform::roundtrip::{RoundTrip, RoundTripConfig, token_source};
use carillon_protocol::TenantId;
use clap::Args;
use std::time::{Duration, Instant};

/// How long after a failed round the next one begins.
const AGAIN: Duration = Duration::from_secs(1);

/// Publishes an event and receives it on a WebSocket.
#[derive(Args)]
pub(super) struct Probe {
    /// Base URL of the publisher, for example http://carillon-publisher:8080.
    #[arg(long)]
    publish_url: String,
    /// The WebSocket, for example ws://carillon-gateway:8080/v1/ws.
    #[arg(long)]
    socket_url: String,
    /// Whose tenant to use; the token must be valid there.
    #[arg(long, default_value = "carillon-canary")]
    tenant: String,
    /// How many rounds must succeed.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// For how many seconds it may fail before that, for example while services start.
    #[arg(long, default_value_t = 60)]
    patience: u64,
}

impl Probe {
    pub(super) async fn run(self, env: &Env) -> Result<(), CliError> {
        let usage = |what: &str, fault: String| CliError::Usage(format!("--{what} {fault}"));
        let publish = Url(&["http", "https"]).parse(&self.publish_url);
        let publish = publish.map_err(|fault| usage("publish-url", fault))?;
        let socket = Url(&["ws", "wss"]).parse(&self.socket_url);
        let socket = socket.map_err(|fault| usage("socket-url", fault))?;
        let tenant =
            TenantId::new(self.tenant.clone()).map_err(|error| usage("tenant", format!("{error}")))?;
        let token = token_source(env, &tenant)?;
        let channel = format!("canary:{}", uuid::Uuid::new_v4().simple());
        let config = RoundTripConfig { publish, socket, tenant, channel, token };
        let mut client = RoundTrip::new(config).map_err(|error| CliError::Probe(error.to_string()))?;
        let until = Instant::now() + Duration::from_secs(self.patience);
        let mut done = 0;
        while done < self.rounds {
            match client.round().await {
                Ok(took) => {
                    done += 1;
                    print(&format!("published and received in {:.1} ms", took.as_secs_f64() * 1e3))?;
                }
                Err(error) if Instant::now() >= until => return Err(CliError::Probe(error.to_string())),
                Err(error) => {
                    print(&format!("not yet: {error}"))?;
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
        let found = client.findings();
        if found.gaps + found.duplicates > 0 {
            let text = format!("{} events missing, {} doubled", found.gaps, found.duplicates);
            return Err(CliError::Probe(text));
        }
        Ok(())
    }
}
