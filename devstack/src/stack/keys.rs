//! Which secrets does a stack keep between two starts?

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Secrets of one data folder. They stay valid over restarts, so that a token in a browser or script does too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Signs user tokens (HS256).
    pub jwt_secret: String,
    /// The superuser's password; throw-away stacks have none.
    pub database_password: Option<String>,
    /// For all tenants and scopes; none until the database knows one.
    pub api_key: Option<String>,
    #[serde(skip)]
    file: PathBuf,
}

impl Keys {
    /// The folder's keys; fresh ones, written down at once, when it has none.
    pub fn of(data: &Path, ephemeral: bool) -> io::Result<Self> {
        let file = data.join("keys.json");
        match fs::read(&file) {
            Ok(text) => {
                let keys: Self = serde_json::from_slice(&text)?;
                Ok(Self { file, ..keys })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Short enough for a line of a terminal with its URL around it; it is good on loopback only.
                let database_password = (!ephemeral).then(|| uuid::Uuid::new_v4().simple().to_string());
                let keys = Self { jwt_secret: random(), database_password, api_key: None, file };
                keys.write()?;
                Ok(keys)
            }
            Err(error) => Err(error),
        }
    }

    /// Notes the API key.
    pub fn set_api_key(&mut self, key: String) -> io::Result<()> {
        self.api_key = Some(key);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        write_private(&self.file, &serde_json::to_vec_pretty(self)?)
    }
}

/// Replaces a file in one step; only we can read it.
pub(crate) fn write_private(file: &Path, content: &[u8]) -> io::Result<()> {
    let draft = file.with_extension("draft");
    let mut open = fs::OpenOptions::new();
    open.create(true).write(true).truncate(true).mode(0o600).open(&draft)?.write_all(content)?;
    fs::rename(draft, file)
}

/// 244 random bits in hexadecimal.
fn random() -> String {
    format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_stay_the_same_and_private() {
        let data = tempfile::tempdir().unwrap();
        let mut keys = Keys::of(data.path(), false).unwrap();
        keys.set_api_key("crln_a_b".into()).unwrap();
        let again = Keys::of(data.path(), false).unwrap();
        assert_eq!(again.jwt_secret, keys.jwt_secret);
        assert_eq!(again.database_password, keys.database_password);
        assert_eq!(again.api_key.as_deref(), Some("crln_a_b"));
        let mode = data.path().join("keys.json").metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(Keys::of(tempfile::tempdir().unwrap().path(), true).unwrap().jwt_secret, keys.jwt_secret);
    }
}
