//! Which texts does a field take, as a pattern?
//!
//! Names are measured in bytes of UTF-8, which no pattern counts. So a pattern stays on the safe side: whatever it matches is
//! taken. What it leaves out is long text that mixes scripts, which is taken all the same; a client that checks patterns
//! itself is stricter there than the server. The patterns are ECMA-262 with nothing that RE2 lacks (no looking around) or that
//! others read otherwise (`\d` means every digit of Unicode in Python and Rust); escapes are `\uXXXX` with upper-case digits,
//! the one form that every reader we know understands.

use super::header_grammar;
use carillon_platform::outbound::target::URL_BYTES;
use carillon_protocol::limits;
use carillon_protocol::notice::GROUP_BYTES;
use serde_json::{Value, json};

/// The longest name of a connection, and of a gateway.
const CONNECTION_BYTES: usize = 108;
const NODE_BYTES: usize = 64;
const KEY_NAME_BYTES: usize = 128;
/// The language tags that people use: a language, perhaps a script, perhaps a region.
pub(super) const LOCALE: &str = "^[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?$";
/// The longest text that records of changes are chosen by.
const AUDITED_BYTES: usize = 400;

/// The keywords of the property or parameter of this name; `None` for one that any text, or no text, is right for.
pub(super) fn of(name: &str) -> Option<Value> {
    let name = match name {
        "tenant" => pattern(limits::TENANT_BYTES, tenant()),
        "type" => pattern(limits::ATTRIBUTE_BYTES, word(limits::ATTRIBUTE_BYTES)),
        "source" | "subject" | "datacontenttype" | "dataschema" | "q" => {
            pattern(limits::ATTRIBUTE_BYTES, text(limits::ATTRIBUTE_BYTES))
        }
        "actor" | "user" => pattern(limits::USER_BYTES, text(limits::USER_BYTES)),
        "key" | "latestkey" => pattern(limits::LATEST_KEY_BYTES, text(limits::LATEST_KEY_BYTES)),
        "id" | "event" => pattern(limits::EVENT_ID_BYTES, text(limits::EVENT_ID_BYTES)),
        "channel" => a_channel(),
        "channels" => json!({"items": a_channel()}),
        "users" | "roles" => json!({"items": pattern(limits::USER_BYTES, text(limits::USER_BYTES))}),
        "time" | "from" | "to" | "at" | "expires_at" => {
            json!({"type": "string", "format": "date-time", "pattern": time()})
        }
        "webhook" => {
            pattern(limits::WEBHOOK_BYTES, format!("^[A-Za-z0-9_.-]{{1,{}}}$", limits::WEBHOOK_BYTES))
        }
        "except" | "connection" | "X-Carillon-Connection" => pattern(CONNECTION_BYTES, connection()),
        "device" => pattern(limits::DEVICE_BYTES, device()),
        "node" => pattern(NODE_BYTES, text(NODE_BYTES)),
        "specversion" => json!({"enum": ["1.0"]}),
        "order" => json!({"enum": ["desc", "asc"]}),
        "title" => json!({"pattern": a_line()}),
        "body" => json!({"pattern": some_lines()}),
        "action" => json!({"pattern": r"^[^\u0000-\u001F\u007F-\u009F]+$"}),
        "group" => pattern(GROUP_BYTES, text(GROUP_BYTES)),
        "template" => pattern(limits::ATTRIBUTE_BYTES, text(limits::ATTRIBUTE_BYTES)),
        "data_base64" => json!({"pattern": base64()}),
        "Idempotency-Key" => {
            pattern(limits::IDEMPOTENCY_KEY_BYTES, format!("^[!-~]{{1,{}}}$", limits::IDEMPOTENCY_KEY_BYTES))
        }
        _ => return header_grammar::of(name),
    };
    Some(name)
}

/// The type of an event, as it is named where types are described: no beginning of several.
pub(super) fn event_type() -> Value {
    let longest = limits::ATTRIBUTE_BYTES;
    pattern(longest, word(longest).replace("[!-~", "[!-)+-~").replace("[^", "[^*"))
}

/// A type, or what types begin with and a `*`; a `*` alone is every type.
pub(super) fn types_that_begin_so() -> Value {
    let word = word(limits::ATTRIBUTE_BYTES - 1).replace("[!-~", "[!-)+-~").replace("[^", "[^*");
    let begins = word.trim_start_matches('^').trim_end_matches('$');
    pattern(limits::ATTRIBUTE_BYTES, format!(r"^(?:\*|{begins}\*?)$"))
}

/// A channel, or what channels begin with and a `*`.
pub(super) fn channels_that_begin_so() -> Value {
    let begins = format!(r"[A-Za-z0-9_.@:-]{{0,{}}}\*", limits::CHANNEL_BYTES - 1);
    pattern(limits::CHANNEL_BYTES, format!("^(?:{}|{begins})$", ascii_channel()))
}

/// The name of an API key.
pub(super) fn a_name() -> Value {
    text(KEY_NAME_BYTES).into()
}

/// What the records of changes are chosen by.
pub(super) fn audited() -> Value {
    pattern(AUDITED_BYTES, text(AUDITED_BYTES))
}

/// What a webhook's messages are signed with: base64 of 24 to 64 bytes.
pub(super) fn signing_secret() -> String {
    let any = "[A-Za-z0-9+/]";
    format!(
        "^whsec_(?:{any}{{4}}){{8,20}}(?:{any}{{2}}[AEIMQUYcgkosw048]=|{any}[AQgw]==|(?:{any}{{4}})?{any}[AQgw]==)?$"
    )
}

/// One line that is not empty.
fn a_line() -> String {
    let (control, white) =
        (r"\u0000-\u001F\u007F-\u009F", r"\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000");
    format!(r"^[^{control}]*[^\u0000-\u0020\u007F-\u00A0{white}][^{control}]*$")
}

/// Lines, one of which is not empty.
fn some_lines() -> String {
    let (control, white) =
        (r"\u0000-\u0008\u000B-\u001F\u007F-\u009F", r"\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000");
    format!(r"^[^{control}]*[^\u0000-\u0020\u007F-\u00A0{white}][^{control}]*$")
}

/// A URL that is called. Which hosts and ports an installation allows, its settings say; here stands what none allows.
pub(super) fn a_url() -> Value {
    json!({
        "maxLength": URL_BYTES,
        "pattern": r#"^https?://(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?(?:[/?][!-"$-~]*)?$"#,
    })
}

/// A template of at most so many bytes. Whether its blocks and variables are written right, no pattern says.
pub(super) fn a_template(bytes: usize) -> Value {
    json!({"maxLength": bytes, "pattern": r"^[^\u0000]*$"})
}

/// Roles with commas between them. Readers of patterns that bound counted repetitions bound their product, too, so how many is not counted.
pub(super) fn roles_with_commas() -> Value {
    let (bytes, characters) = (limits::USER_BYTES, limits::USER_BYTES / 4);
    let ascii = format!(r"[ -+.-~-]{{0,{bytes}}}");
    let any = format!(r"[^,\u0000-\u001F\u007F-\u009F]{{0,{characters}}}");
    json!({"type": "string", "pattern": format!("^(?:{ascii}(?:,{ascii})*|{any}(?:,{any})*)$")})
}

/// Whom a channel rule names. That `self` needs `{user}` in the rule's pattern, which stands in the URL, no pattern says.
pub(super) fn whom() -> String {
    format!("^(?:anyone|self|ask|role:(?:{}))$", some_text(limits::USER_BYTES))
}

/// A number and a unit, from a second to thirty days.
pub(super) fn after() -> String {
    let seconds = "[1-9][0-9]{0,5}|1[0-9]{6}|2[0-4][0-9]{5}|25[0-8][0-9]{4}|259[01][0-9]{3}|2592000";
    let minutes = "[1-9][0-9]{0,3}|[1-3][0-9]{4}|4[0-2][0-9]{3}|43[01][0-9]{2}|43200";
    let hours = "[1-9][0-9]?|[1-6][0-9]{2}|7[01][0-9]|720";
    let days = "[1-9]|[12][0-9]|30";
    format!("^(?:(?:{seconds})s|(?:{minutes})m|(?:{hours})h|(?:{days})d)$")
}

/// The name of something that somebody did.
pub(super) fn activity() -> Value {
    let longest = limits::ACTIVITY_NAME_BYTES;
    pattern(longest, format!("^[A-Za-z0-9_.:/-]{{1,{longest}}}$"))
}

fn pattern(longest: usize, pattern: String) -> Value {
    json!({"type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern})
}

fn a_channel() -> Value {
    pattern("user:".len() + limits::USER_BYTES, channel())
}

pub(super) fn tenant() -> String {
    format!("^[a-z0-9][a-z0-9_-]{{0,{}}}$", limits::TENANT_BYTES - 1)
}

/// A tenant, or `*` for what is set for all of them.
pub(super) fn tenant_or_all() -> String {
    format!(r"^(?:\*|[a-z0-9][a-z0-9_-]{{0,{}}})$", limits::TENANT_BYTES - 1)
}

/// Any text without control characters: all of one byte a character, or half as many of at most two, and so on.
fn text(bytes: usize) -> String {
    format!("^(?:{})$", some_text(bytes))
}

fn some_text(bytes: usize) -> String {
    let [two, three, four] = [2, 3, 4].map(|each| bytes / each);
    format!(
        r"[ -~]{{1,{bytes}}}|[ -~\u00A0-\u07FF]{{1,{two}}}|[ -~\u00A0-\uFFFD]{{1,{three}}}|[^\u0000-\u001F\u007F-\u009F]{{1,{four}}}"
    )
}

/// The same without white space.
fn word(bytes: usize) -> String {
    let [two, four] = [2, 4].map(|each| bytes / each);
    let white = r"\u1680\u2000-\u200A\u2028\u2029\u202F\u205F\u3000";
    format!(
        r"^(?:[!-~]{{1,{bytes}}}|[!-~\u00A1-\u07FF]{{1,{two}}}|[^\u0000-\u0020\u007F-\u00A0{white}]{{1,{four}}})$"
    )
}

fn channel() -> String {
    format!("^(?:{}|(?:user|role):(?:{}))$", ascii_channel(), some_text(limits::USER_BYTES))
}

/// `user:` and `role:` need a name after them. Without looking around that is: of five characters, the last is no colon.
pub(super) fn ascii_channel() -> String {
    let (all, no_colon, longest) = ("[A-Za-z0-9_.@:-]", "[A-Za-z0-9_.@-]", limits::CHANNEL_BYTES);
    format!("{all}{{1,4}}|{all}{{4}}{no_colon}|{all}{{6,{longest}}}")
}

/// The name of a connection, as gateways give it.
pub(super) fn connection() -> String {
    let number = |digits| format!("(?:0|[1-9][0-9]{{0,{digits}}})");
    format!("^[A-Za-z0-9_.-]{{1,64}}-[0-9a-f]{{8}}-{}-{}-{}$", number(3), number(8), number(18))
}

fn device() -> String {
    format!("^[A-Za-z0-9_.-]{{1,{}}}$", limits::DEVICE_BYTES)
}

/// RFC 3339, with the days that the months have. In the first and the last year only in UTC: with an offset it might be in another year.
pub(super) fn time() -> String {
    let between = r"(?:197[1-9]|19[89][0-9]|[2-8][0-9]{3}|9[0-8][0-9]{2}|99[0-8][0-9]|999[0-8])";
    let leap =
        r"19(?:7[26]|8[048]|9[26])|[2-9][0-9](?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[3579][26])00";
    let date = r"(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))";
    let clock = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,9})?";
    let offset = r"[+-](?:[01][0-9]|2[0-3]):[0-5][0-9]";
    format!(
        "^(?:(?:{between}-{date}|(?:{leap})-02-29)[Tt]{clock}(?:[Zz]|{offset})|(?:1970|9999)-{date}[Tt]{clock}[Zz])$"
    )
}

/// RFC 4648, section 4: with padding, and nothing in the bits that the padding leaves over.
fn base64() -> String {
    let any = "[A-Za-z0-9+/]";
    format!("^(?:{any}{{4}})*(?:{any}[AQgw]==|{any}{{2}}[AEIMQUYcgkosw048]=)?$")
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::event::rfc3339;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use carillon_protocol::escalation;
    use carillon_protocol::ident::plain_text;
    use carillon_protocol::{Channel, ConnectionName, DeviceId, EventId, TenantId, TypePattern, UserId};
    use proptest::prelude::*;
    use proptest::string::string_regex;

    /// Texts that match a pattern. The generator reads what lies between `^` and `$`.
    pub(in super::super) fn matching(pattern: &str) -> impl Strategy<Value = String> + use<> {
        string_regex(pattern.trim_start_matches('^').trim_end_matches('$')).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_a_pattern_matches_is_taken(
            tenant in matching(&tenant()),
            channel in matching(&channel()),
            id in matching(&text(limits::EVENT_ID_BYTES)),
            user in matching(&text(limits::USER_BYTES)),
            subject in matching(&text(limits::ATTRIBUTE_BYTES)),
            kind in matching(&word(limits::ATTRIBUTE_BYTES)),
            bytes in matching(&base64()),
            connection in matching(&connection()),
            device in matching(&device()),
            who in matching(&whom()),
            types in matching(types_that_begin_so()["pattern"].as_str().unwrap()),
            roles in matching(roles_with_commas()["pattern"].as_str().unwrap()),
        ) {
            prop_assert!(TenantId::new(&tenant).is_ok(), "{tenant:?}");
            prop_assert!(Channel::new(&channel).is_ok(), "{channel:?}");
            prop_assert!(EventId::new(&id).is_ok(), "{id:?}");
            prop_assert!(UserId::new(&user).is_ok(), "{user:?}");
            prop_assert!(plain_text(&subject, limits::ATTRIBUTE_BYTES), "{subject:?}");
            prop_assert!(plain_text(&kind, limits::ATTRIBUTE_BYTES), "{kind:?}");
            prop_assert!(!kind.contains(char::is_whitespace), "{kind:?}");
            prop_assert!(ConnectionName::new(&connection).is_ok(), "{connection:?}");
            prop_assert!(connection.len() <= CONNECTION_BYTES, "{connection:?}");
            prop_assert!(DeviceId::new(&device).is_ok(), "{device:?}");
            prop_assert!(STANDARD.decode(&bytes).is_ok(), "{bytes:?}");
            prop_assert!(TypePattern::new(&types).is_ok(), "{types:?}");
            let names_somebody = |who: &str| {
                matches!(who, "anyone" | "self" | "ask")
                    || who.strip_prefix("role:").is_some_and(|role| Channel::role(role).is_ok())
            };
            prop_assert!(names_somebody(&who), "{who:?}");
            let mut named = roles.split(',').map(str::trim).filter(|role| !role.is_empty());
            prop_assert!(named.all(|role| Channel::role(role).is_ok()), "{roles:?}");
        }

        #[test]
        fn a_time_that_matches_is_taken(time in matching(&time())) {
            prop_assert!(rfc3339::parse(&time).is_some(), "{time}");
        }
    }

    #[test]
    fn a_day_matches_exactly_when_the_calendar_has_it() {
        let pattern = regex::Regex::new(&time()).unwrap();
        for year in (1970..2110).chain(2396..2405).chain(9990..=9999) {
            for (month, day) in (1..=12).flat_map(|month| (1..=31).map(move |day| (month, day))) {
                let is_a_day = jiff::civil::Date::new(year, month, day).is_ok();
                let time = format!("{year}-{month:02}-{day:02}T00:00:00Z");
                assert_eq!(pattern.is_match(&time), is_a_day, "{time}");
            }
        }
    }

    #[test]
    fn a_time_after_which_somebody_is_told_matches_exactly_when_it_is_taken() {
        let pattern = regex::Regex::new(&after()).unwrap();
        for (unit, seconds) in [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)] {
            let most = 2_592_000 / seconds;
            // Around each number of digits, and around the most.
            let around = |n: u32| (n.saturating_sub(12)..n + 12).collect::<Vec<_>>();
            let numbers = (0..9).map(|digits| 10_u32.pow(digits)).chain([most, most / 10 * 9]);
            for number in numbers.flat_map(around) {
                let text = format!("{number}{unit}");
                assert_eq!(pattern.is_match(&text), escalation::after(&text).is_some(), "{text}");
            }
        }
        for text in ["", "5", "-5m", "5 m", "5w", "5M", "5m "] {
            assert_eq!(pattern.is_match(text), escalation::after(text).is_some(), "{text:?}");
        }
    }

    /// Patterns that match too little would also agree with validation.
    #[test]
    fn what_people_use_matches() {
        let matches = |pattern: &str, text: &str| regex::Regex::new(pattern).unwrap().is_match(text);
        for text in
            ["tenant", "contact:1", "user:Mila Kovač", "user:x", "abcd", "abcde", "order_X", "role:наставник"]
        {
            assert!(matches(&channel(), text), "{text}");
        }
        assert!(matches(&connection(), "gateway-1-0000000a-0-4-7"));
        for text in ["user:", "role:", "a b", "", "contact:é", &"c".repeat(129)] {
            assert!(!matches(&channel(), text), "{text}");
        }
        let types = types_that_begin_so();
        for text in ["*", "appointment.*", "appointment.created", "预约.*"] {
            assert!(matches(types["pattern"].as_str().unwrap(), text), "{text}");
        }
        for text in ["anyone", "self", "ask", "role:reception", "role:наставник"] {
            assert!(matches(&whom(), text), "{text}");
        }
        for text in ["", "reception", "reception, night shift", "наставник,reception"] {
            assert!(matches(roles_with_commas()["pattern"].as_str().unwrap(), text), "{text}");
        }
        let url = a_url();
        for (text, called) in [
            ("https://app.example/carillon?a=1", true),
            ("https://[2606:4700::1111]/", true),
            ("http://10.0.0.1:8080/x", true),
            ("ftp://app.example/", false),
            ("https://anna:secret@app.example/", false),
            ("https://app.example/#part", false),
            ("app.example", false),
        ] {
            assert_eq!(matches(url["pattern"].as_str().unwrap(), text), called, "{text}");
        }
        let longest = "x".repeat(limits::ATTRIBUTE_BYTES);
        for text_of in ["appointment.created", "预约.创建", &longest] {
            assert!(matches(&word(limits::ATTRIBUTE_BYTES), text_of), "{text_of}");
        }
        assert!(matches(&text(limits::USER_BYTES), &"я".repeat(64)));
        assert!(!matches(&text(limits::USER_BYTES), &"я".repeat(65)));
        for moment in ["1970-01-01T00:00:00Z", "2026-03-01t10:30:00.250+01:00", "9999-12-31T23:59:59Z"] {
            assert!(matches(&time(), moment), "{moment}");
        }
    }
}
