//! How many log lines one address may cause. Whoever joins, is refused or leaves makes a line, and anybody can do so for ever: what is
//! beyond the limit is only counted, and one line now and then says how many there were.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::door::network_of;

/// Lines at once: a party behind one NAT that comes back.
const BURST: u32 = 32;
/// And then one line in each of these.
const REFILL: Duration = Duration::from_millis(250);
/// The line about those that were not written comes this often at most.
const SUMMARY_INTERVAL: Duration = Duration::from_secs(10);
/// Addresses that are remembered. When so many have written within a few seconds, others' lines are counted only.
const MAX_ADDRESSES: usize = 4096;

/// The limit, and the count of what it kept out of the log.
#[derive(Debug, Default)]
pub struct LineLimit(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// When an address has its whole burst again.
    full_at: HashMap<IpAddr, Instant>,
    unwritten: u64,
    summed_up: Option<Instant>,
}

impl LineLimit {
    /// True if a line that `address` has caused may be written now; if not, it is counted.
    pub fn may_write(&self, now: Instant, address: IpAddr) -> bool {
        let mut state = self.0.lock();
        let may = state.take(now, network_of(address));
        state.unwritten += u64::from(!may);
        may
    }

    /// How many lines were not written since this last said so, if it is time to say it again.
    pub fn summary(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock();
        let is_early = state
            .summed_up
            .is_some_and(|last| now.saturating_duration_since(last) < SUMMARY_INTERVAL);
        if is_early || state.unwritten == 0 {
            return None;
        }
        state.summed_up = Some(now);
        Some(std::mem::take(&mut state.unwritten))
    }
}

impl State {
    fn take(&mut self, now: Instant, address: IpAddr) -> bool {
        if self.full_at.len() >= MAX_ADDRESSES && !self.full_at.contains_key(&address) {
            self.full_at.retain(|_, full_at| *full_at > now);
            if self.full_at.len() >= MAX_ADDRESSES {
                return false;
            }
        }
        let full_at = self.full_at.entry(address).or_insert(now);
        let next = (*full_at).max(now) + REFILL;
        let may = next.saturating_duration_since(now) <= REFILL * BURST;
        if may {
            *full_at = next;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn one_address_writes_a_burst_and_then_a_few_lines_a_second() {
        let (limit, start) = (LineLimit::default(), Instant::now());
        let written = |at: Duration, count: usize| {
            (0..count)
                .filter(|_| limit.may_write(start + at, address(1)))
                .count()
        };
        assert_eq!(written(Duration::ZERO, 1000), 32);
        assert_eq!(written(Duration::from_secs(1), 1000), 4);
        assert_eq!(written(Duration::from_secs(3), 1000), 8);
        assert!(limit.may_write(start, address(2)), "another address has its own");
        assert_eq!(written(Duration::from_secs(60), 1000), 32);
    }

    #[test]
    fn what_was_not_written_is_summed_up_now_and_then() {
        let (limit, start) = (LineLimit::default(), Instant::now());
        assert_eq!(limit.summary(start), None);
        let flood = |at| (0..100).filter(|_| limit.may_write(at, address(1))).count();
        flood(start);
        assert_eq!(limit.summary(start), Some(68));
        flood(start);
        assert_eq!(limit.summary(start + Duration::from_secs(9)), None);
        assert_eq!(limit.summary(start + SUMMARY_INTERVAL), Some(100));
        assert_eq!(limit.summary(start + 2 * SUMMARY_INTERVAL), None);
    }

    #[test]
    fn a_site_of_ipv6_is_one_address_and_many_addresses_fill_nothing() {
        let (limit, start) = (LineLimit::default(), Instant::now());
        let site = |host: u128| IpAddr::V6((0x2001_0db8_u128 << 96 | host).into());
        assert_eq!(
            (0..100)
                .filter(|&host| limit.may_write(start, site(host)))
                .count(),
            32
        );
        for n in 0..10_000 {
            limit.may_write(start, Ipv4Addr::from(0x0a00_0000 + n).into());
        }
        assert!(limit.0.lock().full_at.len() <= MAX_ADDRESSES);
        assert!(limit.may_write(start + Duration::from_secs(8), address(9)));
    }

    fn address(last: u8) -> IpAddr {
        Ipv4Addr::new(192, 0, 2, last).into()
    }
}
