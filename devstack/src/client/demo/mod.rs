//! What happens in five businesses that use Carillon, event by event?
//!
//! A [`Story`] is pure: the same seed and the same times tell the same story. Each business is a tenant with its own
//! people and rooms, and what happens to one thing happens in order: an appointment is booked, then confirmed, then over.
//! Beside it go the [`Visits`]: people who come, type, say something, are free or busy, and go; and `DemoNotices`:
//! notices in inboxes, and the event types, preferences and webhooks of each business.

mod appointments;
mod crm;
mod leads;
mod notices;
mod people;
mod receiver;
mod run;
mod school;
mod shop;
mod visitors;
mod visits;

#[cfg(test)]
mod tests;

use jiff::{Span, Timestamp};

use super::dice::Dice;
use super::post::Post;

pub use run::{DemoError, play, run};
pub use visits::{Act, MOST, Somebody, Visits};

/// The demo tenants: appointments of a photo studio, a wellness company, a marketing team, a WhatsApp shop, a school.
pub const TENANTS: [&str; 5] =
    [appointments::TENANT, crm::TENANT, leads::TENANT, shop::TENANT, school::TENANT];

/// In a hundred events, how many are the studio's before all businesses are asked: it is the one that people watch.
const STUDIO: u32 = 40;

/// Things one business is busy with at a time; with more it first brings some to an end.
const OPEN_THINGS: usize = 12;

/// Accepts the name of a demo tenant.
pub fn tenant_name(text: &str) -> Result<String, String> {
    match TENANTS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("is none of {}", TENANTS.join(", "))),
    }
}

/// A business that always has a next event.
trait Business: Send {
    fn next(&mut self, dice: &mut Dice, now: Timestamp) -> Post;
}

/// What happens in all of the businesses, or in one.
pub struct Story {
    dice: Dice,
    businesses: Vec<Box<dyn Business>>,
}

impl Story {
    /// The story of all five businesses, or only of `tenant`.
    pub fn new(seed: u64, tenant: Option<&str>) -> Self {
        let all: [(&str, Box<dyn Business>); 5] = [
            (appointments::TENANT, Box::<appointments::Studio>::default()),
            (crm::TENANT, Box::<crm::Wellness>::default()),
            (leads::TENANT, Box::<leads::Marketing>::default()),
            (shop::TENANT, Box::<shop::Shop>::default()),
            (school::TENANT, Box::<school::School>::default()),
        ];
        let wanted = |name: &str| tenant.is_none_or(|only| only == name);
        let businesses = all.into_iter().filter(|(name, _)| wanted(name)).map(|(_, business)| business);
        Self { dice: Dice::seeded(seed), businesses: businesses.collect() }
    }

    /// The next event, as of `now`; none when no business has the wanted name.
    pub fn next(&mut self, now: Timestamp) -> Option<Post> {
        let watched = self.businesses.len() == TENANTS.len() && self.dice.chance(STUDIO);
        let which = if watched { 0 } else { self.dice.below(self.businesses.len()) };
        Some(self.businesses.get_mut(which)?.next(&mut self.dice, now))
    }
}

/// Whether a business that has `open` things on its hands begins another one.
fn begins_another(dice: &mut Dice, open: usize) -> bool {
    open == 0 || (open < OPEN_THINGS && dice.chance(35))
}

/// A full or half hour of a working day, `days` after `now`, as people write it.
fn slot(dice: &mut Dice, now: Timestamp, days: u32) -> String {
    let day = now.checked_add(Span::new().hours(i64::from(days) * 24)).unwrap_or(now);
    let (hour, minute) = (dice.between(9, 17), dice.pick(&["00", "30"]));
    format!("{} {hour:02}:{minute}", day.strftime("%Y-%m-%d"))
}
