//! What a client wants of its host, as a list of changes.
//!
//! The TAP must be useful for games and must never become the way to the internet: no default route, no name servers, no
//! redirects, no forwarding between the party and the home network, and the tunnel never through itself or through
//! another tunnel. All of it is decided here from a [`Snapshot`], so that it is tested without a host; whoever applies a plan
//! keeps what has not changed since the last one, adds what is new and undoes what is gone.
//!
//! A plan is complete and ordered: applied from its first change to its last on a host without a TAP of ours, it brings the host
//! to the goal. This is Linux's; [`windows`] has interface metrics, the network's category and the relay's own route in the same list.

pub mod strays;
pub mod windows;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
};

use lanparty_wire::{
    Mac,
    host::{Change, Link, LinkKind, Prefix, Route, Snapshot},
};

/// What the host is to look like while a client runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The TAP's name.
    pub tap: String,
    /// The client's address in the room.
    pub mac: Mac,
    /// What keeps programs that manage interfaces off the TAP.
    pub unmanaged: Option<Change>,
    /// This kernel's settings of the TAP, which can be told only when it exists.
    pub settings: Vec<Change>,
    /// What the party's DHCP server gave us.
    pub lease: Option<Prefix>,
    /// Whether broadcasts of games leave through the TAP, whatever network they are meant for.
    pub lan_games: bool,
}

/// Every change that the goal needs, in the order in which it is applied.
pub fn plan(snapshot: &Snapshot, goal: &Goal) -> Vec<Change> {
    let tap = &goal.tap;
    let mut changes = Vec::new();
    // First, so that nobody ever sees the TAP as his own: he would take the party's default route and name servers.
    changes.extend(goal.unmanaged.clone());
    changes.push(Change::CreateTap {
        name: tap.clone(),
        mac: goal.mac,
    });
    changes.extend(
        goal.settings
            .iter()
            .filter(|change| is_setting_of(tap, change))
            .cloned(),
    );
    changes.extend(goal.lease.map(|address| Change::AddAddress {
        interface: tap.clone(),
        address,
    }));
    if goal.lan_games && has_address(snapshot, goal) {
        changes.extend(BROADCAST_ROUTES.map(|destination| Change::AddRoute {
            interface: tap.clone(),
            destination,
            via: None,
            metric: 0,
        }));
    }
    changes
}

/// The interfaces that must never carry the relay connection: our TAP, and other overlays, so that no tunnel runs in a tunnel. Where
/// another overlay is the only way out it is allowed, because a way is better than none.
pub fn never_carry(snapshot: &Snapshot, tap: &str) -> Vec<String> {
    let leads_out = |link: &&Link| {
        let route_out = |route: &&Route| route.link == link.index && route.destination.is_default();
        link.up && link.carrier && !is_overlay(link) && snapshot.routes.iter().any(|route| route_out(&route))
    };
    let mut names = vec![tap.to_owned()];
    if snapshot.links.iter().any(|link| leads_out(&link)) {
        let overlays = snapshot
            .links
            .iter()
            .filter(|link| is_overlay(link) && link.name != tap);
        names.extend(overlays.map(|link| link.name.clone()));
    }
    names
}

/// Something that a player should know before wondering.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Warning {
    /// The party's network and one of this host's overlap, so that some addresses mean two machines.
    SameSubnet {
        interface: String,
        home: Prefix,
        party: Prefix,
    },
    /// The TAP has a default route that somebody else gave it.
    DefaultRoute { via: Option<IpAddr> },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Warning::SameSubnet {
                interface,
                home,
                party,
            } => write!(
                f,
                "Warning: the party uses {party}, and so does your network at {interface} ({home}); machines of one of \
                 them will not be found. Ask the host for an uncommon network such as 10.73.42.0/24, or change yours"
            ),
            Warning::DefaultRoute { via: None } => f.write_str("Warning: the TAP has a default route"),
            Warning::DefaultRoute { via: Some(via) } => {
                write!(f, "Warning: the TAP has a default route by {via}")
            }
        }
    }
}

/// What is wrong with the host as it is now, for a client whose TAP has this name.
pub fn warnings(snapshot: &Snapshot, tap: &str) -> Vec<Warning> {
    let Some(ours) = snapshot.link_named(tap) else {
        return Vec::new();
    };
    let same_subnet = snapshot.addresses_of(ours.index).flat_map(|party| {
        let home = snapshot.addresses.iter().filter(|home| home.link != ours.index);
        home.filter_map(|home| {
            let link = snapshot
                .link(home.link)
                .filter(|link| link.up && link.kind != LinkKind::Loopback)?;
            let clash = !is_link_local(party.address) && home.address.overlaps(party.address);
            clash.then(|| Warning::SameSubnet {
                interface: link.name.clone(),
                home: home.address.network(),
                party: party.address.network(),
            })
        })
    });
    let default_routes = snapshot
        .routes
        .iter()
        .filter(|r| r.link == ours.index && r.destination.is_default() && windows::counts(snapshot, r));
    let default_routes = default_routes.map(|route| Warning::DefaultRoute { via: route.via });
    same_subnet.chain(default_routes).collect()
}

/// Where games send what everybody should hear; without these the default route decides (F1 of the field notes).
const BROADCAST_ROUTES: [Prefix; 2] = [
    Prefix::host(IpAddr::V4(Ipv4Addr::BROADCAST)),
    match Prefix::new(IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)), 4) {
        Some(multicast) => multicast,
        None => unreachable!(),
    },
];

/// A broadcast without an address of the party's would be sent from the home network's.
fn has_address(snapshot: &Snapshot, goal: &Goal) -> bool {
    let by_hand = snapshot.link_named(&goal.tap).is_some_and(|tap| {
        snapshot
            .addresses_of(tap.index)
            .any(|address| address.address.address().is_ipv4())
    });
    by_hand || goal.lease.is_some_and(|lease| lease.address().is_ipv4())
}

/// Settings of anything but the TAP have no place in a client's plan.
fn is_setting_of(tap: &str, change: &Change) -> bool {
    match change {
        Change::SetSysctl { key, .. } => key.split('/').nth(3) == Some(tap),
        Change::SetFeature { interface, .. } => interface == tap,
        Change::CreateTap { .. }
        | Change::AddAddress { .. }
        | Change::AddRoute { .. }
        | Change::WriteFile { .. }
        | Change::SetIp { .. }
        | Change::SetCategory { .. }
        | Change::PlugIn { .. }
        | Change::SteadyWifi { .. } => false,
    }
}

fn is_overlay(link: &Link) -> bool {
    match link.kind {
        LinkKind::Tap | LinkKind::Tun => true,
        LinkKind::Ethernet
        | LinkKind::Wifi
        | LinkKind::Loopback
        | LinkKind::Bridge
        | LinkKind::Bond
        | LinkKind::Vlan
        | LinkKind::Other => false,
    }
}

fn is_link_local(prefix: Prefix) -> bool {
    match prefix.address() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
