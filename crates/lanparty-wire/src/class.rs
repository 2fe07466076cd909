//! How urgent a frame is.

use serde::{Deserialize, Serialize};

/// The class that a sender gives to a frame. It travels in the clear header, so that a relay can schedule and limit
/// what it cannot read. Ordered from the least to the most urgent.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Everything else: payload-heavy TCP and UDP.
    Bulk = 0,
    /// Background discovery that nobody waits for: mDNS, LLMNR, SSDP, NetBIOS.
    Chatter = 1,
    /// What a player feels: small packets, ICMP, DNS, TCP without payload, game broadcasts.
    Interactive = 2,
    /// What everything else waits for: ARP, neighbour discovery, DHCP, group membership, and our own probes.
    Neighbor = 3,
}

impl Class {
    /// All classes, the most urgent first.
    pub const BY_URGENCY: [Class; 4] = [Class::Neighbor, Class::Interactive, Class::Chatter, Class::Bulk];
    /// How many there are; `class as usize` is an index below it.
    pub const COUNT: usize = 4;

    /// `None` for values that version 1 reserves.
    pub const fn from_wire(value: u8) -> Option<Class> {
        match value {
            0 => Some(Class::Bulk),
            1 => Some(Class::Chatter),
            2 => Some(Class::Interactive),
            3 => Some(Class::Neighbor),
            _ => None,
        }
    }
}
