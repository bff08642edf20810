//! How much CPU time and memory has a process used, how much the kernel, and how many sockets may we have?
//!
//! CPU time is exact to the nanosecond in `task/*/schedstat`; how it divides into user and system is known only from the
//! timer ticks in `stat` (where `CONFIG_TICK_CPU_ACCOUNTING` is set). So the sum comes from the first and the proportion
//! from the second; work that a timer starts is short of ticks, so read the proportion as a hint.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::failure::Failure;
use crate::table::Table;

/// CPU time of one process so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cpu {
    /// In its own code, as the timer ticks saw it.
    user: Duration,
    /// In the kernel on its behalf, as the timer ticks saw it. On loopback that includes the receivers' side of the
    /// network stack.
    system: Duration,
    /// Both together, exactly.
    total: Duration,
}

impl Cpu {
    fn plus(self, other: Self) -> Self {
        let Self { user, system, total } = other;
        Self { user: self.user + user, system: self.system + system, total: self.total + total }
    }

    /// What was used since `before`: the exact sum, divided as the ticks say. Milliseconds, user and system.
    fn since(self, before: Self) -> (f64, f64) {
        let ms = |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() * 1_000.0;
        let (user, system) = (ms(self.user, before.user), ms(self.system, before.system));
        let total = ms(self.total, before.total);
        let ticked = user + system;
        if ticked > 0.0 { (total * user / ticked, total * system / ticked) } else { (total, 0.0) }
    }
}

/// CPU time one process used during a measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CpuUsed {
    /// Its name in the report.
    pub(crate) process: String,
    /// Milliseconds in its own code.
    pub(crate) user_ms: f64,
    /// Milliseconds in the kernel.
    pub(crate) system_ms: f64,
}

impl CpuUsed {
    /// Adds a line for each process.
    pub(crate) fn add_to(all: &[Self], table: &mut Table) {
        for Self { process, user_ms, system_ms } in all {
            let value = format!("user {user_ms:.0} ms, system {system_ms:.0} ms");
            table.figure(format!("CPU of {process}"), value);
        }
    }
}

/// Resident memory of one process, in KiB.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Everything resident.
    pub(crate) resident_kib: u64,
    /// Of that: memory of its own, without mapped files.
    pub(crate) own_kib: u64,
}

/// CPU time of some processes at one moment.
pub(crate) struct CpuMark(Vec<(String, u32, Cpu)>);

impl CpuMark {
    /// Reads the clocks of these processes.
    pub(crate) fn now(pids: &[(String, u32)]) -> Result<Self, Failure> {
        let clocks = pids.iter().map(|(name, pid)| Ok((name.clone(), *pid, cpu(*pid)?)));
        clocks.collect::<io::Result<_>>().map(Self).map_err(Failure::from)
    }

    /// What each has used since.
    pub(crate) fn used(&self) -> Result<Vec<CpuUsed>, Failure> {
        let each = self.0.iter().map(|(name, pid, before)| {
            let (user_ms, system_ms) = cpu(*pid)?.since(*before);
            Ok(CpuUsed { process: name.clone(), user_ms, system_ms })
        });
        each.collect::<io::Result<_>>().map_err(Failure::from)
    }
}

/// CPU time of a process so far, and of its living children: Postgres works in them.
fn cpu(pid: u32) -> io::Result<Cpu> {
    let mut all = own_cpu(pid)?;
    let children = read(pid, &format!("task/{pid}/children")).unwrap_or_default();
    for child in children.split_whitespace().filter_map(|pid| pid.parse().ok()) {
        // A child that has just ended is of no account.
        all = all.plus(own_cpu(child).unwrap_or_default());
    }
    Ok(all)
}

fn own_cpu(pid: u32) -> io::Result<Cpu> {
    let stat = read(pid, "stat")?;
    let (user, system) = parse_stat(&stat, rustix::param::clock_ticks_per_second())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))?;
    let threads = fs::read_dir(format!("/proc/{pid}/task"))?;
    // A thread that has just ended is missing here, but not in the sum of the ticks.
    let ran = threads.filter_map(|thread| {
        let text = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
        parse_schedstat(&text)
    });
    Ok(Cpu { user, system, total: ran.sum::<Duration>().max(user + system) })
}

/// Memory of a process now.
pub(crate) fn memory(pid: u32) -> Result<Memory, Failure> {
    let status = read(pid, "status")?;
    Ok(parse_status(&status).ok_or_else(|| {
        io::Error::other(format!("/proc/{pid}/status has no memory; has the process ended?"))
    })?)
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    fs::read_to_string(format!("/proc/{pid}/{file}"))
        .map_err(|error| io::Error::new(error.kind(), format!("process {pid}: {error}")))
}

/// User and system time in `/proc/PID/stat`.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<(Duration, Duration)> {
    // The name in parentheses may hold spaces and parentheses; fields are counted after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let time =
        |ticks: u64| Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second.max(1)));
    Some((time(user), time(system)))
}

/// The first field: nanoseconds on a processor.
fn parse_schedstat(text: &str) -> Option<Duration> {
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Memory the kernel holds for everybody, in bytes: its slabs, and the buffers of all TCP sockets. Noisy by what else
/// the machine does (file names, page cache).
pub(crate) fn kernel_memory() -> Result<u64, Failure> {
    let meminfo = fs::read_to_string("/proc/meminfo")?;
    let sockstat = fs::read_to_string("/proc/net/sockstat")?;
    let slab = parse_kib(&meminfo, "Slab:").map(|kib| kib * 1024);
    let pages = parse_tcp_pages(&sockstat);
    let both = slab.zip(pages).map(|(slab, pages)| slab + pages * rustix::param::page_size() as u64);
    both.ok_or_else(|| io::Error::other("/proc/meminfo or /proc/net/sockstat cannot be read").into())
}

/// Pages of all TCP sockets' buffers.
fn parse_tcp_pages(sockstat: &str) -> Option<u64> {
    let line = sockstat.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace();
    words.find(|word| *word == "mem")?;
    words.next()?.parse().ok()
}

fn parse_status(status: &str) -> Option<Memory> {
    Some(Memory { resident_kib: parse_kib(status, "VmRSS:")?, own_kib: parse_kib(status, "RssAnon:")? })
}

/// The value of a line `Name:   123 kB`.
fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Raises the limit of open files to what the machine allows, and refuses a measurement that needs more.
pub(crate) fn allow_files(needed: u64) -> Result<(), Failure> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).map_err(io::Error::from)?;
    match limit.maximum {
        Some(most) if most < needed => Err(Failure::Usage(format!(
            "{needed} open files are needed and the limit of this machine is {most} (ulimit -Hn)"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_process_name() {
        let stat = "42 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 250 75 0 0 20 0 1 0 7 8 9";
        let (user, system) = parse_stat(stat, 100).unwrap();
        assert_eq!((user, system), (Duration::from_millis(2500), Duration::from_millis(750)));
        assert!(parse_stat("42 (x) S", 100).is_none());
        assert_eq!(parse_schedstat("1488056 1041424 10\n"), Some(Duration::from_nanos(1_488_056)));
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn the_exact_sum_is_divided_as_the_ticks_say() {
        let cpu = |user, system, total_us| Cpu {
            user: Duration::from_millis(user),
            system: Duration::from_millis(system),
            total: Duration::from_micros(total_us),
        };
        assert_eq!(cpu(40, 120, 167_500).since(cpu(10, 30, 47_500)), (30.0, 90.0));
        // Less than a tick: nothing is known about the proportion, and nothing is lost.
        assert_eq!(cpu(10, 30, 48_000).since(cpu(10, 30, 47_500)), (0.5, 0.0));
    }

    #[test]
    fn our_own_work_is_seen() {
        let mark = CpuMark::now(&[("test".into(), std::process::id())]).unwrap();
        let begun = std::time::Instant::now();
        let mut sum = 0u64;
        while begun.elapsed() < Duration::from_millis(30) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let used = &mark.used().unwrap()[0];
        assert!(used.user_ms + used.system_ms > 1.0, "{used:?}");
    }

    #[test]
    fn the_kernel_s_memory_is_found() {
        let sockstat =
            "sockets: used 49\nTCP: inuse 23 orphan 0 tw 24 alloc 23 mem 248\nUDP: inuse 0 mem 7\n";
        assert_eq!(parse_tcp_pages(sockstat), Some(248));
        assert_eq!(parse_tcp_pages("UDP: inuse 0 mem 7"), None);
        assert!(kernel_memory().unwrap() > 1 << 20);
    }

    #[test]
    fn memory_is_found() {
        let status = "Name:\tx\nVmRSS:\t   1234 kB\nRssAnon:\t    1000 kB\n";
        assert_eq!(parse_status(status), Some(Memory { resident_kib: 1234, own_kib: 1000 }));
        assert_eq!(parse_status("Name:\tzombie\n"), None);
    }

    #[test]
    fn our_own_process_can_be_measured() {
        let own = std::process::id();
        assert!(memory(own).unwrap().resident_kib > 100);
        let mark = CpuMark::now(&[("test".into(), own)]).unwrap();
        assert_eq!(mark.used().unwrap()[0].process, "test");
        assert!(memory(u32::MAX).is_err());
    }
}
