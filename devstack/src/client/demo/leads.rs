//! What happens in a marketing team that talks to leads and runs campaigns?

use jiff::Timestamp;
use serde_json::json;

use super::{Business, begins_another, people};
use crate::client::dice::Dice;
use crate::client::post::Post;

pub(super) const TENANT: &str = "north-leads";
const EMPLOYEES: [&str; 3] = ["hana", "leo", "sami"];
const CAMPAIGNS: [&str; 4] = ["Spring offer", "Win-back", "Webinar invitation", "New catalogue"];

#[derive(Default)]
pub(super) struct Marketing {
    campaigns: u32,
    contacts: u32,
    running: Option<Campaign>,
    open: Vec<Lead>,
}

struct Campaign {
    number: u32,
    name: &'static str,
    total: u32,
    sent: u32,
    failed: u32,
}

struct Lead {
    number: u32,
    name: String,
    phone: String,
    owner: &'static str,
    stage: Stage,
}

enum Stage {
    New,
    Created,
    Wrote,
    Answered,
    Delivered,
}

impl Business for Marketing {
    fn next(&mut self, dice: &mut Dice, _now: Timestamp) -> Post {
        if dice.chance(30) {
            return self.campaign(dice);
        }
        if dice.chance(4) {
            let data = json!({"open_leads": self.open.len(), "contacts": self.contacts, "campaigns": self.campaigns});
            return Post::new(TENANT, "dashboard.stats", data).source("app").tenant_wide();
        }
        if begins_another(dice, self.open.len()) {
            self.contacts += 1;
            self.open.push(Lead {
                number: self.contacts,
                name: people::name(dice),
                phone: people::phone(dice),
                owner: dice.pick(&EMPLOYEES),
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

impl Marketing {
    /// The next step of the one campaign that runs: started, several progresses, completed or failed.
    fn campaign(&mut self, dice: &mut Dice) -> Post {
        let Some(running) = &mut self.running else {
            self.campaigns += 1;
            let total = dice.between(4, 20) * 50;
            let begun =
                Campaign { number: self.campaigns, name: dice.pick(&CAMPAIGNS), total, sent: 0, failed: 0 };
            let post = begun.post("campaign.started");
            self.running = Some(begun);
            return post;
        };
        if dice.chance(3) {
            let post = running.post("campaign.failed").priority("urgent");
            self.running = None;
            return post;
        }
        let step = dice.between(running.total / 8, running.total / 3).min(running.total - running.sent);
        running.sent += step;
        running.failed += step * dice.between(0, 3) / 100;
        if running.sent < running.total {
            return running.post("campaign.progress");
        }
        let post = running.post("campaign.completed");
        self.running = None;
        post
    }
}

impl Campaign {
    fn post(&self, kind: &str) -> Post {
        let Self { number, name, total, sent, failed } = self;
        let percent = sent * 100 / total;
        let data = json!({
            "campaign": number, "name": name, "total": total, "sent": sent, "failed": failed, "percent": percent,
        });
        let channel = format!("campaign:{number}");
        Post::new(TENANT, kind, data)
            .source("campaigns")
            .subject(channel.clone())
            .channel(channel)
            .tenant_wide()
    }
}

impl Lead {
    fn step(&mut self, dice: &mut Dice) -> (Post, bool) {
        let (number, name) = (self.number, self.name.as_str());
        let (kind, data, next, over) = match self.stage {
            Stage::New => {
                let data =
                    json!({"lead": number, "name": name, "phone": self.phone, "origin": "landing page"});
                ("lead.created", data, Stage::Created, false)
            }
            Stage::Created => {
                let data = json!({"lead": number, "name": name, "to": self.owner});
                ("lead.assigned", data, Stage::Wrote, false)
            }
            Stage::Wrote => {
                let text =
                    dice.pick(&["Is the offer still valid?", "Can you call me?", "How much for ten people?"]);
                (
                    "message.received",
                    json!({"lead": number, "from": name, "text": text}),
                    Stage::Answered,
                    false,
                )
            }
            Stage::Answered => {
                let text =
                    dice.pick(&["Yes, until Friday.", "I will call you at three.", "I sent you a quote."]);
                let data = json!({"lead": number, "from": self.owner, "text": text});
                ("message.sent", data, Stage::Delivered, false)
            }
            Stage::Delivered if dice.chance(40) => {
                let data = json!({"lead": number, "name": name, "value": dice.between(2, 40) * 100});
                ("lead.converted", data, Stage::Delivered, true)
            }
            Stage::Delivered => {
                let status = dice.pick(&["delivered", "read"]);
                (
                    "message.status_changed",
                    json!({"lead": number, "status": status}),
                    Stage::Wrote,
                    dice.chance(30),
                )
            }
        };
        self.stage = next;
        let post = Post::new(TENANT, kind, data)
            .source("app")
            .subject(format!("lead-{number}"))
            .channel(format!("lead:{number}"))
            .channel(format!("contact:{number}"))
            .user(self.owner)
            .role("ADMIN");
        (post, over)
    }
}
