//! What does the URL say, and where is the token?

use crate::authorize::Refusal;
use carillon_platform::auth::{AuthError, bearer};
use carillon_protocol::client::{ConnectParameters, named};
use carillon_protocol::ident::InvalidName;
use carillon_protocol::{CloseCode, Cursor, DeviceId, Epoch, Seq, TenantId, TypeFilter};
use http::{HeaderMap, header};
use std::borrow::Cow;
use std::time::Duration;

/// Longest a poll may ask to wait; proxies give up on answers that take longer.
const LONGEST_WAIT: Duration = Duration::from_secs(50);

/// The query of a URL as it came, with what a form has beside it, and the id of the last message that a header may bring: as long
/// as the head of a request may be (32 KiB), and a form (64 KiB). It is read when it is known who sent it: a thousand channels are
/// not read for nobody.
#[derive(Debug, Default)]
pub(crate) struct RawQuery {
    query: Box<str>,
    last_event_id: Option<Box<str>>,
}

impl RawQuery {
    pub(crate) fn new(query: &str, last_event_id: Option<Box<str>>) -> Self {
        Self { query: query.into(), last_event_id }
    }

    /// Also these parameters, of a form. Its sender is known by then: credentials in it would come too late.
    pub(super) fn append(&mut self, form: &str) -> Result<(), Refusal> {
        if url_token(form).is_some() || url_ticket(form).is_some() {
            let why = "token: a form is read when it is known who sent it; send it in the header Authorization or the URL";
            return Err(malformed("invalid_query", why.into()));
        }
        let parts = [&*self.query, form].into_iter().filter(|part| !part.is_empty());
        self.query = parts.collect::<Vec<_>>().join("&").into();
        Ok(())
    }

    /// The same with credentials that stood elsewhere in the request, in place of those of the URL.
    pub(super) fn bringing(self, name: &str, credentials: &str) -> Self {
        let is_credential = |pair: &&str| pair.starts_with("token=") || pair.starts_with("ticket=");
        let mut query: String =
            self.query.split('&').filter(|pair| !is_credential(pair)).collect::<Vec<_>>().join("&");
        let value: String = form_urlencoded::byte_serialize(credentials.as_bytes()).collect();
        query.push_str(&format!("&{name}={value}"));
        Self { query: query.into(), ..self }
    }

    /// The credentials in it: a token, an API key or a ticket.
    pub(crate) fn credentials(&self) -> Option<Box<str>> {
        url_ticket(&self.query).or_else(|| url_token(&self.query))
    }

    /// What it says.
    pub(super) fn read(&self) -> Result<UrlQuery, Refusal> {
        UrlQuery::of(&self.query, self.last_event_id.as_deref())
    }

    /// What it asks for, of a client whose token came with the first frame.
    pub(crate) fn connect_parameters(&self) -> Result<ConnectParameters, Refusal> {
        Ok(self.read()?.hello)
    }
}

/// The query of a URL. Parameters it does not know are left alone: proxies and clients add their own.
#[derive(Debug, Default)]
pub(super) struct UrlQuery {
    pub(super) hello: ConnectParameters,
    /// How long a poll waits for events.
    pub(super) wait: Option<Duration>,
    /// Whether it gets events in the compact form.
    pub(super) compact: bool,
}

impl UrlQuery {
    fn of(query: &str, last_event_id: Option<&str>) -> Result<Self, Refusal> {
        let bad = |name: &str, why: String| malformed("invalid_query", format!("{name}: {why}"));
        let mut read = Self::default();
        let mut seen: Vec<Cow<'_, str>> = Vec::new();
        let mut url_id = None;
        for (name, value) in pairs(query) {
            let hello = &mut read.hello;
            match &*name {
                "tenant" => {
                    hello.tenant = Some(TenantId::new(&value).map_err(|e| bad(&name, e.to_string()))?)
                }
                "device" => {
                    hello.device = Some(DeviceId::new(&value).map_err(|e| bad(&name, e.to_string()))?)
                }
                "epoch" => hello.epoch = Some(Epoch::new(&value).map_err(|e| bad(&name, e.to_string()))?),
                "since" => {
                    let since = value.parse().map_err(|_| bad(&name, "must be a whole number".into()))?;
                    hello.since = Some(Seq(since));
                }
                "last" => {
                    hello.last = Some(value.parse().map_err(|e: InvalidName| bad(&name, e.to_string()))?)
                }
                "channels" => {
                    let names = value.split(',').filter(|name| !name.is_empty());
                    (hello.channels, hello.patterns) = named(names).map_err(|why| bad(&name, why))?;
                }
                "types" => {
                    let types = value.split(',').filter(|text| !text.is_empty());
                    hello.types = Some(TypeFilter::new(types).map_err(|why| bad(&name, why))?);
                }
                "presence" => hello.presence = Some(flag(&value).map_err(|why| bad(&name, why))?),
                "inbox" => hello.inbox = Some(flag(&value).map_err(|why| bad(&name, why))?),
                "format" => read.compact = compact(&value).map_err(|why| bad(&name, why))?,
                "wait" => read.wait = Some(wait(&value).map_err(|why| bad(&name, why))?),
                "token" | "ticket" => {}
                // Those that add it to an address at each return leave the older ones there: the last is the newest.
                other if is_last_event_id(other) => {
                    url_id = Some((name, value));
                    continue;
                }
                _ => continue,
            }
            if seen.contains(&name) {
                return Err(bad(&name, "is given twice".into()));
            }
            seen.push(name);
        }
        let header = last_event_id.map(|id| ("Last-Event-ID", id));
        let of_url = url_id.as_ref().map(|(name, id)| (&**name, &**id));
        // Where a client came to is newer than where its address says it began.
        if let Some((place, id)) = [header, of_url].into_iter().flatten().find(|(_, id)| !id.is_empty()) {
            let Cursor { seq, epoch } = id.parse().map_err(|_| no_cursor(place))?;
            (read.hello.since, read.hello.epoch) = (Some(seq), Some(epoch));
        }
        Ok(read)
    }
}

/// The header with which a client says which message it got last.
pub(super) fn last_event_id(headers: &HeaderMap) -> Option<Box<str>> {
    headers.get("last-event-id").map(|value| String::from_utf8_lossy(value.as_bytes()).into())
}

/// Whether a parameter is the same in a URL, where polyfills put it that may not set headers: `lastEventId` (Yaffle's and
/// what descends from it), `evs_last_event_id` (amvtek's), `Last-Event-ID` (Mercure's), `last_event_id`.
fn is_last_event_id(name: &str) -> bool {
    let bare = name.bytes().filter(|byte| !matches!(byte, b'-' | b'_')).map(|byte| byte.to_ascii_lowercase());
    bare.clone().eq(*b"lasteventid") || bare.eq(*b"evslasteventid")
}

fn no_cursor(place: &str) -> Refusal {
    let detail = format!("{place} must be the id of a message of an event stream: <epoch>:<seq>");
    malformed("invalid_last_event_id", detail)
}

fn malformed(code: &'static str, detail: String) -> Refusal {
    Refusal::new(code, detail, 400, CloseCode::ProtocolError)
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "1" | "true" => Ok(true),
        "0" | "false" => Ok(false),
        _ => Err("must be 1 or 0".into()),
    }
}

/// Whether a form's name is that of the compact one.
fn compact(name: &str) -> Result<bool, String> {
    match name {
        "plain" => Ok(false),
        "compact" => Ok(true),
        _ => Err("must be plain or compact".into()),
    }
}

/// The names and values of a query, decoded.
fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    form_urlencoded::parse(query.as_bytes())
}

/// The token in a URL, found without reading the rest. Whether it is given twice is told with the rest.
pub(super) fn url_token(query: &str) -> Option<Box<str>> {
    value_of(query, "token=")
}

/// The ticket in a URL, likewise.
pub(super) fn url_ticket(query: &str) -> Option<Box<str>> {
    value_of(query, "ticket=")
}

fn value_of(query: &str, name: &str) -> Option<Box<str>> {
    let pair = query.split('&').find(|pair| pair.starts_with(name))?;
    pairs(pair).next().map(|(_, value)| value.into())
}

/// Who may not bring a ticket is told so: it works once.
pub(super) fn no_ticket(query: &str) -> Result<(), Refusal> {
    match url_ticket(query) {
        None => Ok(()),
        Some(_) => {
            let why = "ticket: it works once, and a poll comes again and again; send the token in the header Authorization";
            Err(malformed("invalid_query", why.into()))
        }
    }
}

/// Refuses to tell a poll who is there: it has one answer, and nobody could tell it what changes.
pub(super) fn no_presence(query: &UrlQuery) -> Result<(), Refusal> {
    if query.hello.presence != Some(true) {
        return Ok(());
    }
    let why =
        "presence: a poll is not told who is there; ask GET /v1/presence/{channel} or POST /v1/commands";
    Err(malformed("invalid_query", why.into()))
}

fn wait(seconds: &str) -> Result<Duration, String> {
    let seconds: Option<u64> = seconds.parse().ok().filter(|seconds| *seconds <= LONGEST_WAIT.as_secs());
    let why = || format!("must be a whole number of seconds, at most {}", LONGEST_WAIT.as_secs());
    seconds.map(Duration::from_secs).ok_or_else(why)
}

/// The token or API key, from the first place that has one: headers, subprotocol, URL. None: the first frame must bring it.
pub(super) fn token(
    headers: &HeaderMap,
    subprotocol: Option<Box<str>>,
    url: impl FnOnce() -> Option<Box<str>>,
    url_allowed: bool,
) -> Result<Option<Box<str>>, AuthError> {
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let text = value.to_str().map_err(|_| AuthError::Malformed("is not text"))?;
        return Ok(Some(bearer(text)?.into()));
    }
    if let Some(value) = headers.get("x-api-key") {
        let text = value.to_str().map_err(|_| AuthError::Malformed("is not text"))?;
        return Ok(Some(text.trim().into()));
    }
    if subprotocol.is_some() {
        return Ok(subprotocol);
    }
    match url() {
        Some(_) if !url_allowed => Err(AuthError::Malformed("may not stand in the URL of this installation")),
        url => Ok(url),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// What the document for programs says of the URLs is what is read of them.
    #[test]
    fn the_document_names_every_parameter_that_is_read_and_no_other() {
        let document: serde_json::Value =
            serde_json::from_str(carillon_protocol::asyncapi::DOCUMENT).unwrap();
        let named = |bindings: &serde_json::Value| -> BTreeSet<String> {
            bindings["query"]["properties"].as_object().unwrap().keys().cloned().collect()
        };
        let of = |operation: &str| named(&document["operations"][operation]["bindings"]["http"]);
        let arms = include_str!("request.rs").split("match &*name {").nth(1).unwrap();
        let arms = arms.split("other if is_last_event_id").next().unwrap();
        let arms = arms.lines().map(str::trim).filter(|line| line.starts_with('"'));
        let patterns = arms.map(|line| line.split("=>").next().unwrap());
        let read: BTreeSet<String> = patterns
            .flat_map(|names| names.split('|').map(|name| name.trim().trim_matches('"').to_owned()))
            .chain(["lastEventId".to_owned()])
            .collect();
        let without = |names: &[&str]| -> BTreeSet<String> {
            read.iter().filter(|name| !names.contains(&name.as_str())).cloned().collect()
        };
        assert_eq!(named(&document["channels"]["socket"]["bindings"]["ws"]), without(&["wait", "format"]));
        assert_eq!(of("stream"), without(&["wait"]));
        assert_eq!(of("poll"), without(&["ticket", "presence", "inbox"]));
        let of_a_command = ["tenant", "device", "ticket", "token"].map(str::to_owned);
        assert!(of_a_command.iter().all(|name| read.contains(name)));
        assert_eq!(of("command"), of_a_command.into());
    }

    fn query(text: &str) -> Result<UrlQuery, Refusal> {
        UrlQuery::of(text, None)
    }

    #[test]
    fn the_url_says_where_to_begin() {
        let query = query(
            "since=41&epoch=e1&last=40:a%3Ab&channels=contact%3A1,lead:2,contact:1&tenant=acme&_=9&token=t",
        )
        .unwrap();
        assert_eq!(query.hello.since, Some(Seq(41)));
        assert_eq!(query.hello.last.map(|last| last.to_string()).as_deref(), Some("40:a:b"));
        assert_eq!((query.hello.channels.len(), query.hello.patterns.len()), (2, 0));
        let patterns = UrlQuery::of("channels=contact:*,lead:2,*,user:*,contact:*", None).unwrap().hello;
        assert_eq!((patterns.channels.len(), patterns.patterns.len()), (1, 3));
        let types = UrlQuery::of("types=order.*,a%2A,order.*", None).unwrap().hello.types;
        assert_eq!(types, TypeFilter::new(["a*", "order.*"]).ok());
        let many: Vec<String> = (0..33).map(|n| format!("c{n}:*")).collect();
        assert!(UrlQuery::of(&format!("channels={}", many.join(",")), None).is_err());
    }

    #[test]
    fn whoever_comes_back_says_where_it_was_in_any_of_the_ways_there_are() {
        let of = |text: &str, header: Option<&str>| {
            let hello = UrlQuery::of(text, header)?.hello;
            Ok::<_, Refusal>(hello.epoch.map(|epoch| format!("{epoch}:{}", hello.since.unwrap())))
        };
        let came_to = |text: &str, header: Option<&str>| of(text, header).unwrap().unwrap();
        for name in [
            "lastEventId",
            "evs_last_event_id",
            "Last-Event-ID",
            "Last-Event-Id",
            "last_event_id",
            "lasteventid",
        ] {
            let url = format!("since=1&epoch=e0&{name}=e1%3A42");
            assert_eq!(came_to(&url, None), "e1:42", "{name}");
            assert_eq!(came_to(&url, Some("")), "e1:42", "an empty header is none");
            assert_eq!(came_to(&url, Some("e1:43")), "e1:43", "the header is newer");
            assert_eq!(came_to(&format!("{url}&{name}=e2:7"), None), "e2:7", "the last is the newest");
            assert_eq!(came_to(&format!("since=1&epoch=e0&{name}="), None), "e0:1", "an empty one is none");
            let problem = of(&format!("{name}=42"), None).unwrap_err();
            assert!(
                problem.code == "invalid_last_event_id" && format!("{problem:?}").contains(name),
                "{problem:?}"
            );
        }
        assert_eq!(of("", Some("42")).unwrap_err().code, "invalid_last_event_id");
        assert_eq!(of("lastEventIds=e1:42&event_id=e1:42", None).unwrap(), None, "others' parameters");
    }

    #[test]
    fn the_token_of_a_url_is_found_without_reading_the_rest() {
        assert_eq!(url_token("since=1&token=a.b%2Ec&channels=x").as_deref(), Some("a.b.c"));
        assert_eq!(url_token("channels=token=x&tokens=y"), None);
        assert_eq!(url_token(""), None);
        assert_eq!(url_ticket("since=1&ticket=crlt_a&token=b").as_deref(), Some("crlt_a"));
        assert!(no_ticket("token=a").is_ok() && no_ticket("since=1&ticket=crlt_a").is_err());
    }

    #[test]
    fn a_form_says_what_a_url_says_but_who_it_is_from() {
        let of = |query: &str, form: &str| {
            let mut raw = RawQuery::new(query, None);
            raw.append(form)?;
            raw.read()
        };
        for (url, form) in
            [("", "since=1&channels=a%2Cb"), ("since=1", "channels=a,b"), ("since=1&channels=a,b", "")]
        {
            let hello = of(url, form).unwrap().hello;
            assert_eq!((hello.since, hello.channels.len()), (Some(Seq(1)), 2), "{url} {form}");
        }
        for (url, form, name) in [
            ("since=1", "since=1", "since"),
            ("", "wait=51", "wait"),
            ("", "token=a", "token"),
            ("token=a", "since=1&ticket=b", "token"),
        ] {
            let problem = of(url, form).unwrap_err();
            assert!(problem.code == "invalid_query" && format!("{problem:?}").contains(name), "{problem:?}");
        }
    }

    #[test]
    fn credentials_of_a_header_take_the_place_of_those_of_the_url() {
        let of = |query: &str| RawQuery::new(query, None);
        assert_eq!(of("EIO=4&token=a%2Bb").credentials().as_deref(), Some("a+b"));
        let brought = of("token=a&EIO=4&since=1&ticket=b").bringing("token", "c+d=&");
        assert_eq!(brought.credentials().as_deref(), Some("c+d=&"));
        assert_eq!(brought.read().unwrap().hello.since, Some(Seq(1)));
        assert_eq!(of("EIO=4").credentials(), None);
    }

    #[test]
    fn each_bad_parameter_is_named() {
        for (bad, name) in [
            ("since=-1", "since"),
            ("since=x", "since"),
            ("since=99999999999999999999", "since"),
            ("epoch=a%20b", "epoch"),
            ("last=7", "last"),
            ("last=x:7", "last"),
            ("tenant=A", "tenant"),
            ("device=a/b", "device"),
            ("channels=a%20b", "channels"),
            ("channels=a*b*", "channels"),
            ("types=", "types"),
            ("types=a*b", "types"),
            ("types=a%20b", "types"),
            ("types=a&types=b", "types"),
            ("format=short", "format"),
            ("format=compact&format=plain", "format"),
            ("presence=yes", "presence"),
            ("presence=", "presence"),
            ("wait=51", "wait"),
            ("wait=-1", "wait"),
            ("since=1&since=2", "since"),
            ("token=a&token=b", "token"),
            ("ticket=a&ticket=b", "ticket"),
        ] {
            let problem = query(bad).unwrap_err();
            assert!(
                problem.code == "invalid_query" && format!("{problem:?}").contains(name),
                "{bad}: {problem:?}"
            );
        }
    }
}
