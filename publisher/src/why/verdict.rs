//! What stood in an event's way to a person first, or how far has it got?

use super::met::Met;
use super::reach::{Got, Reach, was_open};
use super::sent::Sent;
use super::shown::Shown;
use carillon_backplane::log::{PersonTrace, TracedEvent, TracedNotice, Untraced};
use carillon_protocol::{Channel, EventId, Seq, UserId};
use jiff::Timestamp;

/// In one word, with the one in JSON.
macro_rules! verdicts {
    ($($(#[doc = $what:literal])+ $name:ident = $code:literal;)*) => {
        /// What is said of an event and a person.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Verdict { $($(#[doc = $what])+ $name),* }

        impl Verdict {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The word in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code),* }
            }
        }
    };
}

verdicts! {
    /// The log has no such event, and nothing says that it ever had.
    NeverPublished = "never_published";
    /// The log had it and has it no more.
    PastRetention = "past_retention";
    /// Its notice was taken back.
    Retracted = "retracted";
    /// Its notice is past its time.
    Expired = "expired";
    /// It went to others.
    NotAddressed = "not_addressed";
    /// It went to channels that no rule lets them be in.
    Forbidden = "forbidden";
    /// They may be in its channels, and no device of theirs is.
    NotSubscribed = "not_subscribed";
    /// The connection that published it asked not to get it back.
    Excepted = "excepted";
    /// It is kept out of their inbox.
    Muted = "muted";
    /// They were seen for the first time after it.
    BeforeFirstSeen = "before_first_seen";
    /// They emptied their inbox after it.
    Cleared = "cleared";
    /// They deleted it.
    Deleted = "deleted";
    /// They have put it off.
    Snoozed = "snoozed";
    /// They have taken note.
    Acked = "acked";
    /// They have read it.
    Read = "read";
    /// They have archived it.
    Archived = "archived";
    /// Nothing is known of the device that was asked about.
    DeviceUnknown = "device_unknown";
    /// No device or connection of theirs is known.
    NeverConnected = "never_connected";
    /// They were not connected, and the webhook that would have told them fails.
    WebhookFailing = "webhook_failing";
    /// They were not connected, and have not come back.
    Offline = "offline";
    /// They were connected, and it has not reached their device.
    DeviceBehind = "device_behind";
    /// They were connected without the name of a device, so nothing says what has reached them.
    NoReceipt = "no_receipt";
    /// It has reached them when it was quiet for them.
    QuietHours = "quiet_hours";
    /// It has reached them, and nothing that rings is switched on for its type.
    NotShown = "not_shown";
    /// It has reached them.
    Delivered = "delivered";
}

/// Who is asked about, and from when on this is seen.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who.
    pub user: &'a UserId,
    /// Which of their devices alone.
    pub device: Option<&'a str>,
    /// The time.
    pub now: Timestamp,
    /// Whether whoever asks may see more than what is theirs.
    pub sees_all: bool,
}

/// All that is known of an event that the log has, and a person.
#[derive(Debug, Clone)]
pub struct Case<'a> {
    /// Who is asked about.
    pub asked: Asked<'a>,
    /// Its id.
    pub id: &'a EventId,
    /// The event.
    pub event: &'a TracedEvent,
    /// Its notice, as the person has it.
    pub notice: Option<&'a TracedNotice>,
    /// What its channels are to them.
    pub met: &'a [Met],
    /// What is stored about them.
    pub person: &'a PersonTrace,
    /// What became of it at their devices.
    pub reach: &'a [Reach],
    /// What preferences say.
    pub shown: &'a Shown,
    /// What became of it at webhooks.
    pub sent: &'a [Sent],
}

/// Of an event that the log does not have. An id that is a UUIDv7 says when it was made.
pub fn of_missing(id: &EventId, untraced: &Untraced) -> Verdict {
    let made = made_at(id).filter(|made| untraced.oldest.is_some_and(|oldest| *made < oldest));
    match untraced.was.is_some() || made.is_some() {
        true => Verdict::PastRetention,
        false => Verdict::NeverPublished,
    }
}

/// When an id was made, if it says so.
pub fn made_at(id: &EventId) -> Option<Timestamp> {
    let uuid = uuid::Uuid::try_parse(id.as_str()).ok().filter(|uuid| uuid.get_version_num() == 7)?;
    let (seconds, nanoseconds) = uuid.get_timestamp()?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

impl Case<'_> {
    /// What stood in its way first, or how far it has got.
    pub fn verdict(&self) -> Verdict {
        let first = self.taken_back().or_else(|| self.not_addressed()).or_else(|| self.done());
        let first = first.or_else(|| self.not_received()).or_else(|| self.not_shown());
        first.unwrap_or(match self.reach.iter().any(|reach| reach.got == Got::Acked) {
            // Of a notice that asks for it, only the person takes note.
            true if !self.notice.is_some_and(|notice| notice.requires_ack) => Verdict::Acked,
            _ => Verdict::Delivered,
        })
    }

    /// Whether a device of theirs has it, or they have looked at its notice; none: nothing says.
    pub fn is_delivered(&self) -> Option<bool> {
        let has = self.reach.iter().any(|reach| reach.got.has() && !self.is_excepted(reach));
        let looked = self.asked.device.is_none() && self.notice.is_some_and(|notice| self.has_seen(notice));
        if has || looked {
            return Some(true);
        }
        match self.verdict() {
            Verdict::NoReceipt => None,
            // Devices without a name may have caught up since.
            Verdict::Offline if self.person.connections.iter().any(|it| self.is_later(it)) => None,
            _ => Some(false),
        }
    }

    /// Devices of theirs that have it.
    pub fn has_it(&self) -> impl Iterator<Item = &Reach> {
        self.reach.iter().filter(|reach| reach.got.has() && !self.is_excepted(reach))
    }

    /// The connection of theirs that published the event and asked not to get it back.
    pub fn excepted(&self) -> Option<&str> {
        let except = self.event.except.as_deref()?;
        let known = self.person.connections.iter().any(|own| own.connection == except);
        let published = self.asked.sees_all && self.event.actor.as_deref() == Some(self.asked.user.as_str());
        (known || published).then_some(except)
    }

    fn is_excepted(&self, reach: &Reach) -> bool {
        let except = self.excepted();
        let own = self.person.connections.iter().find(|own| Some(own.connection.as_str()) == except);
        own.is_some_and(|own| own.device.as_ref() == Some(&reach.device.device))
    }

    fn taken_back(&self) -> Option<Verdict> {
        let notice = self.notice?;
        if notice.retracted_at.is_some() {
            return Some(Verdict::Retracted);
        }
        notice.expires_at.is_some_and(|end| end <= self.asked.now).then_some(Verdict::Expired)
    }

    fn not_addressed(&self) -> Option<Verdict> {
        if self.met.iter().any(|met| met.by.meets()) {
            return None;
        }
        let is_free = |met: &&Met| !is_reserved(&met.channel);
        Some(match () {
            () if self.met.iter().any(|met| met.by.may_be_in()) => Verdict::NotSubscribed,
            () if self.met.iter().any(|met| is_free(&met)) => Verdict::Forbidden,
            () => Verdict::NotAddressed,
        })
    }

    /// What the person has done with the notice, or keeps it out.
    fn done(&self) -> Option<Verdict> {
        let notice = self.notice?;
        if self.shown.is_muted() {
            return Some(Verdict::Muted);
        }
        let seq = self.event.seq;
        let Some(at) = notice.at else {
            // Nothing is theirs but what went to them alone, once they look.
            let alone = self.is_theirs_alone();
            return (!alone && !self.person.connections.is_empty()).then_some(Verdict::BeforeFirstSeen);
        };
        let follows = notice.follows.iter().any(|(_, since)| *since < seq);
        Some(match () {
            () if at.since >= seq && !self.is_theirs_alone() && !follows => Verdict::BeforeFirstSeen,
            () if at.cleared_to >= seq => Verdict::Cleared,
            () if notice.deleted => Verdict::Deleted,
            () if notice.snoozed_until.is_some_and(|until| until > self.asked.now) => Verdict::Snoozed,
            () if notice.acked_at.is_some() => Verdict::Acked,
            () if notice.archived.unwrap_or(seq <= at.archived_to) => Verdict::Archived,
            () if self.is_read(notice) => Verdict::Read,
            () => return None,
        })
    }

    fn not_received(&self) -> Option<Verdict> {
        if self.has_it().next().is_some() {
            return None;
        }
        if self.excepted().is_some() {
            return Some(Verdict::Excepted);
        }
        let (is_unknown, at) = (self.asked.device.is_some() && self.reach.is_empty(), self.event.at);
        let connections = &self.person.connections;
        let was_connected = connections.iter().any(|connection| was_open(connection, at));
        let got = |wanted: Got| self.reach.iter().any(|reach| reach.got == wanted);
        let away = match self.sent.iter().any(|sent| sent.state.fails()) {
            true => Verdict::WebhookFailing,
            false => Verdict::Offline,
        };
        Some(match () {
            () if is_unknown && connections.is_empty() => Verdict::DeviceUnknown,
            () if self.reach.is_empty() && connections.is_empty() && away == Verdict::Offline => {
                Verdict::NeverConnected
            }
            () if got(Got::Behind) => Verdict::DeviceBehind,
            () if was_connected && self.without_device(at) => Verdict::NoReceipt,
            () if got(Got::Offline) => away,
            () if got(Got::NotInChannel) => Verdict::NotSubscribed,
            () => away,
        })
    }

    fn not_shown(&self) -> Option<Verdict> {
        self.notice?;
        match () {
            () if self.shown.is_silent() => Some(Verdict::NotShown),
            () if self.shown.is_held() => Some(Verdict::QuietHours),
            () => None,
        }
    }

    fn without_device(&self, at: Timestamp) -> bool {
        let mut open = self.person.connections.iter().filter(|connection| was_open(connection, at));
        open.any(|connection| connection.device.is_none())
    }

    fn is_later(&self, connection: &carillon_backplane::log::TracedConnection) -> bool {
        connection.device.is_none() && connection.opened_at > self.event.at
    }

    fn is_theirs_alone(&self) -> bool {
        let own = Channel::user(self.asked.user);
        self.event.channels.contains(&own)
    }

    fn is_read(&self, notice: &TracedNotice) -> bool {
        let read_to = notice.at.map_or(Seq::ZERO, |at| at.read_to);
        notice.read.unwrap_or(self.event.seq <= read_to)
    }

    fn has_seen(&self, notice: &TracedNotice) -> bool {
        let seen_to = notice.at.map_or(Seq::ZERO, |at| at.seen_to);
        self.is_read(notice) || notice.acked_at.is_some() || self.event.seq <= seen_to
    }
}

fn is_reserved(channel: &Channel) -> bool {
    let name = channel.as_str();
    name == "tenant" || name.starts_with("user:") || name.starts_with("role:")
}
