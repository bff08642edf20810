//! How does a data folder go, and nothing else with it?

use std::fs;
use std::io;
use std::path::Path;

use super::down;
use super::{CommandError, say};
use crate::postgres::elsewhere;
use crate::state::State;

/// Everything a stack creates in its folder.
const OURS: [&str; 12] = [
    "postgres",
    "postgres.elsewhere",
    "redis",
    "haproxy",
    "log",
    "keys.json",
    "keys.draft",
    "stack.json",
    "stack.draft",
    "ports.json",
    "ports.draft",
    "lock",
];

/// `carillon reset`
pub(super) async fn run(data: &Path) -> Result<(), CommandError> {
    if !data.exists() {
        say("there is nothing to delete");
        return Ok(());
    }
    if let Some(state) = State::load(data)? {
        down::stop(data, &state).await?;
    }
    delete(data)?;
    say(&format!("deleted {}", data.display()));
    Ok(())
}

/// Deletes what is ours, and the folder if nothing else is in it.
fn delete(data: &Path) -> Result<(), CommandError> {
    let fault = |path: &Path, error| CommandError::Io(format!("cannot delete {}", path.display()), error);
    if !data.join("keys.json").exists() && !data.join("lock").exists() {
        return Err(CommandError::NotOurs(data.to_path_buf()));
    }
    if let Some(postgres) = elsewhere(data) {
        remove(&postgres).map_err(|error| fault(&postgres, error))?;
    }
    for name in OURS {
        let path = data.join(name);
        remove(&path).map_err(|error| fault(&path, error))?;
    }
    match fs::remove_dir(data) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        other => other.map_err(|error| fault(data, error)),
    }
}

fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_our_files_go() {
        let parent = tempfile::tempdir().unwrap();
        let data = parent.path().join("data");
        fs::create_dir_all(data.join("postgres/data")).unwrap();
        fs::write(data.join("keys.json"), "{}").unwrap();
        fs::write(data.join("diary.txt"), "mine").unwrap();
        run(&data).await.unwrap();
        assert!(data.join("diary.txt").exists() && !data.join("postgres").exists());
        assert!(matches!(run(&data).await, Err(CommandError::NotOurs(_))));
        fs::write(data.join("lock"), "").unwrap();
        fs::remove_file(data.join("diary.txt")).unwrap();
        run(&data).await.unwrap();
        assert!(!data.exists());
        run(&data).await.unwrap();
    }
}
