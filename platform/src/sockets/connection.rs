//! How is HTTP spoken on a socket, and when does it end?

use super::guarded::Guarded;
use super::places::{Peer, Place};
use super::refusal::{self, Refusal, tell};
use super::slot::{Slot, Standing, Waiting};
use super::{HEAD, HEAD_BYTES, IDLE};
use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Answers the requests of a connection.
pub trait Handler: Fn(Request<Incoming>) -> Self::Answer + Send + 'static {
    /// Its answer, later.
    type Answer: Future<Output = Response<Body>> + Send + 'static;
}

impl<H, F> Handler for H
where
    H: Fn(Request<Incoming>) -> F + Send + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    type Answer = F;
}

/// How a connection ended.
pub enum End<T> {
    /// As HTTP.
    Closed,
    /// The socket belongs to somebody else from now on, with the bytes that were read and not used.
    Taken(TcpStream, Bytes, T),
}

/// Speaks HTTP until the connection ends, or `taken` does: then the socket is taken from under it. A request's answer may
/// wait for that. After `stopping` the request under way is the last. The place is given back at the end.
///
/// A client that says nothing costs its socket and a small task: buffers are made when its first bytes are there.
pub async fn serve<T>(
    socket: TcpStream,
    place: Place,
    handler: impl Handler,
    taken: impl Future<Output = T>,
    stopping: impl Future<Output = ()>,
) -> End<T> {
    let mut stopping = Box::pin(stopping);
    if !begins(&socket, &place, &mut stopping).await {
        return End::Closed;
    }
    Box::pin(speak(socket, place, handler, taken, stopping)).await
}

/// Waits for the first byte; false when the connection ends before it.
async fn begins(socket: &TcpStream, place: &Place, stopping: impl Future<Output = ()>) -> bool {
    let mut first = [0];
    tokio::select! {
        biased;
        // Not `readable`, which tokio 1.54 says of every new socket until a read has failed. An error is for the first
        // read to tell.
        _ = socket.peek(&mut first) => true,
        () = place.evicted() => false,
        () = stopping => false,
        () = tokio::time::sleep(HEAD) => {
            place.peer().places().count_head();
            false
        }
    }
}

/// The same from the first bytes on.
async fn speak<T>(
    socket: TcpStream,
    place: Place,
    handler: impl Handler,
    taken: impl Future<Output = T>,
    stopping: impl Future<Output = ()>,
) -> End<T> {
    let peer = place.peer().clone();
    let service = service_fn(|mut request: Request<Incoming>| {
        peer.slot.begin_answer(peer.places().now_ms());
        request.extensions_mut().insert(peer.clone());
        let answer = match refusal::of(&request) {
            None => Ok(handler(request)),
            Some(refusal) => Err(refusal.response()),
        };
        let peer = peer.clone();
        async move {
            let answer = match answer {
                Ok(answer) => answer.await,
                Err(refused) => refused,
            };
            Ok::<_, Infallible>(answer.map(|body| Answer { body, peer }))
        }
    });
    let io = TokioIo::new(Guarded::new(socket, peer.clone()));
    let mut connection = http1::Builder::new()
        .header_read_timeout(None)
        // A head that is longer and has not ended is too large.
        .max_buf_size(HEAD_BYTES + 1)
        .serve_connection(io, service);
    let (mut taken, mut stopping) = (pin!(taken), pin!(stopping));
    let mut timer = pin!(tokio::time::sleep(HEAD));
    let mut told_to_stop = false;
    loop {
        tokio::select! {
            biased;
            with = &mut taken => {
                let parts = connection.into_parts();
                return End::Taken(parts.io.into_inner().into_inner(), parts.read_buf, with);
            }
            served = &mut connection => {
                if let Err(error) = served {
                    // Clients that vanish, or speak something else than HTTP, are everyday life.
                    tracing::debug!(%error, "connection ended");
                    let guarded = connection.into_parts().io.into_inner();
                    if guarded.kept_back() {
                        tokio::select! {
                            () = tell(guarded.into_inner(), Refusal::HeadTooLarge) => {}
                            () = place.evicted() => {}
                        }
                    }
                }
                return End::Closed;
            }
            () = place.evicted() => {
                if !peer.slot.was_quicker() {
                    return End::Closed;
                }
                // Its request came in the same moment: that one is answered.
                Pin::new(&mut connection).graceful_shutdown();
            }
            () = &mut timer => match overdue(&peer, peer.places().now_ms()) {
                Due::In(later) => timer.as_mut().reset(Instant::now() + later),
                Due::Head => {
                    peer.places().count_head();
                    return End::Closed;
                }
                Due::Next => {
                    peer.places().count_idle();
                    return End::Closed;
                }
            },
            () = &mut stopping, if !told_to_stop => {
                told_to_stop = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    }
}

/// Whether a client has let us wait for too long.
#[derive(Debug, PartialEq, Eq)]
enum Due {
    /// Not before this time.
    In(Duration),
    /// Its head did not come.
    Head,
    /// Nothing came after an answer.
    Next,
}

fn overdue(peer: &Peer, now_ms: u64) -> Due {
    let slot: &Slot = &peer.slot;
    let Some(waiting) = slot.waiting() else { return Due::In(HEAD) };
    let (longest, due) = match (waiting, slot.standing()) {
        (Waiting::Head, _) => (HEAD, Due::Head),
        (Waiting::Next, Standing::Proven) => (IDLE, Due::Next),
        (Waiting::Next, _) => (HEAD, Due::Next),
    };
    let left_ms = (slot.since_ms() + longest.as_millis() as u64).saturating_sub(now_ms);
    // A head may begin at any time and has its deadline from then on.
    if left_ms == 0 { due } else { Due::In(Duration::from_millis(left_ms).min(HEAD)) }
}

/// An answer's body; when it is dropped the answer has been made.
struct Answer {
    body: Body,
    peer: Peer,
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.peer.slot.end_answer(self.peer.places().now_ms());
    }
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Places, SocketLimits};
    use super::*;
    use axum::response::IntoResponse;
    use std::future::pending;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    /// Both ends of a connection, and the place of ours.
    async fn connected() -> (TcpStream, TcpStream, Place) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (ours, peer) = listener.accept().await.unwrap();
        let places = Places::new("public", SocketLimits { total: 2, unproven: 2 });
        (ours, theirs, places.enter(peer, false).await)
    }

    async fn hello(_: Request<Incoming>) -> Response<Body> {
        "hello".into_response()
    }

    #[tokio::test]
    async fn a_client_that_says_nothing_costs_a_small_task() {
        let (ours, mut theirs, place) = connected().await;
        let silence = begins(&ours, &place, pending());
        assert!(tokio::time::timeout(Duration::from_millis(50), silence).await.is_err());
        theirs.write_all(b"G").await.unwrap();
        assert!(begins(&ours, &place, pending()).await);
        let serving = serve(ours, place, hello, pending::<()>(), pending::<()>());
        assert!(size_of_val(&serving) <= 1_024, "{} bytes", size_of_val(&serving));
    }

    #[tokio::test]
    async fn a_client_that_speaks_late_is_answered() {
        let (ours, mut theirs, place) = connected().await;
        let serving = tokio::spawn(serve(ours, place, hello, pending::<()>(), pending::<()>()));
        tokio::task::yield_now().await;
        theirs.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        theirs.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("hello"), "{answer}");
        assert!(matches!(serving.await.unwrap(), End::Closed));
    }

    #[tokio::test]
    async fn an_end_does_not_wait_for_a_client_that_says_nothing() {
        let (ours, _theirs, place) = connected().await;
        let served = serve(ours, place, hello, pending::<()>(), std::future::ready(())).await;
        assert!(matches!(served, End::Closed));
    }
}
