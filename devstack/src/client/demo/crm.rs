//! What happens in a wellness company with two branches?

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Business, begins_another, people, slot};
use crate::client::dice::Dice;
use crate::client::post::Post;

pub(super) const TENANT: &str = "verde-wellness";
const BRANCHES: [(&str, &str); 2] = [("harbour", "Harbour Street"), ("garden", "Garden Square")];
const STAFF: [&str; 4] = ["elif", "marta", "pavel", "yusuf"];
const SERVICES: [&str; 4] = ["massage", "facial", "physiotherapy", "sauna"];

#[derive(Default)]
pub(super) struct Wellness {
    visits: u32,
    open: Vec<Visit>,
    shifts: [Shift; STAFF.len()],
}

/// What a member of staff does; each state follows from the one before.
#[derive(Default, Clone, Copy)]
enum Shift {
    #[default]
    Away,
    Available,
    OnBreak,
}

struct Visit {
    number: u32,
    client: String,
    branch: usize,
    staff: &'static str,
    service: &'static str,
    slot: String,
    price: u32,
    stage: Stage,
}

enum Stage {
    New,
    Created,
    Confirmed,
    CheckedIn,
    Completed,
    Paid,
}

impl Business for Wellness {
    fn next(&mut self, dice: &mut Dice, now: Timestamp) -> Post {
        match dice.below(100) {
            0..10 => return self.shift(dice),
            10..13 => return alert(dice),
            _ => {}
        }
        if begins_another(dice, self.open.len()) {
            self.visits += 1;
            let days = dice.between(0, 7);
            self.open.push(Visit {
                number: self.visits,
                client: people::name(dice),
                branch: dice.below(BRANCHES.len()),
                staff: dice.pick(&STAFF),
                service: dice.pick(&SERVICES),
                slot: slot(dice, now, days),
                price: dice.between(4, 16) * 10,
                stage: Stage::New,
            });
        }
        let at = dice.below(self.open.len());
        let (post, over) = self.open[at].step(dice);
        if over {
            self.open.swap_remove(at);
        }
        post
    }
}

impl Wellness {
    fn shift(&mut self, dice: &mut Dice) -> Post {
        let who = dice.below(STAFF.len());
        let (next, state) = match self.shifts[who] {
            Shift::Away => (Shift::Available, "available"),
            Shift::Available if dice.chance(50) => (Shift::OnBreak, "on_break"),
            Shift::Available => (Shift::Away, "off_shift"),
            Shift::OnBreak => (Shift::Available, "available"),
        };
        self.shifts[who] = next;
        let data = json!({"staff": STAFF[who], "state": state});
        Post::new(TENANT, "staff.status_changed", data)
            .source("rota")
            .actor(STAFF[who])
            .role("reception")
            .tenant_wide()
    }
}

impl Visit {
    fn step(&mut self, dice: &mut Dice) -> (Post, bool) {
        let (branch, address) = BRANCHES[self.branch];
        let (kind, more, next, over) = match self.stage {
            Stage::New => {
                let data = json!({"service": self.service, "staff": self.staff, "slot": self.slot, "address": address});
                ("appointment.created", data, Stage::Created, false)
            }
            Stage::Created => ("appointment.confirmed", json!({"slot": self.slot}), Stage::Confirmed, false),
            Stage::Confirmed => ("client.checked_in", json!({"staff": self.staff}), Stage::CheckedIn, false),
            Stage::CheckedIn => {
                ("appointment.completed", json!({"service": self.service}), Stage::Completed, false)
            }
            Stage::Completed => {
                let by = dice.pick(&["card", "cash", "voucher"]);
                (
                    "payment.received",
                    json!({"amount": self.price, "currency": "EUR", "by": by}),
                    Stage::Paid,
                    false,
                )
            }
            Stage::Paid => ("client.checked_out", json!({"staff": self.staff}), Stage::Paid, true),
        };
        self.stage = next;
        let mut data = json!({"visit": self.number, "client": self.client, "branch": branch});
        if let (Value::Object(data), Value::Object(more)) = (&mut data, more) {
            data.extend(more);
        }
        let post = Post::new(TENANT, kind, data)
            .source("front-desk")
            .subject(format!("visit-{}", self.number))
            .channel(format!("branch:{branch}"))
            .channel(format!("service:{}", self.service))
            .user(self.staff)
            .role("owner");
        (post, over)
    }
}

fn alert(dice: &mut Dice) -> Post {
    let (branch, _) = BRANCHES[dice.below(BRANCHES.len())];
    let post =
        |kind, data| Post::new(TENANT, kind, data).source("backend").channel(format!("branch:{branch}"));
    match dice.below(3) {
        0 => {
            let item = dice.pick(&["massage oil", "towels", "face masks"]);
            post("inventory.low", json!({"branch": branch, "item": item, "left": dice.between(1, 9)}))
                .role("owner")
        }
        1 => post("security.alert", json!({"branch": branch, "what": "three failed logins at the till"}))
            .role("owner")
            .priority("urgent"),
        _ => {
            let text =
                dice.pick(&["Team meeting at 17:00", "New price list from Monday", "Fire drill tomorrow"]);
            post("announcement.published", json!({"text": text})).tenant_wide()
        }
    }
}
