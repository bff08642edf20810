//! How does a starting stack leave a trace that a later `carillon` can clean up after?

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::say;
use crate::process::{Identity, Process};
use crate::stack::Observer;
use crate::state::{Recorded, State, StateError};

/// Writes every process down as soon as it runs, and tells the user what is going on.
pub(super) struct Journal {
    data: PathBuf,
    state: Mutex<State>,
}

impl Journal {
    /// Begins an empty state in the folder.
    pub(super) fn begin(data: &Path, supervisor: Identity) -> Result<Self, StateError> {
        let state = State::begin(supervisor);
        state.save(data)?;
        Ok(Self { data: data.to_path_buf(), state: Mutex::new(state) })
    }

    /// Changes the state and writes it down.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) -> Result<(), StateError> {
        let mut state = self.state();
        change(&mut state);
        state.save(&self.data)
    }

    /// Removes the trace: nothing runs any more.
    pub(super) fn end(&self) -> Result<(), StateError> {
        self.state().forget(&self.data)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Journal {
    fn step(&self, text: &str) {
        say(&format!("  starting {text}"));
    }

    fn note(&self, text: &str) {
        say(&format!("  {text}"));
    }

    fn started(&self, process: &Process) {
        // One that has ended already needs no trace.
        let Some(recorded) = Recorded::of(process) else { return };
        // The start goes on without the trace: it only matters if we are killed within the next seconds.
        if let Err(error) = self.change(|state| state.note(recorded)) {
            say(&format!("  {error}"));
        }
    }
}
