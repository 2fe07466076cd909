//! Plans for hosts that are described instead of found.

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
    host.links.push(Link::new(20, "tun5", LinkKind::Tun));
    host.links.push(Link::new(21, "ppp0", LinkKind::Other));
    assert_eq!(never_carry(&host, "lanparty0"), ["lanparty0", "tun5"]);
}

#[test]
fn an_overlay_that_is_the_only_way_out_is_allowed() {
    let mut host = with_tap(home());
    host.links.push(Link::new(20, "tun5", LinkKind::Tun));
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
        lan_games: true,
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
            Link::new(1, "lo", LinkKind::Loopback),
            Link::new(2, "eth0", LinkKind::Ethernet),
        ],
        addresses: vec![address(1, "127.0.0.1/8"), address(2, "192.168.178.20/24")],
        routes: vec![Route {
            link: 2,
            destination: prefix("0.0.0.0/0"),
            via: Some("192.168.178.1".parse().unwrap()),
            metric: 100,
        }],
        ..Snapshot::default()
    }
}

fn with_tap(mut host: Snapshot) -> Snapshot {
    host.links.push(Link::new(9, "lanparty0", LinkKind::Tap));
    host
}

fn routes(changes: &[Change]) -> Vec<String> {
    let destination = |change: &Change| match change {
        Change::AddRoute { destination, .. } => Some(destination.to_string()),
        _ => None,
    };
    changes.iter().filter_map(destination).collect()
}

fn address(link: u32, text: &str) -> Address {
    Address::new(link, text.parse().unwrap())
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}
