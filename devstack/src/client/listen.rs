//! How does a client listen that cannot have a WebSocket: to an event stream, or poll by poll?
//!
//! One stream or one poll at a time; who comes back, and with which cursor, is the caller's business.

use std::time::Duration;

use reqwest::{Response, Url};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};

use super::frame::{Cursor, Frame};
use super::socket::SocketError;
use crate::http::{content_type, problem, with_causes};

/// Longest time for anything that does not wait for events.
const PATIENCE: Duration = Duration::from_secs(20);

/// What to listen to; clones share their idle connections.
#[derive(Debug, Clone)]
pub struct Listen {
    http: reqwest::Client,
    url: String,
    /// The user token.
    pub token: String,
    /// Channels beside the automatic ones.
    pub channels: Vec<String>,
    /// Which types of events; empty: all.
    pub types: Vec<String>,
    /// Whether it is told who is in these channels.
    pub presence: bool,
    /// Another tenant than the token's own.
    pub tenant: Option<String>,
    /// Where to begin, in the URL; none begins at the head.
    pub since: Option<Cursor>,
    /// Where to go on, as a browser says it that lost its event stream.
    pub last_event_id: Option<String>,
    /// Whether all that stands in the URL otherwise is sent as a form.
    pub posts: bool,
}

impl Listen {
    /// At the gateway or balancer with this HTTP URL.
    pub fn new(base_url: &str, token: impl Into<String>) -> Result<Self, SocketError> {
        let http = crate::http::client(|client| client.connect_timeout(PATIENCE)).map_err(lost)?;
        let url = base_url.trim_end_matches('/').to_owned();
        let token = token.into();
        let (channels, types, presence) = (Vec::new(), Vec::new(), false);
        Ok(Self {
            http,
            url,
            token,
            channels,
            types,
            presence,
            tenant: None,
            since: None,
            last_event_id: None,
            posts: false,
        })
    }

    /// Also these channels.
    #[must_use]
    pub fn channels<S: Into<String>>(mut self, channels: impl IntoIterator<Item = S>) -> Self {
        self.channels = channels.into_iter().map(Into::into).collect();
        self
    }

    /// Only events of these types.
    #[must_use]
    pub fn types<S: Into<String>>(mut self, types: impl IntoIterator<Item = S>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Also told who is in these channels.
    #[must_use]
    pub fn presence(mut self) -> Self {
        self.presence = true;
        self
    }

    /// From this position on.
    #[must_use]
    pub fn since(mut self, cursor: Cursor) -> Self {
        self.since = Some(cursor);
        self
    }

    /// With POST, as those ask who have more channels than a URL has room for.
    #[must_use]
    pub fn posting(mut self) -> Self {
        self.posts = true;
        self
    }

    /// Opens `GET /v1/sse`, or `POST /v1/sse`.
    pub async fn stream(&self) -> Result<EventStream, SocketError> {
        let answer = self.ask("sse", None, PATIENCE).await?;
        Ok(EventStream { answer, messages: Messages::default() })
    }

    /// `GET /v1/poll` or `POST /v1/poll`; without `wait` as long as the gateway thinks right.
    pub async fn poll(&self, wait: Option<Duration>) -> Result<Polled, SocketError> {
        let patience = wait.unwrap_or(Duration::from_secs(30)) + PATIENCE;
        let deadline = Instant::now() + patience;
        let answer = self.ask("poll", wait, patience).await?;
        let body = timeout_at(deadline, answer.bytes()).await.map_err(|_| SocketError::Timeout)?;
        Polled::read(&body.map_err(lost)?)
    }

    async fn ask(
        &self,
        path: &str,
        wait: Option<Duration>,
        patience: Duration,
    ) -> Result<Response, SocketError> {
        let mut url = self.address(path, wait)?;
        let request = if self.posts {
            let form = url.query().unwrap_or_default().to_owned();
            url.set_query(None);
            self.http.post(url).header("content-type", "application/x-www-form-urlencoded").body(form)
        } else {
            self.http.get(url)
        };
        let mut request = request.bearer_auth(&self.token);
        if let Some(id) = &self.last_event_id {
            request = request.header("last-event-id", id);
        }
        let deadline = Instant::now() + patience;
        let answer = timeout_at(deadline, request.send()).await.map_err(|_| SocketError::Timeout)?;
        let answer = answer.map_err(lost)?;
        if answer.status() == 200 { Ok(answer) } else { Err(refused(answer).await) }
    }

    fn address(&self, path: &str, wait: Option<Duration>) -> Result<Url, SocketError> {
        let mut query: Vec<(&str, String)> = Vec::new();
        if let Some(Cursor { seq, epoch }) = &self.since {
            query.push(("since", seq.to_string()));
            query.extend(epoch.iter().map(|epoch| ("epoch", epoch.clone())));
        }
        if !self.channels.is_empty() {
            query.push(("channels", self.channels.join(",")));
        }
        if !self.types.is_empty() {
            query.push(("types", self.types.join(",")));
        }
        query.extend(self.presence.then(|| ("presence", "1".to_owned())));
        query.extend(self.tenant.iter().map(|tenant| ("tenant", tenant.clone())));
        query.extend(wait.iter().map(|wait| ("wait", wait.as_secs().to_string())));
        let url = format!("{}/v1/{path}", self.url);
        Url::parse_with_params(&url, query).map_err(|error| SocketError::Url(format!("{url}: {error}")))
    }
}

fn lost(error: reqwest::Error) -> SocketError {
    SocketError::Lost(with_causes(&error))
}

async fn refused(answer: Response) -> SocketError {
    let status = answer.status().as_u16();
    let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
    let content_type = content_type(answer.headers());
    let body = answer.bytes().await.unwrap_or_default();
    let problem = problem(&content_type, &body).unwrap_or_default();
    let code = problem["code"].as_str().unwrap_or_default().to_owned();
    let retry_after = header.map(Duration::from_secs);
    SocketError::Refused { status, code, problem, content_type, retry_after }
}

/// An open event stream. Dropping it closes the connection.
#[derive(Debug)]
pub struct EventStream {
    answer: Response,
    messages: Messages,
}

impl EventStream {
    /// A header of the answer.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.answer.headers().get(name)?.to_str().ok()
    }

    /// The next message, or why there is none within `patience`. Cancelling it loses nothing.
    pub async fn next(&mut self, patience: Duration) -> Result<Message, SocketError> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(message) = self.messages.next() {
                return message;
            }
            let chunk = timeout_at(deadline, self.answer.chunk()).await.map_err(|_| SocketError::Timeout)?;
            match chunk.map_err(lost)? {
                Some(bytes) => self.messages.feed(&bytes),
                None => return Err(SocketError::Lost("the event stream ended".into())),
            }
        }
    }

    /// The next message with a frame of this `type`; others are skipped.
    pub async fn next_of(&mut self, kind: &str, patience: Duration) -> Result<Message, SocketError> {
        let deadline = Instant::now() + patience;
        loop {
            let message = self.next(deadline.saturating_duration_since(Instant::now())).await?;
            if message.frame.is(kind) {
                return Ok(message);
            }
        }
    }
}

/// One message of an event stream.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Where to go on from if this was the last: `<epoch>:<seq>`.
    pub id: Option<String>,
    /// How long a browser shall wait before it comes back.
    pub retry: Option<Duration>,
    /// What the gateway said.
    pub frame: Frame,
}

/// Bytes of an event stream, from which whole messages are taken.
#[derive(Debug, Default)]
pub struct Messages(Vec<u8>);

impl Messages {
    /// Adds what arrived.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Takes the next message; none when it is not whole yet.
    #[expect(clippy::should_implement_trait, reason = "more may come after a none")]
    pub fn next(&mut self) -> Option<Result<Message, SocketError>> {
        let end = self.0.windows(2).position(|pair| pair == b"\n\n")?;
        let message: Vec<u8> = self.0.drain(..end + 2).collect();
        Some(
            read(&message)
                .ok_or_else(|| SocketError::Contract(String::from_utf8_lossy(&message).into_owned())),
        )
    }
}

/// A message as a gateway writes it: of the standard's fields `id`, `retry` and one line of `data`, which is JSON.
fn read(message: &[u8]) -> Option<Message> {
    let (mut id, mut retry, mut frame) = (None, None, None);
    for line in std::str::from_utf8(message).ok()?.lines().filter(|line| !line.is_empty()) {
        match line.split_once(": ")? {
            ("id", value) => id = Some(value.to_owned()),
            ("retry", value) => retry = Some(Duration::from_millis(value.parse().ok()?)),
            ("data", value) if frame.is_none() => frame = Some(Frame(serde_json::from_str(value).ok()?)),
            _ => return None,
        }
    }
    Some(Message { id, retry, frame: frame? })
}

/// The answer of a poll.
#[derive(Debug, Clone, PartialEq)]
pub struct Polled {
    /// What came, oldest first: `event` frames.
    pub events: Vec<Frame>,
    /// Where the next poll goes on.
    pub cursor: Cursor,
    /// Why continuity was lost, if it was.
    pub reset: Option<String>,
}

impl Polled {
    /// Reads the body of an answer. Its end is the end of the connection, so a body that is cut off is a lost one.
    pub fn read(body: &[u8]) -> Result<Self, SocketError> {
        let contract = |what: &str| SocketError::Contract(format!("a poll's answer {what}"));
        let mut value: Value = serde_json::from_slice(body).map_err(|error| match error.is_eof() {
            true => SocketError::Lost("the answer was cut off".into()),
            false => contract(&error.to_string()),
        })?;
        let Some(Value::Array(events)) = value.get_mut("events").map(Value::take) else {
            return Err(contract("without events"));
        };
        let (Some(seq), Some(epoch)) = (value["seq"].as_u64(), value["epoch"].as_str()) else {
            return Err(contract("without a cursor"));
        };
        let reset = value["reset"].as_str().map(str::to_owned);
        Ok(Self { events: events.into_iter().map(Frame).collect(), cursor: Cursor::new(seq, epoch), reset })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn messages_are_taken_whole_however_they_arrive() {
        let text =
            "id: e1:7\ndata: {\"type\":\"event\",\"seq\":7}\n\nretry: 250\ndata: {\"type\":\"goaway\"}\n\n";
        let mut messages = Messages::default();
        let mut seen = Vec::new();
        for byte in text.as_bytes() {
            messages.feed(&[*byte]);
            seen.extend(messages.next());
        }
        let seen: Vec<Message> = seen.into_iter().map(|message| message.unwrap()).collect();
        let event = json!({"type": "event", "seq": 7});
        assert_eq!(seen[0], Message { id: Some("e1:7".into()), retry: None, frame: Frame(event) });
        assert_eq!((seen[1].id.as_deref(), seen[1].retry), (None, Some(Duration::from_millis(250))));
        messages.feed(b"data: no JSON\n\nevent: other\ndata: {}\n\n");
        assert!(messages.next().unwrap().is_err() && messages.next().unwrap().is_err());
        assert!(messages.next().is_none());
    }

    #[test]
    fn an_answer_that_is_cut_off_is_lost_and_not_a_breach() {
        let whole = br#"{"events":[{"type":"event","seq":2}],"seq":3,"epoch":"e1","reset":"too_old"}"#;
        let polled = Polled::read(whole).unwrap();
        assert_eq!((polled.events[0].seq(), polled.cursor), (Some(2), Cursor::new(3, "e1")));
        assert_eq!(polled.reset.as_deref(), Some("too_old"));
        for cut in 0..whole.len() {
            assert!(matches!(Polled::read(&whole[..cut]), Err(SocketError::Lost(_))), "cut at {cut}");
        }
        for bad in ["{}", "[]", r#"{"events":[],"seq":1}"#, r#"{"events":[],"epoch":"e"}"#, "<html>"] {
            assert!(matches!(Polled::read(bad.as_bytes()), Err(SocketError::Contract(_))), "{bad}");
        }
    }
}
