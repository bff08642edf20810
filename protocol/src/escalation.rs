//! Who is told when people do not take note of a notice, and when? (pure)

use crate::ident::WebhookId;
use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// The type of the event by which somebody is told.
pub const UNACKNOWLEDGED: &str = "notice.unacknowledged";
/// The channel of these events: nobody is in it who was not given this role.
pub const CHANNEL: &str = "role:escalations";
/// Most steps of a notice.
pub const STEPS: usize = 5;
/// Longest time after which a step is due, in seconds: 30 days.
pub const LONGEST: u32 = 30 * 86_400;
/// What stands before the name of a webhook.
const TO: &str = "webhook:";
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// Of which people somebody is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// Who has not taken note.
    NotAcked,
    /// Whom it has not even reached.
    NotDelivered,
}

impl Missed {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NotAcked, Self::NotDelivered];

    /// The name in JSON and SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NotAcked => "not_acked",
            Self::NotDelivered => "not_delivered",
        }
    }
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Escalation {
    /// When it is due, in seconds after the notice was stored.
    pub after: u32,
    /// Which webhook is told.
    pub to: WebhookId,
    /// Of whom.
    pub who: Missed,
}

impl Serialize for Escalation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = serializer.serialize_struct("Escalation", 3)?;
        members.serialize_field("after", &after_text(self.after))?;
        members.serialize_field("to", &format!("{TO}{}", self.to.as_str()))?;
        members.serialize_field("who", self.who.as_str())?;
        members.end()
    }
}

/// Seconds of a text such as `90s`, `5m`, `2h` or `1d`, if it is one and at most [`LONGEST`].
pub fn after(text: &str) -> Option<u32> {
    let unit = text.chars().next_back()?;
    let seconds = UNITS.iter().find(|(name, _)| *name == unit)?.1;
    let digits = text.get(..text.len() - 1)?;
    let is_number =
        !digits.is_empty() && digits.len() <= 7 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let count: u32 = is_number.then(|| digits.parse().ok())??;
    count.checked_mul(seconds).filter(|total| (1..=LONGEST).contains(total))
}

/// The shortest text of so many seconds.
pub fn after_text(seconds: u32) -> String {
    let fits = UNITS.iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    let (name, unit) = fits.copied().unwrap_or(('s', 1));
    format!("{}{name}", seconds / unit)
}

/// The webhook that a text such as `webhook:push` names.
pub fn webhook(text: &str) -> Option<WebhookId> {
    WebhookId::new(text.strip_prefix(TO)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_number_and_a_unit() {
        for (text, seconds) in
            [("1s", 1), ("90s", 90), ("5m", 300), ("2h", 7_200), ("1d", 86_400), ("30d", LONGEST)]
        {
            assert_eq!(after(text), Some(seconds), "{text}");
        }
        assert_eq!([300, 90, 7_200, 86_400, 86_401].map(after_text), ["5m", "90s", "2h", "1d", "86401s"]);
        for bad in
            ["", "5", "m", "0s", "31d", "-5m", "5 m", "5M", "1.5h", "5min", "99999999s", "+5s", "५m", "5µ"]
        {
            assert_eq!(after(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_step_is_written_as_it_is_read() {
        let step = Escalation { after: 300, to: webhook("webhook:push").unwrap(), who: Missed::NotAcked };
        let json = serde_json::to_string(&step).unwrap();
        assert_eq!(json, r#"{"after":"5m","to":"webhook:push","who":"not_acked"}"#);
        for bad in ["push", "webhook:", "mailto:x", "webhook:a b"] {
            assert_eq!(webhook(bad), None, "{bad}");
        }
    }
}
