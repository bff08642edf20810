//! May this person publish these events by the channels' rules?
//!
//! For whoever has no capability `publish`: the rule of each channel says who may, which types, whether it goes into the log,
//! and how often. Where it leaves to the tenant's application who may, that is asked before. All that is not allowed is told at once,
//! with its place, and then nothing is stored.

use super::App;
use super::prepare::Context;
use super::problem::{Code, Problem};
use crate::access::Caller;
use crate::event::{Draft, Fault, FaultCode, Faults};
use crate::rates::{CHANNELS, Lane, Use, Where};
use carillon_platform::ask::{Question, Verdict};
use carillon_platform::auth::Identity;
use carillon_platform::rules::{Action, Decision, Rule, RuleSet};
use carillon_protocol::{Channel, TenantId};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Channels of one request that the applications are asked about at most.
const ASKED: usize = 32;

/// The rules of the tenants in which a caller publishes by them, and what applications say.
#[derive(Default)]
pub(super) struct RulesOf {
    rules: BTreeMap<TenantId, Arc<RuleSet>>,
    /// Where applications let the caller publish.
    by_verdict: HashSet<(TenantId, Channel)>,
}

impl RulesOf {
    /// Those of a tenant.
    pub(super) fn get(&self, tenant: &TenantId) -> Option<&RuleSet> {
        self.rules.get(tenant).map(Arc::as_ref)
    }

    /// Whether the application lets the caller publish there.
    fn is_allowed(&self, tenant: &TenantId, channel: &Channel) -> bool {
        self.by_verdict.contains(&(tenant.clone(), channel.clone()))
    }
}

/// Reads them. There are none for whoever may publish whatever rules say.
pub(super) async fn rules_of(
    app: &App,
    caller: &Caller,
    drafts: &[Draft],
    context: &Context,
) -> Result<RulesOf, Problem> {
    let mut found = RulesOf::default();
    if matches!(caller, Caller::Key(_)) {
        return Ok(found);
    }
    let mut asked: Vec<Option<&TenantId>> = Vec::new();
    for draft in drafts {
        let named = draft.tenant.as_ref().or(context.tenant.as_ref());
        if asked.contains(&named) {
            continue;
        }
        asked.push(named);
        // Who may not enter is told so later, with everything else.
        if let Ok(entry) = caller.enter(named)
            && entry.by_rule().is_some()
            && !found.rules.contains_key(&entry.tenant)
        {
            let rules = rules_in(app, caller, &entry.tenant).await?;
            found.rules.insert(entry.tenant, rules);
        }
    }
    ask(app, caller, drafts, context, &mut found).await?;
    Ok(found)
}

/// The rules of a tenant: whoever has the database asked for them waits for their turn, as readers do.
async fn rules_in(app: &App, caller: &Caller, tenant: &TenantId) -> Result<Arc<RuleSet>, Problem> {
    if let Some(rules) = app.rules.known_of(tenant) {
        return Ok(rules);
    }
    let reader = app.reads.reader(tenant.as_str(), &caller.name());
    let _turn = reader.turn().await?;
    Ok(app.rules.of(tenant).await?)
}

/// Asks the applications of these events' tenants, where rules leave it to them who publishes.
async fn ask(
    app: &App,
    caller: &Caller,
    drafts: &[Draft],
    context: &Context,
    found: &mut RulesOf,
) -> Result<(), Problem> {
    let mut asked: Vec<(TenantId, Channel)> = Vec::new();
    let mut asking = Vec::new();
    for draft in drafts {
        let Ok(entry) = caller.enter(draft.tenant.as_ref().or(context.tenant.as_ref())) else { continue };
        let (Some(person), Some(rules)) = (entry.by_rule(), found.rules.get(&entry.tenant)) else { continue };
        let Some(endpoint) = rules.endpoint() else { continue };
        for channel in &draft.channels {
            let place = (entry.tenant.clone(), channel.clone());
            if rules.decide(Action::Publish, person, channel) != Decision::Ask || asked.contains(&place) {
                continue;
            }
            if asked.len() == ASKED {
                let detail = "one request may publish into 32 channels that the application is asked about";
                return Err(Problem::new(Code::Forbidden, detail));
            }
            asked.push(place);
            asking.push(app.asker.ask(endpoint, Question::new(person, channel, Action::Publish, None)));
        }
    }
    let verdicts = futures_util::future::join_all(asking).await;
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Unavailable | Verdict::Busy)) {
        let detail = "whether you may publish this the tenant's application says, and it gave no verdict; nothing was stored, try again";
        return Err(Problem::new(Code::AskUnavailable, detail));
    }
    let allowed =
        asked.into_iter().zip(verdicts).filter(|(_, verdict)| matches!(verdict, Verdict::Allowed(_)));
    found.by_verdict.extend(allowed.map(|(place, _)| place));
    Ok(())
}

/// What the rules say to the events of a request.
#[derive(Default)]
pub(super) struct Permit {
    faults: Faults,
    uses: HashMap<Lane, Use>,
}

impl Permit {
    /// Looks at an event, which `at` points to.
    pub(super) fn judge(&mut self, draft: &Draft, at: &str, person: &Identity, known: &RulesOf) {
        let Some(rules) = known.get(&person.tenant) else { return };
        if let Some(field) = draft.named.beyond {
            let detail = "a rule lets people publish in channels alone; this needs the capability publish";
            self.forbid(format!("{at}/{field}"), FaultCode::Forbidden, detail);
            return;
        }
        if draft.priority.is_some() {
            let detail = "only the capability publish gives an event a priority";
            self.forbid(format!("{at}/priority"), FaultCode::Forbidden, detail);
        }
        if draft.notice.is_some() {
            let detail = "only the capability publish puts notices into inboxes";
            self.forbid(format!("{at}/notify"), FaultCode::Forbidden, detail);
        }
        let mut takes_type = true;
        for (index, channel) in draft.channels.iter().enumerate() {
            let at = || format!("{at}{}", draft.named.channel(index));
            let found = rules.find(channel).filter(|found| {
                found.rule.rate > 0
                    && match found.decide(Action::Publish, person, channel) {
                        Decision::Allowed(_) => true,
                        Decision::Ask => known.is_allowed(&person.tenant, channel),
                        Decision::Forbidden => false,
                    }
            });
            let Some(found) = found else {
                let detail = "neither the capability publish nor a channel rule lets you publish here";
                self.forbid(at(), FaultCode::Forbidden, detail);
                continue;
            };
            takes_type &= found.rule.takes(&draft.kind);
            if !found.rule.durable {
                let detail = "what people publish in this channel is not kept: send `publish` on a WebSocket";
                self.forbid(at(), FaultCode::NotDurable, detail);
            } else if let Some(detail) = self.add(person, channel, found.rule) {
                self.forbid(at(), FaultCode::TooMany, &detail);
            }
        }
        if !takes_type {
            let detail = "a channel's rule does not let people publish events of this type";
            self.forbid(format!("{at}/type"), FaultCode::Forbidden, detail);
        }
    }

    /// One more event for a channel; what is wrong when there are more than its rule lets through at once.
    fn add(&mut self, person: &Identity, channel: &Channel, rule: &Rule) -> Option<String> {
        let of_all = rule.rate.saturating_mul(CHANNELS);
        let of_rule = Where::Rule(rule.pattern.as_str().into());
        if self.count(person, Where::Channel(channel.clone()), rule.rate) {
            return Some(format!(
                "one request may have {} events of a person for this channel, by its rule",
                rule.rate
            ));
        }
        self.count(person, of_rule, of_all).then(|| {
            format!("one request may have {of_all} events of a person for all channels of this one's rule")
        })
    }

    /// One more event. True when they are more than come in at once.
    fn count(&mut self, person: &Identity, into: Where, rate: u32) -> bool {
        let lane = Lane { tenant: person.tenant.clone(), user: person.user.clone(), into };
        let taken = self.uses.entry(lane).or_insert(Use { rate, events: 0 });
        taken.events += 1;
        taken.events > rate
    }

    fn forbid(&mut self, at: String, code: FaultCode, detail: &str) {
        self.faults.add(Fault::at(at, code, detail));
    }

    /// What is used of the channels' rates, if all of it is allowed.
    pub(super) fn into_result(self) -> Result<HashMap<Lane, Use>, Problem> {
        if self.faults.is_empty() {
            return Ok(self.uses);
        }
        let detail = "the channels' rules do not let you publish this; nothing was stored";
        Err(Problem::new(Code::Forbidden, detail).at(self.faults.into_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::request::{Form, read};
    use carillon_platform::auth::{Caps, Credentials, IssuedAt};
    use carillon_platform::rules::Compiled;
    use carillon_protocol::{SettingsVersion, UserId};

    fn rules() -> RulesOf {
        let stored = [
            (
                "order:{order}",
                r#"{"publish":["role:sales"],"durable":true,"client_types":["order.*","note"],"rate":2}"#,
            ),
            ("staff:{user}", r#"{"publish":["self"],"durable":true}"#),
            ("chat:*", r#"{"publish":["anyone"]}"#),
            ("still:*", r#"{"publish":["anyone"],"durable":true,"rate":0}"#),
            ("ask:*", r#"{"publish":["ask"],"durable":true}"#),
        ];
        let version = SettingsVersion::default();
        let rules = RuleSet::new(version, Arc::new(Compiled::of(stored).0), Arc::default());
        let tenant = mila().tenant;
        let by_verdict = [(tenant.clone(), Channel::new("ask:1").unwrap())].into();
        RulesOf { rules: [(tenant, Arc::new(rules))].into(), by_verdict }
    }

    fn mila() -> Identity {
        Identity {
            tenant: TenantId::new("acme").unwrap(),
            roles: ["sales".to_owned()].into(),
            credentials: Credentials {
                user: UserId::new("mila").unwrap(),
                patterns: [].into(),
                caps: Caps::default(),
                issued_at: IssuedAt::UNKNOWN,
                expires_at: 0,
                service: None,
            }
            .into(),
        }
    }

    /// The places and codes of what is wrong; or how many events for how many channels.
    fn judged(body: &str) -> Result<(usize, u32), Vec<String>> {
        let publication = read(body.as_bytes(), Form::Plain).unwrap();
        let mut permit = Permit::default();
        for (index, draft) in publication.drafts.iter().enumerate() {
            permit.judge(draft, &publication.pointer(index), &mila(), &rules());
        }
        match permit.into_result() {
            Ok(uses) => {
                let of_channels = uses
                    .iter()
                    .filter_map(|(lane, taken)| matches!(lane.into, Where::Channel(_)).then_some(taken));
                Ok((of_channels.clone().count(), of_channels.map(|taken| taken.events).sum()))
            }
            Err(problem) => {
                let told = |fault: Fault| format!("{:?} {}", fault.place, fault.code.as_str());
                Err(problem.errors.into_iter().map(told).collect())
            }
        }
    }

    #[test]
    fn a_rule_says_who_what_and_how_much() {
        assert_eq!(judged(r#"{"type":"order.paid","channel":"order:7"}"#), Ok((1, 1)));
        assert_eq!(judged(r#"{"type":"note","channels":["order:7","staff:mila"]}"#), Ok((2, 2)));
        let two = r#"{"type":"note","channel":"order:7"}"#;
        assert_eq!(judged(&format!("[{two},{two}]")), Ok((1, 2)));
        let faults = |body: &str| judged(body).unwrap_err().join(", ");
        assert_eq!(
            judged(r#"{"type":"note","channel":"ask:1"}"#),
            Ok((1, 1)),
            "the application has said yes"
        );
        assert_eq!(faults(r#"{"type":"note","channel":"ask:2"}"#), r#"Pointer("/channel") forbidden"#);
        let three = format!("[{two},{two},{two}]");
        assert_eq!(faults(&three), r#"Pointer("/2/channel") too_many"#);
        assert_eq!(faults(r#"{"type":"x","channel":"order:7"}"#), r#"Pointer("/type") forbidden"#);
        assert_eq!(faults(r#"{"type":"x","channel":"staff:jan"}"#), r#"Pointer("/channel") forbidden"#);
        assert_eq!(faults(r#"{"type":"x","channel":"chat:1"}"#), r#"Pointer("/channel") not_durable"#);
        assert_eq!(faults(r#"{"type":"x","channel":"still:1"}"#), r#"Pointer("/channel") forbidden"#);
        assert_eq!(
            faults(
                r#"[{"type":"note","channels":["order:7","order:7","tenant","else"],"priority":"critical"}]"#
            ),
            r#"Pointer("/0/priority") forbidden, Pointer("/0/channels/2") forbidden, Pointer("/0/channels/3") forbidden"#
        );
        for (field, value) in [("users", r#"["mila"]"#), ("roles", r#"["sales"]"#), ("tenant_wide", "true")] {
            let body = format!(r#"{{"type":"note","channel":"order:7","{field}":{value}}}"#);
            assert_eq!(faults(&body), format!("Pointer(\"/{field}\") forbidden"));
        }
    }

    #[test]
    fn channels_that_somebody_makes_up_are_no_way_around_a_rate() {
        let events = |from: usize, count: usize| {
            let one = |n: usize| format!(r#"{{"type":"note","channel":"order:{n}"}}"#);
            format!("[{}]", (from..from + count).map(one).collect::<Vec<_>>().join(","))
        };
        assert_eq!(judged(&events(0, 16)), Ok((16, 16)));
        assert_eq!(judged(&events(0, 17)), Err(vec![r#"Pointer("/16/channel") too_many"#.to_owned()]));
        let (rates, mut passed) = (crate::rates::Rates::default(), 0);
        for n in 0..100 {
            let mut permit = Permit::default();
            let publication = read(events(n, 1).as_bytes(), Form::Plain).unwrap();
            permit.judge(&publication.drafts[0], "/0", &mila(), &rules());
            passed += u32::from(rates.take(&permit.into_result().unwrap()).is_ok());
        }
        // A little time passes meanwhile.
        assert!((16..=24).contains(&passed), "{passed} of 100, each into a channel of its own");
    }
}
