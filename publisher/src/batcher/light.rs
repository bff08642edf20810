//! Does anybody else publish a little now and then? (pure)
//!
//! Whoever brings much makes way for others, and has everything while there are none: also none but itself, for whoever
//! brings much has smaller batches, too.

use super::flow::Flow;
use std::time::{Duration, Instant};

/// How long somebody's small part of a batch says that they are there.
const STAYS: Duration = Duration::from_secs(1);

/// The last two who had a small part of a batch, the later one first.
#[derive(Debug, Default)]
pub(super) struct Light([Option<(Flow, Instant)>; 2]);

impl Light {
    /// This flow had a small part of a batch.
    pub(super) fn saw(&mut self, flow: &Flow, now: Instant) {
        match &mut self.0 {
            [Some((last, at)), _] if last == flow => *at = now,
            [last, before] => *before = last.replace((flow.clone(), now)),
        }
    }

    /// Whether somebody else had one lately.
    pub(super) fn others_than(&self, flow: &Flow, now: Instant) -> bool {
        let others = self.0.iter().flatten().find(|(light, _)| light != flow);
        others.is_some_and(|(_, at)| now.saturating_duration_since(*at) < STAYS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use carillon_protocol::TenantId;

    #[test]
    fn nobody_makes_way_for_itself() {
        let [a, b, c] = ["a", "b", "c"].map(|name| Flow::Tenant(TenantId::new(name).unwrap()));
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let mut light = Light::default();
        assert!(!light.others_than(&a, at(0)));
        light.saw(&a, at(0));
        assert_eq!((light.others_than(&a, at(1)), light.others_than(&b, at(1))), (false, true));
        light.saw(&b, at(500));
        light.saw(&a, at(900));
        light.saw(&a, at(1_400));
        assert!(light.others_than(&a, at(1_499)) && light.others_than(&c, at(2_399)));
        assert!(!light.others_than(&a, at(1_500)) && !light.others_than(&c, at(2_400)));
    }
}
