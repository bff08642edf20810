//! On which machine was it measured, and when?

use std::fs;

use serde::Serialize;

/// The circumstances of a run.
#[derive(Debug, Serialize)]
pub(super) struct Circumstances {
    /// When it began (RFC 3339).
    pub(super) date: String,
    /// What was measured.
    pub(super) commit: String,
    /// Whether rounds were few and short.
    pub(super) quick: bool,
    /// The processor's name.
    pub(super) processor: String,
    /// How many of them.
    pub(super) processors: usize,
    /// Main memory, in GiB.
    pub(super) memory_gib: f64,
    /// Linux's version.
    pub(super) kernel: String,
    /// The load average of the last minute, before anything was started: a machine that does other work measures that too.
    pub(super) load_before: f64,
}

impl Circumstances {
    /// Here and now. What cannot be read is empty: no measure depends on it.
    pub(super) fn now(commit: &str, quick: bool) -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        Self {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit.to_owned(),
            quick,
            processor: value(&read("/proc/cpuinfo"), "model name").unwrap_or_default().to_owned(),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: value(&read("/proc/meminfo"), "MemTotal").map_or(0.0, gib),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load_before: first_number(&read("/proc/loadavg")).unwrap_or_default(),
        }
    }

    /// One line for people.
    pub(super) fn line(&self) -> String {
        let Self { date, commit, processor, processors, memory_gib, kernel, load_before, quick } = self;
        let quick = if *quick { "quick run, " } else { "" };
        format!(
            "{quick}commit {commit}, {date}, {processors} × {processor}, {memory_gib:.0} GiB, Linux {kernel}, \
             load before {load_before:.2}"
        )
    }
}

/// What stands behind `name :` in the first such line.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim())
    })
}

fn gib(kib: &str) -> f64 {
    first_number(kib).unwrap_or_default() / f64::from(1u32 << 20)
}

fn first_number(text: &str) -> Option<f64> {
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_is_described() {
        let cpuinfo =
            "processor\t: 0\nmodel name\t: Some CPU @ 3 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n";
        assert_eq!(value(cpuinfo, "model name"), Some("Some CPU @ 3 GHz"));
        assert_eq!(value(cpuinfo, "flags"), None);
        assert_eq!(gib("2097152 kB"), 2.0);
        let here = Circumstances::now("abc", true);
        assert!(here.processors > 0 && here.memory_gib > 0.0 && !here.kernel.is_empty());
        assert!(here.line().starts_with("quick run, commit abc, 20"), "{}", here.line());
    }
}
