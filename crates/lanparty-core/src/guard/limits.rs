//! How much one sender may send: settings with units, and the buckets that hold it to them.
//!
//! A token bucket fills at a rate and holds a burst; `governor` keeps it as one number (GCRA), so a flood costs no memory. Its
//! clock is the `now` of the caller.

use std::{
    num::{NonZeroU32, NonZeroU64},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use governor::{
    Quota, RateLimiter,
    clock::{Clock, Reference},
    middleware::NoOpMiddleware,
    nanos::Nanos,
    state::{InMemoryState, NotKeyed},
};
use serde::{Deserialize, Serialize};

/// What one member may send. The defaults let a game night and a file copy through and keep a flooding member below
/// 1,000 group frames a second in all.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// ARP, neighbour discovery, DHCP, group membership. The burst is a scan of a whole /24; separate from everything else, so
    /// that no other flood cuts a player off.
    pub neighbor: Rate,
    /// mDNS, LLMNR, SSDP, NetBIOS, WS-Discovery. The burst is what Windows sends when an adapter comes up.
    pub chatter: Rate,
    /// Other broadcasts and multicasts: games that look for servers, or play by broadcast as IPX games do.
    pub flood: Rate,
    /// Frames to stations that nobody has seen yet.
    pub unknown_unicast: Rate,
    /// All bytes except those of `neighbor`, headers included.
    pub bandwidth: Bandwidth,
}

/// Frames per second, and how many may come at once. Segments of a super-frame count each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// Bytes per second, and how many may come at once. A burst of less than [`Bandwidth::MIN_BURST`] counts as that.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bandwidth {
    pub bytes_per_second: NonZeroU64,
    pub burst_bytes: NonZeroU64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            neighbor: Rate::new(100, 300),
            chatter: Rate::new(100, 300),
            flood: Rate::new(500, 500),
            unknown_unicast: Rate::new(100, 300),
            // 4 Gbit/s: more than an uplink of a player has, less than would let one of them occupy a relay.
            bandwidth: Bandwidth::new(500_000_000, 8 << 20),
        }
    }
}

impl Limits {
    /// What the party's LAN may send as a whole. It is no player's to abuse; only a broadcast storm is stopped.
    pub fn lan() -> Limits {
        Limits {
            neighbor: Rate::new(4_000, 8_000),
            chatter: Rate::new(4_000, 8_000),
            flood: Rate::new(8_000, 16_000),
            unknown_unicast: Rate::new(8_000, 16_000),
            bandwidth: Bandwidth::new(1_250_000_000, 32 << 20),
        }
    }
}

impl Rate {
    /// Zero counts as one.
    pub const fn new(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

impl Bandwidth {
    /// Two super-frames: a burst below one would never let it pass.
    pub const MIN_BURST: u64 = 128 << 10;

    /// Zero counts as one.
    pub const fn new(bytes_per_second: u64, burst_bytes: u64) -> Bandwidth {
        Bandwidth {
            bytes_per_second: NonZeroU64::MIN.saturating_add(bytes_per_second.saturating_sub(1)),
            burst_bytes: NonZeroU64::MIN.saturating_add(burst_bytes.saturating_sub(1)),
        }
    }
}

const fn at_least_one(value: u32) -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(value.saturating_sub(1))
}

/// A bucket of frames.
#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: RateLimiter<NotKeyed, InMemoryState, ToldClock, NoOpMiddleware<Told>>,
}

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Bucket {
        let quota = Quota::per_second(rate.per_second).allow_burst(rate.burst);
        Bucket {
            limiter: RateLimiter::direct_with_clock(quota, ToldClock::default()),
        }
    }

    /// Takes `count` tokens if they are all there. `now` counts from when the bucket was made, and never goes back.
    pub(crate) fn take(&mut self, now: Duration, count: u32) -> bool {
        let Some(count) = NonZeroU32::new(count) else {
            return true;
        };
        self.limiter.clock().tell(now);
        matches!(self.limiter.check_n(count), Ok(Ok(())))
    }
}

/// A bucket of bytes. Tokens stand for [`ByteBucket::UNIT`] bytes, because governor's time per token is whole nanoseconds, which
/// is too coarse for single bytes; what does not fill a unit is carried over.
#[derive(Debug)]
pub(crate) struct ByteBucket {
    bucket: Bucket,
    carried: u64,
}

impl ByteBucket {
    const UNIT: u64 = 64;

    pub(crate) fn new(bandwidth: Bandwidth) -> ByteBucket {
        let units = |bytes: u64| u32::try_from(bytes / ByteBucket::UNIT).unwrap_or(u32::MAX);
        let burst = bandwidth.burst_bytes.get().max(Bandwidth::MIN_BURST);
        ByteBucket {
            bucket: Bucket::new(Rate::new(units(bandwidth.bytes_per_second.get()), units(burst))),
            carried: 0,
        }
    }

    /// Takes `bytes` if they are all there.
    pub(crate) fn take(&mut self, now: Duration, bytes: usize) -> bool {
        let owed = self.carried.saturating_add(bytes as u64);
        let units = u32::try_from(owed / ByteBucket::UNIT).unwrap_or(u32::MAX);
        let taken = self.bucket.take(now, units);
        if taken {
            self.carried = owed % ByteBucket::UNIT;
        }
        taken
    }
}

/// A clock that shows what it was last told, in nanoseconds.
#[derive(Debug, Default)]
struct ToldClock(AtomicU64);

impl ToldClock {
    fn tell(&self, now: Duration) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX / 2);
        // Only the owner of the bucket tells and asks; atomic so that a guard may move between threads by reference.
        self.0.store(nanos, Ordering::Relaxed);
    }
}

impl Clock for ToldClock {
    type Instant = Told;

    fn now(&self) -> Told {
        Told(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Told(u64);

impl std::ops::Add<Nanos> for Told {
    type Output = Told;

    fn add(self, other: Nanos) -> Told {
        Told(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for Told {
    fn duration_since(&self, earlier: Told) -> Nanos {
        self.0.saturating_sub(earlier.0).into()
    }

    fn saturating_sub(&self, duration: Nanos) -> Told {
        Told(self.0.saturating_sub(duration.as_u64()))
    }
}
