//! Which processes of an earlier `carillon up` are still there, and is that a running stack or the rest of a crash?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::info::StackInfo;
use crate::process::{Identity, Process, Spec};
use crate::stack::write_private;

/// The process of `up` that publishes demo events.
pub const DEMO: &str = "demo";

/// The process of `up` that serves the example pages.
pub const EXAMPLES: &str = "examples";

/// What `carillon up` notes in `stack.json`, at every step of its start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The `carillon up` that started it.
    pub supervisor: Identity,
    /// The supervisor has left the stack to itself (`--detach`).
    pub detached: bool,
    /// Every process in the order of its start.
    pub processes: Vec<Recorded>,
    /// A folder outside the data folder that goes when the stack stops.
    pub sockets: Option<PathBuf>,
    /// Addresses and keys; none until everything is ready.
    pub info: Option<StackInfo>,
}

/// One process of a stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// `gateway-1`.
    pub name: String,
    /// Which process that was.
    pub identity: Identity,
    /// How to start it again; none in a note of a version that did not write it down.
    #[serde(default)]
    pub spec: Option<Spec>,
}

impl Recorded {
    /// A process that runs.
    pub fn of(process: &Process) -> Option<Self> {
        let spec = Some(process.spec().clone());
        Some(Self { name: process.name().to_owned(), identity: process.identity()?, spec })
    }

    /// Whether the stack's data, or what is in memory only, goes on without it: everything but Postgres and Redis.
    fn is_replaceable(&self) -> bool {
        self.spec.is_some() && self.name != "postgres" && !self.name.starts_with("redis")
    }
}

/// What has become of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, or somebody is starting it.
    Live,
    /// Nobody watches over it, and what is missing can simply be started again.
    Incomplete,
    /// It does not; these processes of it are left over.
    Crashed {
        /// Processes that still run.
        leftovers: Vec<Recorded>,
    },
}

impl State {
    /// A stack that this supervisor begins to start.
    pub fn begin(supervisor: Identity) -> Self {
        Self { supervisor, detached: false, processes: Vec::new(), sockets: None, info: None }
    }

    /// Judges by which of its processes `is_alive`.
    ///
    /// Attached, a stack lives as long as its supervisor. Detached, it lives while Postgres and Redis do: whatever else is
    /// gone, the next `up` brings back.
    pub fn judge(&self, is_alive: impl Fn(&Identity) -> bool) -> Verdict {
        let missing = self.missing(&is_alive);
        let present: Vec<_> =
            self.processes.iter().filter(|known| !missing.contains(known)).cloned().collect();
        if !self.detached {
            return if is_alive(&self.supervisor) {
                Verdict::Live
            } else {
                Verdict::Crashed { leftovers: present }
            };
        }
        if present.is_empty() || !missing.iter().all(Recorded::is_replaceable) {
            return Verdict::Crashed { leftovers: present };
        }
        if missing.is_empty() { Verdict::Live } else { Verdict::Incomplete }
    }

    /// Which of its processes are gone.
    pub fn missing(&self, is_alive: impl Fn(&Identity) -> bool) -> Vec<Recorded> {
        self.processes.iter().filter(|process| !is_alive(&process.identity)).cloned().collect()
    }

    /// Notes a process; one of the same name is gone.
    pub fn note(&mut self, process: Recorded) {
        match self.processes.iter_mut().find(|known| known.name == process.name) {
            Some(known) => *known = process,
            None => self.processes.push(process),
        }
    }

    /// The state noted in a data folder, if there is one.
    pub fn load(data: &Path) -> Result<Option<Self>, StateError> {
        let file = file(data);
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| StateError { file, source: io::Error::other(source) }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StateError { file, source }),
        }
    }

    /// Notes the state.
    pub fn save(&self, data: &Path) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(self).map_err(io::Error::other);
        text.and_then(|text| write_private(&file(data), &text))
            .map_err(|source| StateError { file: file(data), source })
    }

    /// Forgets the stack, and removes what it left outside its folder.
    pub fn forget(&self, data: &Path) -> Result<(), StateError> {
        if let Some(sockets) = &self.sockets {
            // Only convenience: sockets of servers that are gone.
            let _ = fs::remove_dir_all(sockets);
        }
        fs::remove_file(file(data)).map_err(|source| StateError { file: file(data), source })
    }
}

/// The state file cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}: {source}", file.display())]
pub struct StateError {
    file: PathBuf,
    source: io::Error,
}

fn file(data: &Path) -> PathBuf {
    data.join("stack.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{Lifetime, Signal};

    fn identity(pid: u32) -> Identity {
        Identity { pid, start: 1, exe: "/bin/x".into() }
    }

    fn spec() -> Spec {
        Spec {
            name: "x".into(),
            program: "/bin/x".into(),
            args: vec!["serve".into()],
            env: vec![("A".into(), "b".into())],
            log: "/log".into(),
            folder: "/".into(),
            account: Some((1, 2)),
            lifetime: Lifetime::Tied(Signal::INT),
            stop: Signal::TERM,
            grace: std::time::Duration::from_millis(1500),
        }
    }

    fn state(detached: bool) -> State {
        let names = [("postgres", 11), ("redis-2", 12), ("gateway-1", 13), (DEMO, 14)];
        let processes = names.map(|(name, pid)| Recorded {
            name: name.into(),
            identity: identity(pid),
            spec: Some(spec()),
        });
        State { detached, processes: processes.into(), ..State::begin(identity(10)) }
    }

    fn verdict(state: &State, alive: &[u32]) -> (&'static str, Vec<u32>) {
        let pids = |processes: Vec<Recorded>| processes.iter().map(|process| process.identity.pid).collect();
        let is_alive = |identity: &Identity| alive.contains(&identity.pid);
        match state.judge(is_alive) {
            Verdict::Live => ("live", Vec::new()),
            Verdict::Incomplete => ("incomplete", pids(state.missing(is_alive))),
            Verdict::Crashed { leftovers } => ("crashed", pids(leftovers)),
        }
    }

    #[test]
    fn an_attached_stack_lives_with_its_supervisor() {
        let state = state(false);
        assert_eq!(verdict(&state, &[10, 11, 12, 13, 14]), ("live", vec![]));
        assert_eq!(verdict(&state, &[10]), ("live", vec![]), "somebody watches it die, or has only begun");
        assert_eq!(verdict(&state, &[11, 13]), ("crashed", vec![11, 13]));
        assert_eq!(verdict(&state, &[]), ("crashed", vec![]));
    }

    #[test]
    fn a_detached_stack_lives_while_postgres_and_redis_do_and_what_else_is_gone_is_named() {
        let mut state = state(true);
        assert_eq!(verdict(&state, &[11, 12, 13, 14]), ("live", vec![]));
        assert_eq!(verdict(&state, &[11, 12, 14]), ("incomplete", vec![13]));
        assert_eq!(verdict(&state, &[11, 12]), ("incomplete", vec![13, 14]));
        assert_eq!(verdict(&state, &[12, 13, 14]), ("crashed", vec![12, 13, 14]), "no Postgres");
        assert_eq!(verdict(&state, &[11, 13, 14]), ("crashed", vec![11, 13, 14]), "a part of Redis");
        assert_eq!(verdict(&state, &[10]), ("crashed", vec![]));
        state.processes[2].spec = None;
        assert_eq!(
            verdict(&state, &[11, 12, 14]),
            ("crashed", vec![11, 12, 14]),
            "nobody knows how to start it"
        );
    }

    #[test]
    fn a_note_of_an_older_version_is_still_read() {
        let text = r#"{"name":"gateway-1","identity":{"pid":1,"start":2,"exe":"/x"}}"#;
        assert_eq!(serde_json::from_str::<Recorded>(text).unwrap().spec, None);
    }

    #[test]
    fn a_detached_stack_without_processes_does_not_live() {
        let state = State { processes: Vec::new(), ..state(true) };
        assert_eq!(state.judge(|_| true), Verdict::Crashed { leftovers: Vec::new() });
    }

    #[test]
    fn the_state_survives_its_file_and_is_forgotten_with_its_sockets() {
        let data = tempfile::tempdir().unwrap();
        assert_eq!(State::load(data.path()).unwrap(), None);
        let sockets = data.path().join("elsewhere");
        fs::create_dir(&sockets).unwrap();
        let state = State { sockets: Some(sockets.clone()), ..state(true) };
        state.save(data.path()).unwrap();
        assert_eq!(State::load(data.path()).unwrap(), Some(state.clone()));
        state.forget(data.path()).unwrap();
        assert_eq!(State::load(data.path()).unwrap(), None);
        assert!(!sockets.exists());
    }

    #[test]
    fn a_spoilt_state_file_is_named() {
        let data = tempfile::tempdir().unwrap();
        fs::write(file(data.path()), "{").unwrap();
        assert!(State::load(data.path()).unwrap_err().to_string().contains("stack.json"));
    }
}
