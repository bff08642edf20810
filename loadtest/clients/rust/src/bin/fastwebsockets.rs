use carillon_clients::{authorization, closed, failed, lines, open, place, protocols, text};
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload};
use http::Request;
use http_body_util::Empty;
use hyper::body::Bytes;
use std::future::Future;
use tokio::net::TcpStream;

/// Runs what hyper wants to run beside a connection.
struct Executor;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for Executor {
    fn execute(&self, future: F) {
        tokio::spawn(future);
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (place, path) = place();
    let stream = TcpStream::connect(&place).await.unwrap_or_else(|error| failed(error));
    let mut request = Request::get(path)
        .header("Host", &place)
        .header("Upgrade", "websocket")
        .header("Connection", "upgrade")
        .header("Sec-WebSocket-Key", fastwebsockets::handshake::generate_key())
        .header("Sec-WebSocket-Version", "13");
    for (name, value) in [("Authorization", authorization()), ("Sec-WebSocket-Protocol", protocols())] {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let connected = fastwebsockets::handshake::client(&Executor, request, stream).await;
    let (ws, answer) = connected.unwrap_or_else(|error| failed(error));
    open(answer.headers().get("sec-websocket-protocol").map_or("", |value| value.to_str().unwrap()));
    let (read, write) = ws.split(tokio::io::split);
    let write = std::rc::Rc::new(tokio::sync::Mutex::new(write));
    let mut read = FragmentCollectorRead::new(read);
    let answers = write.clone();
    let mut reply = move |frame| {
        let answers = answers.clone();
        async move { answers.lock().await.write_frame(frame).await }
    };
    let typing = async {
        let mut input = lines();
        while let Some(line) = input.next_line().await.unwrap() {
            let frame = Frame::text(Payload::Owned(line.into_bytes()));
            write.lock().await.write_frame(frame).await.unwrap_or_else(|error| failed(error));
        }
        let _ = write.lock().await.write_frame(Frame::close(1000, b"")).await;
        std::future::pending::<()>().await;
    };
    let reading = async {
        loop {
            let frame = read.read_frame(&mut reply).await.unwrap_or_else(|error| failed(error));
            match frame.opcode {
                OpCode::Text => text(std::str::from_utf8(&frame.payload).unwrap()),
                OpCode::Close if frame.payload.len() >= 2 => {
                    let code = u16::from_be_bytes([frame.payload[0], frame.payload[1]]);
                    closed(code, std::str::from_utf8(&frame.payload[2..]).unwrap())
                }
                OpCode::Close => closed(1005, ""),
                _ => {}
            }
        }
    };
    tokio::select! { () = typing => {}, () = reading => {} }
}
