//! What a doctor looks at, and what it says: the facts that a host shows, and findings with a light each.
//!
//! Facts are gathered by whoever can see them (the host, a relay's answer), `core::doctor` judges them, and a surface prints
//! the findings. All of it is plain data, so that every judgement is tested without a host.

use std::{fmt, net::Ipv4Addr};

use serde::{Deserialize, Serialize};

use crate::{
    Mac, Pin,
    host::{LinkKind, Prefix},
};

/// How bad it is. The order is that of severity.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Light {
    /// Nothing to do.
    Green,
    /// A party works, but something may hurt it.
    Yellow,
    /// A party does not work, or not for everybody.
    Red,
}

/// What was looked at. The names are stable; `docs/doctor.md` explains each.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    Privileges,
    Tun,
    Interface,
    Carrier,
    Speed,
    Mtu,
    Offloads,
    BrNetfilter,
    Clock,
    Dhcp,
    ForeignMacs,
    LargeFrames,
    Multicast,
    Subnet,
    HomeNetwork,
    PartyLan,
    Relay,
    Line,
}

impl Check {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Check; 18] = [
        Check::Privileges,
        Check::Tun,
        Check::Interface,
        Check::Carrier,
        Check::Speed,
        Check::Mtu,
        Check::Offloads,
        Check::BrNetfilter,
        Check::Clock,
        Check::Dhcp,
        Check::ForeignMacs,
        Check::LargeFrames,
        Check::Multicast,
        Check::Subnet,
        Check::HomeNetwork,
        Check::PartyLan,
        Check::Relay,
        Check::Line,
    ];

    /// As it stands in JSON, in front of a line, and in the page about findings.
    pub const fn name(self) -> &'static str {
        match self {
            Check::Privileges => "privileges",
            Check::Tun => "tun",
            Check::Interface => "interface",
            Check::Carrier => "carrier",
            Check::Speed => "speed",
            Check::Mtu => "mtu",
            Check::Offloads => "offloads",
            Check::BrNetfilter => "br-netfilter",
            Check::Clock => "clock",
            Check::Dhcp => "dhcp",
            Check::ForeignMacs => "foreign-macs",
            Check::LargeFrames => "large-frames",
            Check::Multicast => "multicast",
            Check::Subnet => "subnet",
            Check::HomeNetwork => "home-network",
            Check::PartyLan => "party-lan",
            Check::Relay => "relay",
            Check::Line => "line",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One line of a doctor.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    pub name: Check,
    pub light: Light,
    /// What was found, in words.
    pub found: String,
    /// What to do, if there is anything to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

impl Finding {
    pub fn green(name: Check, found: impl Into<String>) -> Finding {
        Finding {
            name,
            light: Light::Green,
            found: found.into(),
            advice: None,
        }
    }

    pub fn yellow(name: Check, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding {
            name,
            light: Light::Yellow,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    pub fn red(name: Check, found: impl Into<String>, advice: impl Into<String>) -> Finding {
        Finding {
            light: Light::Red,
            ..Finding::yellow(name, found, advice)
        }
    }
}

/// The interface that the LAN's cable is in, as the system shows it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Card {
    pub name: String,
    pub kind: LinkKind,
    pub mac: Option<Mac>,
    /// Administratively up.
    pub up: bool,
    /// `None` where the driver does not tell.
    pub carrier: Option<bool>,
    /// Mbit/s, where the driver knows it.
    pub speed: Option<u32>,
    /// `None` where the driver does not tell.
    pub half_duplex: Option<bool>,
    /// Bytes of payload behind the Ethernet header.
    pub mtu: Option<u32>,
    /// A TAP that lanparty made.
    pub own_tap: bool,
    /// The bridge of this machine that it is, or is a port of.
    pub bridge: Option<Bridge>,
    /// Offloads that are on, as `ethtool -k` names them, of those that matter here.
    pub offloads: Vec<String>,
}

/// A bridge of this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bridge {
    pub name: String,
    /// Whether it forwards groups only to ports that have asked for them (RFC 4541).
    pub snooping: bool,
    /// Whether it asks for members of groups by itself.
    pub querier: bool,
}

/// What this machine does with bridged frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BridgeFilter {
    /// `bridge-nf-call-iptables`, or the same for IPv6 or ARP: bridged frames pass the firewall's rules.
    pub calls_firewall: bool,
    /// Docker is here, whose firewall drops what it does not know.
    pub docker: bool,
}

/// What this machine knows of the time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Seconds since the Unix epoch.
    pub now: u64,
    /// Whether the kernel's clock follows a time source; `None` where the system does not tell.
    pub is_synchronized: Option<bool>,
    /// Seconds since the Unix epoch that cannot lie ahead: when this program was built or installed.
    pub not_before: Option<u64>,
}

/// What a LAN answers to probes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LanProbe {
    /// Offers of DHCP servers. None was taken.
    pub offers: Vec<Offer>,
    /// How many addresses that are not the interface's own have asked.
    pub probes: u8,
    /// Hosts that answered to anybody.
    pub hosts: Vec<Station>,
    /// Who asks for members of groups on this LAN.
    pub queriers: Vec<Mac>,
}

/// An offer of a DHCP server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offer {
    pub server: Ipv4Addr,
    pub mac: Mac,
    /// The offered address with its network.
    pub address: Option<Prefix>,
}

/// A host on the LAN, by its answers to ARP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Station {
    pub address: Ipv4Addr,
    pub mac: Mac,
    /// It has answered the interface's own address.
    pub answered_own: bool,
    /// How many foreign addresses it has answered.
    pub answered_probes: u8,
    /// It has answered a frame of 1500 bytes behind the header.
    pub answered_large: bool,
}

/// What came of dialling the relay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RelayProbe {
    /// No answer, no address or no way; `why` says what to do.
    Unreachable { why: String },
    /// It shows a key that is not the trusted one; `why` says what to do.
    Untrusted { why: String },
    /// It answered, and refused.
    Refused { why: String },
    /// It answered.
    Reached {
        /// Of a packet there and back, in milliseconds.
        rtt_ms: u64,
        /// The key that was seen for the first time, if that is why it is trusted.
        first_use: Option<Pin>,
    },
}

/// What a measurement over the relay has shown: datagrams from this machine to the relay and back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Line {
    /// Datagrams went there and back.
    Measured {
        /// Sent at an even pace.
        sent: u64,
        /// Those of them that came back.
        arrived: u64,
        /// What came back at the fastest, in kbit/s; `None` if it was not tried.
        kbit_per_second: Option<u64>,
    },
    /// The relay answered once, and then no more; `why` says what was seen.
    Broken { why: String },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_has_the_names_that_the_page_has() {
        for check in Check::ALL {
            assert_eq!(
                serde_json::to_value(check).unwrap(),
                serde_json::json!(check.name())
            );
        }
        let finding = Finding::yellow(Check::BrNetfilter, "a", "b");
        assert_eq!(
            serde_json::to_value(finding).unwrap(),
            serde_json::json!({ "name": "br-netfilter", "light": "yellow", "found": "a", "advice": "b" })
        );
    }

    #[test]
    fn the_page_explains_every_finding() {
        let page = include_str!("../../../docs/doctor.md");
        for check in Check::ALL {
            assert!(page.contains(&format!("\n### `{}`\n", check.name())), "{check}");
        }
    }

    #[test]
    fn the_worst_light_is_the_greatest() {
        assert!(Light::Red > Light::Yellow && Light::Yellow > Light::Green);
    }
}
