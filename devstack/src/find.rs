//! Where are the servers and our own binaries on this machine?

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::environment;

/// Oldest Postgres that Carillon's migrations work with.
const OLDEST_POSTGRES: u32 = 15;
/// Folder with one folder for each Postgres version on Debian and its relatives.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";
/// System folders that a user's PATH often lacks.
const SYSTEM: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The servers a stack needs.
#[derive(Debug, Clone)]
pub struct Servers {
    /// Folder with `initdb` and `postgres`.
    pub postgres_bin: PathBuf,
    /// `redis-server`.
    pub redis: PathBuf,
    /// `haproxy`.
    pub haproxy: PathBuf,
}

/// A server that a stack or its tests need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// `initdb` and `postgres`, version 15 or newer.
    Postgres,
    /// `redis-server`, version 7 or newer.
    Redis,
    /// `haproxy`.
    Haproxy,
    /// `nginx`: no stack has it, only the tests of deploy/nginx.
    Nginx,
    /// `pgbouncer`: no stack has it, only the tests of sessions behind a pooler.
    PgBouncer,
    /// `pgpool`: as PgBouncer.
    Pgpool,
}

impl Server {
    /// The Debian package that brings it.
    pub fn package(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql",
            Self::Redis => "redis-server",
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::PgBouncer => "pgbouncer",
            Self::Pgpool => "pgpool2",
        }
    }
}

/// Servers are missing.
#[derive(Debug, thiserror::Error)]
#[error(
    "missing {}; install the packages {} (Postgres {OLDEST_POSTGRES} or newer), for example: sudo apt-get install -y {}",
    names(.0), names(.0), names(.0)
)]
pub struct Missing(pub Vec<Server>);

fn names(servers: &[Server]) -> String {
    servers.iter().map(|server| server.package()).collect::<Vec<_>>().join(" ")
}

/// Finds all servers, or names all that are missing.
pub fn servers() -> Result<Servers, Missing> {
    let postgres = postgres_bin();
    let redis = program("redis-server");
    let haproxy = program("haproxy");
    match (postgres, redis, haproxy) {
        (Some(postgres_bin), Some(redis), Some(haproxy)) => Ok(Servers { postgres_bin, redis, haproxy }),
        (postgres, redis, haproxy) => {
            let gaps = [
                (postgres.is_none(), Server::Postgres),
                (redis.is_none(), Server::Redis),
                (haproxy.is_none(), Server::Haproxy),
            ];
            Err(Missing(gaps.into_iter().filter_map(|(gap, server)| gap.then_some(server)).collect()))
        }
    }
}

/// Finds `nginx`, which only tests need.
pub fn nginx() -> Result<PathBuf, Missing> {
    program("nginx").ok_or_else(|| Missing(vec![Server::Nginx]))
}

/// Finds `pgbouncer`, which only tests need.
pub fn pgbouncer() -> Result<PathBuf, Missing> {
    program("pgbouncer").ok_or_else(|| Missing(vec![Server::PgBouncer]))
}

/// Finds `pgpool`, which only tests need.
pub fn pgpool() -> Result<PathBuf, Missing> {
    program("pgpool").ok_or_else(|| Missing(vec![Server::Pgpool]))
}

/// The executable of that name in PATH or a system folder.
pub fn program(name: &str) -> Option<PathBuf> {
    let path = environment::search_path();
    std::env::split_paths(&path)
        .chain(SYSTEM.iter().map(PathBuf::from))
        .map(|folder| folder.join(name))
        .find(|candidate| is_executable(candidate))
}

fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// What `CARILLON_POSTGRES_BIN` says; else `pg_config --bindir`, then PATH, then Debian's folders, newest first; only a version that is new enough.
fn postgres_bin() -> Option<PathBuf> {
    let wished = environment::postgres_bin();
    if wished.is_some() {
        return wished.filter(|folder| usable(folder));
    }
    let configured = program("pg_config").and_then(|pg_config| {
        let output = Command::new(pg_config).arg("--bindir").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    });
    // A link in PATH leads to the real folder, where the other programs and libraries lie.
    let in_path =
        program("postgres").and_then(|found| Some(found.canonicalize().ok()?.parent()?.to_path_buf()));
    let versioned = std::fs::read_dir(DEBIAN_POSTGRES).into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    let mut versioned: Vec<_> = versioned.collect();
    versioned.sort_by_key(|(version, _)| std::cmp::Reverse(*version));
    configured
        .into_iter()
        .chain(in_path)
        .chain(versioned.into_iter().map(|(_, folder)| folder))
        .find(|folder| usable(folder))
}

fn usable(folder: &Path) -> bool {
    is_executable(&folder.join("initdb")) && new_enough(&folder.join("postgres"))
}

fn new_enough(postgres: &Path) -> bool {
    let Ok(output) = Command::new(postgres).arg("--version").output() else { return false };
    major(&String::from_utf8_lossy(&output.stdout)).is_some_and(|major| major >= OLDEST_POSTGRES)
}

/// 15 of `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, 18 of `postgres (PostgreSQL) 18beta1`.
fn major(version: &str) -> Option<u32> {
    let number = version.split_whitespace().nth(2)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// One of our binaries was not built.
#[derive(Debug, thiserror::Error)]
#[error("cannot find {0} beside this program; run cargo build --workspace --bins first")]
pub struct NotBuilt(String);

/// One of our own binaries: beside this executable (also when this is a test in `deps/`), else in PATH.
pub fn own_binary(name: &str) -> Result<PathBuf, NotBuilt> {
    let beside = std::env::current_exe().ok().and_then(|exe| {
        exe.ancestors()
            .skip(1)
            .take(2)
            .map(|folder| folder.join(name))
            .find(|candidate| is_executable(candidate))
    });
    beside.or_else(|| program(name)).ok_or_else(|| NotBuilt(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_read_from_every_vendor_s_wording() {
        assert_eq!(major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(major("postgres"), None);
    }

    #[test]
    fn missing_servers_are_named_once_and_with_the_command() {
        let message = Missing(vec![Server::Postgres, Server::Haproxy]).to_string();
        assert!(message.contains("apt-get install -y postgresql haproxy"), "{message}");
        assert!(!message.contains("redis"));
        assert_eq!(message.lines().count(), 1);
    }

    #[test]
    fn a_binary_that_nobody_built_is_named_with_the_way_to_build_it() {
        let message = own_binary("carillon-no-such-binary").unwrap_err().to_string();
        assert!(message.contains("carillon-no-such-binary") && message.contains("cargo build"), "{message}");
    }
}
