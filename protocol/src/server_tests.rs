//! Do frames look as the contract says?

use super::*;

/// Every frame in every form it has, one a line.
pub(crate) const FROZEN: &str = r#"{"type":"welcome","id":"a1","connection":"c1","node":"gateway-1","tenant":"acme","user":"42","roles":["admin"],"channels":["tenant"],"seq":41,"epoch":"e1","resumed":"replay","heartbeat_ms":25000,"expires_in":3600,"limits":{"message_bytes":65536,"channels":1000,"frames_per_second":50,"history":1000,"frame_bytes":98304,"signal_bytes":16384},"warning":"stuck","inbox":{"version":9,"unread":3,"unseen":1}}
{"type":"detached","tenant":"acme","reason":"token"}
{"type":"detached","tenant":"acme","reason":"disconnected"}
{"type":"detached","tenant":"acme","reason":"suspended"}
{"type":"heartbeat","seq":41}
{"type":"heartbeat","seq":41,"epoch":"e1"}
{"type":"reset","reason":"epoch_changed","seq":7,"epoch":"e1"}
{"type":"reset","reason":"event_changed","seq":7,"epoch":"e1"}
{"type":"reset","reason":"too_old","seq":7,"epoch":"e1"}
{"type":"reset","reason":"history_forbidden","seq":7,"epoch":"e1"}
{"type":"expiring","in_ms":30000}
{"type":"goaway","reconnect_ms":1500}
{"type":"replayed","id":"a1","count":3,"more":false}
{"type":"ok","id":"a1","channels":["tenant"],"seq":41,"epoch":"e1","presence":{"tenant":{"count":0,"members":[]}}}
{"type":"ok","expires_in":60}
{"type":"presence","channel":"tenant","count":1,"joined":[{"user":"42","since":7}],"left":["42"],"updated":[{"user":"42","since":7}]}
{"type":"presence","channel":"tenant","count":1,"sync":true,"members":[{"user":"42","since":7}]}
{"type":"error","code":"forbidden","message":"no","channels":["tenant"]}
{"type":"signal","channel":"tenant","from":"42","event":{"type":"moved"}}
{"type":"inbox","version":9,"unread":100,"unseen":2,"more":true,"read_to":41,"seen_to":41,"archived_to":41,"cleared_to":41,"changed":[{"seq":41,"read":true}]}
{"type":"inbox","retracted":41}
{"type":"inbox","version":10,"stale":true}
{"type":"ok","id":"a1","degraded":true}
{"type":"ok","id":"a1"}
{"type":"ok","id":"a1","event":"n-1","seq":42,"epoch":"e1"}
{"type":"error","id":"a1","code":"rate_limited","message":"no","retry_ms":80}
{"type":"pong","seq":41,"time":1700000000000,"data":"a1"}
{"type":"pong","seq":41,"time":1700000000000,"rtt_ms":12}"#;

fn json(frame: &ServerFrame<'_>) -> String {
    String::from_utf8(frame.to_json()).unwrap()
}

/// Every frame's wire form, frozen: a difference here is a change of the contract.
#[test]
fn the_wire_forms_are_frozen() {
    let (tenant, user) = (TenantId::new("acme").unwrap(), UserId::new("42").unwrap());
    let (epoch, channels) = (Epoch::new("e1").unwrap(), [Channel::tenant()]);
    let id: Box<RawValue> = serde_json::from_str("\"a1\"").unwrap();
    let event_id = EventId::new("n-1").unwrap();
    let event: Box<RawValue> = serde_json::from_str(r#"{"type":"moved"}"#).unwrap();
    let presence: Box<RawValue> = serde_json::from_str(r#"{"tenant":{"count":0,"members":[]}}"#).unwrap();
    let inbox: Box<RawValue> = serde_json::from_str(r#"{"version":9,"unread":3,"unseen":1}"#).unwrap();
    let changed: Box<RawValue> = serde_json::from_str(r#"[{"seq":41,"read":true}]"#).unwrap();
    let members: Box<RawValue> = serde_json::from_str(r#"[{"user":"42","since":7}]"#).unwrap();
    let frames = [
        ServerFrame::Welcome {
            id: Some(&id),
            connection: "c1",
            node: "gateway-1",
            tenant: &tenant,
            user: &user,
            roles: &["admin".into()],
            channels: &channels,
            seq: Seq(41),
            epoch: &epoch,
            resumed: Resumed::Replay,
            heartbeat_ms: 25_000,
            expires_in: 3_600,
            limits: Limits::with_frame_rate(50),
            warning: Some("stuck"),
            inbox: Some(&inbox),
        },
        ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Token },
        ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Disconnected },
        ServerFrame::Detached { tenant: &tenant, reason: DetachReason::Suspended },
        ServerFrame::Heartbeat { seq: Seq(41), epoch: None },
        ServerFrame::Heartbeat { seq: Seq(41), epoch: Some(&epoch) },
        ServerFrame::Reset { reason: ResetReason::EpochChanged, seq: Seq(7), epoch: &epoch },
        ServerFrame::Reset { reason: ResetReason::EventChanged, seq: Seq(7), epoch: &epoch },
        ServerFrame::Reset { reason: ResetReason::TooOld, seq: Seq(7), epoch: &epoch },
        ServerFrame::Reset { reason: ResetReason::HistoryForbidden, seq: Seq(7), epoch: &epoch },
        ServerFrame::Expiring { in_ms: 30_000 },
        ServerFrame::Goaway { reconnect_ms: 1_500 },
        ServerFrame::Replayed { id: Some(&id), count: 3, more: false },
        ServerFrame::Ok {
            id: Some(&id),
            channels: Some(&channels),
            seq: Some(Seq(41)),
            epoch: Some(&epoch),
            expires_in: None,
            presence: Some(&presence),
        },
        ServerFrame::Ok {
            id: None,
            channels: None,
            seq: None,
            epoch: None,
            expires_in: Some(60),
            presence: None,
        },
        ServerFrame::Presence {
            channel: &channels[0],
            count: 1,
            sync: None,
            members: None,
            joined: Some(&members),
            left: Some(std::slice::from_ref(&user)),
            updated: Some(&members),
        },
        ServerFrame::Presence {
            channel: &channels[0],
            count: 1,
            sync: Some(true),
            members: Some(&members),
            joined: None,
            left: None,
            updated: None,
        },
        ServerFrame::Error { id: None, code: "forbidden", message: "no", channels: Some(&channels) },
        ServerFrame::Signal { channel: &Channel::tenant(), from: &user, event: &event },
        ServerFrame::Inbox {
            version: Some(9),
            unread: Some(100),
            unseen: Some(2),
            more: true,
            read_to: Some(Seq(41)),
            seen_to: Some(Seq(41)),
            archived_to: Some(Seq(41)),
            cleared_to: Some(Seq(41)),
            changed: Some(&changed),
            retracted: None,
            stale: false,
        },
        ServerFrame::Inbox {
            version: None,
            unread: None,
            unseen: None,
            more: false,
            read_to: None,
            seen_to: None,
            archived_to: None,
            cleared_to: None,
            changed: None,
            retracted: Some(Seq(41)),
            stale: false,
        },
        ServerFrame::Inbox {
            version: Some(10),
            unread: None,
            unseen: None,
            more: false,
            read_to: None,
            seen_to: None,
            archived_to: None,
            cleared_to: None,
            changed: None,
            retracted: None,
            stale: true,
        },
        ServerFrame::Passed { id: Some(&id), degraded: true },
        ServerFrame::Passed { id: Some(&id), degraded: false },
        ServerFrame::Published { id: Some(&id), event: &event_id, seq: Seq(42), epoch: &epoch },
        ServerFrame::TooSoon { id: Some(&id), code: "rate_limited", message: "no", retry_ms: 80 },
        ServerFrame::Pong { id: None, seq: Seq(41), time: 1_700_000_000_000, data: Some(&id), rtt_ms: None },
        ServerFrame::Pong { id: None, seq: Seq(41), time: 1_700_000_000_000, data: None, rtt_ms: Some(12) },
    ];
    let lines: Vec<String> = frames.iter().map(json).collect();
    assert_eq!(lines.join("\n"), FROZEN);
}
