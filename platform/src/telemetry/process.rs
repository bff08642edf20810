//! How much memory, processor time and how many descriptors does this process use?
//!
//! The names and meanings are those of Prometheus's client libraries, so its dashboards fit. Read from /proc when
//! asked; elsewhere than on Linux only the descriptor limit is known, and what is not known is left out.

use std::fmt::Write;
use std::fs;

/// What the kernel counts processor time in: `USER_HZ` is 100 on every architecture this project builds for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What is known of the process; `None` is left out.
#[derive(Debug, Default, PartialEq)]
struct Usage {
    resident_bytes: Option<u64>,
    virtual_bytes: Option<u64>,
    threads: Option<u64>,
    cpu_seconds: Option<f64>,
    /// Seconds since 1970.
    started: Option<f64>,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

/// The process's usage now, in Prometheus's text format.
pub(super) fn render() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let mut usage = parse(&read("/proc/self/status"), &read("/proc/self/stat"), &read("/proc/stat"));
    usage.open_fds = open_fds();
    usage.max_fds = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    text(&usage)
}

/// Since Linux 6.2 the size of /proc/self/fd is the number of open descriptors; before, it is 0 and they are
/// counted, which with 20,000 sockets takes some milliseconds.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        open => Some(open),
    }
}

/// Reads /proc/self/status, /proc/self/stat and /proc/stat as proc(5) describes them.
fn parse(status: &str, stat: &str, system: &str) -> Usage {
    let kib =
        |name: &str| Some(after(status, name)?.trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024);
    // The second field is the program's name in parentheses and may hold anything, blanks and parentheses too.
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
    let (user, kernel, start) = (ticks(14), ticks(15), ticks(22));
    let boot = after(system, "btime").and_then(|text| text.trim().parse::<f64>().ok());
    Usage {
        resident_bytes: kib("VmRSS:"),
        virtual_bytes: kib("VmSize:"),
        threads: after(status, "Threads:").and_then(|text| text.trim().parse().ok()),
        cpu_seconds: user.zip(kernel).map(|(user, kernel)| (user + kernel) / TICKS_PER_SECOND),
        started: boot.zip(start).map(|(boot, start)| boot + start / TICKS_PER_SECOND),
        open_fds: None,
        max_fds: None,
    }
}

/// The rest of the line that begins with `name`.
fn after<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn text(usage: &Usage) -> String {
    let whole = |value: Option<u64>| value.map(|value| value.to_string());
    let seconds = |value: Option<f64>| value.map(|value| format!("{value:.2}"));
    let metrics = [
        ("resident_memory_bytes", "gauge", "Resident memory size in bytes.", whole(usage.resident_bytes)),
        ("virtual_memory_bytes", "gauge", "Virtual memory size in bytes.", whole(usage.virtual_bytes)),
        ("threads", "gauge", "Number of threads.", whole(usage.threads)),
        ("cpu_seconds_total", "counter", "Total user and system CPU time spent.", seconds(usage.cpu_seconds)),
        ("start_time_seconds", "gauge", "Start time since unix epoch in seconds.", seconds(usage.started)),
        ("open_fds", "gauge", "Number of open file descriptors.", whole(usage.open_fds)),
        ("max_fds", "gauge", "Maximum number of open file descriptors.", whole(usage.max_fds)),
    ];
    let mut text = String::new();
    for (name, kind, help, value) in metrics {
        if let Some(value) = value {
            // Writing to a String cannot fail.
            let _ = write!(
                text,
                "# HELP process_{name} {help}\n# TYPE process_{name} {kind}\nprocess_{name} {value}\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tcarillon\nVmSize:\t  20000 kB\nVmRSS:\t    1234 kB\nThreads:\t7\n";
    const STAT: &str = "42 (a) b (c) S 1 42 42 0 -1 4194560 2 0 0 0 150 50 0 0 20 0 7 0 12345 1 1 1";
    const SYSTEM: &str = "cpu  1 2 3\nbtime 1700000000\n";

    #[test]
    fn proc_files_are_read_as_proc5_describes_them() {
        let usage = parse(STATUS, STAT, SYSTEM);
        assert_eq!(usage.resident_bytes, Some(1234 * 1024));
        assert_eq!(usage.virtual_bytes, Some(20000 * 1024));
        assert_eq!(usage.threads, Some(7));
        assert_eq!(usage.cpu_seconds, Some(2.0));
        assert_eq!(usage.started, Some(1_700_000_123.45));
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let usage = parse("", "nonsense", "");
        assert_eq!(usage, Usage::default());
        assert_eq!(text(&usage), "");
        let memory = Usage { resident_bytes: Some(5), ..Usage::default() };
        assert_eq!(text(&memory).lines().last(), Some("process_resident_memory_bytes 5"));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_knows_itself() {
        let text = render();
        assert_eq!(text.lines().filter(|line| line.starts_with("# TYPE")).count(), 7, "{text}");
        let counted = fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        assert!(open_fds().unwrap().abs_diff(counted) < 64);
    }
}
