//! Which process listens on a port? (Linux: /proc)

use std::fmt;
use std::fs;
use std::path::Path;

/// State of a listening socket in /proc/net/tcp.
const LISTEN: &str = "0A";

/// The process that listens on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its short name.
    pub name: String,
    /// Its process id.
    pub pid: u32,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {})", self.name, self.pid)
    }
}

impl Holder {
    /// Who listens on this TCP port; none when nobody does, or when it is another user's process, whose sockets the
    /// kernel shows to root only.
    pub fn of(port: u16) -> Option<Self> {
        let tables =
            ["/proc/net/tcp", "/proc/net/tcp6"].map(|table| fs::read_to_string(table).unwrap_or_default());
        let sockets: Vec<String> = tables
            .iter()
            .flat_map(|table| listening(table, port))
            .map(|inode| format!("socket:[{inode}]"))
            .collect();
        if sockets.is_empty() {
            return None;
        }
        let processes = fs::read_dir("/proc").ok()?.filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path()))
        });
        for (pid, folder) in processes {
            if has_one_of(&folder, &sockets) {
                let name = fs::read_to_string(folder.join("comm")).unwrap_or_default();
                return Some(Self { name: name.trim().to_owned(), pid });
            }
        }
        None
    }
}

fn has_one_of(process: &Path, sockets: &[String]) -> bool {
    let files = fs::read_dir(process.join("fd")).into_iter().flatten();
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|target| {
        let target = target.to_string_lossy();
        sockets.iter().any(|socket| *socket == target)
    })
}

/// Inodes of the sockets that listen on `port`, in a table in the kernel's format (proc(5)).
fn listening(table: &str, port: u16) -> impl Iterator<Item = &str> {
    table.lines().skip(1).filter_map(move |line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (_, own) = fields.get(1)?.rsplit_once(':')?;
        let ours = u16::from_str_radix(own, 16).ok()? == port && *fields.get(3)? == LISTEN;
        ours.then(|| fields.get(9).copied()).flatten()
    })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_listener_is_found_by_its_port_and_a_free_port_has_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(Holder::of(port).map(|holder| holder.pid), Some(std::process::id()));
        drop(listener);
        assert_eq!(Holder::of(port), None);
    }

    #[test]
    fn only_listening_sockets_of_that_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 x\n\
             \x20  1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 x\n\
             \x20  2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 x\n";
        assert_eq!(listening(table, 8080).collect::<Vec<_>>(), ["4711"]);
    }
}
