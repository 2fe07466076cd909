//! What a client wants of its host, as a list of changes.
//!
//! The TAP must be useful for games and must never become the way to the internet: no default route, no name servers, no
//! redirects, no forwarding between the party and the home network, and the tunnel never through itself or through
//! another tunnel. All of it is decided here from a [`Snapshot`], so that it is tested without a host; whoever applies a plan
//! keeps what has not changed since the last one, adds what is new and undoes what is gone.
//!
//! A plan is complete and ordered: applied from its first change to its last on a host without a TAP of ours, it brings the host
//! to the goal. Settings of other systems (interface metrics, the network's category) become further changes of the same list.

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
    if has_address(snapshot, goal) {
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
        .filter(|r| r.link == ours.index && r.destination.is_default());
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
        | Change::WriteFile { .. } => false,
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
mod tests {
    use lanparty_wire::host::Address;

    use super::*;

    #[test]
    fn a_new_tap_is_hidden_from_others_before_it_exists_and_set_up_before_it_has_an_address() {
        let steps: Vec<String> = plan(&home(), &leased()).iter().map(ToString::to_string).collect();
        assert_eq!(
            steps,
            [
                "write /run/unmanaged.conf",
                "create the TAP lanparty0 with address 02:00:00:00:00:01",
                "set net/ipv6/conf/lanparty0/accept_ra_defrtr to 0",
                "add the address 10.73.42.51/24 to lanparty0",
                "add the route 255.255.255.255/32 by lanparty0, metric 0",
                "add the route 224.0.0.0/4 by lanparty0, metric 0",
            ]
        );
    }

    #[test]
    fn settings_of_other_interfaces_and_routes_have_no_place_among_the_taps() {
        let setting = |key: &str| Change::SetSysctl {
            key: key.into(),
            value: "0".into(),
        };
        let foreign = [
            setting("net/ipv4/conf/eth0/forwarding"),
            setting("net/ipv4/ip_forward"),
            Change::AddRoute {
                interface: "lanparty0".into(),
                destination: prefix("0.0.0.0/0"),
                via: None,
                metric: 0,
            },
        ];
        let goal = Goal {
            settings: foreign.to_vec(),
            ..goal()
        };
        assert!(
            plan(&home(), &goal)
                .iter()
                .all(|change| !foreign.contains(change))
        );
    }

    #[test]
    fn no_plan_ever_takes_a_default_route() {
        for lease in [None, Some(prefix("10.73.42.51/24")), Some(prefix("0.0.0.1/0"))] {
            for change in plan(&home(), &Goal { lease, ..goal() }) {
                if let Change::AddRoute { destination, .. } = change {
                    assert!(!destination.is_default());
                }
            }
        }
    }

    #[test]
    fn broadcasts_go_to_the_party_once_there_is_an_address_to_send_them_from() {
        assert_eq!(routes(&plan(&home(), &goal())), [] as [String; 0]);
        let leased = Goal {
            lease: Some(prefix("10.73.42.51/24")),
            ..goal()
        };
        assert_eq!(
            routes(&plan(&home(), &leased)),
            ["255.255.255.255/32", "224.0.0.0/4"]
        );
        let mut by_hand = with_tap(home());
        by_hand.addresses.push(address(9, "10.73.42.7/24"));
        assert_eq!(
            routes(&plan(&by_hand, &goal())),
            ["255.255.255.255/32", "224.0.0.0/4"]
        );
    }

    #[test]
    fn a_longer_plan_starts_like_the_shorter_one() {
        let short = plan(&home(), &goal());
        let long = plan(
            &home(),
            &Goal {
                lease: Some(prefix("10.73.42.51/24")),
                ..goal()
            },
        );
        assert_eq!(long[..short.len()], short);
        assert_eq!(
            long[short.len()].to_string(),
            "add the address 10.73.42.51/24 to lanparty0"
        );
    }

    #[test]
    fn the_relay_is_reached_by_neither_our_tap_nor_another_overlay() {
        let mut host = with_tap(home());
        host.links.push(link(20, "tun5", LinkKind::Tun));
        host.links.push(link(21, "ppp0", LinkKind::Other));
        assert_eq!(never_carry(&host, "lanparty0"), ["lanparty0", "tun5"]);
    }

    #[test]
    fn an_overlay_that_is_the_only_way_out_is_allowed() {
        let mut host = with_tap(home());
        host.links.push(link(20, "tun5", LinkKind::Tun));
        host.routes[0].link = 20;
        assert_eq!(never_carry(&host, "lanparty0"), ["lanparty0"]);
        host.routes.push(Route {
            link: 2,
            ..host.routes[0].clone()
        });
        host.links[1].carrier = false;
        assert_eq!(
            never_carry(&host, "lanparty0"),
            ["lanparty0"],
            "a pulled cable leads nowhere"
        );
    }

    #[test]
    fn a_party_with_the_home_networks_addresses_is_told_about() {
        let mut host = with_tap(home());
        host.addresses.push(address(9, "192.168.178.77/24"));
        assert_eq!(
            warnings(&host, "lanparty0"),
            [Warning::SameSubnet {
                interface: "eth0".into(),
                home: prefix("192.168.178.0/24"),
                party: prefix("192.168.178.0/24"),
            }]
        );
        host.links[1].up = false;
        assert_eq!(warnings(&host, "lanparty0"), []);
    }

    #[test]
    fn link_local_and_other_networks_are_no_reason_to_warn() {
        let mut host = with_tap(home());
        for text in ["10.73.42.51/24", "fe80::1/64", "169.254.1.1/16"] {
            host.addresses.push(address(9, text));
        }
        host.addresses.push(address(2, "169.254.9.9/16"));
        host.addresses.push(address(2, "fe80::2/64"));
        assert_eq!(warnings(&host, "lanparty0"), []);
        assert_eq!(warnings(&home(), "lanparty0"), [], "without a TAP");
    }

    #[test]
    fn a_default_route_that_somebody_gave_the_tap_is_seen() {
        let mut host = with_tap(home());
        let via = Some("10.73.42.1".parse().unwrap());
        host.routes.push(Route {
            link: 9,
            destination: prefix("0.0.0.0/0"),
            via,
            metric: 100,
        });
        assert_eq!(warnings(&host, "lanparty0"), [Warning::DefaultRoute { via }]);
    }

    fn goal() -> Goal {
        let setting = Change::SetSysctl {
            key: "net/ipv6/conf/lanparty0/accept_ra_defrtr".into(),
            value: "0".into(),
        };
        let unmanaged = Change::WriteFile {
            path: "/run/unmanaged.conf".into(),
            content: "lanparty0".into(),
            owner: None,
        };
        Goal {
            tap: "lanparty0".into(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            unmanaged: Some(unmanaged),
            settings: vec![setting],
            lease: None,
        }
    }

    fn leased() -> Goal {
        Goal {
            lease: Some(prefix("10.73.42.51/24")),
            ..goal()
        }
    }

    /// A flat with one wired network.
    fn home() -> Snapshot {
        Snapshot {
            links: vec![
                link(1, "lo", LinkKind::Loopback),
                link(2, "eth0", LinkKind::Ethernet),
            ],
            addresses: vec![address(1, "127.0.0.1/8"), address(2, "192.168.178.20/24")],
            routes: vec![Route {
                link: 2,
                destination: prefix("0.0.0.0/0"),
                via: Some("192.168.178.1".parse().unwrap()),
                metric: 100,
            }],
        }
    }

    fn with_tap(mut host: Snapshot) -> Snapshot {
        host.links.push(link(9, "lanparty0", LinkKind::Tap));
        host
    }

    fn routes(changes: &[Change]) -> Vec<String> {
        let destination = |change: &Change| match change {
            Change::AddRoute { destination, .. } => Some(destination.to_string()),
            _ => None,
        };
        changes.iter().filter_map(destination).collect()
    }

    fn link(index: u32, name: &str, kind: LinkKind) -> Link {
        Link {
            index,
            name: name.into(),
            kind,
            mac: None,
            mtu: 1500,
            up: true,
            carrier: true,
        }
    }

    fn address(link: u32, text: &str) -> Address {
        Address {
            link,
            address: prefix(text),
            preferred: true,
        }
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }
}
