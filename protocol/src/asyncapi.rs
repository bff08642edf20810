//! What do the sockets speak, for programs?
//!
//! An AsyncAPI 3.1 document: every frame of both directions, the parameters of the URL, the close codes. It is written by
//! hand, and the tests here compare it with the frames this crate reads and writes and with docs/PROTOCOL.md.

/// The document, as JSON.
pub const DOCUMENT: &str = include_str!("../assets/asyncapi.json");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::Channel;
    use crate::client::{self, Request};
    use crate::close::CloseCode;
    use crate::compact::{Names, compact, plain, telling};
    use crate::event::event_frame;
    use crate::ident::Seq;
    use crate::limits;
    use crate::server::tests::FROZEN;
    use crate::server::{Limits, ServerFrame};
    use serde_json::Value;
    use std::collections::{BTreeMap, BTreeSet};

    /// The other form of an `event`.
    const COMPACT: &str = "compact";

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// What the server sends, with every field it may have.
    fn sent() -> Vec<Value> {
        let event = event_frame(Seq(7), &[Channel::tenant()], b"{}", Some("1"));
        let event = serde_json::from_slice(&event).unwrap();
        FROZEN.lines().map(|line| serde_json::from_str(line).unwrap()).chain([event]).collect()
    }

    /// Its type. A frame that is new does not compile here: it belongs into the frozen forms and the document, too.
    fn kind(frame: &ServerFrame<'_>) -> &'static str {
        match frame {
            ServerFrame::Welcome { .. } => "welcome",
            ServerFrame::Detached { .. } => "detached",
            ServerFrame::Heartbeat { .. } => "heartbeat",
            ServerFrame::Reset { .. } => "reset",
            ServerFrame::Expiring { .. } => "expiring",
            ServerFrame::Goaway { .. } => "goaway",
            ServerFrame::Replayed { .. } => "replayed",
            ServerFrame::Signal { .. } => "signal",
            ServerFrame::Inbox { .. } => "inbox",
            ServerFrame::Ok { .. } | ServerFrame::Passed { .. } | ServerFrame::Published { .. } => "ok",
            ServerFrame::Error { .. } | ServerFrame::TooSoon { .. } => "error",
            ServerFrame::Pong { .. } => "pong",
            ServerFrame::Presence { .. } => "presence",
        }
    }

    /// The names in a table column of a section of the contract in words.
    fn named(section: &str) -> BTreeSet<String> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
        let page = std::fs::read_to_string(page).unwrap();
        let section = page.split("\n### ").find(|text| text.starts_with(section)).unwrap();
        // A table of the section itself: those under a smaller heading or behind a bold one are about something else.
        let own = section
            .split("\n\n")
            .filter(|paragraph| paragraph.starts_with("| type |") || paragraph.starts_with("| code | why |"));
        let columns = own.flat_map(|table| table.lines().skip(2)).filter_map(|row| row.split('|').nth(1));
        let words =
            columns.flat_map(|column| column.split(',').map(|word| word.trim().trim_matches('`').to_owned()));
        words.collect()
    }

    #[test]
    fn every_frame_is_described_and_no_other() {
        let document = document();
        let sent = sent();
        let types = sent.iter().map(|frame| frame["type"].as_str().unwrap());
        let known: BTreeSet<&str> = types.chain(client::TYPES).collect();
        assert!(known.contains(kind(&ServerFrame::Expiring { in_ms: 1 })));
        let on_the_socket = document["channels"]["socket"]["messages"].as_object().unwrap();
        let on_the_socket = on_the_socket.keys().map(String::as_str).collect::<BTreeSet<_>>();
        assert_eq!(on_the_socket, known.iter().copied().chain([COMPACT]).collect());
        // A stream carries what is no answer to a frame of the client, and is in one tenant.
        let answers = ["ok", "pong", "replayed", "detached"];
        let told = known.iter().filter(|name| !client::TYPES.contains(name) && !answers.contains(name));
        let on_the_stream = document["channels"]["stream"]["messages"].as_object().unwrap();
        let on_the_stream: BTreeSet<&str> = on_the_stream.keys().map(String::as_str).collect();
        // A frame of both sides has one name.
        assert_eq!(on_the_stream, told.copied().chain(["presence", COMPACT]).collect());
        let described = document["components"]["messages"].as_object().unwrap().keys().map(String::as_str);
        assert_eq!(
            described.filter(|name| !["polled", COMPACT].contains(name)).collect::<BTreeSet<_>>(),
            known
        );
    }

    #[test]
    fn the_contract_in_words_names_the_same() {
        let document = document();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        let mut frames = named("3.3");
        frames.extend(named("3.4"));
        // It has no type, and a section of its own.
        frames.insert(COMPACT.into());
        assert_eq!(frames, names(&document["channels"]["socket"]["messages"]));
        // The page leaves out the one that no gateway sends yet.
        let mut codes = names(&document["channels"]["socket"]["x-close-codes"]);
        assert!(codes.remove("1001"));
        assert_eq!(named("3.5"), codes);
    }

    /// The codes of a table's rows, by what stands in the column of statuses; `…` is no code.
    fn codes(table: &str, status: usize, code: usize) -> BTreeSet<(String, String)> {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/PROTOCOL.md");
        let page = std::fs::read_to_string(page).unwrap();
        let table = page.split("\n\n").find(|text| text.starts_with(table)).unwrap();
        let mut found = BTreeSet::new();
        for row in table.lines().skip(2) {
            let cells: Vec<&str> = row.split('|').collect();
            let codes = cells[code].split('`').skip(1).step_by(2).filter(|code| !code.ends_with('…'));
            for code in codes {
                found.extend(
                    cells[status].split('·').map(|status| (status.trim().to_owned(), code.to_owned())),
                );
            }
        }
        assert!(!found.is_empty(), "{table}");
        found
    }

    const OF_TOKENS: &str = "| code | status · close | |";

    #[test]
    fn the_refusals_before_the_upgrade_are_those_of_the_contract() {
        let document = document();
        let listed = document["channels"]["socket"]["x-refusals"].as_object().unwrap();
        let listed: BTreeSet<(String, String)> = listed
            .iter()
            .flat_map(|(status, codes)| codes.as_array().unwrap().iter().map(move |code| (status, code)))
            .map(|(status, code)| (status.clone(), code.as_str().unwrap().to_owned()))
            .collect();
        let mut named = codes("| status | code | |\n|---|---|---|\n| 400 | `invalid_query`", 1, 2);
        // One column has the status and the close code.
        named.extend(
            codes(OF_TOKENS, 2, 1)
                .into_iter()
                .filter(|(status, _)| status.len() == 3 && status.as_str() < "600"),
        );
        assert_eq!(listed, named);
    }

    #[test]
    fn the_codes_of_error_frames_are_those_of_the_contract() {
        let document = document();
        let told = &document["components"]["messages"]["error"]["payload"]["properties"]["code"];
        let told = told["description"].as_str().unwrap().split('`').skip(1).step_by(2);
        let told: BTreeSet<&str> = told.filter(|word| !word.starts_with("x-")).collect();
        let mut named = codes("| code | |\n|---|---|\n| `invalid_json`", 1, 1);
        named.extend(codes(OF_TOKENS, 2, 1));
        assert_eq!(told, named.iter().map(|(_, code)| code.as_str()).collect());
    }

    /// A message has what its description asks for, and nothing else.
    fn assert_described(document: &Value, name: &str, message: &Value) {
        let schema = &document["components"]["messages"][name]["payload"];
        for field in message.as_object().unwrap().keys() {
            assert!(schema["properties"].get(field).is_some(), "{name}.{field} is not described");
        }
        for field in schema["required"].as_array().unwrap() {
            assert!(message.get(field.as_str().unwrap()).is_some(), "{name} has no {field}: {message}");
        }
    }

    #[test]
    fn what_the_server_sends_has_the_fields_that_are_described() {
        let document = document();
        for frame in sent() {
            let name = frame["type"].as_str().unwrap();
            assert_eq!(
                document["components"]["messages"][name]["payload"]["properties"]["type"]["const"],
                name
            );
            assert_described(&document, name, &frame);
        }
        for (name, message) in document["components"]["messages"].as_object().unwrap() {
            for example in message["examples"].as_array().unwrap() {
                assert_described(&document, name, &example["payload"]);
            }
        }
        let welcome = &document["components"]["messages"]["welcome"]["payload"]["properties"];
        let told = serde_json::to_value(Limits::with_frame_rate(50)).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
        assert_eq!(names(&welcome["limits"]["properties"]), names(&told));
    }

    #[test]
    fn the_compact_form_has_the_members_that_are_described() {
        let document = document();
        let body = |id: &str| {
            format!(
                r#"{{"specversion":"1.0","id":"{id}","source":"s","type":"t","time":"2026-11-30T10:00:00Z","a":"1","data":1}}"#
            )
        };
        let mut members = BTreeSet::new();
        for id in ["1", "0199c0de-0000-7000-8000-000000000001"] {
            let mut names = Names::default();
            let event = compact(Seq(7), &[Channel::tenant()], body(id).as_bytes(), &mut names).unwrap();
            let frame: Value = serde_json::from_slice(&telling(&event.json, &event.names)).unwrap();
            assert_described(&document, COMPACT, &frame);
            members.extend(frame.as_object().unwrap().keys().cloned());
        }
        let described = &document["components"]["messages"][COMPACT];
        let properties = described["payload"]["properties"].as_object().unwrap();
        assert_eq!(properties.keys().cloned().collect::<BTreeSet<_>>(), members);
        let example = described["examples"][0]["payload"].to_string();
        let plain: Value =
            serde_json::from_slice(&plain(example.as_bytes(), &mut BTreeMap::new()).unwrap()).unwrap();
        let event = &document["components"]["messages"]["event"]["examples"][0]["payload"]["event"];
        let same = ["id", "source", "type", "data"].iter().all(|name| plain["event"][name] == event[name]);
        assert!(same, "the two examples are one event: {plain}");
    }

    #[test]
    fn what_the_examples_ask_for_is_understood() {
        let document = document();
        for name in client::TYPES {
            for example in document["components"]["messages"][name]["examples"].as_array().unwrap() {
                let frame = client::parse(&example["payload"].to_string()).unwrap();
                let understood = match frame.request {
                    Request::Auth { .. } => "auth",
                    Request::Subscribe { .. } => "subscribe",
                    Request::Unsubscribe { .. } => "unsubscribe",
                    Request::Ack(_) => "ack",
                    Request::Activity(_) => "activity",
                    Request::Ping { .. } => "ping",
                    Request::Publish(_) => "publish",
                    Request::Typing { .. } => "typing",
                    Request::Presence { .. } => "presence",
                    Request::Attach { alone: false, .. } => "attach",
                    Request::Attach { alone: true, .. } => "switch",
                    Request::Detach => "detach",
                };
                assert_eq!(understood, name);
            }
        }
    }

    #[test]
    fn close_codes_and_limits_are_those_of_the_contract() {
        let document = document();
        let listed = document["channels"]["socket"]["x-close-codes"].as_object().unwrap();
        let codes: BTreeSet<String> = CloseCode::ALL.map(|code| code.code().to_string()).into();
        assert_eq!(listed.keys().cloned().collect::<BTreeSet<_>>(), codes);
        for code in CloseCode::ALL {
            assert_eq!(listed[&code.code().to_string()]["resume"], code.may_resume(), "{code:?}");
        }
        let subscribe = &document["components"]["messages"]["subscribe"]["payload"]["properties"];
        assert_eq!(subscribe["channels"]["maxItems"], limits::CHANNELS_PER_CONNECTION);
        assert_eq!(subscribe["history"]["maximum"], limits::HISTORY_EVENTS);
        let event = &document["components"]["messages"]["publish"]["payload"]["properties"]["event"];
        assert!(
            event["description"].as_str().unwrap().contains(&format!("{} KiB", limits::SIGNAL_BYTES / 1024))
        );
        for types in [
            &subscribe["types"],
            &document["components"]["messages"]["auth"]["payload"]["properties"]["types"],
        ] {
            let bounds = (&types["maxItems"], &types["items"]["maxLength"]);
            assert_eq!(bounds, (&limits::TYPES_PER_FILTER.into(), &limits::TYPE_PATTERN_BYTES.into()));
        }
    }
}
