//! Who comes, moves, types, says something and goes in the five businesses?
//!
//! Pure, as the story is: the same seed and the same answers give the same visits.

use super::{appointments, crm, leads, school, shop};
use crate::client::dice::Dice;

/// The people of each business who use its panel.
const PEOPLE: [(&str, [&str; 3]); 5] = [
    (appointments::TENANT, ["boris", "carla", "dina"]),
    (crm::TENANT, ["elif", "marta", "pavel"]),
    (leads::TENANT, ["hana", "leo", "sami"]),
    (shop::TENANT, ["omar", "sara", "yara"]),
    (school::TENANT, ["dora", "ms-lind", "teo"]),
];
/// In a hundred steps, how many are the studio's before all businesses are asked: it is the one that people watch.
const STUDIO: u32 = 40;
const NOTES: [&str; 5] = [
    "back in five minutes",
    "who has the keys?",
    "the client is here",
    "done with the list",
    "calling her now",
];
const STATES: [&str; 3] = ["free", "busy", "on break"];
/// The pages of a panel; the first is where whoever comes begins.
pub(super) const PAGES: [&str; 4] = ["start", "calendar", "clients", "reports"];

/// Most people who can be there at a time.
pub const MOST: usize = PEOPLE.len() * 3;

/// The people of a business.
pub(super) fn people_of(tenant: &str) -> &'static [&'static str] {
    PEOPLE.iter().find(|(name, _)| *name == tenant).map_or(&["nobody"], |(_, people)| people)
}

/// One of the people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Somebody {
    /// Where.
    pub tenant: &'static str,
    /// Who.
    pub user: &'static str,
}

/// What somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Connects.
    Comes,
    /// Goes to another page of the panel: whoever sees who is there sees where.
    Moves(&'static str),
    /// Begins to type.
    Types,
    /// Ends typing and says it to who is there.
    Says(&'static str),
    /// Is free, busy or on break from now on: the latest value of this person.
    Is(&'static str),
    /// Says goodbye.
    Goes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Away,
    /// There, on this page, with so many things done.
    Here(usize, u32),
    Typing(usize, u32),
}

/// All visits.
pub struct Visits {
    dice: Dice,
    people: Vec<(Somebody, Place)>,
    most: usize,
}

impl Visits {
    /// Of all five businesses, or only of `tenant`; at most `most` people are there at a time.
    pub fn new(seed: u64, tenant: Option<&str>, most: usize) -> Self {
        let wanted = PEOPLE.iter().filter(|(name, _)| tenant.is_none_or(|only| only == *name));
        let people =
            wanted.flat_map(|(tenant, users)| users.map(|user| (Somebody { tenant, user }, Place::Away)));
        // Other choices than the story's.
        Self { dice: Dice::seeded(seed.wrapping_add(1)), people: people.collect(), most }
    }

    /// The tenants with people.
    pub fn tenants(&self) -> Vec<&'static str> {
        let mut tenants: Vec<_> = self.people.iter().map(|(somebody, _)| somebody.tenant).collect();
        tenants.dedup();
        tenants
    }

    /// What happens next; nothing when nobody may come.
    pub fn step(&mut self) -> Option<(Somebody, Act)> {
        let here = self.people.iter().filter(|(_, place)| *place != Place::Away).count();
        let is_full = here >= self.most;
        let may: Vec<usize> =
            (0..self.people.len()).filter(|n| !is_full || self.people[*n].1 != Place::Away).collect();
        let studio: Vec<usize> =
            may.iter().copied().filter(|n| self.people[*n].0.tenant == appointments::TENANT).collect();
        let those = if !studio.is_empty() && self.dice.chance(STUDIO) { studio } else { may };
        let (somebody, place) = self.people.get_mut(*those.get(self.dice.below(those.len()))?)?;
        let (act, now) = match *place {
            Place::Away => (Act::Comes, Place::Here(0, 0)),
            Place::Typing(page, done) => (Act::Says(self.dice.pick(&NOTES)), Place::Here(page, done + 1)),
            Place::Here(_, done) if done >= 2 && self.dice.chance(30) => (Act::Goes, Place::Away),
            Place::Here(page, done) if self.dice.chance(30) => {
                (Act::Is(self.dice.pick(&STATES)), Place::Here(page, done + 1))
            }
            Place::Here(page, done) if self.dice.chance(30) => {
                let other = (page + 1 + self.dice.below(PAGES.len() - 1)) % PAGES.len();
                (Act::Moves(PAGES[other]), Place::Here(other, done + 1))
            }
            Place::Here(page, done) => (Act::Types, Place::Typing(page, done)),
        };
        *place = now;
        Some((*somebody, act))
    }

    /// Somebody's connection has ended.
    pub fn lost(&mut self, who: Somebody) {
        self.people
            .iter_mut()
            .filter(|(somebody, _)| *somebody == who)
            .for_each(|(_, place)| *place = Place::Away);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn people_come_before_they_do_something_and_never_more_than_there_may_be() {
        let mut visits = Visits::new(7, None, 4);
        let (mut here, mut typing, mut seen) = (HashMap::new(), HashSet::new(), HashMap::new());
        for _ in 0..5_000 {
            let (who, act) = visits.step().unwrap();
            *seen.entry(std::mem::discriminant(&act)).or_insert(0) += 1;
            match act {
                Act::Comes => assert_eq!(here.insert(who, PAGES[0]), None, "{who:?} was there"),
                Act::Moves(page) => {
                    assert!(here.insert(who, page).is_some_and(|before| before != page), "to another page")
                }
                Act::Types => assert!(here.contains_key(&who) && typing.insert(who)),
                Act::Says(_) => assert!(here.contains_key(&who) && typing.remove(&who)),
                Act::Is(_) => assert!(here.contains_key(&who)),
                Act::Goes => assert!(here.remove(&who).is_some() && !typing.contains(&who)),
            }
            assert!(here.len() <= 4);
        }
        assert_eq!(seen.len(), 6, "everything happens: {seen:?}");
    }

    #[test]
    fn one_business_alone_can_be_had_and_nobody_is_asked_for_when_nobody_may_come() {
        let mut visits = Visits::new(7, Some(crm::TENANT), 2);
        assert!((0..200).all(|_| visits.step().unwrap().0.tenant == crm::TENANT));
        assert_eq!(visits.tenants(), [crm::TENANT]);
        assert_eq!(Visits::new(7, None, 0).step(), None);
    }

    #[test]
    fn whoever_lost_the_connection_comes_again() {
        let mut visits = Visits::new(3, Some(crm::TENANT), 1);
        let (who, act) = visits.step().unwrap();
        assert_eq!(act, Act::Comes);
        visits.lost(who);
        assert_eq!(visits.step().unwrap().1, Act::Comes);
    }
}
