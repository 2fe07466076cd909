//! The same for Windows, where an interface has settings of its own and the adapter outlives the program.
//!
//! What is wanted grows in steps, and so does the plan: each step's plan begins with the one before. First the adapter, with its cable
//! pulled and its default routes off, so that nothing of the party can move the way to the internet; then, once the relay's name is
//! resolved, a route of its own to the relay by a real interface; then what was negotiated; then the cable; and once there is an
//! address, what games need. On exit all of it is undone in the opposite order.

use std::{fmt, net::IpAddr};

use lanparty_wire::{
    Mac,
    host::{Category, Change, Family, IpSetting, Link, LinkKind, Metric, Prefix, Route, Snapshot},
};

use super::{BROADCAST_ROUTES, is_link_local, never_carry};

/// Lower than any that Windows gives by itself (5 for 100 Gbit/s), so that games that look for the first adapter find this one.
const FIRST: u32 = 1;
/// Of a route, to which the interface's is added.
const NONE: u32 = 0;
/// IPv6 needs as much (RFC 8200, section 5).
const LEAST_MTU_V6: u16 = 1280;

/// What the host is to look like, as far as the client has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Goal {
    /// The adapter's name.
    pub tap: String,
    /// The client's address in the room.
    pub mac: Mac,
    /// The relay's addresses that are in use or may be; none until its name is resolved.
    pub relay: Vec<IpAddr>,
    /// The largest IP packet in the room, once it is known.
    pub mtu: Option<u16>,
    /// The room is joined, and frames may flow.
    pub plugged_in: bool,
    /// The player wants broadcasts and multicasts of games to go to the party, wherever the default route leads.
    pub broadcasts: bool,
}

/// Every change that the goal needs, in the order in which it is applied. Planned again whenever the host has changed: what another
/// network makes useless is not in the new plan, and has to be undone.
pub fn plan(snapshot: &Snapshot, goal: &Goal) -> Vec<Change> {
    let mut changes = vec![Change::CreateTap {
        name: goal.tap.clone(),
        mac: goal.mac,
    }];
    let tap = snapshot.link_named(&goal.tap);
    let families = || {
        Family::ALL
            .into_iter()
            .filter(|&family| has_family(snapshot, tap, family))
    };
    let set = |family, setting| Change::SetIp {
        interface: goal.tap.clone(),
        family,
        setting,
    };
    changes.extend(families().map(|family| set(family, IpSetting::DefaultRoutes(false))));
    changes.extend(families().map(|family| set(family, IpSetting::Metric(Metric::Fixed(FIRST)))));
    let pins: Vec<&Route> = goal
        .relay
        .iter()
        .filter_map(|&relay| way_to(snapshot, &goal.tap, relay))
        .collect();
    changes.extend(
        goal.relay
            .iter()
            .filter_map(|&relay| pin(snapshot, &goal.tap, relay)),
    );
    changes.extend(steady(snapshot, &pins));
    let mtus = goal
        .mtu
        .into_iter()
        .flat_map(|mtu| families().map(move |family| (family, mtu)));
    changes.extend(
        mtus.filter(|&(family, mtu)| family == Family::V4 || mtu >= LEAST_MTU_V6)
            .map(|(family, mtu)| set(family, IpSetting::Mtu(mtu.into()))),
    );
    if goal.plugged_in {
        changes.push(Change::PlugIn {
            interface: goal.tap.clone(),
        });
        changes.extend(tap.map(|tap| for_games(snapshot, goal, tap)).unwrap_or_default());
    }
    changes
}

/// What is wrong with the host for somebody who is connected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// The relay cannot be reached by any real interface.
    NoWay { relay: IpAddr },
    /// The relay would be reached by the party itself or another tunnel.
    Tunnelled { relay: IpAddr, interface: String },
    /// The relay is reached as it should be, but not by a route of its own: the next default route may take it along.
    Unpinned { relay: IpAddr },
    /// The TAP has a default route, and it counts.
    DefaultRoute { via: Option<IpAddr> },
    /// The system takes the party for strangers, so its firewall keeps games from being found.
    Public,
}

/// Whether the host is as `goal` wants it. To be asked after each change of the host, and before the cable is plugged in.
pub fn verify(snapshot: &Snapshot, goal: &Goal) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = goal
        .relay
        .iter()
        .filter_map(|&relay| trouble_with(snapshot, goal, relay))
        .collect();
    let Some(tap) = snapshot.link_named(&goal.tap) else {
        return troubles;
    };
    let defaults = snapshot
        .routes
        .iter()
        .filter(|route| route.link == tap.index && route.destination.is_default() && counts(snapshot, route));
    troubles.extend(defaults.map(|route| Trouble::DefaultRoute { via: route.via }));
    if goal.plugged_in && snapshot.category_of(tap.index) == Some(Category::Public) {
        troubles.push(Trouble::Public);
    }
    troubles
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::NoWay { relay } => write!(f, "Warning: this machine has no way to the relay at {relay}"),
            Trouble::Tunnelled { relay, interface } => write!(
                f,
                "Warning: the way to the relay at {relay} leads through {interface}, another tunnel or the party itself"
            ),
            Trouble::Unpinned { relay } => write!(
                f,
                "Warning: the relay at {relay} has no route of its own on this machine, so that another program may lead it astray"
            ),
            Trouble::DefaultRoute { via: None } => f.write_str("Warning: the TAP has a default route"),
            Trouble::DefaultRoute { via: Some(via) } => write!(f, "Warning: the TAP has a default route by {via}"),
            Trouble::Public => f.write_str(
                "Warning: Windows takes the party for a public network, so its firewall may keep others from finding your games; \
                 in Settings, Network, call it a private one",
            ),
        }
    }
}

fn trouble_with(snapshot: &Snapshot, goal: &Goal, relay: IpAddr) -> Option<Trouble> {
    let avoided = never_carry(snapshot, &goal.tap);
    let Some(route) = best_route(snapshot, relay, |_| true) else {
        return Some(Trouble::NoWay { relay });
    };
    let interface = snapshot
        .link(route.link)
        .map(|link| link.name.clone())
        .unwrap_or_default();
    if avoided.contains(&interface) {
        return Some(match way_to(snapshot, &goal.tap, relay) {
            Some(_) => Trouble::Tunnelled { relay, interface },
            None => Trouble::NoWay { relay },
        });
    }
    (route.destination != Prefix::host(relay)).then_some(Trouble::Unpinned { relay })
}

/// A route of its own to the relay. One that somebody else has made is named as it is, so that it is found to be there and stays.
fn pin(snapshot: &Snapshot, tap: &str, relay: IpAddr) -> Option<Change> {
    let route = way_to(snapshot, tap, relay)?;
    let is_pin = route.destination == Prefix::host(relay);
    Some(Change::AddRoute {
        interface: snapshot.link(route.link)?.name.clone(),
        destination: Prefix::host(relay),
        via: route.via,
        metric: if is_pin { route.metric } else { NONE },
    })
}

/// How the relay is reached by a real interface. A route to its address alone counts only while its next hop is still a neighbour: our
/// own of the network before this one is not.
fn way_to<'a>(snapshot: &'a Snapshot, tap: &str, relay: IpAddr) -> Option<&'a Route> {
    let avoided = never_carry(snapshot, tap);
    best_route(snapshot, relay, |route| {
        let Some(link) = snapshot.link(route.link) else {
            return false;
        };
        let is_stale = route.destination == Prefix::host(relay) && !is_neighbour(snapshot, route);
        !is_stale && !avoided.contains(&link.name)
    })
}

fn is_neighbour(snapshot: &Snapshot, route: &Route) -> bool {
    route.via.is_none_or(|via| {
        let on_link = |route: &Route, of: u32| route.link == of && route.via.is_none();
        let by_address = snapshot
            .addresses_of(route.link)
            .any(|own| own.address.contains(via));
        let by_route = snapshot
            .routes
            .iter()
            .any(|other| on_link(other, route.link) && other.destination.contains(via));
        // The next hops of IPv6 are mostly link-local, which every link has.
        by_address || by_route || is_link_local(Prefix::host(via))
    })
}

/// The route that the system takes, of those by connected interfaces: the longest prefix, then the lowest sum of both metrics.
fn best_route(snapshot: &Snapshot, to: IpAddr, allowed: impl Fn(&Route) -> bool) -> Option<&Route> {
    let is_connected = |route: &Route| {
        snapshot
            .link(route.link)
            .is_some_and(|link| link.up && link.carrier)
    };
    let candidates = snapshot.routes.iter().filter(|route| {
        route.destination.contains(to) && is_connected(route) && counts(snapshot, route) && allowed(route)
    });
    candidates.min_by_key(|route| {
        let family = Family::of(route.destination.address());
        let interface = snapshot.settings_of(route.link, family);
        let metric = interface.map_or(0, |settings| settings.metric.value());
        (
            std::cmp::Reverse(route.destination.length()),
            u64::from(route.metric) + u64::from(metric),
        )
    })
}

/// Default routes do not count where they are switched off.
pub(super) fn counts(snapshot: &Snapshot, route: &Route) -> bool {
    let family = Family::of(route.destination.address());
    !route.destination.is_default()
        || snapshot
            .settings_of(route.link, family)
            .is_none_or(|settings| settings.default_routes)
}

/// Steadies every Wi-Fi that carries the connection.
fn steady(snapshot: &Snapshot, pins: &[&Route]) -> Vec<Change> {
    let mut links: Vec<&Link> = pins
        .iter()
        .filter_map(|route| snapshot.link(route.link))
        .collect();
    links.retain(|link| link.kind == LinkKind::Wifi);
    links.sort_by_key(|link| link.index);
    links.dedup_by_key(|link| link.index);
    let steadied = links.into_iter().map(|link| Change::SteadyWifi {
        interface: link.name.clone(),
    });
    steadied.collect()
}

fn for_games(snapshot: &Snapshot, goal: &Goal, tap: &Link) -> Vec<Change> {
    let mut changes = Vec::new();
    // What has no category has not been looked at by the system yet; it is planned again when it has.
    if matches!(
        snapshot.category_of(tap.index),
        Some(Category::Public | Category::Private)
    ) {
        changes.push(Change::SetCategory {
            interface: goal.tap.clone(),
            category: Category::Private,
        });
    }
    let has_address = snapshot
        .addresses_of(tap.index)
        .any(|own| own.address.address().is_ipv4() && !is_link_local(own.address));
    // Sent without an address of the party's, they would come from the home network's.
    if goal.broadcasts && has_address {
        changes.extend(BROADCAST_ROUTES.map(|destination| Change::AddRoute {
            interface: goal.tap.clone(),
            destination,
            via: None,
            metric: NONE,
        }));
    }
    changes
}

/// IPv4 has to be there. IPv6 may be switched off, which is seen once there is an adapter.
fn has_family(snapshot: &Snapshot, tap: Option<&Link>, family: Family) -> bool {
    family == Family::V4 || tap.is_none_or(|tap| snapshot.settings_of(tap.index, family).is_some())
}

#[cfg(test)]
mod tests;
