//! What does a connect cost when nothing is verified, looked up or encoded?
//!
//! The yardstick of `connect`: a process of its own accepts, reads the request's head, writes an answer it had ready (the
//! same bytes a gateway sent: 101, `welcome` and the replayed events, in one write) and closes. One thread, four system calls.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

use super::storm::Targets;
use crate::failure::Failure;
use crate::socket::{ACCEPT, Arrived, Visit};
use crate::target::Address;
use crate::wire::{Kind, server_text};

/// A request's head is never longer.
const LONGEST_HEAD: usize = 16 * 1024;

/// What a bare server answers to everyone.
pub(super) struct Ready(Vec<u8>);

/// A bare server.
pub(super) struct Bare {
    child: Child,
    port: u16,
}

impl Ready {
    /// What a gateway answered to one who is `replay` events behind, frame by frame.
    pub(super) fn from(runtime: &Runtime, targets: &Targets, replay: u64) -> Result<Self, Failure> {
        let (address, since) = (&targets.addresses[0], targets.head - replay);
        let (source, receive_buffer, compress) = (None, None, false);
        let visit = Visit { address, token: &targets.tokens[0], source, receive_buffer, compress };
        let asked = runtime.block_on(async {
            let Arrived { mut stream, mut inbox, welcome, early } =
                visit.open(Some((since, &targets.epoch))).await?;
            let mut frames: Vec<Vec<u8>> = Vec::new();
            let mut add = |kind: Kind, payload: &[u8]| {
                if kind == Kind::Text {
                    frames.push(payload.to_vec());
                }
                frames.len() as u64
            };
            let mut count = 0;
            for (kind, payload) in &early {
                count = add(*kind, payload);
            }
            let mut bytes = Vec::new();
            while count < replay {
                if stream.read_buf(&mut bytes).await.map_err(|error| error.to_string())? == 0 {
                    return Err("the connection ended before the last replayed event".into());
                }
                let fed = inbox.feed(&bytes, |kind, payload| count = add(kind, payload));
                fed.map_err(|fault| fault.to_string())?;
                bytes.clear();
            }
            Ok((welcome.text, frames))
        });
        let (welcome, frames) =
            asked.map_err(|why| Failure::Connect { number: 0, address: address.authority.clone(), why })?;
        Ok(Self::new(&welcome, &frames))
    }

    fn new(welcome: &[u8], events: &[Vec<u8>]) -> Self {
        let mut answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        )
        .into_bytes();
        answer.extend(server_text(welcome));
        events.iter().for_each(|event| answer.extend(server_text(event)));
        Self(answer)
    }
}

impl Bare {
    /// Starts the process, which ends with us.
    pub(super) fn start(Ready(answer): &Ready) -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("bare-welcomer")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let missing = || std::io::Error::other("the bare server has no pipes");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let mut bare = Self { child, port: 0 };
        let mut stdin = stdin.ok_or_else(missing)?;
        writeln!(stdin, "{}", answer.len())?;
        stdin.write_all(answer)?;
        // Kept open: its end is the server's.
        bare.child.stdin = Some(stdin);
        let mut line = String::new();
        BufReader::new(stdout.ok_or_else(missing)?).read_line(&mut line)?;
        bare.port = line
            .trim()
            .parse()
            .map_err(|_| Failure::Usage(format!("the bare server said {line:?}, not its port")))?;
        Ok(bare)
    }

    /// The same users, at the bare server.
    pub(super) fn targets(&self, targets: &Targets) -> Targets {
        let authority = format!("{}:{}", Ipv4Addr::LOCALHOST, self.port);
        Targets { addresses: vec![Address { authority, path: "/v1/ws".into() }], ..targets.clone() }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It has nothing to lose, and must not outlive us.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `carillon-loadtest bare-welcomer`: reads its answer from stdin, says its port, and answers until stdin ends.
pub(crate) fn answer_bare() -> Result<(), Failure> {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = String::new();
    input.read_line(&mut line)?;
    let length: usize = line.trim().parse().map_err(|_| Failure::Usage("no length of the answer".into()))?;
    let mut answer = vec![0; length];
    input.read_exact(&mut answer)?;
    let listener = crate::floor::listen()?;
    let port = listener.local_addr()?.port();
    writeln!(std::io::stdout(), "{port}")?;
    std::thread::Builder::new().name("bare".into()).spawn(move || {
        let mut head = vec![0; LONGEST_HEAD];
        while let Ok((mut stream, _)) = listener.accept() {
            let mut read = 0;
            while !head[..read].ends_with(b"\r\n\r\n") {
                match stream.read(&mut head[read..]) {
                    Ok(0) | Err(_) => break,
                    Ok(bytes) => read += bytes,
                }
            }
            // A client that is gone has its reason; the next one waits.
            let _ = stream.write_all(&answer);
        }
    })?;
    input.read_line(&mut line)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Inbox;

    #[test]
    fn the_answer_is_an_upgrade_and_frames() {
        let Ready(answer) = Ready::new(b"hello", &[b"one".to_vec(), vec![b'x'; 300]]);
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer.starts_with(b"HTTP/1.1 101 ") && answer[..end].ends_with(b"xOo=\r\n\r\n"));
        let mut lengths = Vec::new();
        Inbox::default().feed(&answer[end..], |_, payload| lengths.push(payload.len())).unwrap();
        assert_eq!(lengths, [5, 3, 300]);
    }
}
