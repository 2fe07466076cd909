//! Plans for Windows hosts that are described instead of found.

use lanparty_wire::host::{Address, IpSettings};

use super::*;

const TAP: &str = "lanparty";
const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const RELAY: &str = "203.0.113.10";

#[test]
fn each_step_begins_with_the_one_before_and_ends_in_the_order_of_the_plan() {
    let steps = [
        goal(),
        Goal {
            relay: vec![ip(RELAY)],
            ..goal()
        },
        Goal {
            mtu: Some(1500),
            ..pinned()
        },
        live(),
    ];
    let plans: Vec<Vec<Change>> = steps.iter().map(|goal| plan(&connected(), goal)).collect();
    for pair in plans.windows(2) {
        assert!(pair[1].starts_with(&pair[0]), "{:#?}", pair);
        assert!(pair[1].len() > pair[0].len());
    }
    let told: Vec<String> = plans[3].iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "create the TAP lanparty with address 02:00:00:00:00:01",
            "set IPv4 of lanparty: default routes off",
            "set IPv6 of lanparty: default routes off",
            "set IPv4 of lanparty: metric to 1",
            "set IPv6 of lanparty: metric to 1",
            "add the route 203.0.113.10/32 via 192.168.178.1 by Ethernet, metric 0",
            "set IPv4 of lanparty: MTU to 1500 bytes",
            "set IPv6 of lanparty: MTU to 1500 bytes",
            "plug in lanparty",
            "call the network behind lanparty private",
            "add the route 255.255.255.255/32 by lanparty, metric 0",
            "add the route 224.0.0.0/4 by lanparty, metric 0",
        ]
    );
}

#[test]
fn the_relay_is_pinned_to_the_real_interface_that_windows_would_take() {
    let mut host = home();
    assert_eq!(
        pin_of(&host),
        Some(("Ethernet".into(), Some(ip("192.168.178.1"))))
    );
    // The sum of both metrics decides, not the route's own.
    host.settings
        .iter_mut()
        .filter(|of| of.link == 2)
        .for_each(|of| of.metric = Metric::Fixed(500));
    assert_eq!(pin_of(&host), Some(("WLAN".into(), Some(ip("192.168.178.1")))));
    assert!(plan(&host, &pinned()).contains(&Change::SteadyWifi {
        interface: "WLAN".into()
    }));
    // A cable that is out leads nowhere.
    let mut host = home();
    host.links[1].carrier = false;
    assert_eq!(pin_of(&host), Some(("WLAN".into(), Some(ip("192.168.178.1")))));
    // At home, the relay is a neighbour.
    let mut host = home();
    host.routes.push(route(2, "203.0.113.0/24", None, 0));
    assert_eq!(pin_of(&host), Some(("Ethernet".into(), None)));
}

#[test]
fn other_tunnels_carry_the_relay_only_if_there_is_no_other_way() {
    let mut host = home();
    host.links.push(Link::new(20, "corporate VPN", LinkKind::Tun));
    host.routes.push(route(20, "0.0.0.0/1", None, 0));
    host.routes.push(route(20, "128.0.0.0/1", None, 0));
    assert_eq!(
        pin_of(&host),
        Some(("Ethernet".into(), Some(ip("192.168.178.1"))))
    );
    host.routes.retain(|route| route.link == 20);
    assert_eq!(pin_of(&host), Some(("corporate VPN".into(), None)));
}

#[test]
fn a_route_that_is_there_already_is_named_as_it_is() {
    let mut host = home();
    let own = route(3, "203.0.113.10/32", Some("192.168.178.1"), 42);
    host.routes.push(own);
    let pin = Change::AddRoute {
        interface: "WLAN".into(),
        destination: Prefix::host(ip(RELAY)),
        via: Some(ip("192.168.178.1")),
        metric: 42,
    };
    assert!(plan(&host, &pinned()).contains(&pin));
}

#[test]
fn a_route_of_the_network_before_is_not_taken_for_one_of_this() {
    let mut host = home();
    host.routes.push(route(2, "203.0.113.10/32", Some("10.9.9.1"), 0));
    assert_eq!(
        pin_of(&host),
        Some(("Ethernet".into(), Some(ip("192.168.178.1"))))
    );
    // Of an interface that has gone.
    host.routes.push(route(77, "203.0.113.10/32", None, 0));
    assert_eq!(
        pin_of(&host),
        Some(("Ethernet".into(), Some(ip("192.168.178.1"))))
    );
}

#[test]
fn a_relay_with_ipv6_alone_is_pinned_by_ipv6_and_one_without_a_way_is_not() {
    let mut host = home();
    let relay = ip("2001:db8:5::10");
    let goal = Goal {
        relay: vec![relay],
        ..goal()
    };
    assert_eq!(verify(&host, &goal), [Trouble::NoWay { relay }]);
    assert!(
        !plan(&host, &goal)
            .iter()
            .any(|change| matches!(change, Change::AddRoute { .. }))
    );
    host.routes.push(route(2, "::/0", Some("fe80::1"), 0));
    let pin = Change::AddRoute {
        interface: "Ethernet".into(),
        destination: Prefix::host(relay),
        via: Some(ip("fe80::1")),
        metric: 0,
    };
    assert!(plan(&host, &goal).contains(&pin));
    assert_eq!(verify(&host, &goal), [Trouble::Unpinned { relay }]);
}

#[test]
fn ipv6_that_is_switched_off_is_left_alone() {
    let mut host = connected();
    host.settings.retain(|of| of.family == Family::V4);
    let about_v6 = |change: &Change| {
        matches!(
            change,
            Change::SetIp {
                family: Family::V6,
                ..
            }
        )
    };
    assert!(!plan(&host, &live()).iter().any(about_v6));
    // IPv6 refuses less than 1280 bytes.
    let small = Goal {
        mtu: Some(1200),
        ..live()
    };
    let mtu_of_v6 = |change: &Change| {
        matches!(
            change,
            Change::SetIp {
                family: Family::V6,
                setting: IpSetting::Mtu(_),
                ..
            }
        )
    };
    assert!(!plan(&connected(), &small).iter().any(mtu_of_v6));
}

#[test]
fn games_go_to_the_party_when_the_player_wants_it_and_there_is_an_address() {
    let routes = |host: &Snapshot, goal: &Goal| {
        let by_tap =
            |change: &&Change| matches!(change, Change::AddRoute { interface, .. } if interface == TAP);
        plan(host, goal).iter().filter(by_tap).count()
    };
    assert_eq!(routes(&connected(), &live()), 2);
    assert_eq!(
        routes(
            &connected(),
            &Goal {
                broadcasts: false,
                ..live()
            }
        ),
        0
    );
    let mut host = connected();
    host.addresses.retain(|own| own.link != 9);
    assert_eq!(routes(&host, &live()), 0);
    // What Windows gives itself when nobody answers.
    host.addresses.push(address(9, "169.254.3.7/16"));
    assert_eq!(routes(&host, &live()), 0);
}

#[test]
fn a_companys_network_and_one_that_is_not_yet_known_keep_what_they_are() {
    let categories = |category: Option<Category>| {
        let mut host = connected();
        host.categories = category.map(|category| (9, category)).into_iter().collect();
        let is_it = |change: &Change| matches!(change, Change::SetCategory { .. });
        plan(&host, &live()).into_iter().filter(is_it).count()
    };
    assert_eq!(categories(None), 0);
    assert_eq!(categories(Some(Category::Domain)), 0);
    assert_eq!(categories(Some(Category::Public)), 1);
    // Planned again, it must not be taken back.
    assert_eq!(categories(Some(Category::Private)), 1);
}

#[test]
fn what_is_wrong_is_seen() {
    let goal = live();
    let mut host = connected();
    host.routes
        .push(route(2, "203.0.113.10/32", Some("192.168.178.1"), 0));
    host.categories = vec![(9, Category::Private)];
    assert_eq!(verify(&host, &goal), []);
    host.categories = vec![(9, Category::Public)];
    assert_eq!(verify(&host, &goal), [Trouble::Public]);
    host.categories.clear();
    let via = Some(ip("10.73.42.1"));
    host.routes.push(route(9, "0.0.0.0/0", Some("10.73.42.1"), 0));
    assert_eq!(verify(&host, &goal), [Trouble::DefaultRoute { via }]);
    host.settings
        .iter_mut()
        .filter(|of| of.link == 9)
        .for_each(|of| of.default_routes = false);
    assert_eq!(verify(&host, &goal), []);
    // Somebody routes the relay's network into the party.
    host.routes
        .retain(|route| route.destination != Prefix::host(ip(RELAY)));
    host.routes.push(route(9, "203.0.113.0/24", None, 0));
    let interface = TAP.to_owned();
    assert_eq!(
        verify(&host, &goal),
        [Trouble::Tunnelled {
            relay: ip(RELAY),
            interface
        }]
    );
}

#[test]
fn a_home_with_the_partys_network_still_reaches_the_relay_by_its_own_router() {
    let mut host = connected();
    host.addresses.retain(|own| own.link != 9);
    host.addresses.push(address(9, "192.168.178.60/24"));
    host.routes.push(route(9, "192.168.178.0/24", None, 0));
    assert_eq!(
        pin_of(&host),
        Some(("Ethernet".into(), Some(ip("192.168.178.1"))))
    );
}

/// Where the relay's own route leads by the plan.
fn pin_of(host: &Snapshot) -> Option<(String, Option<IpAddr>)> {
    plan(host, &pinned()).into_iter().find_map(|change| match change {
        Change::AddRoute {
            interface,
            destination,
            via,
            ..
        } if destination == Prefix::host(ip(RELAY)) => Some((interface, via)),
        _ => None,
    })
}

fn goal() -> Goal {
    Goal {
        tap: TAP.into(),
        mac: MAC,
        relay: Vec::new(),
        mtu: None,
        plugged_in: false,
        broadcasts: true,
    }
}

fn pinned() -> Goal {
    Goal {
        relay: vec![ip(RELAY)],
        ..goal()
    }
}

fn live() -> Goal {
    Goal {
        mtu: Some(1500),
        plugged_in: true,
        ..pinned()
    }
}

/// A flat with a cable and Wi-Fi to the same router.
fn home() -> Snapshot {
    Snapshot {
        links: vec![
            Link::new(1, "Loopback Pseudo-Interface 1", LinkKind::Loopback),
            Link::new(2, "Ethernet", LinkKind::Ethernet),
            Link::new(3, "WLAN", LinkKind::Wifi),
        ],
        addresses: vec![address(2, "192.168.178.20/24"), address(3, "192.168.178.21/24")],
        routes: vec![
            route(2, "0.0.0.0/0", Some("192.168.178.1"), 0),
            route(3, "0.0.0.0/0", Some("192.168.178.1"), 0),
            route(2, "192.168.178.0/24", None, 256),
            route(3, "192.168.178.0/24", None, 256),
        ],
        settings: [(2, 25), (3, 50)]
            .into_iter()
            .flat_map(|(link, metric)| IpSettings::automatic(link, metric))
            .collect(),
        categories: vec![(2, Category::Private)],
    }
}

/// The same with the adapter, plugged in and with an address of the party's.
fn connected() -> Snapshot {
    let mut host = home();
    host.links.push(Link::new(9, TAP, LinkKind::Tap));
    host.addresses.push(address(9, "10.73.42.51/24"));
    host.settings.extend(IpSettings::automatic(9, 25));
    host.categories.push((9, Category::Public));
    host
}

fn route(link: u32, destination: &str, via: Option<&str>, metric: u32) -> Route {
    Route {
        link,
        destination: destination.parse().unwrap(),
        via: via.map(ip),
        metric,
    }
}

fn address(link: u32, text: &str) -> Address {
    Address::new(link, text.parse().unwrap())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}
