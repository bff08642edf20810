//! Which namespaces of Socket.IO are there, and what do the channels of their rooms begin with?
//!
//! Those of `CARILLON_SOCKETIO_NAMESPACES`, set once when the process starts, and the main one, whose rooms are the channels themselves. A
//! connection is in one of them.

use super::packet::MAIN;
use bytes::Bytes;
use carillon_platform::env::Kind;
use carillon_protocol::Channel;
use carillon_protocol::ident::InvalidName;
use std::sync::OnceLock;

/// Beside the main one.
pub const MOST: usize = 15;
/// Bytes of the longest name.
const LONGEST_NAME: usize = 64;

static NAMED: OnceLock<Vec<Named>> = OnceLock::new();

/// A namespace beside the main one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// Its name, with the slash.
    pub name: Box<str>,
    /// What the names of its rooms' channels begin with.
    pub prefix: Box<str>,
}

/// Says which there are. Only the first who says so is heard.
pub fn set(named: Vec<Named>) {
    let _ = NAMED.set(named);
}

fn named() -> &'static [Named] {
    NAMED.get().map_or(&[], Vec::as_slice)
}

/// The namespace that a connection is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace(u8);

impl Namespace {
    /// The one that is always there.
    pub const MAIN: Self = Self(0);

    /// The one with this name.
    pub fn find(name: &str) -> Option<Self> {
        if name == MAIN {
            return Some(Self::MAIN);
        }
        let at = named().iter().position(|named| &*named.name == name)?;
        u8::try_from(at + 1).ok().map(Self)
    }

    fn named(self) -> Option<&'static Named> {
        named().get(usize::from(self.0).checked_sub(1)?)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.named().map_or(MAIN, |named| &named.name)
    }

    /// The channel of one of its rooms. What the platform gives its meaning has the same name everywhere.
    ///
    /// # Errors
    /// The name would be too long, or one that the platform gives its meaning.
    pub fn channel(self, room: Channel) -> Result<Channel, InvalidName> {
        match self.named() {
            Some(named) if !room.is_reserved() => {
                let channel = Channel::new(format!("{}{room}", named.prefix))?;
                let refused = InvalidName { what: "channel", allowed: Channel::ALLOWED };
                if channel.is_reserved() { Err(refused) } else { Ok(channel) }
            }
            _ => Ok(room),
        }
    }

    /// The channels of all rooms that a pattern names.
    pub fn pattern(self, rooms: &str) -> String {
        match self.named() {
            Some(named) if !is_of_the_platform(rooms) => format!("{}{rooms}", named.prefix),
            _ => rooms.to_owned(),
        }
    }

    /// The room of a channel, or the rooms of a pattern; the name itself where it is none of this namespace.
    pub fn room(self, channel: &str) -> &str {
        if is_of_the_platform(channel) {
            return channel;
        }
        let is_room = |room: &&str| {
            let begin = room.strip_suffix('*').unwrap_or(room);
            let is_pattern = begin.len() < room.len() && begin.is_empty();
            !is_of_the_platform(room) && (is_pattern || Channel::new(begin).is_ok())
        };
        let room = self.named().and_then(|named| channel.strip_prefix(&*named.prefix));
        room.filter(is_room).unwrap_or(channel)
    }
}

/// Whether the platform gives this channel, or all that this pattern names, its meaning.
fn is_of_the_platform(name: &str) -> bool {
    name == "tenant" || name.starts_with("user:") || name.starts_with("role:")
}

/// A message in `N` forms, each made for the first who needs it; those of other namespaces than the main one only where there are any.
#[derive(Debug)]
pub struct Forms<const N: usize> {
    main: [OnceLock<Bytes>; N],
    others: OnceLock<Box<[OnceLock<Bytes>]>>,
}

impl<const N: usize> Default for Forms<N> {
    fn default() -> Self {
        Self { main: std::array::from_fn(|_| OnceLock::new()), others: OnceLock::new() }
    }
}

impl<const N: usize> Forms<N> {
    /// The form of this number in a namespace, made now if it was not; `charge` is told what that takes. None if there is no such form.
    pub fn get(
        &self,
        namespace: Namespace,
        number: usize,
        make: impl FnOnce() -> Bytes,
        charge: impl Fn(usize),
    ) -> Option<&Bytes> {
        let place = match usize::from(namespace.0).checked_sub(1) {
            None => self.main.get(number)?,
            Some(at) => {
                let others = self.others.get_or_init(|| {
                    let count = N * named().len();
                    charge(count * size_of::<OnceLock<Bytes>>());
                    (0..count).map(|_| OnceLock::new()).collect()
                });
                others.get(at * N..)?.get(..N)?.get(number)?
            }
        };
        Some(place.get_or_init(|| {
            let message = make();
            charge(message.len());
            message
        }))
    }
}

/// Names of namespaces with what their channels begin with.
#[derive(Debug, Clone, Copy)]
pub struct Namespaces;

impl Kind for Namespaces {
    type Value = Vec<Named>;

    fn parse(&self, text: &str) -> Result<Vec<Named>, String> {
        let mut all: Vec<Named> = Vec::new();
        for item in text.split(',').map(str::trim) {
            let (name, prefix) = item
                .split_once('=')
                .ok_or_else(|| format!("{item:?} has no = and no beginning of a channel"))?;
            let is_name = name.len() > 1
                && name.len() <= LONGEST_NAME
                && name.starts_with('/')
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte));
            if !is_name {
                return Err(format!("{name:?} is no name: a slash and up to 63 letters, digits or -_.~/"));
            }
            let is_prefix = !prefix.is_empty()
                && Channel::new(format!("{prefix}a")).is_ok_and(|channel| !channel.is_reserved());
            if !is_prefix {
                return Err(format!("{prefix:?} is nothing that a channel may begin with"));
            }
            if all.iter().any(|other| *other.name == *name) {
                return Err(format!("names {name} twice"));
            }
            all.push(Named { name: name.into(), prefix: prefix.into() });
        }
        if all.len() > MOST { Err(format!("names more than {MOST}")) } else { Ok(all) }
    }

    fn allowed(&self) -> String {
        format!(
            "up to {MOST}, separated by commas: a name, = and what its rooms' channels begin with, for example /chat=chat:,/admin=admin:"
        )
    }
}

/// What unit tests have: `/chat`, whose rooms are channels `chat:…`, and `/u`, whose channels begin as those of a user do.
#[cfg(test)]
pub(crate) fn chat() -> Namespace {
    set(Namespaces.parse("/chat=chat:,/u=user").unwrap());
    Namespace::find("/chat").unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_beginnings_are_read_and_what_is_wrong_is_named() {
        let parse = |text: &str| Namespaces.parse(text);
        let all = parse("/chat=chat:, /admin/log=log:x").unwrap();
        assert_eq!(
            all.iter().map(|it| (&*it.name, &*it.prefix)).collect::<Vec<_>>(),
            [("/chat", "chat:"), ("/admin/log", "log:x")]
        );
        for (wrong, word) in [
            ("/chat", "no ="),
            ("chat=chat:", "no name"),
            ("/=chat:", "no name"),
            ("/a b=chat:", "no name"),
            ("/chat=", "begin with"),
            ("/chat=a b", "begin with"),
            ("/chat=user:", "begin with"),
            ("/chat=a:,/chat=b:", "twice"),
        ] {
            assert!(parse(wrong).unwrap_err().contains(word), "{wrong}");
        }
        let many: Vec<String> = (0..=MOST).map(|at| format!("/n{at}=n{at}:")).collect();
        assert!(parse(&many.join(",")).unwrap_err().contains("more than 15"));
    }

    #[test]
    fn a_room_is_a_channel_with_the_beginning_of_its_namespace() {
        let chat = chat();
        let channel = |room: &str| chat.channel(Channel::new(room).unwrap()).unwrap();
        assert_eq!((chat.name(), channel("7").as_str(), chat.room("chat:7")), ("/chat", "chat:7", "7"));
        assert_eq!((channel("user:mila").as_str(), chat.room("user:mila")), ("user:mila", "user:mila"));
        assert_eq!(
            (chat.room("chat:user:mila"), chat.room("chat:"), chat.room("b:7")),
            ("chat:user:mila", "chat:", "b:7")
        );
        let main = Namespace::find("/").unwrap();
        assert_eq!(
            (main.channel(Channel::new("7").unwrap()).unwrap().as_str(), main.room("chat:7")),
            ("7", "chat:7")
        );
        // A beginning may be that of a reserved name: what it would make of a room is none.
        let user = Namespace::find("/u").unwrap();
        assert!(user.channel(Channel::new(":mila").unwrap()).is_err());
        assert_eq!((user.room("user:mila"), user.room("users")), ("user:mila", "s"));
        assert_eq!((user.room("tenant"), user.room("role:a")), ("tenant", "role:a"));
        // A pattern is one of rooms.
        for (rooms, channels) in
            [("*", "chat:*"), ("a:*", "chat:a:*"), ("user:*", "user:*"), ("role:a*", "role:a*")]
        {
            assert_eq!((&*chat.pattern(rooms), chat.room(channels)), (channels, rooms));
        }
        assert_eq!((chat.room("b:*"), &*main.pattern("a:*")), ("b:*", "a:*"));
        assert_eq!(Namespace::find("/nobody"), None);
        let long = Channel::new("x".repeat(carillon_protocol::limits::CHANNEL_BYTES)).unwrap();
        assert!(chat.channel(long).is_err());
    }

    #[test]
    fn each_form_is_made_once_and_counted() {
        let forms = Forms::<2>::default();
        let charged = std::cell::Cell::new(0);
        let get = |namespace, number, text: &'static str| {
            forms
                .get(
                    namespace,
                    number,
                    || Bytes::from_static(text.as_bytes()),
                    |bytes| charged.set(charged.get() + bytes),
                )
                .cloned()
        };
        let chat = chat();
        assert_eq!(get(Namespace::MAIN, 0, "abc"), Some(Bytes::from_static(b"abc")));
        assert_eq!((get(Namespace::MAIN, 0, "x"), charged.get()), (Some(Bytes::from_static(b"abc")), 3));
        assert_eq!(get(chat, 0, "de"), Some(Bytes::from_static(b"de")));
        assert_eq!(get(chat, 1, "f"), Some(Bytes::from_static(b"f")));
        assert_eq!(charged.get(), 3 + 2 * named().len() * size_of::<OnceLock<Bytes>>() + 3);
        assert_eq!(get(chat, 2, "g"), None);
    }
}
