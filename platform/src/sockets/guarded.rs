//! How long may a write take?
//!
//! A client that asks and does not read fills the kernel's buffers; from then on its answers wait in our memory. The wait
//! ends after [`STALLED`] without progress, and progress must come to [`READ_RATE`] bytes a second.

use super::places::Peer;
use super::refusal::is_too_large;
use super::{READ_RATE, STALLED};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A socket whose writes have a deadline, and which notes what its connection does.
pub(super) struct Guarded<S> {
    socket: S,
    peer: Peer,
    /// There while a write waits for the client.
    deadline: Option<Pin<Box<Sleep>>>,
    /// The HTTP library refused a head by itself, and its answer was not written.
    kept_back: bool,
}

impl<S> Guarded<S> {
    pub(super) fn new(socket: S, peer: Peer) -> Self {
        Self { socket, peer, deadline: None, kept_back: false }
    }

    /// The socket without the deadline.
    pub(super) fn into_inner(self) -> S {
        self.socket
    }

    /// Whether an answer was kept back that somebody has to give instead.
    pub(super) fn kept_back(&self) -> bool {
        self.kept_back
    }

    fn written(&mut self, result: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => {
                let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(STALLED)));
                self.peer.slot.set_blocked(true, || self.peer.places().now_ms());
                ready!(deadline.as_mut().poll(cx));
                self.peer.places().count_stalled();
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answers",
                )))
            }
            Poll::Ready(Ok(bytes)) => {
                if let Some(deadline) = &mut self.deadline {
                    let earned = Duration::from_millis(bytes as u64 * 1_000 / READ_RATE);
                    let later = (deadline.deadline() + earned).min(Instant::now() + STALLED);
                    deadline.as_mut().reset(later);
                }
                Poll::Ready(Ok(bytes))
            }
            failed => failed,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.socket).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.peer.slot.heard(|| self.peer.places().now_ms());
        }
        result
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if is_too_large(buf) {
            self.kept_back = true;
            return Poll::Ready(Ok(buf.len()));
        }
        let result = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.written(result, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // That answer has a head and nothing else.
        if let [head] = bufs
            && is_too_large(head)
        {
            self.kept_back = true;
            return Poll::Ready(Ok(head.len()));
        }
        let result = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.written(result, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    /// Called when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.deadline.take().is_some() {
            self.peer.slot.set_blocked(false, || self.peer.places().now_ms());
        }
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.kept_back {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Places, SocketLimits};
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    const BUFFER: usize = 64 * 1024;

    async fn pair() -> (Guarded<DuplexStream>, DuplexStream) {
        let places = Places::new("public", SocketLimits { total: 2, unproven: 2 });
        let place = places.enter("192.0.2.1:1".parse().unwrap(), false).await;
        let (ours, theirs) = tokio::io::duplex(BUFFER);
        (Guarded::new(ours, place.peer().clone()), theirs)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_ends_after_the_deadline() {
        let (mut ours, _theirs) = pair().await;
        let began = Instant::now();
        let error = ours.write_all(&[0; 2 * BUFFER]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(began.elapsed().as_secs(), STALLED.as_secs());
    }

    /// Reads `bytes` each second and tells how much of a mebibyte arrived.
    async fn read_at(bytes: usize) -> usize {
        let (mut ours, mut theirs) = pair().await;
        let writing = tokio::spawn(async move {
            let written = ours.write_all(&[0; 1024 * 1024]).await;
            drop(ours);
            written.is_ok()
        });
        let mut read = 0;
        let mut buffer = vec![0; bytes];
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            match theirs.read(&mut buffer).await.unwrap() {
                0 => break,
                more => read += more,
            }
        }
        assert_eq!(writing.await.unwrap(), read == 1024 * 1024);
        read
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_gets_all_of_it_and_a_dripping_one_does_not() {
        assert_eq!(read_at(16 * 1024).await, 1024 * 1024);
        assert!(read_at(64).await < 2 * BUFFER);
    }
}
