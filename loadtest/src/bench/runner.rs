//! How does the suite run one measurement and understand what it printed?

use std::io::Write;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use super::args::Measure;
use crate::failure::Failure;

/// One finished measurement, as it goes into bench.json.
#[derive(Debug, Serialize)]
pub(super) struct Run {
    measure: Measure,
    command: Vec<String>,
    seconds: f64,
    /// What it printed: its JSON, or its words.
    report: Value,
}

/// Runs measurements as processes of their own, so that none inherits the memory or the threads of another.
pub(super) struct Runner {
    /// This program.
    pub(super) own: PathBuf,
    /// What `carillon up --json` printed.
    pub(super) stack: PathBuf,
    /// Everything that was run.
    pub(super) runs: Vec<Run>,
}

impl Runner {
    /// Runs one of this program's measurements against the stack and returns its report.
    pub(super) async fn measure(
        &mut self,
        measure: Measure,
        args: &str,
        limit: Duration,
    ) -> Result<Value, Failure> {
        self.report(measure, &self.on_stack(args), limit).await
    }

    /// The arguments with the stack they are about.
    pub(super) fn on_stack(&self, args: &str) -> String {
        format!("{args} --stack {}", self.stack.display())
    }

    /// Runs one of this program's measurements and returns its report; a report of broken promises is a failure.
    pub(super) async fn report(
        &mut self,
        measure: Measure,
        args: &str,
        limit: Duration,
    ) -> Result<Value, Failure> {
        let (right, report) = self.verdict(measure, args, limit).await?;
        if right {
            return Ok(report);
        }
        let faults = report.get("first_faults").or(report.get("faults")).cloned().unwrap_or_default();
        Err(Failure::Usage(format!("a promise was broken: {faults}")))
    }

    /// Runs one of this program's measurements and returns whether all promises were kept, and its report.
    pub(super) async fn verdict(
        &mut self,
        measure: Measure,
        args: &str,
        limit: Duration,
    ) -> Result<(bool, Value), Failure> {
        let mut command = vec![self.own.display().to_string(), "--json".into()];
        command.extend(args.split_whitespace().map(str::to_owned));
        let (right, text) = self.output(measure, &command, limit).await?;
        let report: Value = serde_json::from_str(&text)
            .map_err(|error| Failure::Usage(format!("{args}: no report ({error})")))?;
        self.runs.last_mut().into_iter().for_each(|run| run.report = report.clone());
        Ok((right, report))
    }

    /// Runs a program and returns whether it succeeded, and what it printed.
    pub(super) async fn output(
        &mut self,
        measure: Measure,
        command: &[String],
        limit: Duration,
    ) -> Result<(bool, String), Failure> {
        let shown: Vec<String> = command.iter().map(|word| as_written_down(word)).collect();
        let told = shown[1..].join(" ");
        writeln!(std::io::stderr(), "{} {told}", measure.name())?;
        let begun = Instant::now();
        let mut running = Command::new(&command[0]);
        running.args(&command[1..]).stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
        let output = timeout(limit, running.output())
            .await
            .map_err(|_| Failure::Late { what: told.clone(), patience: limit })??;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.runs.push(Run {
            measure,
            command: shown,
            seconds: begun.elapsed().as_secs_f64(),
            report: Value::String(text.clone()),
        });
        if !output.status.success() && text.trim().is_empty() {
            let words = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::Usage(format!("{told}: {}", words.trim())));
        }
        Ok((output.status.success(), text))
    }
}

/// A word of a command line as it may be written down: without passwords and without folders of this machine.
fn as_written_down(word: &str) -> String {
    match word.rsplit_once('/') {
        _ if word.starts_with("postgres") => "DATABASE_URL".into(),
        Some((_, name)) if word.starts_with('/') => name.into(),
        _ => word.to_owned(),
    }
}

/// A number in a report, by its JSON pointer.
pub(super) fn number(report: &Value, pointer: &str) -> Result<f64, Failure> {
    let found = report.pointer(pointer).and_then(Value::as_f64);
    found.ok_or_else(|| Failure::Usage(format!("the report has no number at {pointer}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runner() -> Runner {
        Runner { own: "/bin/sh".into(), stack: "stack.json".into(), runs: Vec::new() }
    }

    fn shell(script: &str) -> Vec<String> {
        ["/bin/sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn numbers_are_found_by_pointer() {
        let report = serde_json::json!({"cpu": {"total_us": 4.5}, "runs": [{"n": 3}]});
        assert_eq!(number(&report, "/cpu/total_us").unwrap(), 4.5);
        assert_eq!(number(&report, "/runs/0/n").unwrap(), 3.0);
        assert!(number(&report, "/cpu/user_us").is_err());
    }

    #[test]
    fn passwords_and_folders_are_not_written_down() {
        assert_eq!(as_written_down("postgres://me:secret@host/db"), "DATABASE_URL");
        assert_eq!(as_written_down("--connections"), "--connections");
        assert_eq!(as_written_down("/home/me/carillon-loadtest"), "carillon-loadtest");
    }

    #[tokio::test]
    async fn what_a_program_prints_is_kept() {
        let mut runner = runner();
        let limit = Duration::from_secs(20);
        let said = runner.output(Measure::B5, &shell("echo 12 events/s"), limit).await.unwrap();
        assert_eq!(said, (true, "12 events/s\n".into()));
        let said = runner.output(Measure::B5, &shell("echo bad; exit 1"), limit).await.unwrap();
        assert_eq!((said.0, runner.runs.len()), (false, 2));
        let silent = runner.output(Measure::B5, &shell("echo why >&2; exit 1"), limit).await.unwrap_err();
        assert!(silent.to_string().ends_with("why"), "{silent}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_end_is_ended() {
        let endless = runner().output(Measure::B5, &shell("sleep 60"), Duration::from_millis(50)).await;
        assert!(matches!(endless, Err(Failure::Late { .. })));
    }
}
