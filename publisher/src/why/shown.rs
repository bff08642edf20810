//! Was it shown to them, by what they and others say about its type?

use crate::preferences::quiet::Quiet;
use crate::preferences::{Settings, Verdict, Way};
use crate::types::Definition;
use carillon_protocol::event::Priority;
use jiff::Timestamp;

/// What preferences say about an event at a moment.
#[derive(Debug, Clone)]
pub struct Shown {
    /// How urgent it is.
    pub priority: Priority,
    /// The moment.
    pub at: Timestamp,
    /// How quiet it was then.
    pub quiet: Quiet,
    /// By which zone's clocks.
    pub zone: &'static str,
    /// What they said then.
    pub wall_clock: String,
    /// For each way what is said.
    pub ways: [(Way, Verdict); 4],
}

impl Shown {
    /// By these preferences.
    pub fn of(
        settings: &Settings,
        (kind, says): (&str, Option<&Definition>),
        priority: Option<Priority>,
        at: Timestamp,
    ) -> Self {
        let priority = priority.or(says.and_then(|says| says.priority)).unwrap_or(Priority::Normal);
        let (hours, quiet) = (settings.hours(), settings.quiet(at));
        Self {
            priority,
            at,
            quiet,
            zone: hours.zone(),
            wall_clock: hours.wall(at).to_string(),
            ways: Way::ALL.map(|way| (way, settings.verdict(way, kind, says, priority, quiet))),
        }
    }

    /// What is said of a way.
    pub fn by(&self, wanted: Way) -> &Verdict {
        let [inbox, rest @ ..] = &self.ways;
        rest.iter().find(|(way, _)| *way == wanted).map_or(&inbox.1, |(_, verdict)| verdict)
    }

    /// Whether it is kept out of the inbox.
    pub fn is_muted(&self) -> bool {
        !self.by(Way::Inbox).on
    }

    /// Whether something that would ring was held because it was quiet.
    pub fn is_held(&self) -> bool {
        [Way::Toast, Way::Desktop].into_iter().any(|way| self.by(way).held)
    }

    /// Whether nothing that rings is switched on.
    pub fn is_silent(&self) -> bool {
        [Way::Toast, Way::Desktop].into_iter().all(|way| !self.by(way).on)
    }
}
