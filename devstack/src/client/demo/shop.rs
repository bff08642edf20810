//! What happens in a shop that sells through a WhatsApp bot?

use jiff::Timestamp;
use serde_json::json;

use super::{Business, begins_another, people};
use crate::client::dice::Dice;
use crate::client::post::Post;

pub(super) const TENANT: &str = "bazaar-luna";
const GOODS: [(&str, u32); 6] = [
    ("olive soap", 6),
    ("linen shirt", 38),
    ("clay mug", 14),
    ("wool blanket", 72),
    ("date syrup", 9),
    ("brass lamp", 55),
];

#[derive(Default)]
pub(super) struct Shop {
    orders: u32,
    open: Vec<Order>,
    sold: [u32; GOODS.len()],
}

struct Order {
    number: u32,
    customer: String,
    good: usize,
    pieces: u32,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Asked,
    New,
    Paid,
    Packed,
    Shipped,
}

impl Business for Shop {
    fn next(&mut self, dice: &mut Dice, _now: Timestamp) -> Post {
        if dice.chance(6) {
            return self.aside(dice);
        }
        if begins_another(dice, self.open.len()) {
            self.orders += 1;
            self.open.push(Order {
                number: self.orders,
                customer: people::name(dice),
                good: dice.below(GOODS.len()),
                pieces: dice.between(1, 4),
                state: State::Asked,
            });
        }
        let at = dice.below(self.open.len());
        let (post, over) = self.step(at, dice);
        if over {
            self.open.swap_remove(at);
        }
        post
    }
}

impl Shop {
    fn step(&mut self, at: usize, dice: &mut Dice) -> (Post, bool) {
        let order = &mut self.open[at];
        let (good, price) = GOODS[order.good];
        let (number, customer) = (order.number, order.customer.clone());
        let moved = |from: &str, to: &str| {
            let data = json!({"order": number, "customer": customer, "from": from, "to": to});
            about(number, "order_status_changed", data, "dashboard")
        };
        let (next, post, over) = match order.state {
            State::Asked => {
                let data = json!({"customer": customer, "text": format!("Do you have {good}?")});
                (State::New, about(number, "bot_message", data, "bot"), false)
            }
            State::New => {
                self.sold[order.good] += order.pieces;
                let data = json!({
                    "order": number, "customer": customer, "item": good, "pieces": order.pieces,
                    "total": price * order.pieces, "currency": "EUR",
                });
                (State::Paid, about(number, "new_order", data, "bot").priority("high"), false)
            }
            State::Paid if dice.chance(10) => (State::Paid, moved("new", "cancelled"), true),
            State::Paid => (State::Packed, moved("new", "paid"), false),
            State::Packed => (State::Shipped, moved("paid", "packed"), false),
            State::Shipped => {
                let post =
                    if dice.chance(90) { moved("packed", "shipped") } else { moved("packed", "returned") };
                (State::Shipped, post, true)
            }
        };
        order.state = next;
        (post, over)
    }

    fn aside(&self, dice: &mut Dice) -> Post {
        let shop =
            |kind, data| Post::new(TENANT, kind, data).source("bot").channel("admin_dashboard").tenant_wide();
        match dice.below(4) {
            0 => shop("bot_status", json!({"status": "connected", "battery": dice.between(20, 100)})),
            1 => shop("command_executed", json!({"command": dice.pick(&["/catalogue", "/hours", "/help"])})),
            2 => {
                let good = dice.below(GOODS.len());
                // Deliveries keep the shelf at 500 before what was sold.
                let stock = 500u32.saturating_sub(self.sold[good] % 500);
                shop("inventory_updated", json!({"item": GOODS[good].0, "stock": stock}))
            }
            _ => {
                shop("merchant_notification", json!({"text": "Your weekly report is ready"})).role("merchant")
            }
        }
    }
}

fn about(order: u32, kind: &str, data: serde_json::Value, source: &str) -> Post {
    Post::new(TENANT, kind, data)
        .source(source)
        .subject(format!("order-{order}"))
        .channel(format!("order:{order}"))
        .channel("admin_dashboard")
        .role("merchant")
}
