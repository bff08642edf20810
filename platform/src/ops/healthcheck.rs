//! Is the process behind this ops address ready? (The `healthcheck` subcommand: container images hold no curl.)

use crate::listen::reachable;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest time the whole question may take.
const LIMIT: Duration = Duration::from_secs(3);
/// Largest answer that is read, in bytes.
const ANSWER_BYTES: u64 = 64 * 1024;

/// Why the process does not count as healthy.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// It could not be asked.
    #[error("{0} cannot be reached: {1}")]
    Unreachable(SocketAddr, #[source] io::Error),
    /// It did not answer within 3 s.
    #[error("{0} did not answer within 3 s")]
    Timeout(SocketAddr),
    /// It answered something else than 200: the status line and the body.
    #[error("{0}")]
    Unhealthy(String),
}

/// Asks `GET /readyz` on the address the ops port listens on (an unspecified one means this host).
pub async fn healthcheck(listen: SocketAddr) -> Result<(), HealthError> {
    let address = reachable(listen);
    match tokio::time::timeout(LIMIT, ask(address)).await {
        Ok(Ok(answer)) => judge(&answer),
        Ok(Err(error)) => Err(HealthError::Unreachable(address, error)),
        Err(_) => Err(HealthError::Timeout(address)),
    }
}

async fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let question = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn judge(answer: &str) -> Result<(), HealthError> {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
    let mut status = head.lines().next().unwrap_or_default().splitn(3, ' ');
    match (status.next(), status.next()) {
        (Some("HTTP/1.1" | "HTTP/1.0"), Some("200")) => Ok(()),
        (Some("HTTP/1.1" | "HTTP/1.0"), Some(code)) => {
            Err(HealthError::Unhealthy(format!("{code} {}", body.trim())))
        }
        _ => Err(HealthError::Unhealthy("the answer is not HTTP".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[test]
    fn only_200_is_healthy() {
        assert!(judge("HTTP/1.1 200 OK\r\n\r\n{}").is_ok());
        assert_eq!(judge("HTTP/1.1 503 X\r\nA: b\r\n\r\n{}\n").err().unwrap().to_string(), "503 {}");
        for odd in ["", "200", "SSH-2.0", "HTTP/1.1", "HTTP/2 200"] {
            assert!(judge(odd).is_err(), "{odd}");
        }
    }

    #[tokio::test]
    async fn nobody_there_is_an_error_with_the_address() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = healthcheck(address).await.err().unwrap().to_string();
        assert!(error.starts_with(&address.to_string()), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(matches!(healthcheck(address).await, Err(HealthError::Timeout(_))));
    }
}
