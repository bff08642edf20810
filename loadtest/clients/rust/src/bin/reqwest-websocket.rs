use carillon_clients::{authorization, closed, failed, lines, open, protocols, text, url};
use futures_util::{SinkExt, StreamExt};
use reqwest_websocket::{CloseCode, Message, Upgrade};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut request = reqwest::Client::new().get(url());
    if let Some(value) = authorization() {
        request = request.header("authorization", value);
    }
    let mut upgrade = request.upgrade();
    if let Some(names) = protocols() {
        upgrade = upgrade.protocols(names.split(", ").map(str::to_owned).collect::<Vec<_>>());
    }
    let answer = upgrade.send().await.unwrap_or_else(|error| failed(error));
    let mut ws = answer.into_websocket().await.unwrap_or_else(|error| failed(error));
    open(ws.protocol().unwrap_or(""));
    let mut input = lines();
    let mut typing = true;
    loop {
        tokio::select! {
            line = input.next_line(), if typing => match line.unwrap() {
                Some(line) => ws.send(Message::Text(line)).await.unwrap_or_else(|error| failed(error)),
                None => { typing = false; let _ = ws.send(Message::Close { code: CloseCode::Normal, reason: String::new() }).await; }
            },
            message = ws.next() => match message {
                Some(Ok(Message::Text(message))) => text(&message),
                Some(Ok(Message::Close { code, reason })) => closed(code.into(), &reason),
                Some(Ok(_)) => {}
                Some(Err(error)) => failed(error),
                None => closed(1006, ""),
            },
        }
    }
}
