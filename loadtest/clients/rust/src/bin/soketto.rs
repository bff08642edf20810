use carillon_clients::{authorization, closed, failed, lines, open, place, protocols, text};
use soketto::extension::deflate::Deflate;
use soketto::handshake::client::Header;
use soketto::handshake::{Client, ServerResponse};
use soketto::{Incoming, Mode};
use tokio::net::TcpStream;
use tokio_util::compat::TokioAsyncReadCompatExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (place, path) = place();
    let stream = TcpStream::connect(&place).await.unwrap_or_else(|error| failed(error));
    let (authorization, protocols) = (authorization(), protocols());
    let headers: Vec<Header<'_>> = authorization
        .iter()
        .map(|value| Header { name: "Authorization", value: value.as_bytes() })
        .collect();
    let mut client = Client::new(stream.compat(), &place, &path);
    client.set_headers(&headers);
    for name in protocols.iter().flat_map(|names| names.split(", ")) {
        client.add_protocol(name);
    }
    if std::env::var("WS_COMPRESS").is_ok_and(|value| value == "1") {
        client.add_extension(Box::new(Deflate::new(Mode::Client)));
    }
    match client.handshake().await {
        Ok(ServerResponse::Accepted { protocol }) => open(protocol.as_deref().unwrap_or("")),
        Ok(other) => failed(format!("{other:?}")),
        Err(error) => failed(error),
    }
    let (mut sender, mut receiver) = client.into_builder().finish();
    let typing = async {
        let mut input = lines();
        while let Some(line) = input.next_line().await.unwrap() {
            sender.send_text(line).await.unwrap_or_else(|error| failed(error));
            sender.flush().await.unwrap_or_else(|error| failed(error));
        }
        let _ = sender.close().await;
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            let mut message = Vec::new();
            match receiver.receive(&mut message).await {
                Ok(Incoming::Data(_)) => text(std::str::from_utf8(&message).unwrap()),
                Ok(Incoming::Closed(reason)) => closed(reason.code, reason.descr.as_deref().unwrap_or("")),
                Ok(Incoming::Pong(_)) => {}
                Err(error) => failed(error),
            }
        }
    };
    tokio::select! { () = typing => {}, () = reading => {} }
}
