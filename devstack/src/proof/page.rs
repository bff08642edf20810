//! What do the runs so far say, on one page? docs/PROOF.md.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::fault::{FAULTS, Fault, STORM};
use super::matrix::{ATTACK_ROWS, FAULT_ROWS, Row};
use super::result::RunResult;

/// What comes before the figures.
const HEAD: &str = include_str!("page_head.md");
/// What runs have found in the product, and what became of it.
const FOUND: &str = include_str!("page_found.md");
/// Seeds that a row shows.
const SEEDS: usize = 3;

/// The page of these runs.
pub fn page(results: &[RunResult]) -> String {
    let mut page = HEAD.to_owned();
    let sum = |of: fn(&RunResult) -> u64| results.iter().map(of).sum::<u64>();
    let hours = sum(|result| result.load_ms) as f64 / 3_600_000.0;
    let days: BTreeSet<&str> = results.iter().map(|result| result.day.as_str()).collect();
    let commits: BTreeSet<&str> = results.iter().map(|result| result.commit.as_str()).collect();
    let red = results.iter().filter(|result| !result.kept).count();
    let _ = writeln!(
        page,
        "## What the runs show\n\n{} runs with real processes, {hours:.1} hours under load, on {} day{}, of {} commit{}: {} events acknowledged, {} delivered, {} of them replayed after a connection was lost, {} doubled, {} lost; {red} runs red.\n",
        results.len(),
        days.len(),
        if days.len() == 1 { "" } else { "s" },
        commits.len(),
        if commits.len() == 1 { "" } else { "s" },
        grouped(sum(|result| result.acknowledged)),
        grouped(sum(|result| result.delivered)),
        grouped(sum(|result| result.replayed)),
        sum(|result| result.doubled),
        sum(|result| result.lost),
    );
    page.push_str(
        "*Heals*: the longest time from the end of the fault until three new events, one for each tenant, were with everyone. *Ack* and *delivery*: the longest time an event took from its first attempt, the fault included.\n\n\
         | fault | | runs | red | acknowledged | delivered | replayed | doubled | lost | heals | ack | delivery | seeds, the newest |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for fault in FAULTS.into_iter().chain([STORM]) {
        page.push_str(&line(fault, results));
    }
    page.push_str(FOUND);
    rows(&mut page, "Faults", "fault", &FAULT_ROWS);
    rows(&mut page, "Attacks", "attack", &ATTACK_ROWS);
    page
}

fn line(fault: Fault, results: &[RunResult]) -> String {
    let runs: Vec<&RunResult> = results.iter().filter(|result| result.fault == fault.name).collect();
    if runs.is_empty() {
        return format!("| {} | {} | 0 | | | | | | | | | | |\n", fault.name, fault.what);
    }
    let sum = |of: fn(&RunResult) -> u64| runs.iter().map(|run| of(run)).sum::<u64>();
    let most = |of: fn(&RunResult) -> u64| {
        format!("{:.1} s", runs.iter().map(|run| of(run)).max().unwrap_or_default() as f64 / 1_000.0)
    };
    let seeds: Vec<String> = runs.iter().rev().take(SEEDS).map(|run| run.seed.to_string()).collect();
    format!(
        "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
        fault.name,
        fault.what,
        runs.len(),
        runs.iter().filter(|run| !run.kept).count(),
        grouped(sum(|run| run.acknowledged)),
        grouped(sum(|run| run.delivered)),
        grouped(sum(|run| run.replayed)),
        sum(|run| run.doubled),
        sum(|run| run.lost),
        most(|run| run.heal_ms),
        most(|run| run.slowest_ack_ms),
        most(|run| run.slowest_delivery_ms),
        seeds.join(", ")
    )
}

fn rows(page: &mut String, title: &str, kind: &str, rows: &[Row]) {
    let _ = writeln!(
        page,
        "\n## {title}: who tries them\n\n| {kind} | | by `make proof` | by tests of the gate | not tried |\n|---|---|---|---|---|"
    );
    for row in rows {
        // F12 and F12b, not F1 and F12.
        let of_row = |fault: &Fault| {
            let rest = fault.name.strip_prefix(row.number);
            rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_lowercase()))
        };
        let faults: Vec<&str> = FAULTS.iter().filter(|fault| of_row(fault)).map(|fault| fault.name).collect();
        let tests: Vec<String> = row.tests.iter().map(|test| format!("`{test}`")).collect();
        let untried = match (row.untested, faults.is_empty() && tests.is_empty()) {
            ("", true) => "all of it",
            (words, _) => words,
        };
        let _ = writeln!(
            page,
            "| {} | {} | {} | {} | {untried} |",
            row.number,
            row.what,
            faults.join(", "),
            tests.join(", ")
        );
    }
}

/// `1234567` as `1,234,567`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> RunResult {
        RunResult {
            fault: "F12".into(),
            seed: 9,
            kept: true,
            acknowledged: 1_500,
            heal_ms: 250,
            ..RunResult::default()
        }
    }

    #[test]
    fn runs_of_a_fault_are_one_line_with_the_longest_times() {
        let longer = RunResult { heal_ms: 1_300, kept: false, ..one() };
        let page = page(&[one(), longer]);
        let line = page.lines().find(|line| line.starts_with("| F12 |")).unwrap();
        assert!(line.contains("| 2 | 1 | 3,000 |") && line.contains("| 1.3 s |"), "{line}");
        assert!(page.contains("2 runs with real processes") && page.contains("1 runs red"));
        assert!(page.lines().any(|line| line.starts_with("| F1 |") && line.contains("| 0 | |")));
    }

    #[test]
    fn the_page_of_proof_says_what_its_results_say() {
        let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let made = page(&crate::proof::result::read(&docs.join("proof/results.jsonl")).unwrap());
        let file = docs.join("PROOF.md");
        if std::env::var_os("UPDATE_PAGES").is_some() {
            std::fs::write(&file, &made).unwrap();
        }
        let known = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            known == made,
            "docs/PROOF.md is not what its results say; run this test with UPDATE_PAGES=1"
        );
    }

    #[test]
    fn a_row_of_the_matrix_knows_its_runs_and_says_what_nobody_tries() {
        let page = page(&[]);
        let row = |number: &str| page.lines().rfind(|line| line.starts_with(number)).unwrap().to_owned();
        assert!(row("| F12 |").contains("| F12, F12b, F12c, F12d |"));
        assert!(row("| F1 |").contains("| F1 |"));
        assert!(row("| F18 |").contains("all of it"));
        assert!(FAULT_ROWS.len() == 31 && ATTACK_ROWS.len() == 30);
    }
}
