//! How do missing servers come onto the machine?

use std::path::Path;
use std::process::{Command, Stdio};

use crate::find::{self, Missing, Server, Servers};

/// Servers are missing and could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// This is not root, or the machine has no apt: the user must do it.
    #[error(transparent)]
    Missing(#[from] Missing),
    /// apt-get failed.
    #[error("`{command}` failed: {reason}")]
    Apt {
        /// The command.
        command: String,
        /// Its exit status, or why it did not start, and its last line.
        reason: String,
    },
}

/// Finds the servers of a stack; installs what is missing through apt when this is root, else says what to install.
///
/// Only the packages' programs are used. Services that a package may set up belong to the system: a stack
/// never connects to them and never stops them.
pub fn ensure(progress: impl FnMut(&str)) -> Result<Servers, InstallError> {
    if let Err(missing) = find::servers() {
        install(missing, progress)?;
    }
    Ok(find::servers()?)
}

/// Like [`ensure`], with what only the tests need: nginx, PgBouncer and pgpool.
pub fn ensure_for_tests(progress: impl FnMut(&str)) -> Result<(), InstallError> {
    let missing = || {
        let gaps =
            [find::servers().err(), find::nginx().err(), find::pgbouncer().err(), find::pgpool().err()];
        Missing(gaps.into_iter().flatten().flat_map(|missing| missing.0).collect())
    };
    if !missing().0.is_empty() {
        install(missing(), progress)?;
    }
    let still = missing();
    if still.0.is_empty() { Ok(()) } else { Err(still.into()) }
}

fn install(missing: Missing, mut progress: impl FnMut(&str)) -> Result<(), InstallError> {
    let apt = find::program("apt-get").filter(|_| rustix::process::getuid().is_root());
    let Some(apt) = apt else { return Err(missing.into()) };
    let packages: Vec<&str> = missing.0.iter().copied().map(Server::package).collect();
    progress(&format!("installing {} through apt-get", packages.join(", ")));
    run(&apt, &["update", "-q"])?;
    run(&apt, &[&["install", "-y", "-q", "--no-install-recommends"], packages.as_slice()].concat())
}

fn run(apt: &Path, args: &[&str]) -> Result<(), InstallError> {
    let fault = |reason| InstallError::Apt { command: format!("apt-get {}", args.join(" ")), reason };
    let output = Command::new(apt)
        .args(args)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| fault(source.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let last = words.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    Err(fault(format!("{}; {last}", output.status)))
}
