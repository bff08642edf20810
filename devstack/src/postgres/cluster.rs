//! How does an empty Postgres cluster with our database come to be, and quickly when tests want many?
//!
//! `initdb` takes about two seconds. Throw-away stacks therefore copy a template that one of them makes once for
//! each Postgres version and account.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::account::Account;
use super::{DATABASE, PostgresError, SUPERUSER};

/// Raise when the way a template is made changes: older templates are then left alone.
const TEMPLATE: u32 = 1;

/// What a new cluster shall be like.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    /// Folder of `initdb` and `postgres`.
    pub(super) bin: PathBuf,
    /// Who owns it.
    pub(super) account: Account,
    /// The superuser's password over TCP; none lets everybody on loopback in (throw-away stacks: a debug build
    /// needs a tenth of a second for each SCRAM handshake).
    pub(super) password: Option<String>,
}

/// Makes a cluster in `data` (whose parent belongs to the account). Blocks.
pub(super) fn create(plan: &Plan, data: &Path) -> Result<(), PostgresError> {
    if plan.password.is_some() {
        return initialise(plan, data);
    }
    let template = template(plan)?;
    let copied = plan.command("cp").arg("-a").arg("--reflink=auto").arg(&template).arg(data).output();
    succeeded("cp", copied)
}

/// The template cluster; made by whoever comes first.
fn template(plan: &Plan) -> Result<PathBuf, PostgresError> {
    let folder = template_folder(plan)?;
    let fault = PostgresError::folder(&folder);
    let lock = File::create(folder.join("lock")).map_err(&fault)?;
    lock.lock().map_err(&fault)?;
    let ready = folder.join("ready").join("data");
    if ready.exists() {
        return Ok(ready);
    }
    let draft = folder.join("draft");
    if draft.exists() {
        fs::remove_dir_all(&draft).map_err(&fault)?;
    }
    plan.account.create_private(&draft).map_err(&fault)?;
    initialise(plan, &draft.join("data"))?;
    fs::rename(&draft, folder.join("ready")).map_err(&fault)?;
    Ok(ready)
}

/// A folder in the system's temp folder that nobody but us can have prepared.
fn template_folder(plan: &Plan) -> Result<PathBuf, PostgresError> {
    let version = plan.command_in_bin("postgres").arg("--version").output();
    let version = version.map_err(|source| PostgresError::tool("postgres", source))?.stdout;
    let version: String =
        version.into_iter().map(char::from).filter(|c| c.is_ascii_alphanumeric() || *c == '.').collect();
    let us = rustix::process::getuid().as_raw();
    let user = plan.account.0.map_or(us, |(user, _)| user);
    let folder = std::env::temp_dir().join(format!("carillon-template-{TEMPLATE}-{version}-{us}-{user}"));
    let fault = PostgresError::folder(&folder);
    match fs::create_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other.map_err(&fault)?,
    }
    let meta = fs::symlink_metadata(&folder).map_err(&fault)?;
    if !meta.is_dir() || meta.uid() != us || meta.mode() & 0o022 != 0 {
        return Err(fault(io::Error::new(io::ErrorKind::PermissionDenied, "belongs to somebody else")));
    }
    Ok(folder)
}

/// initdb, then password and database, made by the server in single-user mode so that no port is needed.
fn initialise(plan: &Plan, data: &Path) -> Result<(), PostgresError> {
    let mut initdb = plan.command_in_bin("initdb");
    initdb.arg("-D").arg(data).args(["-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"]);
    initdb.arg("--auth-local=trust");
    initdb.arg(if plan.password.is_some() { "--auth-host=scram-sha-256" } else { "--auth-host=trust" });
    succeeded("initdb", initdb.output())?;
    let mut orders = format!("CREATE DATABASE {DATABASE};\n");
    if let Some(password) = &plan.password {
        orders += &format!("ALTER ROLE {SUPERUSER} PASSWORD '{}';\n", password.replace('\'', "''"));
    }
    let mut single = plan.command_in_bin("postgres");
    single.arg("--single").arg("-D").arg(data).args(["-c", "fsync=off", "template1"]);
    succeeded("postgres", feed(single, &orders))
}

impl Plan {
    pub(super) fn command_in_bin(&self, name: &str) -> Command {
        self.command(self.bin.join(name))
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        // The account may not be able to enter our own working folder.
        command.current_dir("/").env_remove("PGDATA").stdin(Stdio::null());
        if let Account(Some((user, group))) = self.account {
            command.uid(user).gid(group);
        }
        command
    }
}

/// Runs the command with `input` on its stdin.
fn feed(mut command: Command, input: &str) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    child.wait_with_output()
}

pub(super) fn succeeded(tool: &'static str, output: io::Result<Output>) -> Result<(), PostgresError> {
    let output = output.map_err(|source| PostgresError::tool(tool, source))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(PostgresError::tool(tool, io::Error::other(format!("{}: {words}", output.status))))
}
