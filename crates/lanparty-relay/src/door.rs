//! Who may begin a handshake. A handshake costs a signature and some memory, a look at the address almost nothing.
//!
//! In quiet times everybody is let in at once. Under load an address must first be proven (a retry, RFC 9000, section 8.1), which
//! costs us no memory and keeps forged addresses out; beyond what can be answered, newcomers are ignored and try again by
//! themselves. Limits on unproven addresses never shut an address out, because anybody could use them up in its name.

use std::{net::IpAddr, num::NonZeroU32, time::Instant};

use governor::{
    Quota, RateLimiter,
    clock::FakeRelativeClock,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::HashMapStateStore},
};

/// Handshakes at the same time: each may hold some 50 kB for a few seconds.
pub const MAX_HANDSHAKES: usize = 512;
/// From here on an address must be proven first.
const BUSY: usize = 64;
/// Handshakes begun per second: a third of one processor core.
const HANDSHAKES: (u32, u32) = (1000, 1000);
/// Retries per second, beyond which unproven newcomers are ignored: a fifth of one processor core.
const RETRIES: (u32, u32) = (15_000, 15_000);
/// Handshakes per second from one address. The burst is a party behind one NAT that comes back after a restart.
const PER_ADDRESS: (u32, u32) = (16, 128);
/// Addresses that are remembered; a proven address needs a machine, so only a large botnet fills this.
const MAX_ADDRESSES: usize = 20_000;

/// What becomes of one who knocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    Accept,
    /// Let it prove its address.
    Retry,
    Ignore,
}

type Clocked = FakeRelativeClock;
type Direct = RateLimiter<NotKeyed, InMemoryState, Clocked, NoOpMiddleware<governor::nanos::Nanos>>;
type Keyed = RateLimiter<
    (IpAddr, bool),
    HashMapStateStore<(IpAddr, bool)>,
    Clocked,
    NoOpMiddleware<governor::nanos::Nanos>,
>;

/// The limits on newcomers.
pub struct Door {
    clock: Clocked,
    now: Instant,
    addresses: Keyed,
    handshakes: Direct,
    retries: Direct,
}

impl Door {
    pub fn new(now: Instant) -> Door {
        let clock = Clocked::default();
        Door {
            addresses: RateLimiter::hashmap_with_clock(quota(PER_ADDRESS), clock.clone()),
            handshakes: RateLimiter::direct_with_clock(quota(HANDSHAKES), clock.clone()),
            retries: RateLimiter::direct_with_clock(quota(RETRIES), clock.clone()),
            clock,
            now,
        }
    }

    /// Decides about one who knocks; `handshakes` are those that are under way.
    pub fn answer(&mut self, now: Instant, address: IpAddr, proven: bool, handshakes: usize) -> Answer {
        self.clock.advance(now.saturating_duration_since(self.now));
        self.now = self.now.max(now);
        if handshakes < MAX_HANDSHAKES
            && (proven || handshakes < BUSY)
            && self.address_may(address, proven)
            && self.handshakes.check().is_ok()
        {
            return Answer::Accept;
        }
        if !proven && self.retries.check().is_ok() {
            return Answer::Retry;
        }
        Answer::Ignore
    }

    fn address_may(&mut self, address: IpAddr, proven: bool) -> bool {
        if self.addresses.len() >= MAX_ADDRESSES {
            self.addresses.retain_recent();
            self.addresses.shrink_to_fit();
        }
        if self.addresses.len() >= MAX_ADDRESSES {
            return false;
        }
        self.addresses.check_key(&(network_of(address), proven)).is_ok()
    }
}

fn quota((per_second, burst): (u32, u32)) -> Quota {
    let at_least_one = |value: u32| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
    Quota::per_second(at_least_one(per_second)).allow_burst(at_least_one(burst))
}

/// Any host of an IPv6 site can have as many addresses of its /64 as it likes.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::{net::Ipv4Addr, time::Duration};

    use super::*;

    #[test]
    fn a_party_behind_one_address_comes_in_at_once() {
        let (mut door, now) = door();
        let answers: Vec<Answer> = (0..64)
            .map(|n| door.answer(now, address(1), false, n.min(30)))
            .collect();
        assert!(answers.iter().all(|answer| *answer == Answer::Accept));
    }

    #[test]
    fn a_flooding_address_proves_itself_and_is_then_ignored_while_others_come_in() {
        let (mut door, now) = door();
        let flood: Vec<Answer> = (0..2000)
            .map(|_| door.answer(now, address(1), false, 0))
            .collect();
        assert_eq!(flood.iter().filter(|a| **a == Answer::Accept).count(), 128);
        assert_eq!(*flood.last().unwrap(), Answer::Retry);
        let proven: Vec<Answer> = (0..2000).map(|_| door.answer(now, address(1), true, 0)).collect();
        assert_eq!(proven.iter().filter(|a| **a == Answer::Accept).count(), 128);
        assert_eq!(*proven.last().unwrap(), Answer::Ignore);
        assert_eq!(door.answer(now, address(2), false, 0), Answer::Accept);
    }

    #[test]
    fn an_address_whose_name_was_abused_still_gets_in_by_proving_itself() {
        let (mut door, now) = door();
        for _ in 0..500 {
            door.answer(now, address(7), false, 0);
        }
        assert_eq!(door.answer(now, address(7), false, 0), Answer::Retry);
        assert_eq!(door.answer(now, address(7), true, 0), Answer::Accept);
    }

    #[test]
    fn under_load_addresses_are_proven_first() {
        let (mut door, now) = door();
        assert_eq!(door.answer(now, address(1), false, BUSY), Answer::Retry);
        assert_eq!(door.answer(now, address(1), true, BUSY), Answer::Accept);
        assert_eq!(door.answer(now, address(1), true, MAX_HANDSHAKES), Answer::Ignore);
    }

    #[test]
    fn forged_addresses_fill_nothing_for_ever_and_are_ignored_in_the_end() {
        let (mut door, mut now) = door();
        let mut last = Answer::Accept;
        for n in 0..100_000_u32 {
            now += Duration::from_micros(100);
            last = door.answer(now, Ipv4Addr::from(0x0a00_0000 + n).into(), false, 0);
            assert!(door.addresses.len() <= MAX_ADDRESSES);
        }
        assert_ne!(last, Answer::Accept);
        assert_eq!(
            door.answer(now + Duration::from_secs(5), address(9), false, 0),
            Answer::Accept
        );
    }

    fn door() -> (Door, Instant) {
        let now = Instant::now();
        (Door::new(now), now)
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }
}
