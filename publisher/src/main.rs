//! `carillon-publisher`: parse the command line, do what it asks, say how it ended.

use carillon_platform::EXIT_CONFIG;
use carillon_platform::env::Env;
use carillon_publisher::cli::{Cli, CliError};
use clap::Parser;
use std::io::Write;
use std::process::ExitCode;

/// musl's own allocator has one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(help_or_fault) => {
            // Help and version are asked for, not a fault; nothing can be done when they cannot be printed.
            let _ = help_or_fault.print();
            return if help_or_fault.use_stderr() { EXIT_CONFIG.into() } else { ExitCode::SUCCESS };
        }
    };
    match cli.run(&Env::process()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// One line on stderr: 64 when the configuration or an argument is wrong, 1 for everything else.
fn failed(error: &CliError) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "carillon-publisher: {error}");
    if error.is_usage() { EXIT_CONFIG.into() } else { ExitCode::FAILURE }
}
