//! The TAP of a player, or the LAN's interface of a LAN gateway.

use std::net::IpAddr;

use lanparty_wire::{
    Mac,
    host::{Prefix, Snapshot},
};
use serde::{Deserialize, Serialize};

/// A local interface that carries the room's frames.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InterfaceStatus {
    pub name: String,
    /// The system's index (on Windows beside its LUID).
    #[serde(default)]
    pub index: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    #[serde(default)]
    pub mtu: u32,
    /// Administratively up.
    #[serde(default)]
    pub up: bool,
    /// A cable with somebody at its other end; on a TAP, the room is joined.
    #[serde(default)]
    pub carrier: bool,
    #[serde(default)]
    pub addresses: Vec<Prefix>,
}

impl InterfaceStatus {
    /// The interface of this name as a snapshot of the host shows it; `None` if it has none.
    pub fn of(snapshot: &Snapshot, name: &str) -> Option<InterfaceStatus> {
        let link = snapshot.link_named(name)?;
        let addresses = snapshot.addresses_of(link.index);
        Some(InterfaceStatus {
            name: link.name.clone(),
            index: link.index,
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            addresses: addresses.map(|address| address.address).collect(),
        })
    }

    /// An interface that is not there at present.
    pub fn absent(name: &str) -> InterfaceStatus {
        InterfaceStatus {
            name: name.to_owned(),
            index: 0,
            mac: None,
            mtu: 0,
            up: false,
            carrier: false,
            addresses: Vec::new(),
        }
    }

    /// The address to show: IPv4 before IPv6, and link-local ones last within each.
    pub fn preferred_address(&self) -> Option<Prefix> {
        self.addresses
            .iter()
            .copied()
            .min_by_key(|prefix| match prefix.address() {
                IpAddr::V4(address) => (0, address.is_link_local()),
                IpAddr::V6(address) => (1, address.is_unicast_link_local()),
            })
    }
}
