use carillon_clients::{read_all, say, stream_bearer, stream_url};
use eventsource_client::{Client, ClientBuilder, SSE};
use futures_util::StreamExt;
use launchdarkly_sdk_transport::HyperTransport;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tokio::spawn(read_all());
    let mut builder = ClientBuilder::for_url(&stream_url()).unwrap();
    if let Some(token) = stream_bearer() {
        builder = builder.header("authorization", &format!("Bearer {token}")).unwrap();
    }
    let client = builder.build_with_transport(HyperTransport::builder().build_http().unwrap());
    let mut stream = client.stream();
    while let Some(event) = stream.next().await {
        match event {
            Ok(SSE::Connected(_)) => say("open"),
            Ok(SSE::Event(event)) => say(&format!("event {} {}", event.id.unwrap_or_default(), event.data)),
            Ok(SSE::Comment(_)) => {}
            Err(error) => say(&format!("error {error}")),
        }
    }
    say("end no more");
    std::future::pending::<()>().await;
}
