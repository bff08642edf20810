//! May a client publish this, and which way does it go?
//!
//! Only a channel rule lets clients publish: it says who, which types, and whether into the log.

use super::context::Context;
use super::session::At;
use super::tables::Tables;
use super::world::World;
use crate::metrics::metrics;
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, Rule, RuleSet, TenantLimits};
use carillon_protocol::client::{FrameId, Publish};
use carillon_protocol::server::ServerFrame;
use carillon_protocol::{Channel, TenantId};

/// The type of the events that `typing` becomes at others: they end by themselves, so nobody may make one in another way.
pub(super) const TYPING: &str = "typing";

/// Into all channels of a rule together somebody sends so many times its rate: else made-up channels would be no limit.
const CHANNELS_AT_ONCE: u32 = 8;

/// Which way a client's event goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// To those who are connected now.
    Live,
    /// Into the log.
    Log,
}

/// Why something a client wants to send is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) message: String,
    /// When it may try again.
    pub(super) retry_ms: Option<u64>,
}

impl Refused {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retry_ms: None }
    }
}

/// Which way somebody's event goes, and the rule that lets it.
pub(super) fn may_publish<'r>(
    rules: &'r RuleSet,
    identity: &Identity,
    publish: &Publish,
) -> Result<(Way, &'r Rule), Refused> {
    let Publish { channel, event, ephemeral, .. } = publish;
    let rule = allowed(rules, Action::Publish, identity, channel)?;
    if &*event.kind == TYPING {
        return Err(Refused::new("forbidden", "typing is a frame of its own and no type of an event"));
    }
    if !rule.takes(&event.kind) {
        let message = format!("the rule does not let clients publish the type {} into {channel}", event.kind);
        return Err(Refused::new("forbidden", message));
    }
    match (rule.durable, ephemeral) {
        (false, Some(false)) => {
            let message = format!("what clients publish into {channel} does not go into the log");
            Err(Refused::new("forbidden", message))
        }
        (true, None | Some(false)) => Ok((Way::Log, rule)),
        _ if event.key.is_some() => {
            let message = "a latest value needs the log: an event with a key is no signal";
            Err(Refused::new("forbidden", message))
        }
        _ => Ok((Way::Live, rule)),
    }
}

/// Whether somebody may type in a channel; that they are in it is another question.
pub(super) fn may_type(rules: &RuleSet, identity: &Identity, channel: &Channel) -> Result<(), Refused> {
    let rule = allowed(rules, Action::Signal, identity, channel)?;
    if rule.typing {
        return Ok(());
    }
    Err(Refused::new("forbidden", format!("the rule for {channel} passes no typing on")))
}

/// The rule that lets somebody do this in a channel.
pub(super) fn allowed<'r>(
    rules: &'r RuleSet,
    action: Action,
    identity: &Identity,
    channel: &Channel,
) -> Result<&'r Rule, Refused> {
    if identity.service.is_some() && !identity.caps.publish {
        return Err(Refused::new("missing_scope", "sending needs an API key with the scope publish"));
    }
    let found = rules.find(channel);
    match found.map(|found| (found.rule, found.decide(action, identity, channel))) {
        Some((rule, Decision::Allowed(_))) => Ok(rule),
        // The frame has waited for its verdict.
        Some((rule, Decision::Ask)) if rules.endpoint().is_some() => Ok(rule),
        Some(_) => {
            let message = format!("the rule for {channel} does not let you {}", action.name());
            Err(Refused::new("forbidden", message))
        }
        None => {
            let message = format!("no rule lets clients {} in {channel}", action.name());
            Err(Refused::new("forbidden", message))
        }
    }
}

/// Takes one of what the rule lets somebody send into a channel, and into all of its channels together.
pub(super) fn take_rate<W: World>(
    rule: &Rule,
    identity: &Identity,
    channel: &Channel,
    context: &Context<W>,
) -> Result<(), Refused> {
    let (tenant, user) = (&identity.tenant, &identity.user);
    if rule.rate == 0 {
        return Err(Refused::new("forbidden", format!("the rule for {channel} has the rate 0")));
    }
    let now_ms = context.world.unix_us() / 1_000;
    let limited = |retry_ms, message| Refused { code: "rate_limited", message, retry_ms: Some(retry_ms) };
    let (rates, rate) = (&context.config.rates, rule.rate);
    rates
        .take(tenant, user, channel, rate, now_ms)
        .map_err(|retry_ms| limited(retry_ms, format!("at most {rate} a second into {channel}")))?;
    let all = rate.saturating_mul(CHANNELS_AT_ONCE);
    rates.take_of_rule(tenant, user, &rule.pattern, all, now_ms).map_err(|retry_ms| {
        let pattern = rule.pattern.as_str();
        limited(retry_ms, format!("at most {all} a second into all channels of {pattern}"))
    })
}

/// Takes one of the signals that the clients of a tenant send together.
pub(super) fn take_of_tenant<W: World>(
    limits: TenantLimits,
    tenant: &TenantId,
    context: &Context<W>,
) -> Result<(), Refused> {
    let Some(limit) = limits.signals_per_second else { return Ok(()) };
    let now_ms = context.world.unix_us() / 1_000;
    context.config.limits.take_signal(tenant, limit, now_ms).map_err(|retry_ms| Refused {
        code: "rate_limited",
        message: format!("all clients of the tenant together send {limit} signals a second at most"),
        retry_ms: Some(retry_ms),
    })
}

/// Tells a client that what it sent is refused.
pub(super) fn refuse<W: World>(
    at: At,
    id: &Option<FrameId>,
    channel: &Channel,
    refused: Refused,
    tables: &mut Tables<W::Socket>,
    context: &mut Context<W>,
) {
    let Refused { code, message, retry_ms } = refused;
    metrics().frame_refused(code);
    let id = id.as_deref().and_then(|id| serde_json::from_str(id).ok());
    let channels = (code == "forbidden").then(|| std::slice::from_ref(channel));
    let frame = match retry_ms {
        Some(retry_ms) => ServerFrame::TooSoon { id, code, message: &message, retry_ms },
        None => ServerFrame::Error { id, code, message: &message, channels },
    };
    tables.say_of(at, &frame, context.now_ms);
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_platform::auth::{Caps, Credentials, IssuedAt};
    use carillon_platform::rules::Compiled;
    use carillon_protocol::client::{Request, parse};
    use carillon_protocol::{SettingsVersion, UserId};
    use std::sync::Arc;

    fn mila() -> Identity {
        Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: ["head".to_owned()].into(),
            credentials: Credentials {
                user: UserId::new("mila").unwrap(),
                patterns: Box::default(),
                caps: Caps { publish: true, admin: true },
                issued_at: IssuedAt::UNKNOWN,
                expires_at: 0,
                service: None,
            }
            .into(),
        }
    }

    fn way(rule: &str, channel: &str, rest: &str) -> Result<Way, (&'static str, String)> {
        let (compiled, unreadable) = Compiled::of([("page:{page}", rule)]);
        assert_eq!(unreadable, 0);
        let rules = RuleSet::new(SettingsVersion::default(), Arc::new(compiled), Arc::default());
        let text = format!(r#"{{"type":"publish","channel":"{channel}",{rest}}}"#);
        let Request::Publish(publish) = parse(&text).unwrap().request else { panic!("another frame") };
        may_publish(&rules, &mila(), &publish).map(|(way, _)| way).map_err(|why| (why.code, why.message))
    }

    #[test]
    fn a_rule_says_who_what_and_which_way() {
        let moved = r#""event":{"type":"cursor.moved"}"#;
        let open = r#"{"publish":["anyone"],"client_types":["cursor.*","note"]}"#;
        assert_eq!(way(open, "page:7", moved), Ok(Way::Live));
        assert_eq!(way(open, "page:7", r#""event":{"type":"note"},"ephemeral":true"#), Ok(Way::Live));
        let log = r#"{"publish":["role:head"],"durable":true}"#;
        assert_eq!(way(log, "page:7", moved), Ok(Way::Log));
        assert_eq!(way(log, "page:7", &format!("{moved},\"ephemeral\":false")), Ok(Way::Log));
        assert_eq!(way(log, "page:7", &format!("{moved},\"ephemeral\":true")), Ok(Way::Live));
        for (rule, channel, rest, word) in [
            (open, "other:7", moved.to_owned(), "no rule"),
            (open, "page:7", r#""event":{"type":"notes"}"#.into(), "the type notes"),
            (open, "page:7", format!("{moved},\"ephemeral\":false"), "the log"),
            (open, "page:7", r#""event":{"type":"note","key":"k"}"#.into(), "no signal"),
            (r#"{"publish":["role:other"]}"#, "page:7", moved.into(), "does not let you publish"),
            (r#"{"signal":["anyone"]}"#, "page:7", moved.into(), "does not let you publish"),
            (
                r#"{"publish":["anyone"]}"#,
                "page:7",
                r#""event":{"type":"typing"}"#.into(),
                "a frame of its own",
            ),
        ] {
            let (code, message) = way(rule, channel, &rest).unwrap_err();
            assert!(code == "forbidden" && message.contains(word), "{rule} {rest}: {message}");
        }
    }

    #[test]
    fn a_rule_says_who_types() {
        let channel = Channel::new("page:7").unwrap();
        for (rule, word) in [
            (r#"{"signal":["role:head"]}"#, None),
            (r#"{"signal":["anyone"],"typing":false}"#, Some("passes no typing on")),
            (r#"{"publish":["anyone"]}"#, Some("does not let you signal")),
        ] {
            let (compiled, _) = Compiled::of([("page:{page}", rule)]);
            let rules = RuleSet::new(SettingsVersion::default(), Arc::new(compiled), Arc::default());
            let may = may_type(&rules, &mila(), &channel);
            assert_eq!(may.is_ok(), word.is_none(), "{rule}");
            if let (Err(refused), Some(word)) = (may, word) {
                assert!(refused.code == "forbidden" && refused.message.contains(word), "{refused:?}");
            }
        }
    }

    #[test]
    fn an_api_key_that_only_reads_sends_nothing() {
        let (compiled, _) = Compiled::of([("page:{page}", r#"{"publish":["anyone"]}"#)]);
        let rules = RuleSet::new(SettingsVersion::default(), Arc::new(compiled), Arc::default());
        let channel = Channel::new("page:7").unwrap();
        let key = |publish| Identity::of_service(Arc::new("k".into()), mila().tenant, None, publish).unwrap();
        let decide = |identity| allowed(&rules, Action::Publish, &identity, &channel).map(|_| ());
        assert_eq!(decide(key(false)).unwrap_err().code, "missing_scope");
        assert_eq!(decide(key(true)), Ok(()));
    }
}
