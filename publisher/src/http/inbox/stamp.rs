//! Does somebody have this answer already?
//!
//! An answer changes with what the person does (a version), with new notices (the tenant's newest), with notices that are taken back (a
//! counter), with their channels, with the types that stand in their inbox, their language and with what was asked, and by itself when something expires or is not put off any more. All of that
//! stands in the entity tag, so whether it is still good takes no more than reading where the inbox stands.

use carillon_backplane::log::{Inbox, Sight};
use http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// What an answer is made of, but for time.
pub(super) struct Stamp(String);

impl Stamp {
    /// That of an answer to `asked`.
    pub(super) fn of(inbox: &Inbox, sight: &Sight, asked: &str) -> Self {
        let mut digest = Sha256::new();
        let locale = inbox.locale.as_deref().unwrap_or_default();
        for part in sight.channels().iter().map(String::as_str).chain([
            inbox.epoch.as_str(),
            inbox.rules.text(),
            locale,
            asked,
        ]) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        let of_question: [u8; 32] = digest.finalize().into();
        let mut text = format!("{}.{}.{}.", inbox.version, inbox.newest, inbox.changes);
        for byte in of_question.iter().take(8) {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self(text)
    }

    /// The header of an answer that is good until then.
    pub(super) fn tag(&self, until: Option<Timestamp>) -> HeaderValue {
        let until = until.map_or(0, |at| at.as_millisecond());
        HeaderValue::from_str(&format!("W/\"{}.{until}\"", self.0)).unwrap_or(HeaderValue::from_static("*"))
    }

    /// The tag of these that is still good.
    pub(super) fn known(&self, headers: &HeaderMap, now: Timestamp) -> Option<HeaderValue> {
        let given = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        given.flat_map(|list| list.split(',')).map(str::trim).find_map(|tag| {
            let text = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
            let (stamp, until) = text.rsplit_once('.')?;
            let until: i64 = until.parse().ok()?;
            let is_good = stamp == self.0 && (until == 0 || now.as_millisecond() < until);
            is_good.then(|| HeaderValue::from_str(tag).ok()).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_backplane::log::{InboxRules, Watermarks};
    use carillon_protocol::{Channel, Epoch, Seq, UserId};

    fn stamp(version: u64, newest: u64, changes: u64, channels: &[&str], asked: &str) -> Stamp {
        let inbox = Inbox {
            now: Timestamp::UNIX_EPOCH,
            epoch: Epoch::new("e1").unwrap(),
            head: Seq(newest),
            newest: Seq(newest),
            changes,
            version,
            at: Watermarks::default(),
            follows: Vec::new(),
            rules: InboxRules::default(),
            locale: None,
        };
        let own: Vec<Channel> = channels.iter().map(|name| Channel::new(name).unwrap()).collect();
        let sight = Sight::of(&UserId::new("7").unwrap(), &own, &inbox, |_| true);
        Stamp::of(&inbox, &sight, asked)
    }

    #[test]
    fn a_tag_is_good_while_nothing_of_it_is_otherwise_and_until_its_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let first = stamp(1, 2, 3, &["tenant"], "");
        let headers = |until| HeaderMap::from_iter([(header::IF_NONE_MATCH, first.tag(until))]);
        assert!(first.known(&headers(None), at(9)).is_some());
        assert!(first.known(&headers(Some(at(10))), at(9)).is_some());
        assert!(first.known(&headers(Some(at(10))), at(10)).is_none(), "something has expired");
        for other in [
            stamp(2, 2, 3, &["tenant"], ""),
            stamp(1, 3, 3, &["tenant"], ""),
            stamp(1, 2, 4, &["tenant"], ""),
            stamp(1, 2, 3, &["tenant", "role:a"], ""),
            stamp(1, 2, 3, &["tenant"], "x"),
        ] {
            assert!(other.known(&headers(None), at(9)).is_none());
        }
        let several =
            HeaderValue::from_str(&format!("\"x\", {}", first.tag(None).to_str().unwrap())).unwrap();
        let several = HeaderMap::from_iter([(header::IF_NONE_MATCH, several)]);
        assert!(first.known(&several, at(9)).is_some());
    }
}
