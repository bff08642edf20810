//! Is everybody found who is in a channel, by its name, a pattern or a list of types, until they have left?

use super::*;
use crate::budget::Budget;
use crate::stream::ring::RingLimits;
use carillon_protocol::{Epoch, TenantId};

fn room() -> Room {
    let limits = RingLimits { events: 16, bytes: 1 << 10 };
    let (tenant, epoch) = (TenantId::new("acme").unwrap(), Epoch::new("e1").unwrap());
    Room::new(Arc::new(Stream::new(tenant, epoch, Seq::ZERO, Seq(1), limits)))
}

fn channels(names: &[&str]) -> Vec<Channel> {
    names.iter().map(|name| Channel::new(name).unwrap()).collect()
}

/// An event of this type in these channels.
fn event(names: &[&str], kind: &str) -> Entry {
    let json = format!(r#"{{"type":"event","event":{{"type":"{kind}"}}}}"#);
    let budget = Budget::new(usize::MAX);
    Entry::new(Seq(1), channels(names).into(), json.as_bytes(), 0, |bytes| budget.charge(bytes))
}

#[test]
fn members_that_want_the_same_types_are_one_group_until_the_last_has_left() {
    let mut room = room();
    let order = &channels(&["order:7"])[0];
    let types = |texts: &[&str]| Arc::new(TypeFilter::new(texts.iter().copied()).unwrap());
    let (paid, all) = (types(&["paid", "order.*"]), types(&["*"]));
    let one = room.join(order, Some(&paid), 1);
    let two = room.join(order, Some(&types(&["order.*", "paid"])), 2);
    assert_eq!((two.channel, two.place), (one.channel, 1), "written in another order");
    let three = room.join(order, Some(&all), 3);
    let four = room.watch(&ChannelPattern::new("order:*").unwrap(), Some(&paid), 4);
    let five = room.join(order, None, 5);
    let wanting = |room: &Room, names: &[&str], kind: &str| {
        let event = event(names, kind);
        let mut all: Vec<u32> = room.wanting(&event).flat_map(|(_, members)| members.to_vec()).collect();
        all.sort_unstable();
        all
    };
    assert_eq!(wanting(&room, &["order:7"], "order.new"), [1, 2, 3, 4]);
    assert_eq!(wanting(&room, &["order:7"], "seen"), [3]);
    assert_eq!(wanting(&room, &["order:8"], "paid"), [4]);
    assert_eq!(room.in_channel(order).map(|(_, members)| members), Some(&[5][..]));
    assert_eq!(room.channels().count(), 3, "the channel and its groups, without the pattern");
    assert!(room.is_watched() && room.name_of(four.channel).is_none());
    assert_eq!(room.name_of(one.channel), Some(order));
    let mut session = Memberships::with_capacity(1);
    session.insert(one);
    assert_eq!(room.own_key(&session, order), Some(one.channel));
    assert!(room.leads_to(one.channel, order, Some(&*paid)) && !room.leads_to(one.channel, order, None));
    assert!(room.is_for(&session, &event(&["order:7"], "paid")));
    assert!(!room.is_for(&session, &event(&["order:7"], "seen")));
    assert_eq!(room.leave(one), Some(2));
    for membership in [Membership { place: 0, ..two }, three, four, five] {
        room.leave(membership);
    }
    assert!(!room.has_groups() && !room.is_watched() && room.channels().count() == 0);
}

#[test]
fn whoever_is_in_few_groups_is_found_without_a_look_at_all_of_a_channel() {
    const GROUPS: u32 = 20_000;
    let mut room = room();
    let order = &channels(&["order:7"])[0];
    let one = |n: u32| Arc::new(TypeFilter::new([&*format!("type-{n}")]).unwrap());
    let all: Vec<Membership> = (0..GROUPS).map(|n| room.join(order, Some(&one(n)), n)).collect();
    let by_pattern = room.watch(&ChannelPattern::new("order:*").unwrap(), Some(&one(GROUPS)), 1);
    let mut few = Memberships::with_capacity(2);
    few.insert(all[7]);
    few.insert(by_pattern);
    let mut many = Memberships::with_capacity(GROUPS as usize);
    all.iter().for_each(|own| many.insert(*own));
    let began = std::time::Instant::now();
    for _ in 0..1_000 {
        assert_eq!(room.own_key(&few, order), Some(all[7].channel));
        assert!(room.is_for(&few, &event(&["order:7"], "type-7")));
        assert!(room.is_for(&few, &event(&["order:8"], &format!("type-{GROUPS}"))));
        assert!(!room.is_for(&few, &event(&["order:7"], "type-8")));
        assert!(!room.is_for(&few, &event(&["other"], "type-7")));
    }
    // A look at each takes more than a minute.
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(5), "{took:?}");
    assert!(room.own_key(&many, order).is_some_and(|key| many.contains(key)));
    assert!(room.is_for(&many, &event(&["order:7"], "type-9")));
    assert!(!room.is_for(&many, &event(&["order:7"], &format!("type-{GROUPS}"))));
    assert_eq!(room.own_key(&few, &channels(&["order:8"])[0]), None, "a pattern is no membership of its own");
}

#[test]
fn patterns_find_their_members_until_the_last_has_left() {
    let mut room = room();
    let watch =
        |room: &mut Room, text: &str, member| room.watch(&ChannelPattern::new(text).unwrap(), None, member);
    let found = |room: &Room, names: &[&str]| -> Vec<u32> {
        let mut found: Vec<u32> =
            room.watchers(&channels(names)).flat_map(|(_, members)| members.to_vec()).collect();
        found.sort_unstable();
        found
    };
    assert!(!room.is_watched());
    let contacts = watch(&mut room, "contact:*", 1);
    let same = watch(&mut room, "contact:*", 2);
    assert_eq!((same.channel, same.place), (contacts.channel, 1));
    let people = watch(&mut room, "user:*", 2);
    let joined = room.join(&channels(&["order:7"])[0], None, 3);
    assert_eq!(found(&room, &["contact:9"]), [1, 2]);
    assert_eq!(found(&room, &["order:7", "user:mila"]), [2]);
    assert_eq!(found(&room, &["tenant", "order:7"]), [0; 0]);
    assert_eq!((room.name_of(people.channel), room.name_of(joined.channel).is_some()), (None, true));
    let mut session = Memberships::with_capacity(2);
    session.insert(same);
    session.insert(joined);
    for (names, wanted) in [
        (&["contact:1"][..], true),
        (&["order:7"], true),
        (&["user:mila", "contact:1"], true),
        (&["user:mila", "contact"], false),
    ] {
        assert_eq!(room.is_for(&session, &event(names, "x")), wanted, "{names:?}");
    }
    assert_eq!(room.leave(contacts), Some(2), "whoever was last stands in its place");
    assert_eq!(room.leave(Membership { place: 0, ..same }), None);
    assert_eq!(room.leave(people), None);
    assert!(!room.is_watched() && found(&room, &["contact:9", "user:mila"]).is_empty());
    assert_eq!(room.in_channel(&channels(&["order:7"])[0]), Some((joined.channel, &[3][..])));
}
