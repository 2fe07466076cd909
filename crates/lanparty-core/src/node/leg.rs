//! What fits through one leg: a member's way to the relay, ours or another's.
//!
//! A QUIC path starts with the least that is guaranteed and finds out within seconds that it carries more. Frames are cut to the budget
//! of the moment. The segment size of a TCP connection is different: it is agreed once and holds for hours, so a handshake in the first
//! seconds must not be held down to a budget that is only not yet known to be larger. A leg is therefore assumed to carry
//! [`ASSUMED_BUDGET`] until it has *shown* less: by losing budget it had, or by not gaining any for [`SETTLED`].

use std::time::{Duration, Instant};

use lanparty_wire::mtu::ASSUMED_BUDGET;

/// Path MTU discovery is done by then: it needs a few round trips per step.
pub const SETTLED: Duration = Duration::from_secs(4);

/// The budget of one leg.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Leg {
    budget: u16,
    changed: Instant,
    shrunk: bool,
}

impl Leg {
    /// A leg that has come up with `budget`.
    pub fn new(now: Instant, budget: u16) -> Leg {
        Leg {
            budget,
            changed: now,
            shrunk: false,
        }
    }

    /// The leg carries `budget` from now on; true if that is news.
    pub fn set(&mut self, now: Instant, budget: u16) -> bool {
        if budget == self.budget {
            return false;
        }
        self.shrunk = budget < self.budget;
        self.budget = budget;
        self.changed = now;
        true
    }

    /// Bytes of datagram that it carries now.
    pub fn budget(&self) -> u16 {
        self.budget
    }

    /// Bytes of datagram that an agreement for hours should count on.
    pub fn lasting_budget(&self, now: Instant) -> u16 {
        let shown = self.shrunk || now.saturating_duration_since(self.changed) >= SETTLED;
        if shown {
            self.budget
        } else {
            self.budget.max(ASSUMED_BUDGET)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_young_leg_is_trusted_with_more_than_it_has() {
        let start = start();
        let mut leg = Leg::new(start, 1162);
        assert_eq!(leg.lasting_budget(start), ASSUMED_BUDGET);
        assert!(leg.set(start + Duration::from_secs(1), 1302));
        assert_eq!(leg.lasting_budget(start + Duration::from_secs(2)), ASSUMED_BUDGET);
        assert_eq!(leg.lasting_budget(start + Duration::from_secs(5)), 1302);
    }

    #[test]
    fn one_that_lost_budget_has_shown_it() {
        let start = start();
        let mut leg = Leg::new(start, 1414);
        assert!(leg.set(start, 1162));
        assert_eq!(leg.lasting_budget(start), 1162);
        assert!(!leg.set(start, 1162), "nothing new");
    }
}
