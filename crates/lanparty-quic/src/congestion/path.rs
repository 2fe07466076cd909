//! What is measured of a path: its round-trip time without a queue, what a round saw, and what it always loses.

use std::time::{Duration, Instant};

/// A path may change under a connection; what was the smallest round-trip time then says nothing now.
const MEMORY: Duration = Duration::from_secs(10);
/// The weight of a new judgement in what is usually lost.
const LOSS_WEIGHT: f64 = 0.05;
/// A share is a share of so many packets: of the dozen of a short round, one lost at random is a twelfth.
const JUDGED: u64 = 100;
/// So many lost ones among fewer are no chance.
const CERTAIN: u64 = 8;

/// The smallest round-trip time of the last five to ten seconds.
#[derive(Debug, Clone)]
pub struct BaseRtt {
    /// Of the running half of [`MEMORY`], and of the half before.
    halves: [Duration; 2],
    since: Instant,
}

impl BaseRtt {
    pub fn new(now: Instant) -> BaseRtt {
        BaseRtt {
            halves: [Duration::MAX; 2],
            since: now,
        }
    }

    pub fn sample(&mut self, now: Instant, rtt: Duration) {
        if now.saturating_duration_since(self.since) >= MEMORY / 2 {
            self.halves = [rtt, self.halves[0]];
            self.since = now;
        }
        self.halves[0] = self.halves[0].min(rtt);
    }

    pub fn get(&self) -> Duration {
        self.halves[0].min(self.halves[1])
    }
}

/// What came back since the window was set: it tells what this window does.
#[derive(Debug, Clone)]
pub struct Round {
    pub started: Instant,
    /// The smallest round-trip time of what was sent in it.
    pub rtt: Option<Duration>,
    pub samples: u32,
    pub acked_bytes: u64,
    /// The same, of the running acknowledgement.
    acking: u64,
    /// The most that was on its way at once.
    pub in_flight: u64,
    pub lost_bytes: u64,
    /// The window was what held the sender back.
    pub limited: bool,
    /// A router on the way said that its queue is long.
    pub marked: bool,
}

impl Round {
    pub fn new(now: Instant) -> Round {
        Round {
            started: now,
            rtt: None,
            samples: 0,
            acked_bytes: 0,
            acking: 0,
            in_flight: 0,
            lost_bytes: 0,
            limited: false,
            marked: false,
        }
    }

    pub fn acked(&mut self, sent: Instant, bytes: u64, rtt: Duration, app_limited: bool) {
        self.acked_bytes += bytes;
        self.acking += bytes;
        self.limited |= !app_limited;
        if sent >= self.started {
            self.samples += 1;
            self.rtt = Some(self.rtt.map_or(rtt, |least| least.min(rtt)));
        }
    }

    /// All of an acknowledgement has been told; `in_flight` bytes are still on their way.
    pub fn acks_end(&mut self, in_flight: u64) {
        self.in_flight = self.in_flight.max(in_flight + std::mem::take(&mut self.acking));
    }
}

/// What the path usually loses, whatever we send.
#[derive(Debug, Clone, Default)]
pub struct Losses {
    usual: f64,
    /// Bytes of the rounds that are not judged yet.
    acked: u64,
    lost: u64,
}

impl Losses {
    /// Takes a round's loss in, and returns how much more than usual was lost as soon as that can be told: 0 until then.
    pub fn excess(&mut self, round: &Round, mtu: u64) -> f64 {
        self.acked += round.acked_bytes;
        self.lost += round.lost_bytes;
        let all = self.acked + self.lost;
        if all < JUDGED * mtu && self.lost < CERTAIN * mtu {
            return 0.0;
        }
        let excess = self.lost as f64 / all as f64 - self.usual;
        self.usual += LOSS_WEIGHT * excess;
        (self.acked, self.lost) = (0, 0);
        excess
    }
}
