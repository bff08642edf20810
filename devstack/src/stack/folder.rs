//! Where do a stack's data and logs lie, and what becomes of them?

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The data folder of a stack.
#[derive(Debug)]
pub(super) enum Folder {
    /// Somebody's: it stays.
    Kept(PathBuf),
    /// Ours: it goes when the stack goes, unless a test fails, whose logs somebody will want to read.
    Temporary(TempDir),
}

impl Folder {
    /// Creates what is missing.
    pub(super) fn open(wished: Option<&Path>) -> io::Result<Self> {
        let folder = match wished {
            Some(path) => {
                fs::create_dir_all(path)?;
                Self::Kept(path.canonicalize()?)
            }
            None => {
                let folder = tempfile::Builder::new().prefix("carillon-").tempdir()?;
                // The account that runs Postgres must be able to enter.
                fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755))?;
                Self::Temporary(folder)
            }
        };
        fs::create_dir_all(folder.path().join("log"))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// The log file of a process.
    pub(super) fn log(&self, name: &str) -> PathBuf {
        self.path().join("log").join(format!("{name}.log"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Self::Temporary(folder) = self
            && std::thread::panicking()
        {
            folder.disable_cleanup(true);
            let logs = folder.path().join("log");
            let _ = writeln!(io::stderr(), "the stack's logs are kept in {}", logs.display());
        }
    }
}
