//! `carillon`: the whole system on a developer's machine. Parse, do, and end with one clear line if it fails.

use std::io::Write;
use std::process::ExitCode;

use carillon_devstack::cli::Cli;
use carillon_devstack::command;
use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    match command::run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "carillon: {error}");
            ExitCode::FAILURE
        }
    }
}
