//! What some systems keep for each interface besides addresses and routes.
//!
//! Linux has none of it here: its settings of an interface are kernel settings by name ([`Change::SetSysctl`](super::Change)). Windows
//! has a row for each interface and address family (`MIB_IPINTERFACE_ROW`) and a category for the network behind an interface.

use std::{fmt, net::IpAddr};

use serde::{Deserialize, Serialize};

/// An address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// That of an address.
    pub const fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// What is added to the metric of every route by an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// The system derives it from the speed of the link; now it is this.
    Automatic(u32),
    Fixed(u32),
}

impl Metric {
    /// What is added now.
    pub const fn value(self) -> u32 {
        match self {
            Metric::Automatic(value) | Metric::Fixed(value) => value,
        }
    }
}

/// One setting of one family of an interface.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpSetting {
    Metric(Metric),
    /// Whether default routes by this interface count.
    DefaultRoutes(bool),
    /// In bytes of IP packet.
    Mtu(u32),
}

/// All of them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct IpSettings {
    /// Index of the link.
    pub link: u32,
    pub family: Family,
    pub metric: Metric,
    pub default_routes: bool,
    pub mtu: u32,
}

impl IpSettings {
    /// What a system gives both families of an interface by itself, on Ethernet.
    pub fn automatic(link: u32, metric: u32) -> [IpSettings; 2] {
        Family::ALL.map(|family| IpSettings {
            link,
            family,
            metric: Metric::Automatic(metric),
            default_routes: true,
            mtu: 1500,
        })
    }

    /// The present value of what `setting` would set.
    pub fn current(&self, setting: IpSetting) -> IpSetting {
        match setting {
            IpSetting::Metric(_) => IpSetting::Metric(self.metric),
            IpSetting::DefaultRoutes(_) => IpSetting::DefaultRoutes(self.default_routes),
            IpSetting::Mtu(_) => IpSetting::Mtu(self.mtu),
        }
    }

    pub fn set(&mut self, setting: IpSetting) {
        match setting {
            IpSetting::Metric(metric) => self.metric = metric,
            IpSetting::DefaultRoutes(count) => self.default_routes = count,
            IpSetting::Mtu(mtu) => self.mtu = mtu,
        }
    }
}

/// What a system takes the network behind an interface for; its firewall decides by that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Strangers are around: discovery is blocked.
    Public,
    /// At home, or among friends.
    Private,
    /// A company's.
    Domain,
}

impl fmt::Display for IpSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            IpSetting::Metric(Metric::Automatic(_)) => f.write_str("metric to automatic"),
            IpSetting::Metric(Metric::Fixed(metric)) => write!(f, "metric to {metric}"),
            IpSetting::DefaultRoutes(true) => f.write_str("default routes on"),
            IpSetting::DefaultRoutes(false) => f.write_str("default routes off"),
            IpSetting::Mtu(mtu) => write!(f, "MTU to {mtu} bytes"),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Family::V4 => "IPv4",
            Family::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Category::Public => "public",
            Category::Private => "private",
            Category::Domain => "domain",
        })
    }
}
