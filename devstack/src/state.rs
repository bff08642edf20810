//! Which processes of an earlier `carillon up` are still there, and is that a running stack or the rest of a crash?

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::info::StackInfo;
use crate::process::Identity;
use crate::stack::write_private;

/// The process of `up` that publishes demo events; a stack is whole without it.
pub const DEMO: &str = "demo";

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
}

/// What has become of a stack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It runs, or somebody is starting it.
    Live,
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
    /// Attached, a stack lives as long as its supervisor. Detached, it lives while all of its processes do: if one
    /// is gone, nobody will bring it back, and a new `up` shall not be refused because of the others.
    pub fn judge(&self, is_alive: impl Fn(&Identity) -> bool) -> Verdict {
        let core = || self.processes.iter().filter(|process| process.name != DEMO);
        let live = match self.detached {
            false => is_alive(&self.supervisor),
            true => core().count() > 0 && core().all(|process| is_alive(&process.identity)),
        };
        if live {
            return Verdict::Live;
        }
        let leftovers =
            self.processes.iter().filter(|process| is_alive(&process.identity)).cloned().collect();
        Verdict::Crashed { leftovers }
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

    fn identity(pid: u32) -> Identity {
        Identity { pid, start: 1, exe: "/bin/x".into() }
    }

    fn state(detached: bool) -> State {
        let names = [("postgres", 11), ("gateway-1", 12), (DEMO, 13)];
        let processes = names.map(|(name, pid)| Recorded { name: name.into(), identity: identity(pid) });
        State { detached, processes: processes.into(), ..State::begin(identity(10)) }
    }

    fn verdict(detached: bool, alive: &[u32]) -> Result<(), Vec<u32>> {
        match state(detached).judge(|identity| alive.contains(&identity.pid)) {
            Verdict::Live => Ok(()),
            Verdict::Crashed { leftovers } => Err(leftovers.iter().map(|left| left.identity.pid).collect()),
        }
    }

    #[test]
    fn an_attached_stack_lives_with_its_supervisor() {
        assert_eq!(verdict(false, &[10, 11, 12, 13]), Ok(()));
        assert_eq!(verdict(false, &[10]), Ok(()), "somebody watches it die, or has only begun");
        assert_eq!(verdict(false, &[11, 13]), Err(vec![11, 13]));
        assert_eq!(verdict(false, &[]), Err(vec![]));
    }

    #[test]
    fn a_detached_stack_lives_while_it_is_whole_but_for_the_demo() {
        assert_eq!(verdict(true, &[11, 12, 13]), Ok(()));
        assert_eq!(verdict(true, &[11, 12]), Ok(()));
        assert_eq!(verdict(true, &[11, 13]), Err(vec![11, 13]));
        assert_eq!(verdict(true, &[10]), Err(vec![]));
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
