//! How fast a member may send control messages: it is made to wait, so that its own stream fills and nothing is lost.

use std::time::{Duration, Instant};

/// What may come at once, in units: a message costs one, and one more for each piece of [`UNIT_BYTES`] that it begins.
const BURST: u32 = 200;
/// How long it takes to earn a unit.
const INTERVAL: Duration = Duration::from_millis(50);
/// 20 KiB a second at most: a handshake with everybody in a full room fits the burst.
const UNIT_BYTES: u64 = 1024;

/// What a roster costs besides: four a second at most.
const ROSTER_UNITS: u32 = 4;

/// One member's allowance.
#[derive(Debug)]
pub struct Pace {
    /// When the whole burst is there again.
    full_at: Instant,
}

impl Pace {
    pub fn new(now: Instant) -> Pace {
        Pace { full_at: now }
    }

    /// Charges what a roster's signature costs to check, on top of its message.
    pub fn charge_roster(&mut self) {
        self.full_at += INTERVAL * ROSTER_UNITS;
    }

    /// Charges a message of so many bytes, and returns when the next one may be read.
    pub fn charge(&mut self, now: Instant, bytes: u64) -> Instant {
        let units = u32::try_from(1 + bytes / UNIT_BYTES).unwrap_or(u32::MAX);
        self.full_at = self.full_at.max(now) + INTERVAL.saturating_mul(units);
        self.full_at
            .checked_sub(INTERVAL * BURST)
            .map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_messages_come_in_a_burst_and_then_twenty_a_second() {
        let (mut pace, start) = (Pace::new(Instant::now()), Instant::now());
        let messages = within(&mut pace, start, Duration::from_secs(5), 100);
        assert!((298..=302).contains(&messages), "{messages}");
    }

    #[test]
    fn large_messages_are_charged_by_their_bytes() {
        let (mut pace, start) = (Pace::new(Instant::now()), Instant::now());
        let messages = within(&mut pace, start, Duration::from_secs(5), 10 * 1024);
        assert!((27..=29).contains(&messages), "{messages}");
    }

    #[test]
    fn a_rest_restores_the_burst_and_no_more() {
        let (mut pace, start) = (Pace::new(Instant::now()), Instant::now());
        within(&mut pace, start, Duration::from_secs(1), 100);
        let later = start + Duration::from_secs(3600);
        let messages = within(&mut pace, later, Duration::ZERO, 100);
        assert!((200..=201).contains(&messages), "{messages}");
    }

    /// How many messages somebody sends who never stops.
    fn within(pace: &mut Pace, start: Instant, time: Duration, bytes: u64) -> u32 {
        let (mut now, mut messages) = (start, 0);
        while now <= start + time {
            now = pace.charge(now, bytes);
            messages += 1;
        }
        messages
    }
}
