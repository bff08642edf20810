//! What does each subcommand of `carillon` do?

mod banner;
mod console;
mod disconnect;
mod down;
mod drill;
mod examples;
mod inbox;
mod journal;
mod paint;
mod present;
mod reset;
mod revive;
mod status;
mod target;
mod token;
mod up;
mod who;

pub use drill::hostile;
pub use drill::hostile::HostileLoad;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::cli::{Cli, Command};
use crate::client;
use crate::client::presence::Subject;
use crate::info::StackInfo;
use crate::install::{self, InstallError};
use crate::process::Identity;
use crate::stack::StackError;
use crate::state::{State, StateError, Verdict};
use crate::wait;

/// Why a subcommand failed; every message is one line, except where it quotes a process's last lines.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no stack to talk to.
    #[error("no stack runs in {}; start one with `carillon up`", .0.display())]
    NotRunning(PathBuf),
    /// Neither an argument nor a running stack says it.
    #[error("no stack runs here whose address and keys could be used: say {0}")]
    Missing(&'static str),
    /// An address that leads nowhere.
    #[error("{0} must begin with {1}")]
    Url(String, &'static str),
    /// `who` was not let in.
    #[error("the installation does not answer this: {0}")]
    Refused(#[from] client::socket::SocketError),
    /// A second one in the same folder.
    #[error("a stack already runs in {}{}; stop it with `carillon down`", data.display(), at(lb.as_deref()))]
    AlreadyRunning {
        /// The data folder.
        data: PathBuf,
        /// Its URL, once it has one.
        lb: Option<String>,
    },
    /// Not everything of the stack runs (`carillon status` has said what).
    #[error("the stack is not whole; `carillon up` starts again what is gone")]
    Incomplete,
    /// An argument does not fit the contract's grammar.
    #[error(transparent)]
    Name(#[from] carillon_protocol::ident::InvalidName),
    /// Servers are missing.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The stack did not start.
    #[error(transparent)]
    Stack(#[from] StackError),
    /// The state file.
    #[error(transparent)]
    State(#[from] StateError),
    /// A process did not stop.
    #[error("{0}")]
    Stop(#[from] wait::Timeout),
    /// A token could not be signed.
    #[error(transparent)]
    Token(#[from] crate::token::TokenError),
    /// A folder, the terminal or a signal.
    #[error("{0}: {1}")]
    Io(String, io::Error),
    /// `reset` of a folder that is not ours.
    #[error("{} does not look like a data folder of carillon; nothing was deleted", .0.display())]
    NotOurs(PathBuf),
    /// `up --examples`
    #[error(transparent)]
    Examples(#[from] examples::ExamplesError),
    /// `drill`
    #[error(transparent)]
    Drill(#[from] drill::DrillError),
    /// `publish`
    #[error(transparent)]
    Publish(#[from] client::publish::PublishCommandError),
    /// `tail`
    #[error(transparent)]
    Tail(#[from] client::tail::TailError),
    /// `demo`
    #[error(transparent)]
    Demo(#[from] client::demo::DemoError),
}

fn at(lb: Option<&str>) -> String {
    lb.map(|lb| format!(" at {lb}")).unwrap_or_default()
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<(), CommandError> {
    let data = cli.data.as_path();
    match cli.command {
        Command::Up(args) => up::run(data, args).await,
        Command::Down => down::run(data).await,
        Command::Status(args) => status::run(data, &args).await,
        Command::Token(args) => token::run(&running(data)?, args),
        Command::Console => console::run(&running(data)?).await,
        Command::Publish(args) => {
            let destination = target::destination(data, &args)?;
            Ok(client::publish::run(&args, &destination).await?)
        }
        Command::Tail(args) => {
            let source = target::source(data, &args)?;
            Ok(client::tail::run(&args, source).await?)
        }
        Command::Who(args) => {
            let stack = running(data).ok();
            match (&args.channel, &args.user) {
                (Some(channel), _) => present::run(stack, &args, Subject::Channel(channel)).await,
                (None, Some(user)) => present::run(stack, &args, Subject::User(user)).await,
                (None, None) => who::run(stack, &args).await,
            }
        }
        Command::Disconnect(args) => disconnect::run(running(data).ok(), &args).await,
        Command::Inbox(args) => inbox::run(running(data).ok(), &args).await,
        Command::Demo(args) => Ok(client::demo::run(&args, &running(data)?).await?),
        Command::Reset => reset::run(data).await,
        Command::Drill(drill) => drill::run(drill).await,
        Command::Install => {
            install::ensure_for_tests(say)?;
            say("Postgres, Redis, HAProxy, nginx and PgBouncer are there");
            Ok(())
        }
    }
}

/// The stack that runs in the folder.
fn running(data: &Path) -> Result<StackInfo, CommandError> {
    let not_running = || CommandError::NotRunning(data.to_path_buf());
    let mut state = State::load(data)?.ok_or_else(not_running)?;
    loop {
        return match state.judge(Identity::is_alive) {
            Verdict::Live | Verdict::Incomplete => state.info.ok_or_else(not_running),
            // Something of a detached stack is gone; the rest may still answer.
            Verdict::Crashed { leftovers } if state.detached && !leftovers.is_empty() => {
                state.info.ok_or_else(not_running)
            }
            Verdict::Crashed { .. } => {
                // An `up --detach` may have let go and ended between the look at its note and the look at itself.
                let now = State::load(data)?.filter(|now| *now != state);
                state = now.ok_or_else(not_running)?;
                continue;
            }
        };
    }
}

/// A line for people on stderr; stdout belongs to results.
fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes a result to stdout at once.
fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| CommandError::Io("cannot write to stdout".into(), error))
}
