use carillon_clients::{authorization, closed, failed, lines, open, protocols, text, url};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut request = url().into_client_request().unwrap();
    if let Some(value) = authorization() {
        request.headers_mut().insert("authorization", value.parse().unwrap());
    }
    if let Some(value) = protocols() {
        request.headers_mut().insert("sec-websocket-protocol", value.parse().unwrap());
    }
    let (mut ws, answer) = tokio_tungstenite::connect_async(request).await.unwrap_or_else(|error| failed(error));
    open(answer.headers().get("sec-websocket-protocol").map_or("", |value| value.to_str().unwrap()));
    let mut input = lines();
    let mut typing = true;
    loop {
        tokio::select! {
            line = input.next_line(), if typing => match line.unwrap() {
                Some(line) => ws.send(Message::text(line)).await.unwrap_or_else(|error| failed(error)),
                None => { typing = false; let _ = ws.close(None).await; }
            },
            message = ws.next() => match message {
                Some(Ok(Message::Text(message))) => text(&message),
                Some(Ok(Message::Close(Some(frame)))) => closed(frame.code.into(), &frame.reason),
                Some(Ok(_)) => {}
                Some(Err(error)) => failed(error),
                None => closed(1006, ""),
            },
        }
    }
}
