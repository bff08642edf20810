//! Does Carillon keep its promises while teams publish through its API and people listen, as goose attacks it?
//!
//! Five kinds of team publish their mixes of events ([`team`], [`publisher`]); for each team somebody of its back office
//! listens on a WebSocket that is driven inside goose transactions ([`listener`], [`socket`]), leaves, comes back with
//! the cursor, and checks every number ([`sequence`]). What nobody may see is counted in the [`ledger`] and fails the run ([`verdict`]).

mod ledger;
mod listener;
mod publisher;
mod sequence;
mod settings;
mod socket;
mod team;
mod token;
mod verdict;

use std::io::Write;
use std::process::ExitCode;

use goose::prelude::*;

use crate::ledger::LEDGER;
use crate::settings::Settings;
use crate::team::TEAMS;
use crate::verdict::Verdict;

#[tokio::main]
async fn main() -> ExitCode {
    let settings = match Settings::from_environment() {
        Ok(settings) => settings,
        Err(why) => {
            complain(&why.to_string());
            return ExitCode::from(64);
        }
    };
    match attack(&settings).await {
        Ok(metrics) => conclude(&settings, &metrics),
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn attack(settings: &Settings) -> Result<GooseMetrics, GooseError> {
    let mut attack = GooseAttack::initialize()?;
    for team in &TEAMS {
        attack = attack.register_scenario(publisher::scenario(team, settings)?);
        attack = attack.register_scenario(listener::scenario(team, settings)?);
    }
    // Every one of these can be said on the command line instead.
    attack
        .set_default(GooseDefault::Host, settings.url.as_str())?
        .set_default(GooseDefault::Users, settings.users)?
        .set_default(GooseDefault::IncreaseTime, settings.start)?
        .set_default(GooseDefault::RunTime, settings.seconds)?
        .set_default(GooseDefault::ReportFile, settings.report.as_str())?
        .set_default(GooseDefault::NoResetMetrics, true)?
        .set_default(GooseDefault::NoTelnet, true)?
        .set_default(GooseDefault::NoWebSocket, true)?
        .set_default(GooseDefault::Quiet, 1)?
        .execute()
        .await
}

fn conclude(settings: &Settings, metrics: &GooseMetrics) -> ExitCode {
    let verdict = Verdict::of(&LEDGER, metrics);
    if let Err(error) = verdict.write(&settings.out) {
        complain(&format!("the verdict cannot be written to {}: {error}", settings.out.display()));
        return ExitCode::FAILURE;
    }
    // If stdout is closed nobody reads this; the exit code and the file still say it.
    let _ = writeln!(std::io::stdout(), "{verdict}");
    if verdict.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn complain(what: &str) {
    let _ = writeln!(std::io::stderr(), "carillon-goose: {what}");
}
