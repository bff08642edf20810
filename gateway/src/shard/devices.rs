//! Which sessions are those of a device, and how far is it?
//!
//! A table beside the rooms: a connection that names no device is not in it and costs nothing. What changes is noted here, and twice a second
//! a bounded number of devices is handed to the node's writer, tenants in turn ([`changed`](super::changed)). What a device acknowledges until
//! then is one record, and an acknowledgement costs one look into the table.

use super::changed::Changed;
use super::connection::Connection;
use super::context::Context;
use super::room::{Room, RoomKey, Rooms};
use super::session::Session;
use super::world::World;
use crate::records::{DeviceKey, DeviceRecord};
use crate::stream::Life;
use carillon_protocol::{DeviceId, Epoch, Seq};
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

/// Between the names of channels in a record: no name holds it.
const BETWEEN: &str = "\u{1f}";

/// The sessions of devices, by connection and room.
#[derive(Default)]
pub(super) struct Devices {
    of: HashMap<(u32, RoomKey), Device, BuildHasherDefault<NumberHasher>>,
    changed: Changed,
    /// What is known of sessions that have gone, and of generations that have ended.
    last: Vec<DeviceRecord>,
}

/// Hashes numbers that the shard gives: nobody else chooses them.
#[derive(Default)]
struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn finish(&self) -> u64 {
        // The highest bits of a product depend on the most of it; the table finds a place by the lowest.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The device of a session.
pub(super) struct Device {
    key: Arc<DeviceKey>,
    /// When it came, in milliseconds since 1970.
    came_ms: u64,
    /// In which generation of the stream, and epoch, the cursors count.
    generation: u32,
    epoch: Epoch,
    delivered: Option<Seq>,
    acked: Option<Seq>,
    /// Where the session began: what came before it says nothing of how long it took.
    began: Seq,
    /// When the newest event came to be handled that was sent to the session, in milliseconds since 1970, until that is handed on.
    acked_ms: Option<u64>,
    /// When the last ping was sent, in the shard's microseconds, and where the session stood.
    pinged: Option<(u64, Seq)>,
    /// Whether its channels are others than those that were stored.
    has_moved: bool,
    /// Whether it is stored though it has acknowledged nothing.
    joins: bool,
    is_listed: bool,
}

/// What is wrong with an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckFault {
    /// The session is no device's.
    NoDevice,
    /// It is beyond what the connection was sent.
    Ahead,
    /// The connection has acknowledged more already.
    Behind(Seq),
    /// It is of an epoch in which this number means another event, or none.
    Epoch,
}

impl Device {
    /// A device that has come now, at `began`, and has got everything up to `delivered`, if that is known. Unless it `joins` the channels that
    /// it names, it is in those that it was in before, and only what it acknowledges is stored.
    pub(super) fn new(
        key: DeviceKey,
        came_ms: u64,
        life: &Life,
        (delivered, began): (Option<Seq>, Seq),
        joins: bool,
    ) -> Self {
        Self {
            key: Arc::new(key),
            came_ms,
            generation: life.number,
            epoch: life.epoch.clone(),
            delivered,
            acked: None,
            began,
            acked_ms: None,
            pinged: None,
            has_moved: joins,
            joins,
            is_listed: false,
        }
    }

    fn is_stored(&self) -> bool {
        self.joins || self.acked.is_some()
    }

    /// Something about it has changed.
    fn note(&mut self, (key, room): (u32, RoomKey), changed: &mut Changed) {
        if self.is_stored() && !std::mem::replace(&mut self.is_listed, true) {
            changed.push(key, room);
        }
    }

    fn record(&mut self, seen_ms: u64, channels: Option<Box<str>>) -> DeviceRecord {
        let acked = self.acked.unwrap_or(Seq::ZERO);
        DeviceRecord {
            key: self.key.clone(),
            generation: self.generation,
            epoch: self.epoch.clone(),
            // What it has handled has reached it.
            delivered: self.delivered.unwrap_or(Seq::ZERO).max(acked),
            acked,
            acked_ms: self.acked_ms.take(),
            first_ms: self.came_ms,
            seen_ms,
            channels,
        }
    }
}

impl Devices {
    /// A turn begins.
    pub(super) fn begin_turn(&mut self, now_ms: u64) {
        self.changed.begin_turn(now_ms);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// When something is to be handed on, in the shard's time.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.changed.due_ms()
    }

    /// A session is that of a device.
    pub(super) fn enter(&mut self, key: u32, room: RoomKey, mut device: Device) {
        device.note((key, room), &mut self.changed);
        self.of.insert((key, room), device);
    }

    /// Which device a session is of, if it is one's.
    pub(super) fn name(&self, key: u32, room: RoomKey) -> Option<&DeviceId> {
        self.of.get(&(key, room)).map(|device| &device.key.device)
    }

    /// A session has joined or left channels.
    pub(super) fn moved(&mut self, key: u32, room: RoomKey) {
        if let Some(device) = self.of.get_mut(&(key, room)) {
            device.has_moved = true;
            device.note((key, room), &mut self.changed);
        }
    }

    /// A device in the present generation of its stream: what it said in one before counts there. With it where to note that it has changed.
    fn present(
        &mut self,
        key: u32,
        room: RoomKey,
        life: &Life,
        seen_ms: u64,
    ) -> Option<(&mut Device, &mut Changed)> {
        let device = self.of.get_mut(&(key, room))?;
        if device.generation != life.number {
            self.last.push(device.record(seen_ms, None));
            (device.generation, device.epoch) = (life.number, life.epoch.clone());
            (device.delivered, device.acked, device.pinged) = (None, None, None);
        }
        Some((device, &mut self.changed))
    }

    /// The device of a session has handled everything up to a number, it says. The session stands at `cursor`.
    pub(super) fn ack(
        &mut self,
        (key, room): (u32, RoomKey),
        (seq, epoch): (Seq, Option<&Epoch>),
        (life, cursor): (&Life, Seq),
        seen_ms: u64,
    ) -> Result<(), AckFault> {
        let Some((device, changed)) = self.present(key, room, life, seen_ms) else {
            return Err(AckFault::NoDevice);
        };
        if epoch.is_some_and(|epoch| *epoch != life.epoch && !life.epochs.honours(epoch, seq)) {
            return Err(AckFault::Epoch);
        }
        if seq > cursor {
            return Err(AckFault::Ahead);
        }
        match device.acked {
            Some(acked) if seq < acked => return Err(AckFault::Behind(acked)),
            Some(acked) if seq == acked => {}
            _ => {
                device.acked = Some(seq);
                if seq > device.began {
                    device.acked_ms = Some(seen_ms);
                }
                device.note((key, room), changed);
            }
        }
        Ok(())
    }

    /// Whether the last ping of a session was longer ago than this; none was sent before the first.
    pub(super) fn was_pinged_before(&self, key: u32, room: RoomKey, before_us: u64) -> bool {
        let device = self.of.get(&(key, room));
        device.is_some_and(|device| device.pinged.is_none_or(|(sent_us, _)| sent_us <= before_us))
    }

    /// A ping is sent behind everything up to `cursor`.
    pub(super) fn pinged(
        &mut self,
        (key, room): (u32, RoomKey),
        (life, cursor): (&Life, Seq),
        sent_us: u64,
        seen_ms: u64,
    ) {
        if let Some((device, _)) = self.present(key, room, life, seen_ms) {
            device.pinged = Some((sent_us, cursor));
        }
    }

    /// The pong of a ping has come: what was written before that ping has reached the client's network stack.
    pub(super) fn answered(&mut self, (key, room): (u32, RoomKey), life: &Life, sent_us: u64, seen_ms: u64) {
        let Some((device, changed)) = self.present(key, room, life, seen_ms) else { return };
        if let Some((_, cursor)) = device.pinged.filter(|(pinged_us, _)| *pinged_us == sent_us) {
            device.delivered = device.delivered.max(Some(cursor));
            device.note((key, room), changed);
        }
    }

    /// A session leaves its room; it is still in its channels.
    pub(super) fn leave(&mut self, key: u32, session: &Session, room: Option<&Room>, seen_ms: u64) {
        let Some(mut device) = self.of.remove(&(key, session.room)) else { return };
        if !device.is_stored() {
            return;
        }
        let channels = room.filter(|_| device.has_moved).map(|room| names(session, room));
        self.last.push(device.record(seen_ms, channels));
        self.changed.is_due_now();
    }
}

/// The channels that a session is in.
pub(super) fn names(session: &Session, room: &Room) -> Box<str> {
    let own = session.channels.channels();
    let names: Vec<&str> = own.iter().filter_map(|own| Some(room.name_of(*own)?.as_str())).collect();
    names.join(BETWEEN).into()
}

/// Hands on what has changed, if it is time or the shard ends.
pub(super) fn hand_on<W: World>(
    devices: &mut Devices,
    connections: &Slab<Connection<W::Socket>>,
    rooms: &Rooms,
    ends: bool,
    context: &Context<W>,
) {
    let Devices { of, changed, last } = devices;
    if changed.due_ms().is_none_or(|due_ms| context.now_ms < due_ms && !ends) {
        return;
    }
    let mut waiting = context.config.records.devices.waiting();
    for record in last.drain(..) {
        waiting.put(record);
    }
    let mut left = if ends { usize::MAX } else { changed.share(context.config.shards) };
    while left > 0
        && let Some((key, room)) = changed.next()
    {
        // Of those that have gone all is known, and another may have its place.
        let Some(device) = of.get_mut(&(key, room)) else { continue };
        if !std::mem::take(&mut device.is_listed) {
            continue;
        }
        let Some(connection) = connections.get(key as usize) else { continue };
        let Some(session) = connection.sessions().iter().find(|session| session.room == room) else {
            continue;
        };
        let Some(place) = rooms.get(room) else { continue };
        let channels = device.has_moved.then(|| names(session, place));
        // What was let go is said again with the next change.
        let was_put = waiting.put(device.record(seen_ms(connection, context), channels));
        device.has_moved &= !was_put;
        left -= 1;
    }
    changed.handed_on();
}

/// When a connection was last heard, in milliseconds since 1970.
pub(super) fn seen_ms<W: World>(connection: &Connection<W::Socket>, context: &Context<W>) -> u64 {
    context.unix_ms.saturating_sub(context.now_ms.saturating_sub(connection.heard_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Stream;
    use crate::stream::ring::RingLimits;
    use carillon_protocol::{DeviceId, TenantId, UserId};
    use proptest::prelude::*;

    const AT: (u32, RoomKey) = (3, RoomKey(1));

    fn life() -> Life {
        let limits = RingLimits { events: 16, bytes: 1 << 20 };
        let epoch = Epoch::new("e1").unwrap();
        Stream::new(TenantId::new("acme").unwrap(), epoch, Seq::ZERO, Seq(1), limits).position().0
    }

    fn device(life: &Life) -> Device {
        let key = DeviceKey {
            tenant: TenantId::new("acme").unwrap(),
            user: UserId::new("mila").unwrap(),
            device: DeviceId::new("phone").unwrap(),
        };
        Device::new(key, 5, life, (None, Seq(3)), true)
    }

    fn devices(life: &Life) -> Devices {
        let mut devices = Devices::default();
        devices.enter(AT.0, AT.1, device(life));
        devices
    }

    fn cursors(devices: &Devices) -> (Seq, Seq) {
        let device = &devices.of[&AT];
        let acked = device.acked.unwrap_or(Seq::ZERO);
        (device.delivered.unwrap_or(Seq::ZERO).max(acked), acked)
    }

    #[test]
    fn when_something_was_handled_is_told_once_and_not_of_what_came_before_the_session() {
        let life = life();
        let mut devices = devices(&life);
        let mut told = |seq: u64, at_ms: u64| {
            devices.ack(AT, (Seq(seq), None), (&life, Seq(9)), at_ms).unwrap();
            devices.of.get_mut(&AT).unwrap().record(at_ms + 50, None).acked_ms
        };
        let all = [(2, 100), (3, 200), (4, 300), (4, 400), (7, 500)].map(|(seq, at_ms)| told(seq, at_ms));
        assert_eq!(all, [None, None, Some(300), None, Some(500)]);
    }

    proptest! {
        /// Whatever is acknowledged, pinged and answered in whatever order: the cursors only move forwards, never past what was sent, and
        /// what was refused has changed nothing.
        #[test]
        fn a_device_is_never_further_than_what_it_was_sent(steps in proptest::collection::vec((0..4u8, 0..50u64), 1..100)) {
            let life = life();
            let mut devices = devices(&life);
            let (mut cursor, mut pings) = (Seq(0), vec![(0, Seq(0))]);
            for (now, (step, value)) in (1u64..).zip(steps) {
                let before = cursors(&devices);
                match step {
                    0 => cursor = cursor.max(Seq(value)),
                    1 => {
                        let result = devices.ack(AT, (Seq(value), None), (&life, cursor), now);
                        if result.is_err() {
                            prop_assert_eq!(cursors(&devices), before);
                        } else {
                            prop_assert_eq!(cursors(&devices).1, Seq(value));
                        }
                        prop_assert_eq!(result == Err(AckFault::Ahead), Seq(value) > cursor);
                    }
                    2 => {
                        devices.pinged(AT, (&life, cursor), now, now);
                        pings.push((now, cursor));
                    }
                    _ => {
                        // Of this ping or an older one: only the last counts, and no other time means anything.
                        let (sent_us, at) = pings[value as usize % pings.len()];
                        devices.answered(AT, &life, sent_us, now);
                        let is_last = pings.len() > 1 && pings.last() == Some(&(sent_us, at));
                        if !is_last {
                            prop_assert_eq!(cursors(&devices), before);
                        } else {
                            prop_assert!(cursors(&devices).0 >= at);
                        }
                    }
                }
                let after = cursors(&devices);
                prop_assert!(after.0 >= before.0 && after.1 >= before.1);
                prop_assert!(after.0 <= cursor && after.1 <= after.0);
            }
        }
    }

    #[test]
    fn of_a_command_only_what_it_acknowledges_is_stored() {
        let life = life();
        let mut devices = devices(&life);
        let mut device = devices.of.remove(&AT).unwrap();
        (device.joins, device.is_listed, devices.changed) = (false, false, Changed::default());
        devices.enter(AT.0, AT.1, device);
        assert_eq!((devices.next_ms(), devices.changed.next()), (None, None));
        assert_eq!(devices.ack(AT, (Seq(3), None), (&life, Seq(9)), 0), Ok(()));
        assert!(devices.next_ms().is_some());
        assert_eq!((devices.changed.next(), devices.changed.next()), (Some(AT), None));
    }

    #[test]
    fn what_was_acknowledged_before_a_new_epoch_does_not_count_in_it() {
        let before = life();
        let after = Life { number: before.number + 1, epoch: Epoch::new("e2").unwrap(), ..life() };
        let mut devices = devices(&before);
        assert_eq!(devices.ack(AT, (Seq(9), None), (&before, Seq(9)), 0), Ok(()));
        devices.pinged(AT, (&before, Seq(9)), 7, 0);
        devices.answered(AT, &after, 7, 0);
        assert_eq!(cursors(&devices), (Seq::ZERO, Seq::ZERO));
        let old = Epoch::new("e1").unwrap();
        let ack = |devices: &mut Devices, seq, epoch: Option<&Epoch>| {
            devices.ack(AT, (Seq(seq), epoch), (&after, Seq(12)), 0)
        };
        assert_eq!(ack(&mut devices, 13, None), Err(AckFault::Ahead));
        let unknown = Epoch::new("e0").unwrap();
        assert_eq!(ack(&mut devices, 3, Some(&unknown)), Err(AckFault::Epoch));
        assert_eq!(ack(&mut devices, 3, None), Ok(()));
        assert_eq!(ack(&mut devices, 2, None), Err(AckFault::Behind(Seq(3))));
        assert_eq!(ack(&mut devices, 3, None), Ok(()));
        // What it had said in the epoch before is handed on as such.
        let last: Vec<_> = devices.last.iter().map(|record| (record.epoch.clone(), record.acked)).collect();
        assert_eq!(last, [(old, Seq(9))]);
    }
}
