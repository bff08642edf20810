//! `carillon-gateway serve | config | healthcheck | evacuate | return`

use carillon_backplane::bus::NodeState;
use carillon_gateway::config::{self, Config, variables};
use carillon_gateway::{Node, StartError, operator};
use carillon_platform::env::{ConfigError, Env, reference};
use carillon_platform::shutdown::Signals;
use carillon_platform::{EXIT_CONFIG, ops, telemetry};
use clap::{Parser, Subcommand};
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

/// musl's own allocator has one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// WebSocket gateway of Carillon. Configured by environment variables; `config` lists them.
#[derive(Parser)]
#[command(name = "carillon-gateway", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM, then drain.
    Serve,
    /// Show every variable, what it may be, and what it is now.
    Config,
    /// Ask the ops port of a running gateway on this machine whether it is ready.
    Healthcheck,
    /// Have a running gateway send its connections away, paced, and take no new ones until `return`.
    Evacuate(Running),
    /// Have a gateway that was evacuated take connections again.
    Return(Running),
}

/// Which process.
#[derive(clap::Args)]
struct Running {
    /// Its process id; in a container it is 1.
    #[arg(long, default_value_t = 1)]
    pid: u32,
}

fn main() -> ExitCode {
    let run = || -> Result<(), Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(run(Arguments::parse().command))
    };
    let Err(error) = run() else { return ExitCode::SUCCESS };
    // The one line an operator sees; standard error may be closed.
    let _ = writeln!(std::io::stderr(), "carillon-gateway: {error}");
    let is_config = error.is::<ConfigError>() || matches!(error.downcast_ref(), Some(StartError::Config(_)));
    ExitCode::from(if is_config { EXIT_CONFIG } else { 1 })
}

async fn run(command: Command) -> Result<(), Box<dyn Error>> {
    let env = Env::process();
    match command {
        Command::Serve => {
            let config = Config::read(&env)?;
            telemetry::init(&config.common.log)?;
            let metrics = telemetry::install("gateway", env!("CARGO_PKG_VERSION"))?;
            env.unknown(&variables()).iter().for_each(|warning| tracing::warn!("{warning}"));
            let mut signals = Signals::listen()?;
            Node::start(config, metrics).await?.run(&mut signals).await;
        }
        Command::Config => {
            let table = format!("{}\n{}", reference(&variables()), env.effective(&variables()));
            std::io::stdout().write_all(table.as_bytes())?;
            Config::read(&env)?;
        }
        Command::Evacuate(Running { pid }) => operator::wish(pid, NodeState::Evacuating)?,
        Command::Return(Running { pid }) => operator::wish(pid, NodeState::Serving)?,
        Command::Healthcheck => ops::healthcheck(config::ops_address(&env)?).await?,
    }
    Ok(())
}
