//! How is a rule written, and what is wrong with one?
//!
//! As a JSON object, in the database as on the API. What is read from a request is strict: everything wrong with it is told
//! with a pointer. What is read from the database was written by some version of this, perhaps by a newer one: fields that it
//! does not know are passed over, and a rule that it cannot read, or that names people in a way it does not know, gives nobody
//! anything.

use super::pattern::Pattern;
use super::rule::{Action, Grant, Rule};
use crate::whole::whole;
use carillon_protocol::{Channel, TypePattern};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Entries of a list at most.
const ENTRIES: usize = 64;
/// Longest grace of presence.
const LONGEST_GRACE_MS: u64 = 300_000;
/// Most a person may send into a channel, a second.
const HIGHEST_RATE: u64 = 1_000;

const ANYONE: &str = "anyone";
const MYSELF: &str = "self";
const ASK: &str = "ask";
const ROLE: &str = "role:";
const WHO: &str = "must be anyone, self, ask, or role: and the name of a role";

/// A rule as it is written; every field has its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// Who may subscribe.
    #[serde(default)]
    pub subscribe: Vec<String>,
    /// Who may publish.
    #[serde(default)]
    pub publish: Vec<String>,
    /// Who may send signals.
    #[serde(default)]
    pub signal: Vec<String>,
    /// Who may see who is here, and be seen.
    #[serde(default)]
    pub presence: Vec<String>,
    /// Who may read the past.
    #[serde(default)]
    pub history: Vec<String>,
    /// Types of events that clients may publish.
    #[serde(default = "any_type")]
    pub client_types: Vec<String>,
    /// Whether what clients publish goes into the log.
    #[serde(default)]
    pub durable: bool,
    /// Whether `typing` is passed on.
    #[serde(default = "yes")]
    pub typing: bool,
    /// How long somebody who went is still here, in milliseconds.
    #[serde(default = "grace")]
    pub presence_grace_ms: u32,
    /// What a person may send into a channel, a second.
    #[serde(default = "rate")]
    pub rate: u32,
}

fn any_type() -> Vec<String> {
    vec!["*".to_owned()]
}

fn yes() -> bool {
    true
}

fn grace() -> u32 {
    10_000
}

fn rate() -> u32 {
    10
}

/// What is wrong with a rule, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleFault {
    /// A JSON pointer.
    pub pointer: String,
    /// What kind of fault.
    pub kind: FaultKind,
    /// For people.
    pub detail: String,
}

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It has another type.
    WrongType,
    /// Its value is not allowed.
    Invalid,
    /// There are too many.
    TooMany,
    /// There is no such field.
    Unknown,
}

/// Reads a rule for these channels from a request, or says everything that is wrong with it. A list that is left out is empty,
/// but `history`, which is then as `subscribe`.
pub fn read(pattern: &Pattern, body: &Value) -> Result<Document, Vec<RuleFault>> {
    let mut faults = Vec::new();
    let Value::Object(fields) = body else {
        return Err(vec![fault(String::new(), FaultKind::WrongType, "must be an object: a rule")]);
    };
    let mut fields = fields.clone();
    fields.retain(|_, value| !value.is_null());
    let [subscribe, publish, signal, presence, history] =
        Action::ALL.map(|action| who(&mut fields, action.name(), pattern, &mut faults));
    let subscribe = subscribe.unwrap_or_default();
    let client_types = list(&mut fields, "client_types", &mut faults, |text| {
        let wrong = "must be the type of an event, or the beginning of one and a *";
        TypePattern::new(text).map(drop).map_err(|_| wrong)
    });
    let document = Document {
        history: history.unwrap_or_else(|| subscribe.clone()),
        subscribe,
        publish: publish.unwrap_or_default(),
        signal: signal.unwrap_or_default(),
        presence: presence.unwrap_or_default(),
        client_types: client_types.unwrap_or_else(any_type),
        durable: flag(&mut fields, "durable", &mut faults).unwrap_or(false),
        typing: flag(&mut fields, "typing", &mut faults).unwrap_or(true),
        presence_grace_ms: number(&mut fields, "presence_grace_ms", LONGEST_GRACE_MS, &mut faults)
            .unwrap_or_else(grace),
        rate: number(&mut fields, "rate", HIGHEST_RATE, &mut faults).unwrap_or_else(rate),
    };
    let known = "known are subscribe, publish, signal, presence, history, client_types, durable, typing, presence_grace_ms and rate";
    let unknown =
        |name: &String| fault(member(name), FaultKind::Unknown, &format!("is no field of a rule; {known}"));
    faults.extend(fields.keys().map(unknown));
    if faults.is_empty() { Ok(document) } else { Err(faults) }
}

impl Document {
    /// Reads a rule as it is stored, or says why that cannot be done.
    pub fn stored(text: &str) -> Result<Self, String> {
        let document: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Self { subscribe, publish, signal, presence, history, .. } = &document;
        let mut named = subscribe.iter().chain(publish).chain(signal).chain(presence).chain(history);
        let known = |who: &str| matches!(who, ANYONE | MYSELF | ASK) || who.starts_with(ROLE);
        if let Some(who) = named.find(|who| !known(who)) {
            return Err(format!("this release does not know who {who:?} is"));
        }
        Ok(document)
    }

    /// The rule that it says, for these channels.
    pub(super) fn rule(self, pattern: Pattern) -> Rule {
        let lists = [self.subscribe, self.publish, self.signal, self.presence, self.history];
        Rule {
            pattern,
            grants: lists.map(|list| grant(&list)),
            client_types: self.client_types.into(),
            durable: self.durable,
            typing: self.typing,
            presence_grace_ms: self.presence_grace_ms,
            rate: self.rate,
            unreadable: false,
        }
    }
}

fn grant(list: &[String]) -> Grant {
    let has = |word: &str| list.iter().any(|who| who == word);
    let roles = list.iter().filter_map(|who| who.strip_prefix(ROLE)).map(str::to_owned);
    Grant { anyone: has(ANYONE), myself: has(MYSELF), roles: roles.collect(), ask: has(ASK) }
}

fn who(
    fields: &mut Map<String, Value>,
    name: &str,
    pattern: &Pattern,
    faults: &mut Vec<RuleFault>,
) -> Option<Vec<String>> {
    list(fields, name, faults, |text| match text {
        ANYONE | ASK => Ok(()),
        MYSELF if pattern.names_a_user() => Ok(()),
        MYSELF => Err("self needs {user} in the pattern"),
        _ => {
            let role = text.strip_prefix(ROLE).filter(|role| Channel::role(role).is_ok());
            role.map(|_| ()).ok_or(WHO)
        }
    })
}

/// A list of texts, each of which `check` takes.
fn list(
    fields: &mut Map<String, Value>,
    name: &str,
    faults: &mut Vec<RuleFault>,
    check: impl Fn(&str) -> Result<(), &'static str>,
) -> Option<Vec<String>> {
    let at = member(name);
    let Value::Array(entries) = fields.remove(name)? else {
        faults.push(fault(at, FaultKind::WrongType, "must be an array of texts"));
        return None;
    };
    if entries.len() > ENTRIES {
        faults.push(fault(at, FaultKind::TooMany, &format!("must have at most {ENTRIES} entries")));
        return None;
    }
    let mut texts: Vec<String> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let Value::String(text) = entry else {
            faults.push(fault(format!("{at}/{index}"), FaultKind::WrongType, "must be a text"));
            continue;
        };
        match check(&text) {
            Ok(()) if texts.contains(&text) => {}
            Ok(()) => texts.push(text),
            Err(why) => faults.push(fault(format!("{at}/{index}"), FaultKind::Invalid, why)),
        }
    }
    Some(texts)
}

fn flag(fields: &mut Map<String, Value>, name: &str, faults: &mut Vec<RuleFault>) -> Option<bool> {
    let value = fields.remove(name)?;
    let flag = value.as_bool();
    if flag.is_none() {
        faults.push(fault(member(name), FaultKind::WrongType, "must be true or false"));
    }
    flag
}

fn number(
    fields: &mut Map<String, Value>,
    name: &str,
    most: u64,
    faults: &mut Vec<RuleFault>,
) -> Option<u32> {
    let value = fields.remove(name)?;
    if !value.is_number() {
        faults.push(fault(member(name), FaultKind::WrongType, "must be a number"));
        return None;
    }
    let number = whole(&value).filter(|number| *number <= most).and_then(|number| u32::try_from(number).ok());
    if number.is_none() {
        faults.push(fault(
            member(name),
            FaultKind::Invalid,
            &format!("must be a whole number from 0 to {most}"),
        ));
    }
    number
}

fn fault(pointer: String, kind: FaultKind, detail: &str) -> RuleFault {
    RuleFault { pointer, kind, detail: detail.to_owned() }
}

/// A pointer to a field (RFC 6901).
fn member(name: &str) -> String {
    let short: String = name.chars().take(64).collect();
    format!("/{}", short.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(pattern: &str, body: Value) -> Vec<(String, FaultKind)> {
        let read = read(&Pattern::new(pattern).unwrap(), &body);
        read.unwrap_err().into_iter().map(|fault| (fault.pointer, fault.kind)).collect()
    }

    #[test]
    fn everything_wrong_with_a_rule_is_told_with_a_pointer() {
        let body = json!({
            "subscribe": ["anyone", "role:", "everyone", 7], "publish": "anyone", "history": ["self"],
            "client_types": ["a.*", "a*b", ""], "durable": "yes", "presence_grace_ms": 300_001, "rate": -1,
            "typing": 1, "signals": [], "a/b": 1,
        });
        let mut found = faults("order:{order}", body);
        found.sort_by(|one, two| one.0.cmp(&two.0));
        let expected = [
            ("/a~1b", FaultKind::Unknown),
            ("/client_types/1", FaultKind::Invalid),
            ("/client_types/2", FaultKind::Invalid),
            ("/durable", FaultKind::WrongType),
            ("/history/0", FaultKind::Invalid),
            ("/presence_grace_ms", FaultKind::Invalid),
            ("/publish", FaultKind::WrongType),
            ("/rate", FaultKind::Invalid),
            ("/signals", FaultKind::Unknown),
            ("/subscribe/1", FaultKind::Invalid),
            ("/subscribe/2", FaultKind::Invalid),
            ("/subscribe/3", FaultKind::WrongType),
            ("/typing", FaultKind::WrongType),
        ];
        assert_eq!(found, expected.map(|(at, kind)| (at.to_owned(), kind)));
        assert_eq!(faults("a", json!([])), [(String::new(), FaultKind::WrongType)]);
        let many: Vec<String> = (0..65).map(|n| format!("role:r{n}")).collect();
        assert_eq!(faults("a", json!({"signal": many})), [("/signal".to_owned(), FaultKind::TooMany)]);
    }

    #[test]
    fn the_application_may_be_asked_in_every_list() {
        let pattern = Pattern::new("order:{order}").unwrap();
        let fields = Action::ALL.map(Action::name);
        let body: Map<String, Value> =
            fields.iter().map(|name| ((*name).to_owned(), json!(["role:head", "ask"]))).collect();
        let document = read(&pattern, &Value::Object(body)).unwrap();
        let stored = Document::stored(&serde_json::to_string(&document).unwrap()).unwrap();
        let rule = stored.rule(pattern);
        assert!(Action::ALL.iter().all(|action| rule.grant(*action).ask && !rule.grant(*action).anyone));
        assert_eq!(
            faults("a", json!({"subscribe": ["ask:me"]})),
            [("/subscribe/0".to_owned(), FaultKind::Invalid)]
        );
    }

    #[test]
    fn a_stored_rule_that_names_people_in_an_unknown_way_is_not_read() {
        let known = Document::stored(r#"{"subscribe": ["anyone", "self", "role:head", "ask"], "later": 1}"#);
        assert_eq!(known.unwrap().subscribe, ["anyone", "self", "role:head", "ask"]);
        for action in Action::ALL {
            for who in ["ask:me", "group:a"] {
                let fault = Document::stored(&json!({action.name(): ["anyone", who]}).to_string());
                assert!(fault.unwrap_err().contains(who), "{action:?}");
            }
        }
        assert!(Document::stored("7").is_err());
    }

    #[test]
    fn what_is_left_out_has_its_value() {
        let pattern = Pattern::new("staff:{user}").unwrap();
        let document =
            read(&pattern, &json!({"subscribe": ["self", "role:head", "self"], "rate": null})).unwrap();
        assert_eq!(document.subscribe, ["self", "role:head"]);
        assert_eq!(document.history, document.subscribe, "the past of what one may subscribe to");
        assert_eq!((document.presence_grace_ms, document.rate), (10_000, 10));
        assert_eq!(
            (document.typing, document.durable, &document.client_types[..]),
            (true, false, &any_type()[..])
        );
        let none = read(&pattern, &json!({"subscribe": ["anyone"], "history": []})).unwrap();
        assert!(none.history.is_empty());
        // As it is stored, so it is read again.
        let stored = serde_json::to_value(&document).unwrap();
        assert_eq!(read(&pattern, &stored).unwrap(), document);
    }
}
