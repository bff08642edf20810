use carillon_clients::{authorization, closed, failed, lines, open, protocols, text, url};
use futures_util::{SinkExt, StreamExt};
use tokio_websockets::{ClientBuilder, CloseCode, Message};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut builder = ClientBuilder::new().uri(&url()).unwrap();
    if let Some(value) = authorization() {
        builder = builder.add_header("authorization".parse().unwrap(), value.parse().unwrap()).unwrap();
    }
    if let Some(value) = protocols() {
        builder = builder.add_header("sec-websocket-protocol".parse().unwrap(), value.parse().unwrap()).unwrap();
    }
    let (mut ws, answer) = builder.connect().await.unwrap_or_else(|error| failed(error));
    open(answer.headers().get("sec-websocket-protocol").map_or("", |value| value.to_str().unwrap()));
    let mut input = lines();
    let mut typing = true;
    loop {
        tokio::select! {
            line = input.next_line(), if typing => match line.unwrap() {
                Some(line) => ws.send(Message::text(line)).await.unwrap_or_else(|error| failed(error)),
                None => { typing = false; let _ = ws.send(Message::close(Some(CloseCode::NORMAL_CLOSURE), "")).await; }
            },
            message = ws.next() => match message {
                Some(Ok(message)) if message.is_text() => text(message.as_text().unwrap()),
                Some(Ok(message)) if message.is_close() => {
                    let (code, reason) = message.as_close().unwrap();
                    closed(code.into(), reason)
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => failed(error),
                None => closed(1006, ""),
            },
        }
    }
}
