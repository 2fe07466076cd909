//! The host as data: what a planner is told about it, and the changes that it may ask for.
//!
//! A [`Snapshot`] goes into `core::host`, [`Change`]s come out, and `lanparty-os` applies them as a transaction. All of
//! it is plain data, so that plans are tested without a host and a journal of changes survives a crash.

mod settings;

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use settings::{Category, Family, IpSetting, IpSettings, Metric};

use crate::Mac;

/// What a local device carries.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Medium {
    /// Whole Ethernet frames: a TAP, a packet socket.
    Ethernet,
    /// IP packets without a link header: a TUN, Wintun, a phone's VPN service.
    Ip,
}

/// An address with the length of its network prefix, `10.73.42.51/24`. Host bits may be set: it names an
/// interface's address as well as a network.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    address: IpAddr,
    length: u8,
}

impl Prefix {
    /// `None` if `length` is more than the address has bits.
    pub const fn new(address: IpAddr, length: u8) -> Option<Prefix> {
        let bits = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if length > bits {
            None
        } else {
            Some(Prefix { address, length })
        }
    }

    /// The prefix that holds this one address.
    pub const fn host(address: IpAddr) -> Prefix {
        let length = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Prefix { address, length }
    }

    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// In bits, at most 32 or 128.
    pub const fn length(self) -> u8 {
        self.length
    }

    /// True for `0.0.0.0/0` and `::/0`: a default route's destination.
    pub const fn is_default(self) -> bool {
        self.length == 0
    }

    /// The network that it lies in: the same without host bits.
    pub fn network(self) -> Prefix {
        let length = u32::from(self.length);
        let address = match self.address {
            IpAddr::V4(address) => {
                let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
                IpAddr::V4((u32::from(address) & mask).into())
            }
            IpAddr::V6(address) => {
                let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
                IpAddr::V6((u128::from(address) & mask).into())
            }
        };
        Prefix { address, ..self }
    }

    /// True if `address` lies within; never across address families.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && self.network().address == (Prefix { address, ..self }).network().address
    }

    /// True if the two have an address in common, so that a home network would hide a party's.
    pub fn overlaps(self, other: Prefix) -> bool {
        if self.length <= other.length {
            self.contains(other.address)
        } else {
            other.contains(self.address)
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is no prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an address with a prefix length such as 10.73.42.51/24")]
pub struct PrefixError(String);

impl FromStr for Prefix {
    type Err = PrefixError;

    fn from_str(text: &str) -> Result<Prefix, PrefixError> {
        let error = || PrefixError(text.chars().take(50).collect());
        let (address, length) = text.split_once('/').ok_or_else(error)?;
        let address = address.parse().map_err(|_| error())?;
        let length = length.parse().map_err(|_| error())?;
        Prefix::new(address, length).ok_or_else(error)
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Prefix, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// What an interface is made of, as far as a plan depends on it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// A wired network card, or a virtual one that behaves like it (veth, macvlan).
    Ethernet,
    Wifi,
    Loopback,
    Bridge,
    Bond,
    Vlan,
    /// TAP and TUN: of ours, or of another overlay.
    Tap,
    Tun,
    /// Point-to-point links, tunnels, everything that carries no Ethernet.
    Other,
}

/// One interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Link {
    /// The system's index; a re-plugged card gets a new one.
    pub index: u32,
    pub name: String,
    pub kind: LinkKind,
    /// `None` where the link has no Ethernet address.
    pub mac: Option<Mac>,
    /// Bytes of payload behind the link header.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// A cable with somebody at its other end; true where the system cannot tell.
    pub carrier: bool,
}

impl Link {
    /// One that is up and has a cable, with Ethernet's MTU and no address of its own, as far as nobody says otherwise.
    pub fn new(index: u32, name: &str, kind: LinkKind) -> Link {
        Link {
            index,
            name: name.to_owned(),
            kind,
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
        }
    }
}

/// An address of an interface.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Address {
    /// Index of the link.
    pub link: u32,
    pub address: Prefix,
    /// Usable as a source: neither tentative, deprecated nor found to be a duplicate.
    pub preferred: bool,
}

impl Address {
    /// One that is usable as a source.
    pub fn new(link: u32, address: Prefix) -> Address {
        Address {
            link,
            address,
            preferred: true,
        }
    }
}

/// A unicast route of the main table.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Route {
    /// Index of the link that packets leave by.
    pub link: u32,
    pub destination: Prefix,
    /// The next hop; `None` when the destination is on the link itself.
    pub via: Option<IpAddr>,
    /// The lower one wins among equal prefixes.
    pub metric: u32,
}

/// What is true of a host's network at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    pub links: Vec<Link>,
    pub addresses: Vec<Address>,
    pub routes: Vec<Route>,
    /// Only where the system has them; at most one for each link and family.
    #[serde(default)]
    pub settings: Vec<IpSettings>,
    /// Of links, by their index; only where the system has them.
    #[serde(default)]
    pub categories: Vec<(u32, Category)>,
}

impl Snapshot {
    pub fn link(&self, index: u32) -> Option<&Link> {
        self.links.iter().find(|link| link.index == index)
    }

    pub fn link_named(&self, name: &str) -> Option<&Link> {
        self.links.iter().find(|link| link.name == name)
    }

    /// What one family of a link is set to, where the system has that.
    pub fn settings_of(&self, link: u32, family: Family) -> Option<&IpSettings> {
        let is_it = |settings: &&IpSettings| settings.link == link && settings.family == family;
        self.settings.iter().find(is_it)
    }

    pub fn category_of(&self, link: u32) -> Option<Category> {
        let found = self.categories.iter().find(|(of, _)| *of == link);
        found.map(|&(_, category)| category)
    }

    /// The addresses of one link.
    pub fn addresses_of(&self, link: u32) -> impl Iterator<Item = &Address> {
        self.addresses.iter().filter(move |address| address.link == link)
    }

    /// Whether the link of this name has this address, with this length of its prefix.
    pub fn has_address(&self, link: &str, address: Prefix) -> bool {
        let link = self.link_named(link);
        link.is_some_and(|link| {
            self.addresses_of(link.index)
                .any(|known| known.address == address)
        })
    }
}

/// One change to a host. Whoever applies it writes down first how it is undone. Interfaces are named, because a
/// name is what survives until the next start; a change of an interface that has vanished counts as undone.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A TAP of this name and address comes into being. Undone: it is removed, if it is still that one.
    CreateTap { name: String, mac: Mac },
    /// A kernel setting, named by its path below `/proc/sys` with slashes (`net/ipv6/conf/lan0/accept_ra`).
    SetSysctl { key: String, value: String },
    /// Undone: removed, unless it was there before.
    AddAddress { interface: String, address: Prefix },
    /// Undone: removed, unless an equal route was there before.
    AddRoute {
        interface: String,
        destination: Prefix,
        via: Option<IpAddr>,
        metric: u32,
    },
    /// A file with this content. Undone: its previous content, or its absence. Its owner is asked to read its
    /// configuration again after both.
    WriteFile {
        path: PathBuf,
        content: String,
        owner: Option<Owner>,
    },
    /// A device feature as `ethtool -K` names it. Undone: its previous setting.
    SetFeature {
        interface: String,
        feature: String,
        enabled: bool,
    },
    /// A setting of one address family of an interface. Undone: its previous value.
    SetIp {
        interface: String,
        family: Family,
        setting: IpSetting,
    },
    /// What the system takes the network behind an interface for. Undone: its previous category.
    SetCategory { interface: String, category: Category },
    /// The cable of a TAP is plugged. Undone: pulled.
    PlugIn { interface: String },
    /// Wi-Fi stops looking for other networks, which interrupts it for up to 400 ms each time. Undone: it may again; the system does that
    /// by itself when the process ends.
    SteadyWifi { interface: String },
}

impl Change {
    /// The interface that it is about, if it is about one.
    pub fn interface(&self) -> Option<&str> {
        match self {
            Change::CreateTap { name: interface, .. }
            | Change::AddAddress { interface, .. }
            | Change::AddRoute { interface, .. }
            | Change::SetFeature { interface, .. }
            | Change::SetIp { interface, .. }
            | Change::SetCategory { interface, .. }
            | Change::PlugIn { interface }
            | Change::SteadyWifi { interface } => Some(interface),
            Change::SetSysctl { .. } | Change::WriteFile { .. } => None,
        }
    }
}

/// The program that a configuration file belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    NetworkManager,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Change::CreateTap { name, mac } => write!(f, "create the TAP {name} with address {mac}"),
            Change::SetSysctl { key, value } => write!(f, "set {key} to {value}"),
            Change::AddAddress { interface, address } => {
                write!(f, "add the address {address} to {interface}")
            }
            Change::AddRoute {
                interface,
                destination,
                via: None,
                metric,
            } => {
                write!(f, "add the route {destination} by {interface}, metric {metric}")
            }
            Change::AddRoute {
                interface,
                destination,
                via: Some(via),
                metric,
            } => {
                write!(
                    f,
                    "add the route {destination} via {via} by {interface}, metric {metric}"
                )
            }
            Change::WriteFile { path, .. } => write!(f, "write {}", path.display()),
            Change::SetFeature {
                interface,
                feature,
                enabled,
            } => {
                write!(
                    f,
                    "turn {feature} of {interface} {}",
                    if *enabled { "on" } else { "off" }
                )
            }
            Change::SetIp {
                interface,
                family,
                setting,
            } => write!(f, "set {family} of {interface}: {setting}"),
            Change::SetCategory { interface, category } => {
                write!(f, "call the network behind {interface} {category}")
            }
            Change::PlugIn { interface } => write!(f, "plug in {interface}"),
            Change::SteadyWifi { interface } => write!(f, "keep {interface} from looking for other networks"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_contain_what_shares_their_bits() {
        assert!(prefix("10.73.42.51/24").contains(ip("10.73.42.254")));
        assert!(!prefix("10.73.42.51/24").contains(ip("10.73.43.1")));
        assert!(prefix("0.0.0.0/0").contains(ip("192.0.2.1")));
        assert!(!prefix("0.0.0.0/0").contains(ip("2001:db8::1")));
        assert!(prefix("::/0").contains(ip("2001:db8::1")));
        assert!(prefix("fe80::/10").contains(ip("febf::1")));
        assert!(!prefix("fe80::1/128").contains(ip("fe80::2")));
    }

    #[test]
    fn prefixes_overlap_both_ways_round() {
        let (home, party) = (prefix("192.168.0.0/16"), prefix("192.168.178.20/24"));
        assert!(home.overlaps(party) && party.overlaps(home));
        assert!(!prefix("192.168.1.0/24").overlaps(party));
    }

    #[test]
    fn a_network_has_no_host_bits() {
        assert_eq!(prefix("10.73.42.51/24").network(), prefix("10.73.42.0/24"));
        assert_eq!(prefix("10.73.42.51/0").network(), prefix("0.0.0.0/0"));
        assert_eq!(prefix("2001:db8::1:1/112").network(), prefix("2001:db8::1:0/112"));
        assert_eq!(prefix("10.73.42.51/32").network(), prefix("10.73.42.51/32"));
    }

    #[test]
    fn texts_that_are_no_prefix_are_refused() {
        for text in [
            "",
            "10.0.0.1",
            "10.0.0.1/33",
            "::/129",
            "10.0.0.1/-1",
            "10.0.0/8",
            "10.0.0.1/8/8",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_change_survives_the_journal() {
        let change = Change::AddRoute {
            interface: "eth0".into(),
            destination: prefix("192.0.2.1/32"),
            via: Some(ip("198.51.100.1")),
            metric: 5,
        };
        let json = serde_json::to_string(&change).unwrap();
        assert_eq!(serde_json::from_str::<Change>(&json).unwrap(), change);
        assert_eq!(
            change.to_string(),
            "add the route 192.0.2.1/32 via 198.51.100.1 by eth0, metric 5"
        );
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }
}
