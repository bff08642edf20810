//! As which user does Postgres run, and where may that user keep its data?
//!
//! Postgres refuses to run as root. A stack started by root therefore runs it as `postgres` or `nobody`, who may
//! not be able to enter the project's folder (below `/root`, for example); then the data lies elsewhere.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::PostgresError;

/// File in the data folder that says where the data of Postgres lies when it cannot lie there.
const ELSEWHERE: &str = "postgres.elsewhere";
/// Longest path of a Unix socket (unix(7): 108 bytes with the closing zero).
const LONGEST_SOCKET: usize = 107;
/// Longest name of a socket with the slash before it: HAProxy first binds `/haproxy.sock.<pid>.tmp`.
const LONGEST_NAME: usize = 28;

/// A user and group to run as; none means as ourselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account(pub Option<(u32, u32)>);

impl Account {
    /// Ourselves, or for root `postgres`, or `nobody`.
    pub fn choose() -> Result<Self, PostgresError> {
        if !rustix::process::getuid().is_root() {
            return Ok(Self(None));
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| lookup(&passwd, name))
            .map(|account| Self(Some(account)))
            .ok_or(PostgresError::NoAccount)
    }

    /// Creates a folder that only this account can open.
    pub fn create_private(self, folder: &Path) -> io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700))?;
        match self.0 {
            Some((user, group)) => chown(folder, Some(user), Some(group)),
            None => Ok(()),
        }
    }

    /// The folder for Postgres of a stack with this data folder; created if it is not there.
    pub fn home(self, data: &Path) -> Result<PathBuf, PostgresError> {
        let home = self.place(data).map_err(PostgresError::folder(data))?;
        if !self.may_enter(&home) {
            return Err(PostgresError::Unreachable { folder: home });
        }
        self.create_private(&home).map_err(PostgresError::folder(&home))?;
        Ok(home)
    }

    fn place(self, data: &Path) -> io::Result<PathBuf> {
        let inside = data.join("postgres");
        if self.may_enter(&inside) {
            return Ok(inside);
        }
        let note = data.join(ELSEWHERE);
        if let Some(known) = elsewhere(data) {
            return Ok(known);
        }
        let fresh = std::env::temp_dir().join(format!("carillon-postgres-{}", uuid::Uuid::new_v4().simple()));
        fs::write(note, fresh.as_os_str().as_encoded_bytes())?;
        Ok(fresh)
    }

    /// Whether the account can pass every existing folder above `path`.
    fn may_enter(self, path: &Path) -> bool {
        let Self(Some((user, group))) = self else { return true };
        path.ancestors().skip(1).filter_map(|folder| folder.metadata().ok()).all(|meta| {
            let shift = match (meta.uid() == user, meta.gid() == group) {
                (true, _) => 6,
                (false, true) => 3,
                (false, false) => 0,
            };
            (meta.mode() >> shift) & 0o1 != 0
        })
    }
}

/// Where the data of Postgres lies if it could not lie in the data folder.
pub fn elsewhere(data: &Path) -> Option<PathBuf> {
    let text = fs::read_to_string(data.join(ELSEWHERE)).ok()?;
    let folder = PathBuf::from(text.trim());
    folder.is_absolute().then_some(folder)
}

/// A folder for Unix sockets: the wished one unless a socket's path there would be too long.
pub fn socket_folder(wished: &Path) -> PathBuf {
    if wished.as_os_str().len() + LONGEST_NAME <= LONGEST_SOCKET {
        return wished.to_path_buf();
    }
    let short = uuid::Uuid::new_v4().simple().to_string();
    std::env::temp_dir().join(format!("carillon-{}", &short[..12]))
}

/// User and group id of a name in the format of passwd(5).
fn lookup(passwd: &str, name: &str) -> Option<(u32, u32)> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\npostgres:x:101:104:,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(lookup(passwd, "postgres"), Some((101, 104)));
        assert_eq!(lookup(passwd, "nobody"), None);
    }

    #[test]
    fn a_closed_folder_sends_the_data_elsewhere_and_remembers_where() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account(Some((65_534, 65_534)));
        let place = stranger.place(data.path()).unwrap();
        assert!(!place.starts_with(data.path()));
        assert_eq!(stranger.place(data.path()).unwrap(), place);
        assert_eq!(elsewhere(data.path()), Some(place));
    }

    #[test]
    fn an_open_folder_keeps_the_data() {
        let data = tempfile::tempdir().unwrap();
        fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = Account(Some((65_534, 65_534))).place(data.path()).unwrap();
        assert_eq!(place, data.path().join("postgres"));
    }

    #[test]
    fn a_long_path_gets_a_short_socket() {
        let long = PathBuf::from(format!("/{}", "x".repeat(120)));
        assert!(socket_folder(&long).as_os_str().len() < 80);
        assert_eq!(socket_folder(Path::new("/run/x")), Path::new("/run/x"));
    }
}
