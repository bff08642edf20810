//! What does the model's Redis do, and who hears of it?

use super::*;

impl World {
    pub(super) fn carry_out(&mut self, node: &mut Node, place: usize, asked: Asked) {
        let (now_ms, me) = (self.now_ms, node.origin.clone());
        match asked {
            Asked::Write(writing) => {
                if self.faults && self.rng.u8(..40) == 0 {
                    // Nobody knows whether it was written.
                    if self.rng.bool() {
                        let _ = self.write(&me, place, writing);
                    }
                    return node.presence.written(&self.tenant, false, now_ms);
                }
                if let Writing::Anew { n, people } = writing {
                    let first = self.begin_anew(&me, n, people);
                    let at_ms = now_ms + if self.faults { self.rng.u64(0..4) * TICK_MS } else { 0 };
                    return node.under_way.push((at_ms, Asked::End { n, first }));
                }
                let was_whole = self.write(&me, place, writing);
                node.presence.written(&self.tenant, was_whole, now_ms);
            }
            Asked::End { n, first } => {
                let is_whole = self.end_anew(&me, place, n, first);
                node.presence.written(&self.tenant, is_whole, now_ms);
            }
            Asked::Heads => {
                if let Some(hash) = self.redis.hashes.get_mut(&me) {
                    hash.until_ms = now_ms + LEASE_MS;
                }
                let heads = self.redis.heads.clone().into_iter().collect();
                let failed = self.faults && self.rng.u8(..20) == 0;
                node.presence.heads(&self.tenant, (!failed).then_some(heads), now_ms);
            }
            // The number first, then one half of the fields, then the other; meanwhile others go on.
            Asked::Read { of, n, half, phase } => {
                if self.faults && self.rng.u8(..20) == 0 {
                    return node.presence.stored(&self.tenant, &of, Read::Failed, now_ms);
                }
                let n = if phase == 0 { self.redis.hashes.get(&of).and_then(|hash| hash.n) } else { n };
                if n.is_none() {
                    return node.presence.stored(&self.tenant, &of, Read::Absent, now_ms);
                }
                if phase < 2 {
                    let half = if phase == 1 { self.fields(&of, 0) } else { half };
                    let next = Asked::Read { of, n, half, phase: phase + 1 };
                    return node.under_way.push((now_ms + self.rng.u64(0..3) * TICK_MS, next));
                }
                let people = [half, self.fields(&of, 1)].concat();
                let read = n.map_or(Read::Absent, |n| Read::Whole(Stored { n, people }));
                node.presence.stored(&self.tenant, &of, read, now_ms);
            }
            Asked::Forget(origin) => {
                self.redis.heads.remove(&origin);
                self.redis.hashes.remove(&origin);
            }
        }
    }

    fn is_early(channel: &Channel, user: &UserId) -> bool {
        (channel.as_str().len() + user.as_str().bytes().map(usize::from).sum::<usize>()).is_multiple_of(2)
    }

    /// The early or the late half of a hash.
    fn fields(&self, of: &Origin, half: u8) -> Vec<(Channel, UserId, u64, Entry)> {
        let people = self.redis.hashes.get(of).into_iter().flat_map(|hash| &hash.people);
        let all =
            people.map(|((channel, user), (n, entry))| (channel.clone(), user.clone(), *n, entry.clone()));
        all.filter(|(channel, user, ..)| Self::is_early(channel, user) == (half == 0)).collect()
    }

    /// Whether all of it is there now: a change finds what it changes, or not.
    fn write(&mut self, me: &Origin, place: usize, writing: Writing) -> bool {
        match writing {
            Writing::Anew { n, people } => {
                let first = self.begin_anew(me, n, people);
                self.end_anew(me, place, n, first)
            }
            Writing::Change(change) => {
                let hash = self.redis.hashes.entry(me.clone()).or_default();
                let was_whole = hash.n.is_some();
                (hash.n, hash.until_ms) = (Some(change.n), self.now_ms + LEASE_MS);
                for item in &change.items {
                    let key = (item.channel.clone(), item.user.clone());
                    match &item.what {
                        What::Here(entry) => drop(hash.people.insert(key, (change.n, entry.clone()))),
                        What::Gone { .. } => drop(hash.people.remove(&key)),
                    }
                }
                self.announce(me, place, &change);
                was_whole
            }
        }
    }

    /// Everybody, without a number; answers the first of them.
    fn begin_anew(
        &mut self,
        me: &Origin,
        n: u64,
        people: Vec<(Channel, UserId, Entry)>,
    ) -> Option<(Place, Entry)> {
        let mut people = people.into_iter().map(|(channel, user, entry)| ((channel, user), entry));
        let first = people.next();
        let people = first.clone().into_iter().chain(people).map(|(key, entry)| (key, (n, entry))).collect();
        let until_ms = self.now_ms + LEASE_MS;
        self.redis.hashes.insert(me.clone(), Hash { n: None, people, until_ms });
        first
    }

    /// The number, and the first person once more: were they not there, the others are not either.
    fn end_anew(&mut self, me: &Origin, place: usize, n: u64, first: Option<(Place, Entry)>) -> bool {
        let hash = self.redis.hashes.entry(me.clone()).or_default();
        (hash.n, hash.until_ms) = (Some(n), self.now_ms + LEASE_MS);
        let was_there = first.is_none_or(|(key, entry)| hash.people.insert(key, (n, entry)).is_some());
        self.announce(me, place, &Change { n, items: Vec::new() });
        was_there
    }

    /// The number among the others, and the word to all.
    fn announce(&mut self, me: &Origin, place: usize, change: &Change) {
        self.redis.heads.insert(me.clone(), change.n);
        for other in 0..self.nodes.len() {
            if other == place || (self.faults && self.rng.u8(..20) == 0) {
                continue;
            }
            for _ in 0..if self.faults && self.rng.u8(..20) == 0 { 2 } else { 1 } {
                let at_ms = self.now_ms + if self.faults { self.rng.u64(0..5) * TICK_MS } else { TICK_MS };
                // Some hear before they can read.
                let hears = self.rng.u8(..4) == 0;
                if let Some(node) = self.nodes[other].as_mut().filter(|node| node.was_up || hears) {
                    node.heard.push((at_ms, me.clone(), change.clone()));
                }
            }
        }
    }
}
