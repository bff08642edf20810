use carillon_clients::{read_all, say, stream_bearer, stream_url};
use futures_util::StreamExt;
use reqwest_eventsource::{Event, EventSource};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    tokio::spawn(read_all());
    let mut request = reqwest_for_streams::Client::new().get(stream_url());
    if let Some(token) = stream_bearer() {
        request = request.bearer_auth(token);
    }
    let mut source = EventSource::new(request).unwrap();
    while let Some(event) = source.next().await {
        match event {
            Ok(Event::Open) => say("open"),
            Ok(Event::Message(message)) => say(&format!("event {} {}", message.id, message.data)),
            Err(error) => say(&format!("error {error}")),
        }
    }
    say("end no more");
    std::future::pending::<()>().await;
}
