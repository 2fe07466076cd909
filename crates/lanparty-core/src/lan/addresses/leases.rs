//! Who has which address: a value that can be kept, and handed to another LAN gateway.
//!
//! An address stays with the MAC that had it, for as long as there are others to give; then the one that was not asked for the longest goes.
//! So a player who comes back finds his address, and no clock has to agree with another.

use std::net::Ipv4Addr;

use lanparty_wire::Mac;
use serde::{Deserialize, Serialize};

/// What was handed out, the one that was asked for last at the end. Each MAC and each address is there once.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(from = "Vec<Lease>", into = "Vec<Lease>")]
pub struct Leases(Vec<Lease>);

/// One of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Lease {
    pub mac: Mac,
    pub address: Ipv4Addr,
}

impl Leases {
    /// What this MAC has.
    pub fn of(&self, mac: Mac) -> Option<Ipv4Addr> {
        self.0
            .iter()
            .find(|lease| lease.mac == mac)
            .map(|lease| lease.address)
    }

    /// Who has this address.
    pub fn holder(&self, address: Ipv4Addr) -> Option<Mac> {
        self.0
            .iter()
            .find(|lease| lease.address == address)
            .map(|lease| lease.mac)
    }

    /// The MAC has this address from now on, and nobody else. True if that is news to who keeps the table.
    pub fn put(&mut self, mac: Mac, address: Ipv4Addr) -> bool {
        let lease = Lease { mac, address };
        if self.0.last() == Some(&lease) {
            return false;
        }
        self.0
            .retain(|other| other.mac != mac && other.address != address);
        self.0.push(lease);
        true
    }

    /// Nobody has this address any more. True if somebody had.
    pub fn remove(&mut self, address: Ipv4Addr) -> bool {
        let before = self.0.len();
        self.0.retain(|lease| lease.address != address);
        self.0.len() != before
    }

    /// From the one that was not asked for the longest.
    pub fn iter(&self) -> impl Iterator<Item = Lease> {
        self.0.iter().copied()
    }
}

impl From<Vec<Lease>> for Leases {
    /// Of contradictions the later one counts.
    fn from(list: Vec<Lease>) -> Leases {
        let mut leases = Leases::default();
        for Lease { mac, address } in list {
            leases.put(mac, address);
        }
        leases
    }
}

impl From<Leases> for Vec<Lease> {
    fn from(leases: Leases) -> Vec<Lease> {
        leases.0
    }
}
