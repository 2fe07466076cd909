//! The network of this machine: its links, addresses and routes, what changes them, and which way leads to the relay.
//!
//! A snapshot is what a planner works on; single changes are made by name, because names are what a configuration
//! and a journal know. Whatever has to be undone later goes through [`crate::transaction`] and not directly through
//! here.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
mod query;
mod settle;
#[cfg(target_os = "linux")]
mod watch;
#[cfg(windows)]
mod windows;

#[cfg(target_os = "linux")]
mod imp {
    pub(crate) use super::linux::blocking;
    pub use super::{
        linux::{Network, snapshot},
        watch::Watch,
    };
}
#[cfg(windows)]
use windows as imp;

use std::{cmp::Reverse, io, net::IpAddr};

#[cfg(target_os = "linux")]
pub(crate) use imp::blocking;
#[cfg(windows)]
pub(crate) use imp::{
    Granted, Steady, adapter_of, add_address, add_route, category, granted, ip_setting, keep_names_out,
    remove_address, remove_route, rename, set_category, set_ip, set_mtu, steady,
};
pub use imp::{Network, Watch, snapshot};
use lanparty_wire::host::{Family, Route, Snapshot};

/// The way that packets to an address take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BestRoute {
    /// The interface's name; what a socket is bound to.
    pub interface: String,
    pub index: u32,
    /// The address that the system would send from.
    pub source: Option<IpAddr>,
    /// The default gateway or other next hop; `None` when the destination is on the link.
    pub via: Option<IpAddr>,
}

/// What has changed since [`Watch::changed`] was last asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct NetworkChange {
    pub links: bool,
    pub addresses: bool,
    pub routes: bool,
}

/// Whether something had to be added or was there already; what was there is not ours to remove.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Added {
    Now,
    Before,
}

/// Why the network could not be asked or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("could not {attempt}")]
    Failed { attempt: String, source: io::Error },
    #[error("there is no interface {name}")]
    NoInterface { name: String },
    #[error("this machine has no route to {to}; is it connected to a network?")]
    NoRoute { to: IpAddr },
    #[error("{what} is not supported on this platform")]
    Unsupported { what: &'static str },
}

/// The routes that lead to the address and not by an excluded interface, the best first.
fn candidates<'a>(snapshot: &'a Snapshot, to: IpAddr, excluding: &[&str]) -> Vec<&'a Route> {
    let usable = |index: u32| {
        snapshot
            .link(index)
            .is_some_and(|link| link.up && link.carrier && !excluding.contains(&link.name.as_str()))
    };
    let mut routes: Vec<_> = snapshot
        .routes
        .iter()
        .filter(|route| route.destination.contains(to) && usable(route.link))
        .collect();
    // Some systems add what an interface has to what a route has.
    let metric = |route: &Route| {
        let settings = snapshot.settings_of(route.link, Family::of(route.destination.address()));
        u64::from(route.metric) + settings.map_or(0, |settings| u64::from(settings.metric.value()))
    };
    routes.sort_by_key(|route| (Reverse(route.destination.length()), metric(route)));
    routes
}
