//! What does a subscriber say to each kind of server, and which of the answers are events?
//!
//! A function of the messages that came: no I/O and no clock.

use std::sync::Arc;

use crate::peer::args::Kind;
use crate::peer::frames::{BINARY, TEXT, masked};
use crate::peer::nats::{self, Operation, Operations};

/// Who a subscriber is.
#[derive(Debug, Clone)]
pub(super) struct Who {
    /// Which frames it speaks.
    pub(super) kind: Kind,
    /// What it says in `auth`; empty where nobody asks.
    pub(super) token: Arc<str>,
}

/// One subscriber's conversation.
#[derive(Debug)]
pub(super) struct Session {
    talk: Talk,
    subscribed: bool,
}

#[derive(Debug)]
enum Talk {
    SocketIo,
    CarillonSocketIo(Arc<str>),
    Bun,
    Nats(Operations),
}

/// The channel that everybody is in.
const CHANNEL: &str = "load";

impl Session {
    /// A conversation that has not begun.
    pub(super) fn new(who: &Who) -> Self {
        let talk = match who.kind {
            Kind::Socketio => Talk::SocketIo,
            Kind::CarillonSocketio => Talk::CarillonSocketIo(Arc::clone(&who.token)),
            Kind::Bun => Talk::Bun,
            Kind::Nats => Talk::Nats(Operations::default()),
        };
        Self { talk, subscribed: false }
    }

    /// The path of the upgrade request.
    pub(super) fn path(&self) -> &'static str {
        match self.talk {
            Talk::SocketIo | Talk::CarillonSocketIo(_) => "/socket.io/?EIO=4&transport=websocket",
            Talk::Bun | Talk::Nats(_) => "/",
        }
    }

    /// What to say as soon as the upgrade is done; the others wait for the server's greeting.
    pub(super) fn opening(&self) -> Vec<u8> {
        match self.talk {
            Talk::Bun => masked(TEXT, b"subscribe"),
            Talk::SocketIo | Talk::CarillonSocketIo(_) | Talk::Nats(_) => Vec::new(),
        }
    }

    /// Whether the server has confirmed the subscription.
    pub(super) fn is_subscribed(&self) -> bool {
        self.subscribed
    }

    /// Takes one WebSocket message: events go to `each`, frames to be sent are added to `answer`.
    pub(super) fn hear(
        &mut self,
        message: &[u8],
        answer: &mut Vec<u8>,
        mut each: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        match &mut self.talk {
            Talk::Bun if self.subscribed => each(message),
            Talk::Bun if message == b"subscribed" => {
                self.subscribed = true;
                Ok(())
            }
            Talk::Bun => Err(unexpected(message)),
            Talk::SocketIo => match message {
                // Without or with an argument, `null`.
                _ if message.starts_with(br#"42["subscribed""#) => {
                    self.subscribed = true;
                    Ok(())
                }
                // `42["event",{…}]`: an event of the default namespace.
                [b'4', b'2', ..] => each(socket_io_event(message).ok_or_else(|| unexpected(message))?),
                // Engine.IO's heartbeat.
                [b'2'] => say(answer, TEXT, b"3"),
                // Engine.IO is open: connect to the default namespace.
                [b'0', ..] => say(answer, TEXT, b"40"),
                // Connected; the server says when we are in its room.
                [b'4', b'0', ..] | [b'6'] => Ok(()),
                other => Err(unexpected(other)),
            },
            Talk::CarillonSocketIo(token) => match message {
                _ if message.starts_with(br#"42["carillon:welcome""#) => {
                    self.subscribed = true;
                    Ok(())
                }
                // Where the log stands, when nothing came for a while.
                _ if message.starts_with(br#"42["carillon:heartbeat""#) => Ok(()),
                [b'4', b'2', ..] => each(socket_io_event(message).ok_or_else(|| unexpected(message))?),
                [b'2'] => say(answer, TEXT, b"3"),
                [b'0', ..] => {
                    let auth = serde_json::json!({"token": &**token, "channels": [CHANNEL]});
                    say(answer, TEXT, format!("40{auth}").as_bytes())
                }
                [b'4', b'0', ..] => Ok(()),
                other => Err(unexpected(other)),
            },
            Talk::Nats(operations) => operations.feed(message, |operation| match operation {
                Operation::Message(payload) => each(payload),
                Operation::Ping => say(answer, BINARY, b"PONG\r\n"),
                Operation::Pong => {
                    self.subscribed = true;
                    Ok(())
                }
                // Later ones tell of changes in the cluster.
                Operation::Info if self.subscribed => Ok(()),
                Operation::Info => say(answer, BINARY, nats::SUBSCRIBE.as_bytes()),
            }),
        }
    }
}

fn say(answer: &mut Vec<u8>, opcode: u8, text: &[u8]) -> Result<(), String> {
    answer.extend(masked(opcode, text));
    Ok(())
}

fn unexpected(message: &[u8]) -> String {
    format!("an unexpected message: {:?}", String::from_utf8_lossy(&message[..message.len().min(80)]))
}

/// The data of `42["event",DATA]`, and what else is told of it.
fn socket_io_event(packet: &[u8]) -> Option<&[u8]> {
    packet.strip_prefix(br#"42["event","#)?.strip_suffix(b"]")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays what a server says; the frames that were answered and the events, or the first error.
    fn play(kind: Kind, messages: &[&str]) -> Result<(Session, Vec<u8>, Vec<String>), String> {
        let who = Who { kind, token: "t".into() };
        let (mut session, mut events) = (Session::new(&who), Vec::new());
        let mut answers = session.opening();
        for message in messages {
            session.hear(message.as_bytes(), &mut answers, |event| {
                events.push(String::from_utf8_lossy(event).into_owned());
                Ok(())
            })?;
        }
        Ok((session, answers, events))
    }

    #[test]
    fn socket_io_is_opened_and_connected_and_says_when_it_is_subscribed() {
        let greeting = [r#"0{"sid":"a","upgrades":[]}"#, r#"40{"sid":"b"}"#];
        let (session, answers, _) = play(Kind::Socketio, &greeting).unwrap();
        assert_eq!((session.is_subscribed(), answers), (false, masked(TEXT, b"40")));
        let all = [&greeting[..], &[r#"42["subscribed"]"#, r#"42["event",{"n":1}]"#, "2"]].concat();
        let (session, answers, events) = play(Kind::Socketio, &all).unwrap();
        assert!(session.is_subscribed() && answers.ends_with(&masked(TEXT, b"3")));
        assert_eq!(events, [r#"{"n":1}"#]);
        assert!(play(Kind::Socketio, &[r#"42["subscribed",null]"#]).unwrap().0.is_subscribed());
        for bad in [r#"42["other",1]"#, r#"44{"message":"no"}"#, "41", "1"] {
            assert!(play(Kind::Socketio, &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn carillon_is_told_a_token_and_a_channel_and_an_event_has_more_than_its_data() {
        let said = [
            r#"0{"sid":"a"}"#,
            r#"40{"sid":"b"}"#,
            r#"42["carillon:welcome",{}]"#,
            r#"42["event",{"n":1,"stamp":2},{"seq":7}]"#,
            r#"42["carillon:heartbeat",{"seq":7}]"#,
            "2",
        ];
        let (session, answers, events) = play(Kind::CarillonSocketio, &said).unwrap();
        let connect = masked(TEXT, br#"40{"channels":["load"],"token":"t"}"#);
        assert!(session.is_subscribed());
        assert_eq!(answers, [connect, masked(TEXT, b"3")].concat());
        assert_eq!(events, [r#"{"n":1,"stamp":2},{"seq":7}"#]);
        for bad in [r#"44{"message":"no"}"#, r#"42["carillon:reset",{}]"#, "41", "6"] {
            assert!(play(Kind::CarillonSocketio, &[bad]).is_err(), "{bad}");
        }
    }

    #[test]
    fn bun_confirms_and_then_sends_events_only() {
        let (session, answers, events) = play(Kind::Bun, &["subscribed", "{}", "subscribed"]).unwrap();
        assert!(session.is_subscribed());
        assert_eq!((answers, events), (masked(TEXT, b"subscribe"), vec!["{}".into(), "subscribed".into()]));
        assert!(play(Kind::Bun, &["{}"]).is_err());
    }

    #[test]
    fn nats_is_subscribed_at_its_pong() {
        let (session, answers, _) = play(Kind::Nats, &["INFO {}\r\n"]).unwrap();
        assert_eq!((session.is_subscribed(), answers), (false, masked(BINARY, nats::SUBSCRIBE.as_bytes())));
        let stream = ["INFO {}\r\n", "PONG\r\nMSG load 1 2\r\n", "{}\r\nPING\r\nINFO {}\r\n"];
        let (session, answers, events) = play(Kind::Nats, &stream).unwrap();
        assert!(session.is_subscribed() && answers.ends_with(&masked(BINARY, b"PONG\r\n")));
        assert_eq!(events, ["{}"]);
    }
}
