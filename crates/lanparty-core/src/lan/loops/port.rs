//! What is known of one member's port.

use std::time::{Duration, Instant};

use lanparty_wire::PortFault;

use super::{FLIP_WINDOW, FORGIVEN, HOLD, INTERVAL, INTERVAL_BLOCKED, MAX_HOLD};

/// A stopped port.
#[derive(Debug)]
pub(super) struct Block {
    pub fault: PortFault,
    /// When its fault was seen last.
    pub last: Instant,
    pub hold: Duration,
}

impl Block {
    /// When it opens unless its fault is seen again.
    pub fn until(&self) -> Instant {
        self.last + self.hold
    }
}

/// One member's.
#[derive(Debug)]
pub(super) struct Port {
    pub present: bool,
    pub block: Option<Block>,
    /// When it is asked next.
    pub due: Instant,
    asked: Option<Instant>,
    /// How often it was stopped, since it was forgiven last, and when it was opened last.
    faults: u32,
    opened: Option<Instant>,
    /// How often its address has moved since when, and whether it was heard on the LAN last.
    flips: u32,
    since: Option<Instant>,
    on_lan: bool,
}

impl Port {
    pub fn new(due: Instant) -> Port {
        Port {
            present: true,
            block: None,
            due,
            asked: None,
            faults: 0,
            opened: None,
            flips: 0,
            since: None,
            on_lan: false,
        }
    }

    pub fn fault(&self) -> Option<PortFault> {
        self.block.as_ref().map(|block| block.fault)
    }

    /// When something is to be done about it.
    pub fn due(&self) -> Option<Instant> {
        let over = self.block.as_ref().map(Block::until);
        let asked = self.present.then_some(self.due);
        over.into_iter().chain(asked).min()
    }

    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.due = now + self.interval();
    }

    pub fn ask_soon(&mut self, now: Instant, pause: Duration) {
        let soonest = self.asked.map_or(now, |asked| (asked + pause).max(now));
        self.due = self.due.min(soonest);
    }

    /// Stops it, and says for how long at least.
    pub fn stop(&mut self, now: Instant, fault: PortFault) -> Duration {
        if self.is_forgiven(now) {
            self.faults = 0;
        }
        let doubled = 2_u32.saturating_pow(self.faults);
        let hold = HOLD.saturating_mul(doubled).min(MAX_HOLD);
        self.faults = self.faults.saturating_add(1);
        self.block = Some(Block {
            fault,
            last: now,
            hold,
        });
        self.due = self.due.min(now + INTERVAL_BLOCKED);
        hold
    }

    pub fn open(&mut self, now: Instant) {
        self.block = None;
        self.opened = Some(now);
        self.due = now + INTERVAL_BLOCKED;
    }

    /// True if it is worth keeping though its member is gone.
    pub fn is_remembered(&self, now: Instant) -> bool {
        self.block.is_some() || self.faults > 0 && !self.is_forgiven(now)
    }

    /// The address was heard on the LAN, or in the room; how often it has moved within the window.
    pub fn moved(&mut self, now: Instant, on_lan: bool) -> u32 {
        if std::mem::replace(&mut self.on_lan, on_lan) == on_lan {
            return 0;
        }
        let is_old = |since: Instant| now.saturating_duration_since(since) > FLIP_WINDOW;
        if self.since.is_none_or(is_old) {
            self.since = Some(now);
            self.flips = 0;
        }
        self.flips += 1;
        self.flips
    }

    /// Whether its address was heard on the LAN last.
    pub fn is_astray(&self) -> bool {
        self.present && self.on_lan
    }

    pub fn forget_moves(&mut self) {
        self.flips = 0;
        self.on_lan = false;
    }

    fn interval(&self) -> Duration {
        if self.block.is_some() {
            INTERVAL_BLOCKED
        } else {
            INTERVAL
        }
    }

    fn is_forgiven(&self, now: Instant) -> bool {
        self.opened
            .is_some_and(|at| now.saturating_duration_since(at) >= FORGIVEN)
    }
}
