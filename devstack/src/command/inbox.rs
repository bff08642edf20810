//! `carillon inbox`: what stands in somebody's inbox, and what rings?
//!
//! A bell in a terminal: the list and the count first, then every notice as it comes and every change that another device makes.

use std::time::Duration;

use serde_json::{Value, json};

use super::paint::Paint;
use super::target::{http_base, websocket};
use super::{CommandError, print};
use crate::cli::InboxArgs;
use crate::client::socket::{Connect, Socket, SocketError};
use crate::http::{content_type, problem, with_causes};
use crate::info::StackInfo;
use crate::token::{Claims, now};

/// Longest time for one request.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a token of our own lasts, in seconds.
const LASTS: u64 = 12 * 3_600;
/// Before it connects again.
const PAUSE: Duration = Duration::from_secs(1);

/// Whose bell it is, and where.
struct Bell {
    base: String,
    socket: String,
    token: String,
    tenant: Option<String>,
    http: reqwest::Client,
}

/// `stack` runs in the data folder: it answers, and signs a token, when neither is given.
pub(super) async fn run(stack: Option<StackInfo>, args: &InboxArgs) -> Result<(), CommandError> {
    let bell = Bell::of(stack, args)?;
    if args.read_all {
        bell.read_all().await?;
    }
    loop {
        // Connected first: what comes while the list is read rings.
        let live = if args.once { None } else { Some(bell.connect().await?) };
        let listed = bell.ask("GET", "/v1/inbox?limit=20", None).await?;
        if args.json {
            print(&format!("{listed}\n"))?;
        } else {
            print(&list(&listed, Paint::for_stdout()))?;
        }
        let Some(mut socket) = live else { return Ok(()) };
        loop {
            let frame = match socket.next_frame(Duration::from_secs(120)).await {
                Ok(frame) => frame,
                Err(error) if error.is_terminal() => return Err(error.into()),
                Err(_) => break,
            };
            if let Some(line) = rings(&frame.0) {
                let line = if args.json { frame.0.to_string() } else { line };
                print(&format!("{line}\n"))?;
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

impl Bell {
    fn of(stack: Option<StackInfo>, args: &InboxArgs) -> Result<Self, CommandError> {
        let token = match (&args.token, &stack) {
            (Some(token), _) => token.clone(),
            (None, Some(stack)) => {
                let tenant = args.tenant.as_deref().unwrap_or(crate::token::DEMO_TENANT);
                let user = args.user.as_deref().unwrap_or(crate::token::DEMO_USER);
                Claims::new(tenant, user, now(), LASTS).roles(&args.roles).sign(&stack.jwt_secret)?
            }
            (None, None) => return Err(CommandError::Missing("--token")),
        };
        let url = match (&args.url, stack) {
            (Some(url), _) => url.clone(),
            (None, Some(stack)) => stack.lb,
            (None, None) => return Err(CommandError::Missing("--url")),
        };
        let http = crate::http::client(|client| client.timeout(PATIENCE)).map_err(lost)?;
        let (base, socket) = (http_base(&url)?, websocket(&url)?);
        Ok(Self { base, socket, token, tenant: args.tenant.clone(), http })
    }

    async fn connect(&self) -> Result<Socket, CommandError> {
        let mut wanted = Connect::new(&self.socket, &self.token);
        wanted.tenant = self.tenant.clone();
        Ok(Socket::open(&wanted).await?.0)
    }

    /// Everything that is listed is read.
    async fn read_all(&self) -> Result<(), CommandError> {
        let listed = self.ask("GET", "/v1/inbox?limit=1", None).await?;
        if let Some(newest) = listed["items"][0]["seq"].as_u64() {
            self.ask("POST", "/v1/inbox/read-all", Some(json!({"up_to": newest}))).await?;
        }
        Ok(())
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value, CommandError> {
        let method = method.parse().unwrap_or(reqwest::Method::GET);
        // A tenant's name needs no escaping.
        let tenant = self.tenant.as_ref().map_or_else(String::new, |tenant| {
            format!("{}tenant={tenant}", if path.contains('?') { '&' } else { '?' })
        });
        let url = format!("{}{path}{tenant}", self.base);
        let mut request = self.http.request(method, url).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.map_err(lost)?;
        let (status, kind) = (answer.status().as_u16(), content_type(answer.headers()));
        let body = answer.bytes().await.map_err(lost)?;
        if status != 200 {
            let problem = problem(&kind, &body).unwrap_or_default();
            let code = problem["code"].as_str().unwrap_or_default().to_owned();
            let content_type = kind;
            return Err(
                SocketError::Refused { status, code, problem, content_type, retry_after: None }.into()
            );
        }
        serde_json::from_slice(&body).map_err(|error| SocketError::Contract(error.to_string()).into())
    }
}

fn lost(error: reqwest::Error) -> SocketError {
    SocketError::Lost(with_causes(&error))
}

/// The list in a few lines: a dot before what is unread.
fn list(listed: &Value, paint: Paint) -> String {
    let mut text = format!("{}\n", paint.bold(&count(listed)));
    for item in listed["items"].as_array().into_iter().flatten() {
        let dot = if item["read"] == false { paint.good("●") } else { " ".into() };
        let title = item["title"].as_str().unwrap_or_default();
        let more = item["count"].as_u64().filter(|count| *count > 1);
        let more = more.map_or_else(String::new, |count| format!(" ({count})"));
        let asks = item["requires_ack"] == true && item["acked_at"].is_null();
        let asks = if asks { paint.bad(" – take note") } else { String::new() };
        let body =
            item["body"].as_str().map_or_else(String::new, |body| format!("\n      {}", one_line(body)));
        text.push_str(&format!("{dot} #{} {title}{more}{asks}{body}\n", item["seq"]));
    }
    text
}

fn count(of: &Value) -> String {
    let more = if of["more"] == true { "+" } else { "" };
    format!("{}{more} unread", of["unread"])
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\t'], " ")
}

/// What a frame rings with; nothing when it has nothing to do with the inbox.
fn rings(frame: &Value) -> Option<String> {
    match frame["type"].as_str()? {
        "event" => {
            let notice: Value = serde_json::from_str(frame["event"]["notify"].as_str()?).ok()?;
            Some(format!("● #{} {}", frame["seq"], notice["title"].as_str()?))
        }
        "inbox" if !frame["retracted"].is_null() => Some(format!("  #{} was taken back", frame["retracted"])),
        "inbox" if frame["unread"].is_null() => Some("  other types stand in the inbox now".to_owned()),
        "inbox" => Some(format!("  {}", count(frame))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_says_what_is_unread_and_what_asks_for_note() {
        let listed = json!({"unread": 100, "more": true, "items": [
            {"seq": 7, "title": "A", "read": false, "group": "g", "count": 3, "requires_ack": true},
            {"seq": 5, "title": "B", "body": "x\ny", "read": true, "requires_ack": false}
        ]});
        assert_eq!(list(&listed, Paint::plain()), "100+ unread\n● #7 A (3) – take note\n  #5 B\n      x y\n");
    }

    #[test]
    fn notices_marks_and_retractions_ring_and_nothing_else() {
        let event = json!({"type": "event", "seq": 9, "event": {"notify": "{\"title\":\"T\"}"}});
        assert_eq!(rings(&event).as_deref(), Some("● #9 T"));
        assert_eq!(
            rings(&json!({"type": "inbox", "unread": 2, "version": 3})).as_deref(),
            Some("  2 unread")
        );
        assert_eq!(rings(&json!({"type": "inbox", "retracted": 9})).as_deref(), Some("  #9 was taken back"));
        assert_eq!(
            rings(&json!({"type": "inbox", "version": 4, "stale": true})).as_deref(),
            Some("  other types stand in the inbox now")
        );
        for quiet in [json!({"type": "event", "seq": 1, "event": {}}), json!({"type": "heartbeat", "seq": 1})]
        {
            assert_eq!(rings(&quiet), None);
        }
    }
}
