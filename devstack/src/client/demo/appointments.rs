//! What happens in a photo studio that takes bookings through a Telegram bot?

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Business, begins_another, people, slot};
use crate::client::dice::Dice;
use crate::client::post::Post;
use crate::token::DEMO_TENANT;

pub(super) const TENANT: &str = DEMO_TENANT;
const STAFF: [&str; 3] = ["anna", "boris", "carla"];
const SERVICES: [(&str, u32, u32); 5] = [
    ("Passport photo", 15, 20),
    ("Family portrait", 60, 140),
    ("Business portrait", 45, 110),
    ("Newborn session", 90, 220),
    ("Product shooting", 120, 350),
];
const ROOMS: [&str; 3] = ["Studio 1", "Studio 2", "Daylight room"];

#[derive(Default)]
pub(super) struct Studio {
    booked: u32,
    open: Vec<Booking>,
}

struct Booking {
    number: u32,
    client: String,
    service: usize,
    room: &'static str,
    staff: &'static str,
    slot: String,
    stage: Stage,
}

enum Stage {
    Asked,
    Choosing,
    Booked,
    Told,
    Confirmed,
}

impl Business for Studio {
    fn next(&mut self, dice: &mut Dice, now: Timestamp) -> Post {
        if dice.chance(8) {
            return aside(dice, now);
        }
        if begins_another(dice, self.open.len()) {
            self.booked += 1;
            let days = dice.between(1, 14);
            self.open.push(Booking {
                number: self.booked,
                client: people::name(dice),
                service: dice.below(SERVICES.len()),
                room: dice.pick(&ROOMS),
                staff: dice.pick(&STAFF),
                slot: slot(dice, now, days),
                stage: Stage::Asked,
            });
        }
        let at = dice.below(self.open.len());
        let (post, over) = self.open[at].step(dice, now);
        if over {
            self.open.swap_remove(at);
        }
        post
    }
}

impl Booking {
    /// The next thing that happens to this booking, and whether it was the last.
    fn step(&mut self, dice: &mut Dice, now: Timestamp) -> (Post, bool) {
        let (service, minutes, price) = SERVICES[self.service];
        let client = self.client.clone();
        match self.stage {
            Stage::Asked => {
                self.stage = Stage::Choosing;
                (
                    said("bot.command.executed", "telegram", json!({"command": "/book", "client": client})),
                    false,
                )
            }
            Stage::Choosing => {
                self.stage = Stage::Booked;
                (
                    said("bot.booking.started", "telegram", json!({"client": client, "service": service})),
                    false,
                )
            }
            Stage::Booked => {
                self.stage = Stage::Told;
                let data = json!({
                    "appointment": self.number, "client": client, "service": service, "room": self.room,
                    "staff": self.staff, "slot": self.slot, "minutes": minutes, "price": price,
                });
                let text = format!("{client}: {service}, {} in {}", self.slot, self.room);
                let post = self.post("appointment.created", "telegram", data).user(self.staff);
                (self.rings(post, "New appointment", text), false)
            }
            Stage::Told => {
                self.stage = Stage::Confirmed;
                let data = json!({"appointment": self.number, "client": client, "slot": self.slot});
                (self.post("bot.booking.completed", "telegram", data), false)
            }
            Stage::Confirmed if dice.chance(20) => {
                let days = dice.between(1, 14);
                self.slot = slot(dice, now, days);
                let data = json!({"appointment": self.number, "client": client, "slot": self.slot, "reason": "moved"});
                let text = format!("{client} comes {}", self.slot);
                let post = self.post("appointment.updated", "admin_panel", data);
                (self.rings(post.actor(self.staff).user(self.staff), "Appointment moved", text), false)
            }
            Stage::Confirmed if dice.chance(25) => {
                let reason = dice.pick(&["client is ill", "double booking", "client changed plans"]);
                let data = json!({"appointment": self.number, "client": client, "slot": self.slot, "reason": reason});
                let post =
                    self.post("appointment.cancelled", "telegram", data).user(self.staff).priority("high");
                (self.rings(post, "Appointment cancelled", format!("{client}: {reason}")), true)
            }
            Stage::Confirmed => {
                let data = json!({"appointment": self.number, "client": client, "slot": self.slot, "room": self.room});
                (self.post("appointment.confirmed", "admin_panel", data).actor(self.staff), true)
            }
        }
    }

    /// A notice: all that happens to one appointment is one entry.
    fn rings(&self, post: Post, title: &str, text: String) -> Post {
        post.notify(title, text).group(format!("appointment-{}", self.number))
    }

    fn post(&self, kind: &str, source: &str, data: Value) -> Post {
        said(kind, source, data).subject(format!("appointment-{}", self.number))
    }
}

/// Everyday business beside the bookings.
fn aside(dice: &mut Dice, now: Timestamp) -> Post {
    let staff = dice.pick(&STAFF);
    match dice.below(4) {
        0 => {
            let free = slot(dice, now, 3);
            said("slot.created", "admin_panel", json!({"slot": free, "room": dice.pick(&ROOMS)})).actor(staff)
        }
        1 => {
            let (service, minutes, price) = SERVICES[dice.below(SERVICES.len())];
            let data = json!({"service": service, "minutes": minutes, "price": price + 10});
            said("service.updated", "admin_panel", data).actor(staff)
        }
        2 => said("user.login", "admin_panel", json!({"user": staff, "device": "front desk"})).actor(staff),
        _ => {
            let text =
                dice.pick(&["Do you have time on Saturday?", "Can I bring my dog?", "Where do I park?"]);
            said("bot.message.received", "telegram", json!({"client": people::name(dice), "text": text}))
        }
    }
}

fn said(kind: &str, source: &str, data: Value) -> Post {
    Post::new(TENANT, kind, data).source(source).tenant_wide()
}
