//! What shall a stack be like?

use std::path::PathBuf;
use std::sync::Arc;

use super::logins::Logins;
use crate::process::Process;

/// One variable of a service's environment.
pub type Variable = (String, String);

/// The shape of a stack. The default is what most system tests want: two gateways behind no balancer, thrown away
/// at the end.
#[derive(Clone)]
pub struct StackConfig {
    /// How many gateways at the start; [`super::Stack::add_gateway`] adds more.
    pub gateways: u16,
    /// How many publishers.
    pub publishers: u16,
    /// Three Redis Cluster nodes instead of one Redis.
    pub redis_cluster: bool,
    /// Gives every service a [`crate::chaos::ChaosProxy`] of its own on its way to Redis and to Postgres. Not with
    /// a cluster, whose clients go where the nodes say they are.
    pub chaos: bool,
    /// HAProxy in front of everything.
    pub lb: bool,
    /// The balancer's port; none takes the one it had in this folder, or a free one.
    pub port: Option<u16>,
    /// Postgres without fsync and without password, ports that nobody remembers: for data that nobody needs afterwards.
    pub ephemeral: bool,
    /// As whom migrations and services log in to the database.
    pub logins: Logins,
    /// The processes outlive us once [`super::Stack::release`] is called.
    pub detached: bool,
    /// Where data and logs lie; none takes a temporary folder that goes when the stack goes, unless a test panics.
    pub data: Option<PathBuf>,
    /// Variables for every gateway; they win over the stack's own.
    pub gateway_env: Vec<Variable>,
    /// Variables for every publisher; they win over the stack's own.
    pub publisher_env: Vec<Variable>,
    /// Hears about the start.
    pub observer: Arc<dyn Observer>,
}

impl Default for StackConfig {
    fn default() -> Self {
        Self {
            gateways: 2,
            publishers: 1,
            redis_cluster: false,
            chaos: false,
            lb: false,
            port: None,
            ephemeral: true,
            logins: Logins::of_environment(),
            detached: false,
            data: None,
            gateway_env: Vec::new(),
            publisher_env: Vec::new(),
            observer: Arc::new(Silence),
        }
    }
}

impl StackConfig {
    /// With one more variable for every gateway.
    #[must_use]
    pub fn gateway_var(mut self, name: &str, value: impl ToString) -> Self {
        self.gateway_env.push((name.into(), value.to_string()));
        self
    }

    /// With one more variable for every publisher.
    #[must_use]
    pub fn publisher_var(mut self, name: &str, value: impl ToString) -> Self {
        self.publisher_env.push((name.into(), value.to_string()));
        self
    }
}

/// Hears what happens while a stack starts.
pub trait Observer: Send + Sync {
    /// A step begins; one short line for people.
    fn step(&self, _text: &str) {}
    /// Something is not as it was at the last start; one short line for people.
    fn note(&self, _text: &str) {}
    /// A process runs; whoever wants to find it after a crash notes it now.
    fn started(&self, _process: &Process) {}
}

/// Nobody listens.
struct Silence;

impl Observer for Silence {}
