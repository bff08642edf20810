//! One child process: start it, watch it, stop it kindly, kill it, freeze it, bring it back.

mod proc;
mod spawn;

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::future::Future;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use serde::{Deserialize, Serialize};

pub use self::proc::{Identity, kill_tree, signal, signal_tree};
pub use self::spawn::Lifetime;
use crate::environment;

/// Lines of a child's log that an error shows.
const TAIL_LINES: usize = 12;
/// How long a killed process may take to leave; the kernel needs microseconds unless it waits for a disk.
const REAP: Duration = Duration::from_secs(10);
/// How long a child may take to leave when its handle is dropped.
const PARTING: Duration = Duration::from_secs(3);

/// Everything needed to start a process, and to start it again in the same way, even by another supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// What people call it: `gateway-1`.
    pub name: String,
    /// The executable.
    pub program: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its variables; of the caller's environment it inherits only PATH, HOME and the like.
    pub env: Vec<(String, String)>,
    /// Where stdout and stderr go.
    pub log: PathBuf,
    /// Its working folder.
    pub folder: PathBuf,
    /// Run as this user and group (needs root).
    pub account: Option<(u32, u32)>,
    /// Whether it ends with its supervisor.
    pub lifetime: Lifetime,
    /// The signal that asks it to stop.
    #[serde(with = "spawn::by_number")]
    pub stop: Signal,
    /// How long it may take to stop before it is killed.
    pub grace: Duration,
}

/// A child process that can be stopped and started again; dropped, it is ended at once (unless
/// [`Process::release`]d).
///
/// Signals for kill, freeze and thaw reach its whole tree of descendants.
#[derive(Debug)]
pub struct Process {
    spec: Spec,
    child: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    child: Child,
    ended: Option<ExitStatus>,
    released: bool,
}

/// What can go wrong with a child.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It did not even start.
    #[error("cannot start {name} ({}): {source}", program.display())]
    Spawn {
        /// Its name.
        name: String,
        /// Its executable.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It ended before it was ready.
    #[error("{name} ended with {status} before it was ready; its last lines:\n{log}")]
    Exited {
        /// Its name.
        name: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its log.
        log: String,
    },
    /// It runs but was not ready in time.
    #[error("{name} was not ready within {waited:?}; its last lines:\n{log}")]
    NotReady {
        /// Its name.
        name: String,
        /// How long we waited.
        waited: Duration,
        /// The end of its log.
        log: String,
    },
    /// It still runs.
    #[error("{name} still runs after {waited:?}")]
    StillRunning {
        /// Its name.
        name: String,
        /// How long we waited.
        waited: Duration,
    },
    /// The kernel refused a signal or a question about it.
    #[error("cannot control {name}: {source}")]
    Control {
        /// Its name.
        name: String,
        /// Why.
        source: io::Error,
    },
}

impl Process {
    /// Starts it with an empty log.
    pub fn start(spec: Spec) -> Result<Self, ProcessError> {
        let child = launch(&spec, false)?;
        Ok(Self { spec, child: Mutex::new(Held { child, ended: None, released: false }) })
    }

    /// Starts one again that another supervisor started: its log goes on.
    pub fn start_again(spec: Spec) -> Result<Self, ProcessError> {
        let child = launch(&spec, true)?;
        Ok(Self { spec, child: Mutex::new(Held { child, ended: None, released: false }) })
    }

    /// How it was started.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id; the last one if it ended.
    pub fn pid(&self) -> u32 {
        self.held().child.id()
    }

    /// Its log file: stdout and stderr of all its starts since [`Process::start`].
    pub fn log_path(&self) -> &Path {
        &self.spec.log
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        tail(&self.spec.log, TAIL_LINES)
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<ExitStatus> {
        self.held().poll()
    }

    /// Whether it runs (a frozen one does).
    pub fn is_running(&self) -> bool {
        self.ended().is_none()
    }

    /// Which process this is, for a state file.
    pub fn identity(&self) -> Option<Identity> {
        Identity::of(self.pid())
    }

    /// SIGKILL to it and all its descendants; returns when it is gone.
    pub fn kill(&self) -> Result<(), ProcessError> {
        self.held().kill().map_err(|source| self.control(source))
    }

    /// Sends one signal to the process itself, if it runs.
    pub fn signal(&self, what: Signal) -> Result<(), ProcessError> {
        let mut held = self.held();
        match held.poll() {
            Some(_) => Ok(()),
            None => signal(held.child.id(), what).map_err(|source| self.control(source)),
        }
    }

    /// Asks it to stop and waits its grace; kills what remains. Returns how it ended.
    pub async fn terminate(&self) -> Result<ExitStatus, ProcessError> {
        {
            let mut held = self.held();
            if held.poll().is_none() {
                // A frozen process cannot take its leave.
                signal_tree(held.child.id(), Signal::CONT).map_err(|source| self.control(source))?;
                signal(held.child.id(), self.spec.stop).map_err(|source| self.control(source))?;
            }
        }
        match self.wait_exit(self.spec.grace).await {
            Ok(status) => Ok(status),
            Err(_) => {
                self.kill()?;
                self.wait_exit(REAP).await
            }
        }
    }

    /// SIGSTOP: it keeps its memory and sockets, but does nothing.
    pub fn freeze(&self) -> Result<(), ProcessError> {
        self.signal_all(Signal::STOP)
    }

    /// SIGCONT: it goes on after [`Process::freeze`].
    pub fn thaw(&self) -> Result<(), ProcessError> {
        self.signal_all(Signal::CONT)
    }

    /// Starts it again with the same arguments, variables and ports; kills it before if it still runs.
    pub fn restart(&self) -> Result<(), ProcessError> {
        let mut held = self.held();
        held.kill().map_err(|source| self.control(source))?;
        held.child = launch(&self.spec, true)?;
        held.ended = None;
        Ok(())
    }

    /// Bytes it has in memory (`VmRSS` of proc(5)); none when it has ended.
    pub fn memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
    }

    /// Waits until it ends by itself.
    pub async fn wait_exit(&self, limit: Duration) -> Result<ExitStatus, ProcessError> {
        crate::wait::until(self.name(), limit, || std::future::ready(self.ended()))
            .await
            .map_err(|_| ProcessError::StillRunning { name: self.spec.name.clone(), waited: limit })
    }

    /// Waits until `check` holds; fails at once if the process ends before.
    pub async fn ready<F, Fut>(&self, limit: Duration, mut check: F) -> Result<(), ProcessError>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = bool>,
    {
        let name = || self.spec.name.clone();
        crate::wait::until(self.name(), limit, || {
            let checked = check();
            async move {
                match self.ended() {
                    Some(status) => Some(Err(status)),
                    None => checked.await.then_some(Ok(())),
                }
            }
        })
        .await
        .map_err(|_| ProcessError::NotReady { name: name(), waited: limit, log: self.log_tail() })?
        .map_err(|status| ProcessError::Exited { name: name(), status, log: self.log_tail() })
    }

    /// From now on a dropped handle leaves the process running (it must have been started detached).
    pub fn release(&self) {
        self.held().released = true;
    }

    fn signal_all(&self, what: Signal) -> Result<(), ProcessError> {
        let mut held = self.held();
        match held.poll() {
            Some(_) => Ok(()),
            None => signal_tree(held.child.id(), what).map_err(|source| self.control(source)),
        }
    }

    fn control(&self, source: io::Error) -> ProcessError {
        ProcessError::Control { name: self.spec.name.clone(), source }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Every critical section leaves the value whole, so a panic elsewhere does not spoil it.
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    fn kill(&mut self) -> io::Result<()> {
        if self.poll().is_some() {
            return Ok(());
        }
        kill_tree(self.child.id())?;
        if self.leaves_within(REAP) {
            Ok(())
        } else {
            Err(io::Error::new(io::ErrorKind::TimedOut, "killed, but it does not leave"))
        }
    }

    /// Ends it quickly, but in a way that lets it clean up: a Postgres killed with SIGKILL leaves a segment of
    /// shared memory behind for ever.
    fn part(&mut self, parting: Signal) {
        if self.poll().is_none() && parting != Signal::KILL {
            let pid = self.child.id();
            let _ = signal(pid, parting);
            let _ = signal_tree(pid, Signal::CONT);
            self.leaves_within(PARTING);
        }
        let _ = self.kill();
    }

    fn leaves_within(&mut self, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.poll().is_none() {
            if begun.elapsed() > limit {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let parting = match self.spec.lifetime {
            Lifetime::Tied(signal) => signal,
            Lifetime::Detached => self.spec.stop,
        };
        let mut held = self.held();
        if !held.released {
            held.part(parting);
        }
    }
}

fn launch(spec: &Spec, again: bool) -> Result<Child, ProcessError> {
    let log = open_log(&spec.log, again);
    let started = log.and_then(|log| {
        let mut command = Command::new(&spec.program);
        command
            .args(&spec.args)
            .env_clear()
            .envs(environment::inherited())
            .envs(spec.env.iter().map(|(name, value)| (name, value)))
            .current_dir(&spec.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if let Some((user, group)) = spec.account {
            command.uid(user).gid(group);
        }
        spawn::spawn(command, spec.lifetime)
    });
    started.map_err(|source| ProcessError::Spawn {
        name: spec.name.clone(),
        program: spec.program.clone(),
        source,
    })
}

fn open_log(path: &Path, append: bool) -> io::Result<File> {
    OpenOptions::new().create(true).write(true).append(append).truncate(!append).open(path)
}

/// The last lines of a file, indented, for an error message; reads at most its last 16 KiB.
fn tail(path: &Path, lines: usize) -> String {
    use std::io::{Read, Seek, SeekFrom};
    const REACH: u64 = 16 * 1024;
    let read = || -> io::Result<String> {
        let mut file = File::open(path)?;
        let length = fs::metadata(path)?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(REACH)))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    let text = read().unwrap_or_default();
    let all: Vec<&str> = text.lines().collect();
    let last = &all[all.len().saturating_sub(lines)..];
    if last.is_empty() {
        return "  (its log is empty)".into();
    }
    last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests;
