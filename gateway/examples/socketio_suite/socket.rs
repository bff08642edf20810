//! How does a WebSocket carry a session's messages?

use super::MESSAGE_BYTES;
use super::session::{Message, Said};
use carillon_gateway::ws::encode::{Header, push_close, push_pong, push_text};
use carillon_gateway::ws::frame::Opcode;
use carillon_gateway::ws::{Decoder, Flow, Incoming};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

/// Until the session or the client ends it.
pub(super) async fn run(
    upgraded: Upgraded,
    session: &mpsc::UnboundedSender<Said>,
    mut messages: mpsc::UnboundedReceiver<Message>,
) {
    let (mut input, mut output) = tokio::io::split(TokioIo::new(upgraded));
    let (mut decoder, mut buffer, mut out) = (Decoder::new(), vec![0; 64 * 1024], Vec::new());
    loop {
        tokio::select! {
            message = messages.recv() => match message {
                Some(Message::Text(text)) => push_text(&mut out, &[text.as_bytes()]),
                Some(Message::Binary(bytes)) => {
                    out.extend_from_slice(Header::new(Opcode::Binary, bytes.len()).as_slice());
                    out.extend_from_slice(&bytes);
                }
                None => {
                    push_close(&mut out, 1000, "");
                    let _ = output.write_all(&out).await;
                    let _ = output.shutdown().await;
                    return;
                }
            },
            read = input.read(&mut buffer) => {
                let Ok(read @ 1..) = read else { break };
                let mut ended = false;
                let fed = decoder.feed(&mut buffer[..read], MESSAGE_BYTES, None, &mut |incoming| {
                    let said = match incoming {
                        Incoming::Text(text) => Some(Message::Text(text.to_owned())),
                        Incoming::Binary(bytes) => Some(Message::Binary(bytes.to_vec())),
                        Incoming::Ping(payload) => {
                            push_pong(&mut out, payload);
                            None
                        }
                        Incoming::Pong(_) => None,
                        Incoming::Close(_) => {
                            ended = true;
                            push_close(&mut out, 1000, "");
                            None
                        }
                    };
                    if let Some(message) = said {
                        let _ = session.send(Said::OverSocket(message));
                    }
                    Flow::Continue
                });
                if ended || fed.is_err() {
                    let _ = output.write_all(&out).await;
                    let _ = output.shutdown().await;
                    break;
                }
            }
        }
        if output.write_all(&out).await.is_err() {
            break;
        }
        out.clear();
    }
    messages.close();
    let _ = session.send(Said::SocketGone);
}
