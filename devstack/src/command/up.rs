//! `carillon up`: start everything, tell the user, stay until told to stop (or leave it running).

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::banner::{self, Banner};
use super::journal::Journal;
use super::paint::Paint;
use super::{CommandError, down, print, say};
use crate::cli::UpArgs;
use crate::info::StackInfo;
use crate::install;
use crate::process::{Identity, Lifetime, Process, Signal, Spec};
use crate::stack::{Observer, Stack, StackConfig, StackError};
use crate::state::{DEMO, State, Verdict};
use crate::token::{self, Claims, DEMO_TENANT, DEMO_USER};

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
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(already(data)?),
        Err(TryLockError::Error(error)) => return Err(io("cannot lock")(error)),
    }
    clean_up(data).await?;

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
    announce(&shown, &args, &running.info)?;
    if args.detach {
        journal.note(|state| state.detached = true)?;
        running.release();
        return Ok(());
    }
    running.watch(&mut stop).await;
    say("\nstopping (once more to stop at once)");
    tokio::select! {
        stopped = running.stop() => stopped?,
        () = stop.asked() => say("stopping at once"),
    }
    journal.end()?;
    say("stopped");
    Ok(())
}

/// Refuses a second stack; ends what a crashed one left.
async fn clean_up(data: &Path) -> Result<(), CommandError> {
    let Some(state) = State::load(data)? else { return Ok(()) };
    match state.judge(Identity::is_alive) {
        Verdict::Live => Err(already(data)?),
        Verdict::Crashed { leftovers } => {
            if !leftovers.is_empty() {
                say(&format!("  cleaning up after an earlier run ({} processes)", leftovers.len()));
            }
            down::end(&leftovers).await?;
            Ok(state.forget(data)?)
        }
    }
}

fn already(data: &Path) -> Result<CommandError, CommandError> {
    let lb = State::load(data)?.and_then(|state| state.info).map(|info| info.lb);
    Ok(CommandError::AlreadyRunning { data: data.to_path_buf(), lb })
}

/// A stack with its demo.
struct Running {
    demo: Option<Process>,
    stack: Stack,
    info: StackInfo,
}

async fn start(data: &Path, args: &UpArgs, journal: &Arc<Journal>) -> Result<Running, CommandError> {
    install::ensure(|step| say(&format!("  {step}")))?;
    let stack = Stack::start(StackConfig {
        gateways: args.gateways,
        publishers: args.publishers,
        redis_cluster: args.redis_cluster,
        lb: true,
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
    journal.note(|state| {
        state.sockets = outside;
        state.info = Some(info.clone());
    })?;
    let demo = match args.no_demo {
        true => None,
        false => Some(start_demo(data, args)?),
    };
    if let Some(identity) = demo.as_ref().and_then(Process::identity) {
        info.pids.insert(DEMO.into(), identity.pid);
        journal.started(DEMO, &identity);
        journal.note(|state| state.info = Some(info.clone()))?;
    }
    Ok(Running { demo, stack, info })
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

fn announce(data: &Path, args: &UpArgs, info: &StackInfo) -> Result<(), CommandError> {
    if args.json {
        let text = serde_json::to_string(info).map_err(std::io::Error::other);
        let text = text.map_err(|error| CommandError::Io("cannot print".into(), error))?;
        return print(&format!("{text}\n"));
    }
    let token = Claims::new(DEMO_TENANT, DEMO_USER, token::now(), TOKEN).sign(&info.jwt_secret)?;
    let program = match (std::env::current_exe(), std::env::current_dir()) {
        (Ok(exe), Ok(here)) => banner::program(&exe, &here),
        _ => "carillon".into(),
    };
    let banner =
        Banner { info, token: &token, data, program: &program, detached: args.detach, demo: !args.no_demo };
    print(&banner.render(Paint::for_stdout()))
}

impl Running {
    /// Until the user has enough; says when a part ends by itself.
    async fn watch(&self, stop: &mut Stop) {
        let mut gone: Vec<u32> = Vec::new();
        let mut round = tokio::time::interval(ROUND);
        loop {
            tokio::select! {
                () = stop.asked() => return,
                _ = round.tick() => {}
            }
            for process in self.stack.processes().into_iter().chain(&self.demo) {
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

    async fn stop(self) -> Result<(), CommandError> {
        if let Some(demo) = &self.demo {
            demo.terminate().await.map_err(StackError::from)?;
        }
        Ok(self.stack.stop().await?)
    }

    fn release(self) -> PathBuf {
        if let Some(demo) = &self.demo {
            demo.release();
        }
        self.stack.release()
    }
}

/// SIGINT, SIGTERM and a closed terminal.
struct Stop {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
}

impl Stop {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}
