//! How does a client say something that has an event stream, or polls?
//!
//! `POST /v1/commands` takes one client frame and answers as a WebSocket would, with one frame. It is admitted like a WebSocket and
//! then belongs to a shard for as long as the answer takes: so the same code decides. Nothing is remembered of it; what only a
//! connection can have (channels that it is in, a token that is refreshed) it has not.

use super::body::whole;
use super::fallback::{opening, refused};
use super::handshake::Edge;
use super::problem::Problem;
use super::takeover::{Client, Takeover};
use crate::authorize::Refusal;
use crate::shard::{Coming, Wire};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use carillon_platform::auth::AuthError;
use carillon_protocol::Channel;
use carillon_protocol::client::{ClientFrame, FrameFault, Request as Asked, parse};
use http::{HeaderValue, Method, StatusCode, header};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// `POST /v1/commands`
pub(super) async fn command(State(edge): State<Arc<Edge>>, request: Request) -> Response {
    match edge.command(request).await {
        Ok(client) => Takeover::mark(opening("command", "application/json"), client),
        Err(problem) => refused(problem, Problem::into_response),
    }
}

impl Edge {
    async fn command(&self, request: Request) -> Result<Client, Problem> {
        if request.method() != Method::POST {
            return Err(Problem::not_post());
        }
        self.is_open()?;
        self.origins.check(request.headers())?;
        let (parts, body) = request.into_parts();
        let arrival = self.arrival(Request::from_parts(parts, Body::empty()), None)?;
        let Some((permit, bearer)) = self.authenticate(&arrival).await? else {
            return Err(Refusal::from(AuthError::Missing).into());
        };
        let frame = {
            let _share = self.bodies.begin(&bearer)?;
            parse(&text(body).await?).map_err(malformed)?
        };
        let mut query = arrival.query.read()?;
        (query.hello.presence, query.hello.inbox) = (None, None);
        (query.hello.since, query.hello.epoch, query.hello.last) = (None, None, None);
        query.hello.patterns.clear();
        query.hello.tenant = query.hello.tenant.or_else(|| frame.tenant.clone());
        // Whoever types somewhere must be allowed to be there.
        query.hello.channels = within(&frame.request)?.into_iter().collect();
        let mut client = self.admit(permit, bearer, query, Wire::Command).await?;
        if let Coming::Admitted(authorized) = &mut client.coming {
            let (tenant, user) = (&authorized.identity.tenant, &authorized.identity.user);
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let taken = self.commands.take(
                tenant,
                user,
                &Channel::tenant(),
                self.command_rate,
                now.as_millis() as u64,
            );
            taken.map_err(|_| Problem::too_many_commands(self.command_rate))?;
            let id = frame.id.or_else(|| Some("null".into()));
            authorized.command = Some(Box::new(ClientFrame { id, ..frame }));
        }
        Ok(client)
    }
}

/// The body, which is one frame.
async fn text(body: Body) -> Result<String, Problem> {
    String::from_utf8(whole(body).await?.into())
        .map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "invalid_json", "the body is not UTF-8"))
}

fn malformed(fault: FrameFault) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, fault.code, fault.message)
}

/// The channel in which somebody must be allowed to be who says this; or why it cannot be said without a connection.
fn within(asked: &Asked) -> Result<Option<Channel>, Problem> {
    let unfit = |detail: &str| Err(Problem::new(StatusCode::BAD_REQUEST, "not_a_command", detail));
    match asked {
        Asked::Typing { channel, .. } => Ok(Some(channel.clone())),
        Asked::Publish(_)
        | Asked::Activity(_)
        | Asked::Ack(_)
        | Asked::Ping { .. }
        | Asked::Presence { meta: None, .. } => Ok(None),
        Asked::Presence { meta: Some(_), .. } => {
            unfit("meta is said of a connection: set it in the token, or on a WebSocket")
        }
        Asked::Subscribe { .. } | Asked::Unsubscribe { .. } => {
            unfit("name channels in the URL, or the form, of the event stream or poll")
        }
        Asked::Auth { .. } => unfit("the token comes with each request"),
        Asked::Attach { .. } | Asked::Detach => unfit("name the tenant in the frame or the URL"),
    }
}

impl Problem {
    fn not_post() -> Self {
        let detail = "a command is sent with POST";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
            .with(header::ALLOW, HeaderValue::from_static("POST"))
    }

    fn too_many_commands(rate: u32) -> Self {
        let detail = format!("a person may send {rate} commands a second to a node");
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).retry(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Result<Option<String>, &'static str> {
        let frame = parse(text).map_err(|fault| fault.code)?;
        within(&frame.request).map(|channel| channel.map(String::from)).map_err(|problem| problem.code)
    }

    #[test]
    fn what_needs_a_connection_is_no_command() {
        assert_eq!(judged(r#"{"type":"ping"}"#), Ok(None));
        assert_eq!(judged(r#"{"type":"ack","seq":7}"#), Ok(None));
        assert_eq!(judged(r#"{"type":"publish","channel":"a","event":{"type":"x"}}"#), Ok(None));
        assert_eq!(judged(r#"{"type":"presence","channel":"a"}"#), Ok(None));
        let typing = r#"{"type":"typing","channel":"a","state":"start"}"#;
        assert_eq!(judged(typing), Ok(Some("a".into())), "a channel that one may be in");
        for text in [
            r#"{"type":"subscribe","channel":"a"}"#,
            r#"{"type":"unsubscribe","channel":"a"}"#,
            r#"{"type":"auth","token":"t"}"#,
            r#"{"type":"presence","channel":"a","meta":1}"#,
        ] {
            assert_eq!(judged(text), Err("not_a_command"), "{text}");
        }
        assert_eq!(judged("{"), Err("invalid_json"));
        assert_eq!(judged(r#"{"type":"dance"}"#), Err("unknown_type"));
    }
}
