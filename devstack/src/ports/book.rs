//! Which port does each server of a stack take, so that it is the same one at the next start?

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Holder, free, loopback, reserve};
use crate::stack::write_private;

/// The file in the data folder.
pub const FILE: &str = "ports.json";

/// A port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    /// Somebody else listens there.
    #[error("{addr} is in use by {}", name(.holder))]
    Taken {
        /// The address.
        addr: SocketAddr,
        /// Who listens there, where /proc tells.
        holder: Option<Holder>,
    },
    /// The kernel does not let us listen there.
    #[error("cannot listen on {addr}: {source}")]
    Refused {
        /// The address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The note of the last ports cannot be read or written.
    #[error("cannot use {}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no free port.
    #[error(transparent)]
    None(io::Error),
}

impl From<PortError> for io::Error {
    fn from(error: PortError) -> Self {
        Self::new(io::ErrorKind::AddrInUse, error)
    }
}

fn name(holder: &Option<Holder>) -> String {
    holder.as_ref().map_or_else(|| "another process".into(), Holder::to_string)
}

/// Hands out ports by the name of who will listen there; clones share what they know.
#[derive(Clone, Default)]
pub struct Ports(Option<Arc<Book>>);

struct Book {
    file: PathBuf,
    entries: Mutex<Entries>,
    told: Box<dyn Fn(&str) + Send + Sync>,
}

#[derive(Default)]
struct Entries {
    /// As it stands in the file.
    known: BTreeMap<String, u16>,
    /// What the user asked for: this one or none.
    fixed: BTreeMap<String, u16>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.as_ref().map(|book| book.entries().known.clone());
        f.debug_tuple("Ports").field(&known).finish()
    }
}

impl Ports {
    /// Free ports that nobody remembers.
    pub fn random() -> Self {
        Self::default()
    }

    /// The ports that are noted in this data folder, and free ones, which are then noted, for who has none yet. `told`
    /// hears, in words, that a noted port is taken and which one is used instead.
    pub fn remembered(data: &Path, told: impl Fn(&str) + Send + Sync + 'static) -> Result<Self, PortError> {
        let file = data.join(FILE);
        let known: BTreeMap<String, u16> = match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|source| PortError::File { file: file.clone(), source: source.into() })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(PortError::File { file, source }),
        };
        // A free port for one must not be the noted port of another who has not started yet.
        reserve(known.values().copied());
        let entries = Mutex::new(Entries { known, fixed: BTreeMap::new() });
        Ok(Self(Some(Arc::new(Book { file, entries, told: Box::new(told) }))))
    }

    /// From now on `name` gets this port or an error, which comes at once if the port is taken already.
    pub fn fix(&self, name: &str, port: u16) -> Result<(), PortError> {
        check(port)?;
        if let Some(book) = &self.0 {
            book.entries().fixed.insert(name.to_owned(), port);
        }
        Ok(())
    }

    /// The port for `name`.
    pub fn take(&self, name: &str) -> Result<u16, PortError> {
        let Some(book) = &self.0 else { return free().map_err(PortError::None) };
        let mut entries = book.entries();
        let noted = entries.known.get(name).copied();
        let port = match (entries.fixed.get(name).copied(), noted) {
            (Some(fixed), _) => {
                check(fixed)?;
                fixed
            }
            (None, Some(noted)) => match check(noted) {
                Ok(()) => noted,
                Err(why) => {
                    let other = free().map_err(PortError::None)?;
                    (book.told)(&format!("{name} moves to port {other}: {why}"));
                    other
                }
            },
            (None, None) => free().map_err(PortError::None)?,
        };
        if noted != Some(port) {
            entries.known.insert(name.to_owned(), port);
            let text = serde_json::to_vec_pretty(&entries.known).map_err(io::Error::other);
            text.and_then(|text| write_private(&book.file, &text))
                .map_err(|source| PortError::File { file: book.file.clone(), source })?;
        }
        Ok(port)
    }
}

impl Book {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one can listen on this port of loopback now.
fn check(port: u16) -> Result<(), PortError> {
    let addr = loopback(port);
    match TcpListener::bind(addr) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Err(PortError::Taken { addr, holder: Holder::of(port) })
        }
        Err(source) => Err(PortError::Refused { addr, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn book(data: &Path) -> (Ports, Arc<Mutex<Vec<String>>>) {
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&said);
        let ports = Ports::remembered(data, move |text| heard.lock().unwrap().push(text.to_owned())).unwrap();
        (ports, said)
    }

    #[test]
    fn a_name_keeps_its_port_over_restarts() {
        let data = tempfile::tempdir().unwrap();
        let (first, _) = book(data.path());
        let (gateway, redis) = (first.take("gateway-1").unwrap(), first.take("redis").unwrap());
        assert_ne!(gateway, redis);
        let (second, said) = book(data.path());
        assert_eq!((second.take("redis").unwrap(), second.take("gateway-1").unwrap()), (redis, gateway));
        assert!(said.lock().unwrap().is_empty());
    }

    #[test]
    fn a_taken_port_is_told_with_its_holder_and_replaced_for_good() {
        let data = tempfile::tempdir().unwrap();
        let port = book(data.path()).0.take("haproxy").unwrap();
        let squatter = TcpListener::bind(loopback(port)).unwrap();
        let (ports, said) = book(data.path());
        let other = ports.take("haproxy").unwrap();
        assert_ne!(other, port);
        let said = said.lock().unwrap().join("\n");
        let pid = format!("(pid {})", std::process::id());
        assert!(said.contains(&format!("127.0.0.1:{port} is in use by")) && said.contains(&pid), "{said}");
        assert!(said.contains(&format!("haproxy moves to port {other}")), "{said}");
        drop(squatter);
        assert_eq!(book(data.path()).0.take("haproxy").unwrap(), other);
    }

    #[test]
    fn a_port_that_was_asked_for_is_taken_or_refused_by_name() {
        let data = tempfile::tempdir().unwrap();
        let (ports, _) = book(data.path());
        let wished = free().unwrap();
        ports.fix("haproxy", wished).unwrap();
        assert_eq!(ports.take("haproxy").unwrap(), wished);
        let _squatter = TcpListener::bind(loopback(wished)).unwrap();
        let fault = ports.take("haproxy").unwrap_err().to_string();
        assert!(fault.contains(&wished.to_string()) && fault.contains("(pid "), "{fault}");
        assert!(matches!(book(data.path()).0.fix("haproxy", wished), Err(PortError::Taken { .. })));
        drop(_squatter);
        assert_eq!(book(data.path()).0.take("haproxy").unwrap(), wished, "it is remembered");
    }

    #[test]
    fn a_spoilt_note_is_named() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(FILE), "{").unwrap();
        let fault = Ports::remembered(data.path(), |_| ()).unwrap_err().to_string();
        assert!(fault.contains(FILE), "{fault}");
    }
}
