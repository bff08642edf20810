//! I3: does somebody who comes back from another node get again what they heard there?
//!
//! A stream has an event a moment before its shards are told of it, and a room that has just been written to rests. Whoever has
//! got the event elsewhere meanwhile is ahead of the room that they come into.

use super::footprint_tests::{Rig, authorized};
use super::messages::{Coming, ToShard};
use crate::authorize::Resume;
use carillon_protocol::{Epoch, Seq};
use std::io::Read;

impl Rig {
    /// One more connection, of somebody who has got everything up to this event.
    fn comes_back(&mut self, seq: u64) {
        let mut authorized = authorized(self.clients.len(), &self.stream, "class:7b");
        authorized.resume = Resume::From { epoch: Epoch::new("e1").unwrap(), seq: Seq(seq) };
        self.accept(Coming::Admitted(Box::new(authorized)));
    }

    /// The events that a client has got since.
    fn events(&mut self, client: usize) -> Vec<u64> {
        let mut buffer = vec![0; 64 * 1024];
        let read = self.clients[client].read(&mut buffer).unwrap_or(0);
        let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
        let after = text.split("\"type\":\"event\",\"seq\":").skip(1);
        after.map(|rest| rest.split(',').next().unwrap().parse().unwrap()).collect()
    }

    fn told(&mut self) {
        assert!(self.shard.turn([], [ToShard::News(self.stream.clone())]));
    }
}

#[test]
fn i3_whoever_comes_back_ahead_of_their_room_gets_no_event_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.publish(1);
    rig.publish(2);
    // The shard has not been told yet.
    rig.comes_back(2);
    rig.comes_back(1);
    rig.told();
    rig.publish(3);
    rig.told();
    // The room rests now, and is at 3.
    rig.publish(4);
    rig.told();
    rig.comes_back(4);
    rig.publish(5);
    rig.told();
    let wanted = [vec![1, 2, 3, 4, 5], vec![3, 4, 5], vec![2, 3, 4, 5], vec![5]];
    for (client, wanted) in wanted.into_iter().enumerate() {
        // A room that rests is woken in a later turn.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let mut got = Vec::new();
        while got.last() != Some(&5) && std::time::Instant::now() < deadline {
            assert!(rig.shard.turn([], []));
            got.extend(rig.events(client));
        }
        assert_eq!(got, wanted, "client {client}");
    }
}
