//! The addresses that the LAN's DHCP server was heard to give to players. With the profile `strangers` nobody sends under another one, and after
//! a restart of the LAN gateway nobody is to wait until it is time to renew.

use std::{
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::Duration,
};

use lanparty_core::guard::HeardLease;
use lanparty_wire::{Mac, UnixTime};
use serde::{Deserialize, Serialize};

use crate::kept;

const FILE: &str = "heard-leases.json";
const WHAT: &str = "the addresses that the LAN has given to players";
/// More than a LAN has; the earliest goes.
const MOST: usize = 4096;

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Lease {
    mac: Mac,
    address: Ipv4Addr,
    until: UnixTime,
}

/// What is kept, the one that was heard last at the end. Each MAC and each address is there once.
#[derive(Debug)]
pub struct HeardLeases {
    file: PathBuf,
    leases: Vec<Lease>,
}

impl HeardLeases {
    pub fn load(state_dir: &Path) -> HeardLeases {
        let file = state_dir.join(FILE);
        let leases = kept::read(&file, WHAT);
        HeardLeases { file, leases }
    }

    /// With what is left of their time.
    pub fn left(&self, now: UnixTime) -> Vec<HeardLease> {
        let left = |lease: &Lease| HeardLease {
            mac: lease.mac,
            address: lease.address,
            lifetime: Duration::from_secs(lease.until.since(now)),
        };
        self.leases.iter().map(left).collect()
    }

    /// Takes note of what was heard, and writes it down unless that was done a short part of its time ago.
    pub fn note(&mut self, now: UnixTime, heard: &HeardLease) {
        if self.put(now, heard) {
            kept::write(&self.file, WHAT, &self.leases);
        }
    }

    /// True if it is worth writing down.
    fn put(&mut self, now: UnixTime, heard: &HeardLease) -> bool {
        let lifetime = heard.lifetime.as_secs();
        let until = now.after(lifetime);
        let is_fresh = |lease: &Lease| {
            lease.mac == heard.mac
                && lease.address == heard.address
                && until.since(lease.until) <= lifetime / 4
                && lease.until.since(until) == 0
        };
        if self.leases.iter().any(is_fresh) {
            return false;
        }
        self.leases
            .retain(|lease| lease.mac != heard.mac && lease.address != heard.address && now < lease.until);
        if self.leases.len() >= MOST {
            self.leases.remove(0);
        }
        self.leases.push(Lease {
            mac: heard.mac,
            address: heard.address,
            until,
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_is_kept_for_its_time_and_an_address_has_one_holder() {
        let folder = tempfile::tempdir().unwrap();
        let mut heard = HeardLeases::load(folder.path());
        let now = UnixTime(1_000_000);
        heard.note(now, &lease(1, 7, 100));
        heard.note(now, &lease(2, 8, 100));
        assert!(
            !heard.put(now.after(20), &lease(1, 7, 100)),
            "it is there already"
        );
        // The server has given the address to another, and the first one another address.
        heard.note(now.after(30), &lease(3, 7, 100));
        let again = HeardLeases::load(folder.path());
        let left = again.left(now.after(60));
        assert_eq!(left, [lease(2, 8, 40), lease(3, 7, 70)]);
        assert_eq!(again.left(now.after(500))[0].lifetime, Duration::ZERO);
    }

    fn lease(mac: u8, address: u8, seconds: u64) -> HeardLease {
        HeardLease {
            mac: Mac([2, 0, 0, 0, 0, mac]),
            address: Ipv4Addr::new(10, 0, 0, address),
            lifetime: Duration::from_secs(seconds),
        }
    }
}
