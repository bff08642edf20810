//! How does a stack get back what it lost?
//!
//! One that nobody watches over from the next `up`, one with a supervisor from the supervisor, which the next `up` asks.

use std::path::Path;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::signal::unix::SignalKind;

use super::{CommandError, say};
use crate::info::StackInfo;
use crate::process::{Identity, Process, ProcessError, Signal, Spec, signal};
use crate::stack::{Service, StackError};
use crate::state::{Recorded, State};
use crate::wait;

/// Time for a balancer to listen.
const READY: Duration = Duration::from_secs(15);

/// Time for a supervisor to start everything again.
const REVIVED: Duration = Duration::from_secs(120);

/// The signal that asks a supervisor.
pub(super) fn wish() -> SignalKind {
    SignalKind::user_defined1()
}

/// Asks the `up` that watches over this stack, and waits until nothing is missing any more.
pub(super) async fn ask_supervisor(data: &Path, state: &State) -> Result<State, CommandError> {
    for lost in state.missing(Identity::is_alive) {
        say(&format!("  {} is gone, asking `carillon up` (pid {}) for it", lost.name, state.supervisor.pid));
    }
    let fault = |error| CommandError::Io("cannot ask `carillon up`".into(), error);
    signal(state.supervisor.pid, Signal::USR1).map_err(fault)?;
    let whole = || async {
        let now = State::load(data).ok()??;
        now.missing(Identity::is_alive).is_empty().then_some(now)
    };
    Ok(wait::until("the return of what was gone", REVIVED, whole).await?)
}

/// Starts the missing processes of a stack again, each as it was and on its ports, and waits until they are ready.
pub(super) async fn run(data: &Path, mut state: State) -> Result<State, CommandError> {
    let mut info = state.info.clone().ok_or_else(|| CommandError::NotRunning(data.to_path_buf()))?;
    for Recorded { name, spec, .. } in state.missing(Identity::is_alive) {
        say(&format!("  {name} is gone, starting it again"));
        let Some(spec) = spec else { continue };
        let revived = start(spec, &info).await.map_err(StackError::from)?;
        if let Some(recorded) = Recorded::of(revived.process()) {
            info.pids.insert(name, recorded.identity.pid);
            state.note(recorded);
            state.info = Some(info.clone());
            state.save(data)?;
        }
        revived.process().release();
    }
    Ok(state)
}

/// A process that is ready; dropped before it is released, it ends.
enum Revived {
    Service(Service),
    Other(Process),
}

impl Revived {
    fn process(&self) -> &Process {
        match self {
            Self::Service(service) => service.process(),
            Self::Other(process) => process,
        }
    }
}

async fn start(spec: Spec, info: &StackInfo) -> Result<Revived, ProcessError> {
    let http = crate::http::client(|client| client).unwrap_or_default();
    if let Some(service) = Service::start_again(spec.clone(), http) {
        let service = service?;
        service.ready().await?;
        return Ok(Revived::Service(service));
    }
    let is_balancer = spec.name == crate::haproxy::NAME;
    let process = Process::start_again(spec)?;
    if is_balancer {
        let address = info.lb.trim_start_matches("http://");
        process.ready(READY, || async { TcpStream::connect(address).await.is_ok() }).await?;
    }
    Ok(Revived::Other(process))
}
