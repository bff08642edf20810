//! `carillon-proof`: runs faults against a whole system on this machine, and keeps one line of JSON of each run.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use carillon_devstack::client::dice::Dice;
use carillon_devstack::proof::api::ProofError;
use carillon_devstack::proof::fault::{FAULTS, Fault, STORM, named};
use carillon_devstack::proof::page::page;
use carillon_devstack::proof::result;
use carillon_devstack::proof::run::{Outcome, run};
use clap::Parser;

/// Runs faults against a whole system on this machine.
#[derive(Debug, Parser)]
struct Cli {
    /// Which: F12, STORM, or several with commas. Left out: all, in turn.
    #[arg(long, value_delimiter = ',')]
    fault: Vec<String>,
    /// The choices of the first run; the next ones follow from it. Left out: others each time.
    #[arg(long)]
    seed: Option<u64>,
    /// How often each.
    #[arg(long, default_value_t = 1)]
    times: u32,
    /// Begin no run after so many minutes.
    #[arg(long)]
    minutes: Option<u64>,
    /// Where the lines go.
    #[arg(long, default_value = "docs/proof/results.jsonl")]
    results: PathBuf,
    /// What all lines say goes here.
    #[arg(long, default_value = "docs/PROOF.md")]
    page: PathBuf,
    /// What was found, whole, goes into this folder.
    #[arg(long, default_value = "target/proof")]
    findings: PathBuf,
    /// The commit that the programs were built from.
    #[arg(long, default_value = "unknown")]
    commit: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let red = all(&cli).await;
    let red = red.and_then(|red| write_page(&cli).map(|()| red));
    match red {
        Ok(0) => ExitCode::SUCCESS,
        Ok(red) => {
            say(&format!("{red} runs were red or could not be made"));
            ExitCode::FAILURE
        }
        Err(error) => {
            say(&error.to_string());
            ExitCode::from(2)
        }
    }
}

async fn all(cli: &Cli) -> Result<usize, ProofError> {
    let known = |name: &String| named(name).ok_or_else(|| ProofError(format!("there is no fault {name}")));
    let faults: Vec<Fault> = match cli.fault.is_empty() {
        true => FAULTS.into_iter().chain([STORM]).collect(),
        false => cli.fault.iter().map(known).collect::<Result<_, _>>()?,
    };
    let begun = std::time::Instant::now();
    let mut dice = Dice::fresh();
    let (mut red, mut number) = (0, 0);
    for _ in 0..cli.times {
        for fault in &faults {
            if cli.minutes.is_some_and(|minutes| begun.elapsed().as_secs() >= minutes * 60) {
                return Ok(red);
            }
            // 53 bits: what every JSON reader reads exactly.
            let seed = cli.seed.map_or_else(|| dice.bits() >> 11, |seed| seed.wrapping_add(number));
            number += 1;
            say(&format!("{} SEED={seed}: {}", fault.name, fault.what));
            match run(*fault, seed).await {
                Ok(outcome) => red += usize::from(!keep(cli, outcome)?),
                Err(error) => {
                    red += 1;
                    say(&format!("  the run could not be made: {error}"));
                }
            }
        }
    }
    Ok(red)
}

/// Writes the line and, of a red run, everything that was seen.
fn keep(cli: &Cli, outcome: Outcome) -> Result<bool, ProofError> {
    let Outcome { mut result, report, history } = outcome;
    result.commit.clone_from(&cli.commit);
    result.day = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
    say(&format!(
        "  {} in {} s: {} acknowledged, {} delivered ({} replayed), {} doubled, {} lost, healed after {} ms",
        if result.kept { "kept" } else { "RED" },
        result.took_ms / 1_000,
        result.acknowledged,
        result.delivered,
        result.replayed,
        result.doubled,
        result.lost,
        result.heal_ms
    ));
    for finding in report.findings.iter().take(20) {
        say(&format!("  {finding}"));
    }
    if let Some(folder) = cli.results.parent() {
        std::fs::create_dir_all(folder).map_err(ProofError::of("the folder of results"))?;
    }
    result.append_to(&cli.results).map_err(ProofError::of("the results"))?;
    if !result.kept {
        std::fs::create_dir_all(&cli.findings).map_err(ProofError::of("the folder of findings"))?;
        let file = cli.findings.join(format!("{}-{}.txt", result.fault, result.seed));
        let text = format!("{result:#?}\n{:#?}\n{history:#?}\n", report.findings);
        std::fs::write(&file, text).map_err(ProofError::of("a file of findings"))?;
        say(&format!("  all of it: {}", file.display()));
    }
    Ok(result.kept)
}

fn write_page(cli: &Cli) -> Result<(), ProofError> {
    let results = result::read(&cli.results).map_err(ProofError::of("the results"))?;
    std::fs::write(&cli.page, page(&results)).map_err(ProofError::of("the page"))
}

fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
