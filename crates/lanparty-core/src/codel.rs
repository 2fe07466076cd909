//! When a queue has to tell its sender to slow down: CoDel (RFC 8289).
//!
//! A queue that only ever grows and shrinks is a good one; a queue that never gets short is a standing one, and all that it does is to
//! delay. So the shortest wait within an interval is what counts: while it stays above a target, senders are told, a little more often
//! each time, until it has fallen. What telling means, a mark or a drop, is the caller's.

use std::time::{Duration, Instant};

/// A queue with no more than this behind a packet is as short as it can be (RFC 8289, section 4.4: one maximum packet).
const SHORTEST: usize = 1514;
/// How long after the last telling the rate of tellings is still a good guess, in intervals (RFC 8289, section 5.5).
const REMEMBERED: u32 = 16;

/// How much waiting is too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The wait that a standing queue may have. 5 ms, or more where a single packet takes that long (RFC 8289, section 4.4).
    pub target: Duration,
    /// For how long the wait has to be above the target: a round trip of the slowest flows, 100 ms.
    pub interval: Duration,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            target: Duration::from_millis(5),
            interval: Duration::from_millis(100),
        }
    }
}

/// What one queue remembers.
#[derive(Clone, Copy, Default, Debug)]
pub struct Codel {
    /// When the wait will have been above the target for an interval; `None` while it is below.
    over_at: Option<Instant>,
    /// When the sender is told again, while `telling`, and was told last, else.
    next: Option<Instant>,
    telling: bool,
    /// How often it was told since telling began.
    count: u32,
    last_count: u32,
}

impl Codel {
    /// A packet leaves the queue after `waited`, with `behind` bytes left behind it. True if its sender must be told with it.
    pub fn must_tell(&mut self, now: Instant, waited: Duration, behind: usize, config: Config) -> bool {
        if !self.is_standing(now, waited, behind, config) {
            self.telling = false;
            return false;
        }
        if !self.telling {
            self.begin(now, config.interval);
            return true;
        }
        let Some(next) = self.next.filter(|next| *next <= now) else {
            return false;
        };
        self.count = self.count.saturating_add(1);
        self.next = Some(next + self.spacing(config.interval));
        true
    }

    fn is_standing(&mut self, now: Instant, waited: Duration, behind: usize, config: Config) -> bool {
        if waited < config.target || behind <= SHORTEST {
            self.over_at = None;
            return false;
        }
        let over_at = *self.over_at.get_or_insert(now + config.interval);
        over_at <= now
    }

    fn begin(&mut self, now: Instant, interval: Duration) {
        self.telling = true;
        let since = self.next.map(|last| now.saturating_duration_since(last));
        let again = since.is_some_and(|since| since < REMEMBERED * interval);
        let grown = self.count.saturating_sub(self.last_count);
        self.count = if again && grown > 1 { grown } else { 1 };
        self.last_count = self.count;
        self.next = Some(now + self.spacing(interval));
    }

    /// Drops at a rate that grows with the square root of their number slow TCP down linearly (RFC 8289, section 4.3).
    fn spacing(&self, interval: Duration) -> Duration {
        interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const FAR: usize = 100_000;
    const NEVER: [u32; 0] = [];

    /// One packet each millisecond for `millis`, each of which has waited `waited`; when which were told.
    fn run(codel: &mut Codel, start: Instant, millis: std::ops::Range<u32>, waited: Duration) -> Vec<u32> {
        let mut told = |at: &u32| codel.must_tell(start + *at * MS, waited, FAR, Config::default());
        millis.filter(|at| told(at)).collect()
    }

    #[test]
    fn a_burst_is_not_a_standing_queue() {
        let mut codel = Codel::default();
        let start = start();
        assert_eq!(run(&mut codel, start, 0..99, 80 * MS), NEVER);
        assert_eq!(run(&mut codel, start, 99..100, 4 * MS), NEVER, "it got short");
        assert_eq!(run(&mut codel, start, 100..199, 80 * MS), NEVER);
    }

    #[test]
    fn a_standing_queue_is_told_more_and_more_often() {
        let told = run(&mut Codel::default(), start(), 0..1000, 50 * MS);
        assert_eq!(told[0], 100, "after one interval");
        let gaps: Vec<u32> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(gaps[..4], [100, 71, 58, 50], "interval / sqrt(count)");
        assert!(gaps.is_sorted_by(|a, b| *a >= b.saturating_sub(1)), "{gaps:?}");
    }

    #[test]
    fn a_queue_of_one_packet_is_as_short_as_it_gets() {
        let mut codel = Codel::default();
        let start = start();
        let config = Config::default();
        assert!((0..1000).all(|at| !codel.must_tell(start + at * MS, 50 * MS, SHORTEST, config)));
    }

    #[test]
    fn it_resumes_where_it_was_when_the_queue_stands_again_at_once() {
        let mut codel = Codel::default();
        let start = start();
        let first = run(&mut codel, start, 0..1000, 50 * MS);
        run(&mut codel, start, 1000..1010, MS);
        let again = run(&mut codel, start, 1010..1400, 50 * MS);
        assert_eq!(again[0], 1110);
        assert!(again[1] - again[0] < 50, "{first:?} and then {again:?}");
        let mut rested = codel;
        run(&mut rested, start, 1400..1410, MS);
        let later = run(&mut rested, start, 9000..9400, 50 * MS);
        assert_eq!(later, [9100, 9200, 9271, 9329, 9379], "afresh");
    }

    #[allow(clippy::disallowed_methods)]
    fn start() -> Instant {
        Instant::now()
    }
}
