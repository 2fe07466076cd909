//! How fast packets leave while there are some: what a slow leg's standing queue is measured against.

use std::time::{Duration, Instant};

const FULL: u64 = 1514;
/// Long enough for several packets on any leg that a game can be played over.
const WINDOW: Duration = Duration::from_millis(100);
/// A leg that stalls is not as slow as it seems.
const SLOWEST: Duration = Duration::from_millis(50);

/// How long a full frame takes to leave.
#[derive(Debug, Default)]
pub struct Pace {
    since: Option<Instant>,
    bytes: u64,
    frame: Duration,
}

impl Pace {
    /// A packet has left; `more` wait.
    pub fn note(&mut self, now: Instant, bytes: u32, more: bool) {
        if !more {
            self.since = None;
            return;
        }
        let Some(since) = self.since else {
            self.begin(now);
            return;
        };
        self.bytes += u64::from(bytes);
        let passed = now.saturating_duration_since(since);
        if passed >= WINDOW {
            let nanos = passed.as_nanos() as u64 * FULL / self.bytes.max(1);
            let sample = Duration::from_nanos(nanos).min(SLOWEST);
            self.frame = if self.frame.is_zero() {
                sample
            } else {
                (self.frame + sample) / 2
            };
            self.begin(now);
        }
    }

    /// The time of a full frame and a half, which is the least that a queue can be asked to keep to (RFC 8289, section 4.4).
    pub fn least_target(&self) -> Duration {
        self.frame * 3 / 2
    }

    fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        self.bytes = 0;
    }
}
