//! How often handshakes are repeated and looked at.

use std::time::{Duration, Instant};

use lanparty_wire::DropReason;

/// The first pause before something is said again; it doubles up to [`LONGEST_PAUSE`].
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(250);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(8);
/// Handshake messages of one member that are looked at: at once, and then one for each [`EVERY`]. Each costs a few
/// scalar multiplications, about 200 microseconds.
const BURST: u32 = 8;
const EVERY: Duration = Duration::from_millis(250);

/// Something that is said again and again, with growing pauses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Repeat {
    pub next: Instant,
    pub count: u32,
}

impl Repeat {
    pub fn starting(at: Instant) -> Repeat {
        Repeat { next: at, count: 0 }
    }

    /// It was said at `now`.
    pub fn again(&mut self, now: Instant) {
        let pause = FIRST_PAUSE * (1 << self.count.min(5));
        self.next = now + pause.min(LONGEST_PAUSE);
        self.count = self.count.saturating_add(1);
    }
}

/// How many handshake messages are still looked at.
#[derive(Debug)]
pub(crate) struct Allowance {
    left: u32,
    refilled: Instant,
}

impl Allowance {
    pub fn new(now: Instant) -> Allowance {
        Allowance {
            left: BURST,
            refilled: now,
        }
    }

    pub fn take(&mut self, now: Instant) -> Result<(), DropReason> {
        let earned = now.saturating_duration_since(self.refilled).as_millis() / EVERY.as_millis();
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        if earned >= BURST - self.left {
            self.left = BURST;
            self.refilled = now;
        } else {
            self.left += earned;
            self.refilled += EVERY * earned;
        }
        self.left = self.left.checked_sub(1).ok_or(DropReason::HandshakeRate)?;
        Ok(())
    }
}
