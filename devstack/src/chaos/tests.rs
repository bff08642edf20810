use super::*;

const SOON: Duration = Duration::from_secs(5);
/// Long enough to notice bytes that should not come.
const SILENCE: Duration = Duration::from_millis(150);

/// A server that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reads, mut writes) = socket.split();
                tokio::io::copy(&mut reads, &mut writes).await
            });
        }
    });
    addr
}

async fn round_trip(socket: &mut TcpStream, text: &str) -> io::Result<String> {
    socket.write_all(text.as_bytes()).await?;
    let mut answer = vec![0; text.len()];
    match tokio::time::timeout(SOON, socket.read_exact(&mut answer)).await {
        Ok(read) => read.map(|_| String::from_utf8(answer).unwrap()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[tokio::test]
async fn a_clear_link_passes_bytes_and_the_end_of_a_half() {
    let proxy = ChaosProxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    let text = "x".repeat(1_000_000);
    let (mut reads, mut writes) = socket.split();
    let send = async {
        writes.write_all(text.as_bytes()).await.unwrap();
        writes.shutdown().await.unwrap();
    };
    let mut answer = String::new();
    let (_, read) = tokio::join!(send, reads.read_to_string(&mut answer));
    assert_eq!(read.unwrap(), text.len());
}

#[tokio::test]
async fn a_cut_link_closes_and_refuses_until_restored() {
    let proxy = ChaosProxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut socket, "one").await.unwrap(), "one");
    proxy.cut().await.unwrap();
    let mut byte = [0];
    let closed = tokio::time::timeout(SOON, socket.read(&mut byte)).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)));
    let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    proxy.restore().await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut socket, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn cut_once_closes_but_goes_on_accepting() {
    let proxy = ChaosProxy::start(echo().await).await.unwrap();
    let mut old = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut old, "one").await.unwrap(), "one");
    proxy.cut_once().await.unwrap();
    assert!(round_trip(&mut old, "lost").await.is_err());
    let mut new = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut new, "two").await.unwrap(), "two");
}

#[tokio::test]
async fn a_black_hole_is_silent_and_lets_go_when_restored() {
    let proxy = ChaosProxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(round_trip(&mut socket, "one").await.unwrap(), "one");
    proxy.blackhole();
    socket.write_all(b"two").await.unwrap();
    let mut newcomer = TcpStream::connect(proxy.addr()).await.unwrap();
    newcomer.write_all(b"hey").await.unwrap();
    let mut answer = [0; 3];
    assert!(tokio::time::timeout(SILENCE, socket.read(&mut answer)).await.is_err(), "silence");
    assert!(tokio::time::timeout(SILENCE, newcomer.read(&mut answer)).await.is_err(), "silence");
    proxy.restore().await.unwrap();
    tokio::time::timeout(SOON, socket.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"two");
    tokio::time::timeout(SOON, newcomer.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"hey");
}

#[tokio::test]
async fn a_link_that_is_silent_one_way_lets_the_other_way_through() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = ChaosProxy::start(upstream.local_addr().unwrap()).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    proxy.silence(Way::Back);
    client.write_all(b"one").await.unwrap();
    server.write_all(b"two").await.unwrap();
    let mut bytes = [0; 3];
    tokio::time::timeout(SOON, server.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes, b"one");
    assert!(tokio::time::timeout(SILENCE, client.read(&mut bytes)).await.is_err(), "silence");
    proxy.restore().await.unwrap();
    tokio::time::timeout(SOON, client.read_exact(&mut bytes)).await.unwrap().unwrap();
    assert_eq!(&bytes, b"two");
}

#[tokio::test]
async fn a_delayed_link_is_late_both_ways_but_not_slow() {
    let proxy = ChaosProxy::start(echo().await).await.unwrap();
    let mut socket = TcpStream::connect(proxy.addr()).await.unwrap();
    proxy.delay(Duration::from_millis(60));
    let begun = Instant::now();
    assert_eq!(round_trip(&mut socket, "late").await.unwrap(), "late");
    assert!(begun.elapsed() >= Duration::from_millis(120));
    let text = "x".repeat(100 * CHUNK);
    let begun = Instant::now();
    let (mut reads, mut writes) = socket.split();
    let mut answer = vec![0; text.len()];
    let (sent, read) = tokio::join!(writes.write_all(text.as_bytes()), reads.read_exact(&mut answer));
    sent.and(read.map(drop)).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "chunks travel side by side");
}

#[tokio::test]
async fn on_a_late_link_subscribers_hear_later_and_commands_are_answered_at_once() {
    let upstream = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = ChaosProxy::start_late(upstream.local_addr().unwrap(), SOON / 5).await.unwrap();
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut server, _) = upstream.accept().await.unwrap();
    let mut answer = [0; 3];
    let begun = Instant::now();
    server.write_all(b"one").await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    client.write_all(b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\n").await.unwrap();
    let mut asked = [0; 26];
    server.read_exact(&mut asked).await.unwrap();
    let before = begun.elapsed();
    // A link that is cleared stays late.
    proxy.restore().await.unwrap();
    let begun = Instant::now();
    server.write_all(b"two").await.unwrap();
    client.read_exact(&mut answer).await.unwrap();
    assert!(begun.elapsed() >= SOON / 5 && before < SOON, "{before:?}, {:?}", begun.elapsed());
}
