//! What does the kernel know about a process? (Linux: /proc)

use std::fs;
use std::path::PathBuf;

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};

/// Names one process for ever: a process id alone is reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id.
    pub pid: u32,
    /// Start time in clock ticks since boot.
    pub start: u64,
    /// The executable's path, or its name where the kernel does not tell strangers the path.
    pub exe: PathBuf,
}

impl Identity {
    /// The process that has this id now.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let stat = Stat::parse(&stat).filter(|stat| stat.state != 'Z')?;
        // A container's root may not look into processes of other users (ptrace(2)), such as Postgres.
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_else(|_| stat.name.into());
        Some(Self { pid, start: stat.start, exe: without_deleted(exe) })
    }

    /// This process.
    pub fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether exactly this process still runs (a zombie does not).
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// A rebuilt binary shows as `path (deleted)` while the old one runs.
fn without_deleted(exe: PathBuf) -> PathBuf {
    match exe.to_str().and_then(|path| path.strip_suffix(" (deleted)")) {
        Some(path) => PathBuf::from(path),
        None => exe,
    }
}

/// The fields of /proc/PID/stat that matter here (proc(5)).
#[derive(Debug, PartialEq, Eq)]
struct Stat<'a> {
    name: &'a str,
    state: char,
    parent: u32,
    start: u64,
}

impl<'a> Stat<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        // The second field is the program's name in brackets and may itself hold blanks and brackets.
        let (head, rest) = line.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = rest.split_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let start = fields.nth(17)?.parse().ok()?;
        Some(Self { name, state, parent, start })
    }
}

/// The process and all its descendants, parents first.
///
/// Postgres puts each of its servers into a session of its own, so a process group does not hold them all.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            Some((pid, Stat::parse(&stat)?.parent))
        })
        .collect();
    descendants(root, &parents)
}

/// `root` and everybody below it among `(pid, parent)` pairs.
fn descendants(root: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![root];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(parents.iter().filter(|(_, above)| *above == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    found
}

/// Sends a signal; a process that is already gone is no error.
pub fn signal(pid: u32, signal: Signal) -> std::io::Result<()> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match rustix::process::kill_process(pid, signal) {
        Err(rustix::io::Errno::SRCH) => Ok(()),
        other => other.map_err(Into::into),
    }
}

/// Sends a signal to a process and all its descendants, parents first.
pub fn signal_tree(root: u32, what: Signal) -> std::io::Result<()> {
    tree(root).into_iter().try_for_each(|pid| signal(pid, what))
}

/// Kills a process and all its descendants. The root is stopped first so that it cannot fork meanwhile.
pub fn kill_tree(root: u32) -> std::io::Result<()> {
    signal(root, Signal::STOP)?;
    tree(root).into_iter().rev().try_for_each(|pid| signal(pid, Signal::KILL))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_another_start_time_is_not() {
        let own = Identity::own().unwrap();
        assert!(own.is_alive());
        assert!(!Identity { start: own.start + 1, ..own.clone() }.is_alive());
        assert!(!Identity { exe: "/bin/other".into(), ..own }.is_alive());
    }

    #[test]
    fn a_program_s_name_may_hold_brackets_and_blanks() {
        let line = "7 (a) b) (c) S 3 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(Stat::parse(line), Some(Stat { name: "a) b) (c", state: 'S', parent: 3, start: 4711 }));
    }

    #[test]
    fn descendants_are_found_at_any_depth() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 1), (9, 8)];
        assert_eq!(descendants(2, &parents), [2, 3, 4]);
        assert_eq!(descendants(1, &parents), [1, 2, 5, 3, 4]);
    }
}
