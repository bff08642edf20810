//! N2 to N4: how fast do webhooks deliver, do events leave applications' transactions, and do days get into the archive?

use std::time::Duration;

use super::Suite;
use super::args::Measure;
use super::row::{Goal, Row, Unit};
use super::runner::number;
use crate::failure::Failure;

/// N2: messages a second.
const WEBHOOKS: Goal = Goal::AtLeast(2_000.0);
const TENANTS: u32 = 8;
/// N3: events a second.
const OUTBOX: Goal = Goal::AtLeast(5_000.0);
const APPLICATIONS: u32 = 4;
/// The floor of N3: the append statement with as many events as publishers move at a time.
const STATEMENT: [u32; 3] = [500, 2, 1];
/// N4: of lines, a second.
const ARCHIVE: Goal = Goal::AtLeast(100.0);
/// What a run takes at most.
const LIMIT: Duration = Duration::from_secs(400);

/// N2
pub(super) async fn webhooks(suite: &mut Suite) -> Result<(), Failure> {
    let args = format!("webhooks --tenants {TENANTS} --events {}", suite.plan.webhook_events);
    let report = suite.runner.measure(Measure::N2, &args, LIMIT).await?;
    let of = |name: &str| number(&report, &format!("/{name}"));
    let what = format!("webhook messages delivered, signed, {TENANTS} tenants, any order");
    let note = format!(
        "{:.0} messages, {:.0} came again; floor: a bare HTTP client, the same endpoint",
        of("delivered")?,
        of("repeated")?
    );
    let row = Row::new(Measure::N2, what, Unit::PerSecond, of("per_second")?).floor(of("bare_per_second")?);
    suite.rows.push(row.goal(WEBHOOKS).note(note));
    Ok(())
}

/// N3
pub(super) async fn outbox(suite: &mut Suite) -> Result<(), Failure> {
    let url = suite.database_url()?.to_owned();
    let [batch, writers, tenants] = STATEMENT;
    let seconds = suite.plan.statement_seconds;
    let floor = [suite.append_floor.display().to_string(), url.clone()]
        .into_iter()
        .chain([batch, writers, tenants, seconds].map(|number| number.to_string()));
    let (right, said) = suite.runner.output(Measure::N3, &floor.collect::<Vec<_>>(), LIMIT).await?;
    let rate = said.split_whitespace().next().and_then(|word| word.parse::<f64>().ok()).filter(|_| right);
    let floor = rate.ok_or_else(|| Failure::Usage(format!("the bare statement said {said:?}")))?;
    let events = suite.plan.outbox_events.to_string();
    let command = [suite.outbox_rate.display().to_string(), url, events, APPLICATIONS.to_string()];
    let (right, said) = suite.runner.output(Measure::N3, &command, LIMIT).await?;
    let report = serde_json::from_str(&said).ok().filter(|_| right);
    let report = report.ok_or_else(|| Failure::Usage(format!("the applications said {said:?}")))?;
    let of = |name: &str| number(&report, &format!("/{name}"));
    let what = format!("events moved out of transactions of {APPLICATIONS} applications");
    let note = format!(
        "{:.0} events, committed at {:.0}/s, the last moved {:.0} ms later; floor: the append statement, {batch} a statement, {writers} writers",
        of("events")?,
        of("committed_per_second")?,
        of("moved_after_ms")?
    );
    let row = Row::new(Measure::N3, what, Unit::PerSecond, of("moved_per_second")?).floor(floor);
    suite.rows.push(row.goal(OUTBOX).note(note));
    Ok(())
}

/// N4
pub(super) async fn archive(suite: &mut Suite) -> Result<(), Failure> {
    let url = suite.database_url()?.to_owned();
    let folder = suite.runner.stack.with_file_name("archive");
    let program = suite.archive_rate.display().to_string();
    let command = [program, url, folder.display().to_string(), suite.plan.archive_mebibytes.to_string()];
    let said = suite.runner.output(Measure::N4, &command, LIMIT).await;
    // It was measured, or is told: what is left of it is of no use to anybody.
    let _ = std::fs::remove_dir_all(&folder);
    let (right, said) = said?;
    let report = serde_json::from_str(&said).ok().filter(|_| right);
    let report = report.ok_or_else(|| Failure::Usage(format!("the archive said {said:?}")))?;
    let of = |name: &str| number(&report, &format!("/{name}"));
    let note = format!(
        "{:.0} MB of lines in {:.0} MB, {:.0} events of four tenants; floor: their pages alone are read",
        of("megabytes")?,
        of("stored_megabytes")?,
        of("events")?
    );
    let what = "lines into the archive and read back, before compression";
    let row = Row::new(Measure::N4, what, Unit::MegabytesPerSecond, of("megabytes_per_second")?);
    suite.rows.push(row.floor(of("read_megabytes_per_second")?).goal(ARCHIVE).note(note));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn webhooks_are_a_run_of_their_own() {
        let typed = format!("carillon-loadtest webhooks --tenants {TENANTS} --events 20000");
        assert!(matches!(Cli::parse_from(typed.split(' ')).command, Command::Webhooks(_)));
    }
}
