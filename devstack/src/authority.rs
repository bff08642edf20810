//! A throw-away certificate authority, for servers that shall speak TLS; openssl makes it.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// An authority that nobody trusts who was not given its [`Authority::certificate`].
#[derive(Debug)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

/// Files of a server's certificate and its key.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// PEM.
    pub certificate: PathBuf,
    /// PEM, for its owner only.
    pub key: PathBuf,
}

impl Authority {
    /// Makes one whose files lie in this folder, with this name.
    pub fn new(folder: &Path, name: &str) -> io::Result<Self> {
        let authority = Self { folder: folder.to_path_buf(), name: name.to_owned() };
        let key = authority.key();
        openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN={name} \
             -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign -keyout {} -out {}",
            key.display(),
            authority.certificate().display(),
        ))?;
        Ok(authority)
    }

    /// Its own certificate, PEM.
    pub fn certificate(&self) -> PathBuf {
        self.folder.join(format!("{}.pem", self.name))
    }

    /// Signs a certificate for a server known by `names` (`DNS:localhost,IP:127.0.0.1`); the files lie in `folder`
    /// and belong to its owner.
    pub fn sign(&self, folder: &Path, names: &str) -> io::Result<Certificate> {
        let signed = Certificate { certificate: folder.join("server.pem"), key: folder.join("server.key") };
        openssl(&format!(
            "req -x509 -CA {} -CAkey {} -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=server \
             -addext basicConstraints=critical,CA:FALSE -addext subjectAltName={names} -keyout {} -out {}",
            self.certificate().display(),
            self.key().display(),
            signed.key.display(),
            signed.certificate.display(),
        ))?;
        let owner = folder.metadata()?;
        for file in [&signed.certificate, &signed.key] {
            fs::set_permissions(file, fs::Permissions::from_mode(0o600))?;
            chown(file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(signed)
    }

    fn key(&self) -> PathBuf {
        self.folder.join(format!("{}.key", self.name))
    }
}

fn openssl(words: &str) -> io::Result<()> {
    let output = Command::new("openssl").args(words.split_whitespace()).stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("openssl: {}: {said}", output.status)))
}
