//! One direction of a member's way to the relay: latency, jitter, loss, reordering, and a rate.
//!
//! Each link has random numbers of its own, so that what one member does leaves the fate of another's datagrams alone.

use std::time::Duration;

use rand::{Rng, SeedableRng, rngs::SmallRng};

/// What a link does to datagrams.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LinkConfig {
    pub latency: Duration,
    /// The most that is added to the latency.
    pub jitter: Duration,
    /// The share of datagrams that is lost, `0.0..=1.0`.
    pub loss: f64,
    /// The share that may be overtaken by later ones.
    pub reorder: f64,
    /// How fast datagrams leave; `None` for at once.
    pub bytes_per_second: Option<u64>,
}

impl LinkConfig {
    /// Everything arrives at once.
    pub const PERFECT: LinkConfig = LinkConfig {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        reorder: 0.0,
        bytes_per_second: None,
    };

    /// A home uplink on a bad day.
    pub const HOME: LinkConfig = LinkConfig {
        latency: Duration::from_millis(15),
        jitter: Duration::from_millis(10),
        loss: 0.02,
        reorder: 0.05,
        // 10 Mbit/s: a few frames at once have to queue.
        bytes_per_second: Some(1_250_000),
    };
}

/// What becomes of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
    Lost,
    Arrives(Duration),
}

/// One direction of one connection.
#[derive(Debug)]
pub struct Link {
    config: LinkConfig,
    random: SmallRng,
    /// Until when the sender's side is busy.
    busy_until: Duration,
    sent: u64,
    lost: u64,
    /// When the last one arrives that nothing may overtake.
    last_arrival: Duration,
}

impl Link {
    pub fn new(config: LinkConfig, seed: u64) -> Link {
        Link {
            config,
            random: SmallRng::seed_from_u64(seed),
            busy_until: Duration::ZERO,
            sent: 0,
            lost: 0,
            last_arrival: Duration::ZERO,
        }
    }

    /// When the next datagram can leave.
    pub fn free_at(&self, now: Duration) -> Duration {
        self.busy_until.max(now)
    }

    /// A datagram leaves.
    pub fn send(&mut self, now: Duration, bytes: usize) -> Fate {
        let departure = self.free_at(now) + self.serialization(bytes);
        self.busy_until = departure;
        self.sent += 1;
        if self.random.random_bool(self.config.loss) {
            self.lost += 1;
            return Fate::Lost;
        }
        let arrival = departure + self.config.latency + self.up_to(self.config.jitter);
        if self.random.random_bool(self.config.reorder) {
            return Fate::Arrives(arrival + self.up_to(3 * self.config.jitter));
        }
        self.last_arrival = self.last_arrival.max(arrival);
        Fate::Arrives(self.last_arrival)
    }

    /// Datagrams sent, and how many of them were lost: what QUIC would have counted.
    pub fn stats(&self) -> (u64, u64) {
        (self.sent, self.lost)
    }

    /// When a message of the reliable stream arrives: in order, and late if it had to be sent again.
    pub fn send_reliably(&mut self, now: Duration, last: &mut Duration) -> Duration {
        let again = if self.random.random_bool(self.config.loss) {
            3 * (self.config.latency + self.config.jitter)
        } else {
            Duration::ZERO
        };
        let arrival = now + self.config.latency + self.up_to(self.config.jitter) + again;
        *last = arrival.max(*last);
        *last
    }

    fn serialization(&self, bytes: usize) -> Duration {
        self.config.bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_secs_f64(bytes as f64 / rate as f64)
        })
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        match most.as_micros() as u64 {
            0 => Duration::ZERO,
            micros => Duration::from_micros(self.random.random_range(0..=micros)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_loses_and_reorders_as_much_as_it_says() {
        let mut link = Link::new(LinkConfig::HOME, 1);
        let fates: Vec<Fate> = (0..10_000)
            .map(|at| link.send(Duration::from_millis(at), 1000))
            .collect();
        let lost = fates.iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((150..250).contains(&lost), "{lost} of 10000");
        let arrivals: Vec<Duration> = fates
            .iter()
            .filter_map(|fate| match fate {
                Fate::Arrives(at) => Some(*at),
                Fate::Lost => None,
            })
            .collect();
        let overtaken = arrivals.windows(2).filter(|pair| pair[1] < pair[0]).count();
        assert!((100..600).contains(&overtaken), "{overtaken} were overtaken");
        assert!(!arrivals.iter().any(|at| *at < LinkConfig::HOME.latency));
    }

    #[test]
    fn without_jitter_and_reordering_everything_stays_in_order() {
        let config = LinkConfig {
            reorder: 0.0,
            bytes_per_second: None,
            ..LinkConfig::HOME
        };
        let mut link = Link::new(config, 1);
        let mut last = Duration::ZERO;
        for at in 0..1000 {
            if let Fate::Arrives(arrival) = link.send(Duration::from_micros(at), 100) {
                assert!(arrival >= last);
                last = arrival;
            }
        }
    }

    #[test]
    fn a_rate_makes_datagrams_wait_for_each_other() {
        let config = LinkConfig {
            bytes_per_second: Some(1_000_000),
            ..LinkConfig::PERFECT
        };
        let mut link = Link::new(config, 1);
        let second = Duration::from_millis(2);
        link.send(Duration::ZERO, 1000);
        assert_eq!(link.send(Duration::ZERO, 1000), Fate::Arrives(second));
        assert_eq!(link.free_at(Duration::ZERO), second);
    }
}
