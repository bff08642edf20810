//! How much CPU time and memory has a process used, and how many sockets may we have?

use std::fs;
use std::io;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use serde::Serialize;

use crate::failure::Failure;

/// CPU time of one process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// In its own code.
    pub(crate) user: Duration,
    /// In the kernel on its behalf. On loopback that includes the receivers' side of the network stack.
    pub(crate) system: Duration,
}

/// CPU time one process used during a measurement.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CpuUsed {
    /// Its name in the report.
    pub(crate) process: String,
    /// Milliseconds in its own code.
    pub(crate) user_ms: u64,
    /// Milliseconds in the kernel.
    pub(crate) system_ms: u64,
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
        let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let each = self.0.iter().map(|(name, pid, before)| {
            let after = cpu(*pid)?;
            let (user, system) =
                (after.user.saturating_sub(before.user), after.system.saturating_sub(before.system));
            Ok(CpuUsed { process: name.clone(), user_ms: ms(user), system_ms: ms(system) })
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
        let child = own_cpu(child).unwrap_or_default();
        all = Cpu { user: all.user + child.user, system: all.system + child.system };
    }
    Ok(all)
}

fn own_cpu(pid: u32) -> io::Result<Cpu> {
    let stat = read(pid, "stat")?;
    parse_stat(&stat, rustix::param::clock_ticks_per_second())
        .ok_or_else(|| io::Error::other(format!("/proc/{pid}/stat cannot be read")))
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

fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<Cpu> {
    // The name in parentheses may hold spaces and parentheses; fields are counted after the last one.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let (user, system) = (ticks()?, ticks()?);
    let time =
        |ticks: u64| Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / ticks_per_second.max(1)));
    Some(Cpu { user: time(user), system: time(system) })
}

fn parse_status(status: &str) -> Option<Memory> {
    let kib = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    };
    Some(Memory { resident_kib: kib("VmRSS:")?, own_kib: kib("RssAnon:")? })
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
        let cpu = parse_stat(stat, 100).unwrap();
        assert_eq!((cpu.user, cpu.system), (Duration::from_millis(2500), Duration::from_millis(750)));
        assert!(parse_stat("42 (x) S", 100).is_none());
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
