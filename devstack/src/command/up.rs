//! `carillon up`: start everything, tell the user, stay until told to stop (or leave it running).

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::banner::{self, Banner, Stops};
use super::examples::Examples;
use super::journal::Journal;
use super::paint::Paint;
use super::{CommandError, console, down, print, revive, say};
use crate::cli::UpArgs;
use crate::info::StackInfo;
use crate::install;
use crate::process::{Identity, Lifetime, Process, Signal, Spec};
use crate::stack::{Observer, Stack, StackConfig, StackError};
use crate::state::{DEMO, EXAMPLES, Recorded, State, Verdict};
use crate::token::{self, Claims, DEMO_CHANNELS, DEMO_TENANT, DEMO_USER};

/// How often a foreground `up` looks whether everybody is still there.
const ROUND: Duration = Duration::from_millis(500);
/// Lifetime of the token that is printed.
const TOKEN: u64 = 12 * 3600;

pub(super) async fn run(data: &Path, args: UpArgs) -> Result<(), CommandError> {
    let io = |what: &str| {
        let what = format!("{what} {}", data.display());
        move |error| CommandError::Io(what, error)
    };
    fs::create_dir_all(data).map_err(io("cannot create"))?;
    let shown = data.to_path_buf();
    let data = &data.canonicalize().map_err(io("cannot find"))?;
    // Two `up` at once would both find nothing running.
    let lock = File::create(data.join("lock")).map_err(io("cannot lock"))?;
    let met = match lock.try_lock() {
        Ok(()) => meet(data, &args).await?,
        Err(TryLockError::WouldBlock) => Some(ask(data, &args).await?),
        Err(TryLockError::Error(error)) => return Err(io("cannot lock")(error)),
    };
    if let Some(state) = met {
        let info = state.info.ok_or_else(|| CommandError::NotRunning(data.to_path_buf()))?;
        let stops = if state.detached { Stops::Down } else { Stops::WhereItBegan };
        return announce(&shown, &args, &info, stops).await;
    }

    let mut stop = Stop::listen().map_err(|error| CommandError::Io("cannot catch signals".into(), error))?;
    let own = Identity::own()
        .ok_or_else(|| CommandError::Io("cannot see /proc".into(), std::io::ErrorKind::Unsupported.into()))?;
    let journal = Arc::new(Journal::begin(data, own)?);
    let started = tokio::select! {
        started = start(data, &args, &journal) => started,
        () = stop.asked() => {
            // The half-started stack went with the future that owned it.
            journal.end()?;
            say("stopped before everything was ready");
            return Ok(());
        }
    };
    let running = match started {
        Ok(running) => running,
        Err(error) => {
            journal.end()?;
            return Err(error);
        }
    };
    let stops = if args.detach { Stops::Down } else { Stops::Here };
    announce(&shown, &args, &running.info, stops).await?;
    if args.detach {
        journal.change(|state| state.detached = true)?;
        running.release();
        return Ok(());
    }
    running.watch(&mut stop, &journal).await?;
    say("\nstopping (once more to stop at once)");
    tokio::select! {
        stopped = running.stop() => stopped?,
        () = stop.asked() => say("stopping at once"),
    }
    journal.end()?;
    say("stopped");
    Ok(())
}

/// Meets what an earlier `up` left: refuses a second stack, brings back what a detached one has lost (and answers what it is
/// now), and ends the rest of a crashed one.
async fn meet(data: &Path, args: &UpArgs) -> Result<Option<State>, CommandError> {
    let Some(state) = State::load(data)? else { return Ok(None) };
    match state.judge(Identity::is_alive) {
        Verdict::Incomplete if !moves(args, &state) => Ok(Some(revive::run(data, state).await?)),
        Verdict::Live | Verdict::Incomplete => Err(already(data)?),
        Verdict::Crashed { leftovers } => {
            if !leftovers.is_empty() {
                say(&format!("  cleaning up after an earlier run ({} processes)", leftovers.len()));
            }
            down::end(&leftovers).await?;
            state.forget(data)?;
            Ok(None)
        }
    }
}

/// Another `up` works in this folder. The one that watches over a stack is asked for what that has lost.
async fn ask(data: &Path, args: &UpArgs) -> Result<State, CommandError> {
    let Some(state) = State::load(data)? else { return Err(already(data)?) };
    let asks = state.info.is_some() && !state.missing(Identity::is_alive).is_empty() && !moves(args, &state);
    match state.judge(Identity::is_alive) {
        Verdict::Live if asks => revive::ask_supervisor(data, &state).await,
        _ => Err(already(data)?),
    }
}

/// Whether a port is asked for that the stack has not.
fn moves(args: &UpArgs, state: &State) -> bool {
    let port = |info: &StackInfo| info.lb.rsplit(':').next().and_then(|port| port.parse().ok());
    args.port.is_some() && args.port != state.info.as_ref().and_then(port)
}

fn already(data: &Path) -> Result<CommandError, CommandError> {
    let lb = State::load(data)?.and_then(|state| state.info).map(|info| info.lb);
    Ok(CommandError::AlreadyRunning { data: data.to_path_buf(), lb })
}

/// A stack, with its demo and the server of its examples.
struct Running {
    beside: Vec<Process>,
    stack: Stack,
    info: StackInfo,
}

async fn start(data: &Path, args: &UpArgs, journal: &Arc<Journal>) -> Result<Running, CommandError> {
    let examples = args.examples.then(Examples::find).transpose()?;
    install::ensure(|step| say(&format!("  {step}")))?;
    let stack = Stack::start(StackConfig {
        gateways: args.gateways,
        publishers: args.publishers,
        redis_cluster: args.redis_cluster,
        lb: true,
        port: args.port,
        ephemeral: false,
        detached: args.detach,
        data: Some(data.to_path_buf()),
        observer: Arc::clone(journal) as Arc<dyn Observer>,
        ..StackConfig::default()
    })
    .await?;
    let mut info = stack.info();
    let sockets = stack.socket_folder();
    let outside = (!sockets.starts_with(stack.folder())).then(|| sockets.to_path_buf());
    journal.change(|state| {
        state.sockets = outside;
        state.info = Some(info.clone());
    })?;
    let mut beside = Vec::new();
    if !args.no_demo {
        beside.push(start_demo(data, args)?);
    }
    if let Some(examples) = examples {
        journal.step(EXAMPLES);
        let (process, address) = examples.start(data, &info, args.detach).await?;
        info.examples = Some(address);
        beside.push(process);
    }
    for process in &beside {
        info.pids.insert(process.name().to_owned(), process.pid());
        journal.started(process);
    }
    journal.change(|state| state.info = Some(info.clone()))?;
    Ok(Running { beside, stack, info })
}

/// The demo is this program again, so that it can outlive us with a detached stack.
fn start_demo(data: &Path, args: &UpArgs) -> Result<Process, CommandError> {
    let program =
        std::env::current_exe().map_err(|error| CommandError::Io("cannot find myself".into(), error))?;
    let process = Process::start(Spec {
        name: DEMO.into(),
        program,
        args: ["--data".into(), data.into(), "demo".into(), "--rate".into(), args.rate.to_string().into()]
            .into(),
        env: Vec::new(),
        log: data.join("log").join("demo.log"),
        folder: data.into(),
        account: None,
        lifetime: if args.detach { Lifetime::Detached } else { Lifetime::Tied(Signal::KILL) },
        stop: Signal::TERM,
        grace: Duration::from_secs(5),
    });
    Ok(process.map_err(StackError::from)?)
}

async fn announce(data: &Path, args: &UpArgs, info: &StackInfo, stops: Stops) -> Result<(), CommandError> {
    if args.json {
        let text = serde_json::to_string(info).map_err(std::io::Error::other);
        let text = text.map_err(|error| CommandError::Io("cannot print".into(), error))?;
        return print(&format!("{text}\n"));
    }
    let claims = Claims::new(DEMO_TENANT, DEMO_USER, token::now(), TOKEN).channels([DEMO_CHANNELS]);
    let token = claims.sign(&info.jwt_secret)?;
    let program = match (std::env::current_exe(), std::env::current_dir()) {
        (Ok(exe), Ok(here)) => banner::program(&exe, &here),
        _ => "carillon".into(),
    };
    let demo = info.pids.contains_key(DEMO);
    let console = console::link(info).await.unwrap_or_else(|| console::plain(info));
    let banner = Banner { info, token: &token, data, program: &program, stops, demo, console: &console };
    print(&banner.render(Paint::for_stdout()))
}

impl Running {
    /// Until the user has enough; says when a part ends by itself, and starts it again when another `up` asks for it.
    async fn watch(&self, stop: &mut Stop, journal: &Journal) -> Result<(), CommandError> {
        let mut gone: Vec<u32> = Vec::new();
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                asked = stop.next() => match asked {
                    Asked::Stop => return Ok(()),
                    Asked::Revive => self.revive(journal).await?,
                },
                _ = round.tick() => {}
            }
            for process in self.stack.processes().into_iter().chain(&self.beside) {
                if let Some(status) = process.ended()
                    && !gone.contains(&process.pid())
                {
                    gone.push(process.pid());
                    let log = process.log_path().display();
                    say(&format!("{} ended ({status}); the others go on. Its log: {log}", process.name()));
                }
            }
        }
    }

    /// What cannot be started now is told and stays away.
    async fn revive(&self, journal: &Journal) -> Result<(), CommandError> {
        if let Err(error) = self.stack.revive().await {
            say(&error.to_string());
        }
        for process in self.beside.iter().filter(|process| !process.is_running()) {
            process.restart().map_err(StackError::from)?;
        }
        // In one step: who waits for it looks at the processes and takes the whole note.
        let processes: Vec<&Process> = self.stack.processes().into_iter().chain(&self.beside).collect();
        journal.change(|state| {
            processes.iter().filter_map(|process| Recorded::of(process)).for_each(|known| state.note(known));
            if let Some(info) = &mut state.info {
                info.pids =
                    processes.iter().map(|process| (process.name().to_owned(), process.pid())).collect();
            }
        })?;
        Ok(())
    }

    async fn stop(self) -> Result<(), CommandError> {
        for process in &self.beside {
            process.terminate().await.map_err(StackError::from)?;
        }
        Ok(self.stack.stop().await?)
    }

    fn release(self) -> PathBuf {
        self.beside.iter().for_each(Process::release);
        self.stack.release()
    }
}

/// What a signal asks for.
enum Asked {
    Stop,
    Revive,
}

/// SIGINT, SIGTERM and a closed terminal; and the signal of another `up`.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    revive: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            revive: signal(revive::wish())?,
        })
    }

    async fn next(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.hangup.recv() => Asked::Stop,
            _ = self.revive.recv() => Asked::Revive,
        }
    }

    /// Until it is told to stop.
    async fn asked(&mut self) {
        while let Asked::Revive = self.next().await {}
    }
}
