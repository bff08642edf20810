//! What happens in a school with fees and approvals?

use jiff::{Span, Timestamp};
use serde_json::json;

use super::{Business, begins_another, people};
use crate::client::dice::Dice;
use crate::client::post::Post;

pub(super) const TENANT: &str = "linden-school";
const CLASSES: [&str; 5] = ["3a", "4b", "6a", "8c", "10b"];
const TEACHERS: [&str; 3] = ["mrs-adler", "mr-okafor", "ms-lind"];
const FEES: [(&str, u32); 4] = [("Lunch", 60), ("Excursion", 35), ("Music lessons", 90), ("Books", 48)];

#[derive(Default)]
pub(super) struct School {
    fees: u32,
    requests: u32,
    open: Vec<Matter>,
}

enum Matter {
    Fee(Fee),
    Approval(Approval),
}

struct Fee {
    number: u32,
    student: String,
    class: &'static str,
    what: &'static str,
    amount: u32,
    due: String,
    state: FeeState,
}

enum FeeState {
    New,
    Assigned,
    Reminded,
}

struct Approval {
    number: u32,
    teacher: &'static str,
    what: &'static str,
    pending: bool,
}

impl Business for School {
    fn next(&mut self, dice: &mut Dice, now: Timestamp) -> Post {
        if dice.chance(6) {
            return aside(dice);
        }
        if begins_another(dice, self.open.len()) {
            let matter = if dice.chance(70) { self.fee(dice, now) } else { self.approval(dice) };
            self.open.push(matter);
        }
        let at = dice.below(self.open.len());
        let (post, over) = match &mut self.open[at] {
            Matter::Fee(fee) => fee.step(dice),
            Matter::Approval(approval) => approval.step(dice),
        };
        if over {
            self.open.swap_remove(at);
        }
        post
    }
}

impl School {
    fn fee(&mut self, dice: &mut Dice, now: Timestamp) -> Matter {
        self.fees += 1;
        let (what, amount) = FEES[dice.below(FEES.len())];
        let due = now.checked_add(Span::new().hours(14 * 24)).unwrap_or(now).strftime("%Y-%m-%d").to_string();
        let (student, class) = (people::name(dice), dice.pick(&CLASSES));
        Matter::Fee(Fee { number: self.fees, student, class, what, amount, due, state: FeeState::New })
    }

    fn approval(&mut self, dice: &mut Dice) -> Matter {
        self.requests += 1;
        let what = dice.pick(&["excursion to the museum", "new microscopes", "day off", "guest speaker"]);
        Matter::Approval(Approval {
            number: self.requests,
            teacher: dice.pick(&TEACHERS),
            what,
            pending: false,
        })
    }
}

impl Fee {
    fn step(&mut self, dice: &mut Dice) -> (Post, bool) {
        let Self { number, student, class, what, amount, due, .. } = self;
        let data = json!({"fee": number, "student": student, "class": class, "what": what, "amount": amount, "due": due});
        let (kind, next, over) = match self.state {
            FeeState::New => ("fee_assignment_created", FeeState::Assigned, false),
            FeeState::Assigned if dice.chance(30) => ("fee_reminder_sent", FeeState::Reminded, false),
            FeeState::Assigned | FeeState::Reminded => ("payment_received", FeeState::Reminded, true),
        };
        let post = Post::new(TENANT, kind, data)
            .source("fees")
            .subject(format!("fee-{number}"))
            .channel(format!("class:{class}"))
            .role("principal")
            .role("director");
        self.state = next;
        (post, over)
    }
}

impl Approval {
    fn step(&mut self, dice: &mut Dice) -> (Post, bool) {
        let about = |kind, data| {
            Post::new(TENANT, kind, data).source("approvals").subject(format!("request-{}", self.number))
        };
        let data = json!({"request": self.number, "from": self.teacher, "what": self.what});
        if !self.pending {
            let post = about("approval_request_pending", data)
                .actor(self.teacher)
                .role("principal")
                .priority("high")
                .notify(format!("{} asks for approval", self.teacher), self.what)
                .group(format!("request-{}", self.number));
            self.pending = true;
            return (post, false);
        }
        let kind = if dice.chance(80) { "approval_request_approved" } else { "approval_request_rejected" };
        let said = if kind == "approval_request_approved" { "approved" } else { "rejected" };
        let post = about(kind, data)
            .actor("principal-engel")
            .user(self.teacher)
            .role("director")
            .notify(format!("Request {} was {said}", self.number), self.what)
            .group(format!("request-{}", self.number));
        (post, true)
    }
}

fn aside(dice: &mut Dice) -> Post {
    let teacher = dice.pick(&TEACHERS);
    match dice.below(3) {
        0 => Post::new(TENANT, "user_login", json!({"user": teacher}))
            .source("app")
            .actor(teacher)
            .role("principal"),
        1 => {
            let data = json!({"user": "director-sommer", "to": TENANT});
            Post::new(TENANT, "school_context_switched", data).source("app").role("director")
        }
        _ => Post::new(TENANT, "system_maintenance", json!({"when": "tonight, 22:00 to 22:15"}))
            .source("operations")
            .tenant_wide()
            .priority("urgent")
            .notify("Maintenance tonight", "22:00 to 22:15. Please save your work before."),
    }
}
