//! Do the compiled rules say the same as a list of them that is looked through?

use super::rule::Action;
use super::*;
use crate::ask::Endpoint;
use crate::auth::{Caps, Credentials, Identity, IssuedAt};
use carillon_protocol::{Channel, SettingsVersion, TenantId, UserId};
use proptest::prelude::*;
use std::sync::Arc;

/// Patterns and channels of few letters, so that they meet.
fn pattern() -> impl Strategy<Value = Pattern> {
    let literal = "[ab]{0,2}|user|role|tenant";
    let segment = prop_oneof![
        literal.prop_map(|text| text),
        ("[ab]{0,2}", "[xyz]").prop_map(|(prefix, name)| format!("{prefix}{{{name}}}")),
        "[ab]{0,1}".prop_map(|prefix| format!("{prefix}{{user}}")),
    ];
    let star = prop_oneof![2 => Just(""), 1 => Just("*"), 1 => Just(":*")];
    (prop::collection::vec(segment, 1..4), star).prop_filter_map("a pattern", |(parts, star)| {
        Pattern::new(&format!("{}{star}", parts.join(":"))).ok()
    })
}

fn channel() -> impl Strategy<Value = Channel> {
    let part = "[ab]{0,3}|user|role|tenant";
    prop::collection::vec(part, 1..4).prop_filter_map("a channel", |parts| Channel::new(parts.join(":")).ok())
}

/// Rules as a tenant may have them: none ties with another.
fn rules() -> impl Strategy<Value = Vec<(Pattern, Document)>> {
    let who = prop::sample::subsequence(vec!["anyone", "self", "role:head", "role:desk", "ask"], 0..3);
    let document = (who.clone(), who).prop_map(|(subscribe, history)| {
        let texts = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let nothing = serde_json::from_str::<Document>("{}").unwrap();
        Document { subscribe: texts(subscribe), history: texts(history), ..nothing }
    });
    prop::collection::vec((pattern(), document), 0..12).prop_map(|all| {
        let mut kept: Vec<(Pattern, Document)> = Vec::new();
        for (pattern, document) in all {
            if !kept.iter().any(|(other, _)| other.ties_with(&pattern)) {
                kept.push((pattern, document));
            }
        }
        kept
    })
}

fn compiled(rules: &[(Pattern, Document)]) -> Arc<Compiled> {
    let texts: Vec<(String, String)> = rules
        .iter()
        .map(|(pattern, document)| (pattern.as_str().to_owned(), serde_json::to_string(document).unwrap()))
        .collect();
    let (compiled, unreadable) =
        Compiled::of(texts.iter().map(|(pattern, document)| (pattern.as_str(), document.as_str())));
    assert_eq!((compiled.len(), unreadable), (rules.len(), 0));
    Arc::new(compiled)
}

/// The matcher that anybody would write first.
fn naive<'a>(rules: &'a [(Pattern, Document)], channel: &Channel) -> Option<&'a (Pattern, Document)> {
    rules.iter().filter(|(pattern, _)| pattern.matches(channel)).max_by_key(|(pattern, _)| pattern.rank())
}

fn naive_may(
    document: &Document,
    pattern: &Pattern,
    action: Action,
    identity: &Identity,
    channel: &Channel,
) -> &'static str {
    let list = if action == Action::Subscribe { &document.subscribe } else { &document.history };
    let is = |who: &String| match who.as_str() {
        "anyone" => true,
        "self" => pattern.user_in(channel) == Some(identity.user.as_str()),
        "ask" => false,
        role => identity.roles.iter().any(|own| role == format!("role:{own}")),
    };
    match list.iter().any(is) {
        true => "yes",
        false if list.iter().any(|who| who == "ask") => "ask",
        false => "no",
    }
}

fn identity(user: &str, roles: &[&str]) -> Identity {
    Identity {
        tenant: TenantId::new("acme").unwrap(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        credentials: Credentials {
            user: UserId::new(user).unwrap(),
            patterns: Box::default(),
            caps: Caps::default(),
            issued_at: IssuedAt::UNKNOWN,
            expires_at: 0,
            service: None,
        }
        .into(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_compiled_rules_decide_as_the_list_does(
        own in rules(), defaults in rules(), channels in prop::collection::vec(channel(), 1..40),
        user in "[ab]{1,2}", roles in prop::sample::subsequence(vec!["head", "desk"], 0..3),
    ) {
        let without = RuleSet::new(SettingsVersion::default(), compiled(&own), compiled(&defaults));
        let secret = crate::outbound::SigningSecret::fresh();
        let set = without.clone().asking(Endpoint::stored("https://app.example/", secret.expose(), None, 1));
        let identity = identity(&user, &roles);
        for channel in &channels {
            let expected = naive(&own, channel).or_else(|| naive(&defaults, channel));
            let found = set.find(channel);
            prop_assert_eq!(
                found.map(|found| found.rule.pattern.as_str()), expected.map(|(pattern, _)| pattern.as_str()), "{}", channel,
            );
            for action in [Action::Subscribe, Action::History] {
                let decided = match set.decide(action, &identity, channel) {
                    Decision::Allowed(_) => "yes",
                    Decision::Ask => "ask",
                    Decision::Forbidden => "no",
                };
                // Where nobody can be asked, asking is a no.
                let unasked = without.decide(action, &identity, channel);
                prop_assert_eq!(unasked == Decision::Forbidden, decided != "yes");
                let expected = match expected {
                    _ if identity.may_read(channel) => "yes",
                    Some((pattern, document)) => naive_may(document, pattern, action, &identity, channel),
                    None => "no",
                };
                prop_assert_eq!(decided, expected, "{} {:?}", channel, action);
            }
            for other in [Action::Publish, Action::Signal, Action::Presence] {
                prop_assert_eq!(set.decide(other, &identity, channel), Decision::Forbidden);
            }
        }
    }

    /// What two patterns that tie are both for exists, and whatever is of two patterns that say as much is a tie.
    #[test]
    fn a_tie_is_refused_exactly_where_a_channel_could_be_of_both(one in pattern(), two in pattern(), channels in prop::collection::vec(channel(), 1..40)) {
        prop_assert_eq!(one.ties_with(&two), two.ties_with(&one));
        let both = |channel: &Channel| one.matches(channel) && two.matches(channel);
        if one.rank() == two.rank() {
            if channels.iter().any(both) {
                prop_assert!(one.ties_with(&two));
            }
            if one.ties_with(&two) {
                // Of the channels that one is for, one that is filled with what the other needs.
                let fillings = ["a", "b", "aa", "ab", "ba", "bb", "user", "role", "tenant", "a:a", "a:b", ":a", ""];
                let parts = |filling: &str| [one.filled_with(filling), two.filled_with(filling)];
                let tried = fillings.iter().flat_map(|filling| parts(filling));
                let known = tried.chain(witness(&one, &two)).filter_map(|text| Channel::new(text).ok());
                prop_assert!(known.into_iter().any(|channel| both(&channel)), "{:?} {:?}", one, two);
            }
        }
    }
}

/// A channel of two patterns that overlap: segment for segment what both take, and behind a star what the other has.
fn witness(one: &Pattern, two: &Pattern) -> Option<String> {
    use super::pattern::Segment;
    let longer = |first: &str, second: &str| {
        if first.len() >= second.len() { first.to_owned() } else { second.to_owned() }
    };
    let mut parts = Vec::new();
    for index in 0..one.segments().len().max(two.segments().len()) {
        parts.push(match (one.segments().get(index), two.segments().get(index)) {
            (Some(Segment::Literal(text)), _) | (_, Some(Segment::Literal(text))) => text.to_string(),
            (
                Some(Segment::Place { prefix: a, .. } | Segment::Rest { prefix: a }),
                Some(Segment::Place { prefix: b, .. } | Segment::Rest { prefix: b }),
            ) => {
                format!("{}x", longer(a, b))
            }
            (Some(Segment::Place { prefix, .. } | Segment::Rest { prefix }), None)
            | (None, Some(Segment::Place { prefix, .. } | Segment::Rest { prefix })) => format!("{prefix}x"),
            (None, None) => return None,
        });
    }
    Some(parts.join(":"))
}

#[test]
fn a_rule_that_cannot_be_read_gives_nobody_anything() {
    let (compiled, unreadable) = Compiled::of([
        ("a:*", r#"{"subscribe": 7}"#),
        ("a**", "{}"),
        ("*", r#"{"subscribe": ["anyone"], "later": 1}"#),
        ("order:*", r#"{"subscribe": ["anyone", "group:a"], "history": ["role:head"]}"#),
    ]);
    assert_eq!((compiled.len(), unreadable), (3, 3));
    let set = RuleSet::new(SettingsVersion::default(), Arc::new(compiled), Arc::default());
    let decide =
        |name: &str| set.decide(Action::Subscribe, &identity("mila", &[]), &Channel::new(name).unwrap());
    assert_eq!(decide("a:1"), Decision::Forbidden, "and no lesser rule takes its place");
    assert_eq!(decide("order:1"), Decision::Forbidden, "a newer release's rule is closed as a whole");
    assert_eq!(decide("b"), Decision::Allowed(Because::Anyone));
}

#[test]
fn a_thousand_rules_cost_a_lookup_no_more_than_a_few_do() {
    let texts: Vec<String> = (0..1_000)
        .map(|n| match n % 4 {
            0 => format!("order{n}:{{order}}"),
            1 => format!("order:{n}_{{x}}"),
            2 => format!("branch:{n}*"),
            _ => format!("a:{n}:{{x}}:b"),
        })
        .collect();
    let (many, unreadable) =
        Compiled::of(texts.iter().map(|text| (text.as_str(), r#"{"subscribe":["anyone"]}"#)));
    assert_eq!((many.len(), unreadable), (1_000, 0));
    let (few, _) = Compiled::of(texts[..8].iter().map(|text| (text.as_str(), "{}")));
    let channels = ["order:5_7", "order4:7", "branch:2x", "a:7:b:b"].map(|name| Channel::new(name).unwrap());
    let cost = |rules: &Compiled| {
        let best = |_| {
            let began = std::time::Instant::now();
            for channel in channels.iter().cycle().take(20_000) {
                assert!(std::hint::black_box(rules.find(channel)).is_some());
            }
            began.elapsed()
        };
        (0..7).map(best).min().unwrap()
    };
    let (cost_few, cost_many) = (cost(&few), cost(&many));
    assert!(cost_many < cost_few * 5, "{cost_few:?} {cost_many:?}");
}
