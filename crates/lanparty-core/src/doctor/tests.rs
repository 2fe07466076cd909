//! Each finding, provoked by the facts that stand for it.

use std::net::Ipv4Addr;

use lanparty_wire::{
    Mac,
    doctor::{Bridge, BridgeFilter, Card, Check, LanProbe, Light, Line, Offer, RelayProbe, Station},
    host::{Address, Link},
};

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 9]);

#[test]
fn a_good_card_is_green_in_every_line() {
    let findings = card("eth0", Some(&good_card()));
    let names: Vec<Check> = findings.iter().map(|finding| finding.name).collect();
    assert_eq!(
        names,
        [
            Check::Interface,
            Check::Carrier,
            Check::Speed,
            Check::Mtu,
            Check::Offloads
        ]
    );
    assert!(
        findings
            .iter()
            .all(|f| f.light == Light::Green && f.advice.is_none())
    );
}

#[test]
fn each_fault_of_a_card_has_its_light_and_its_way_out() {
    type Broken = (fn(&mut Card), Check, Light, &'static str);
    let table: [Broken; 13] = [
        (
            |c| c.kind = LinkKind::Wifi,
            Check::Interface,
            Light::Red,
            "by cable",
        ),
        (
            |c| c.kind = LinkKind::Loopback,
            Check::Interface,
            Light::Red,
            "the LAN's cable",
        ),
        (
            |c| c.kind = LinkKind::Tun,
            Check::Interface,
            Light::Red,
            "the LAN's cable",
        ),
        (
            |c| c.own_tap = true,
            Check::Interface,
            Light::Red,
            "the LAN's cable",
        ),
        (
            |c| c.up = false,
            Check::Carrier,
            Light::Red,
            "ip link set eth0 up",
        ),
        (
            |c| c.carrier = Some(false),
            Check::Carrier,
            Light::Red,
            "plug the LAN's cable in",
        ),
        (
            |c| c.half_duplex = Some(true),
            Check::Speed,
            Light::Yellow,
            "negotiate",
        ),
        (
            |c| c.speed = Some(10),
            Check::Speed,
            Light::Yellow,
            "another cable",
        ),
        (
            |c| c.speed = Some(100),
            Check::Speed,
            Light::Yellow,
            "another cable",
        ),
        (|c| c.mtu = Some(1400), Check::Mtu, Light::Red, "mtu 1500"),
        (|c| c.mtu = Some(9000), Check::Mtu, Light::Yellow, "mtu 1500"),
        (
            |c| c.offloads = vec!["rx-gro".into(), "rx-lro".into()],
            Check::Offloads,
            Light::Yellow,
            "ethtool -K eth0 lro off",
        ),
        (|c| c.offloads.clear(), Check::Offloads, Light::Green, ""),
    ];
    for (number, (break_it, check, light, advice)) in table.into_iter().enumerate() {
        let mut broken = good_card();
        break_it(&mut broken);
        let findings = card("eth0", Some(&broken));
        let finding = findings.iter().find(|f| f.name == check).unwrap();
        assert_eq!(finding.light, light, "{number}: {finding:?}");
        assert!(
            finding.advice.as_deref().unwrap_or("").contains(advice),
            "{number}: {finding:?}"
        );
    }
    assert_eq!(card("eth9", None)[0].light, Light::Red);
}

#[test]
fn what_a_dead_link_cannot_tell_is_not_judged() {
    let findings = card(
        "eth0",
        Some(&Card {
            carrier: Some(false),
            speed: None,
            ..good_card()
        }),
    );
    assert!(
        findings
            .iter()
            .all(|f| f.name != Check::Speed && f.name != Check::Offloads)
    );
}

#[test]
fn a_firewall_on_a_bridge_is_yellow_and_dockers_is_red() {
    let bridged = Card {
        bridge: Some(bridge(false, false)),
        ..good_card()
    };
    let judge = |card: &Card, calls_firewall, docker| {
        bridge_filter(
            card,
            BridgeFilter {
                calls_firewall,
                docker,
            },
        )
        .light
    };
    assert_eq!(judge(&good_card(), true, true), Light::Green);
    assert_eq!(judge(&bridged, false, true), Light::Green);
    assert_eq!(judge(&bridged, true, false), Light::Yellow);
    assert_eq!(judge(&bridged, true, true), Light::Red);
}

#[test]
fn clocks_are_judged_by_what_they_follow_and_cannot_be() {
    let judge = |now, is_synchronized, not_before| {
        clock(&Clock {
            now,
            is_synchronized,
            not_before,
        })
        .light
    };
    const BUILT: u64 = 1_790_000_000;
    assert_eq!(judge(BUILT + 9, Some(true), Some(BUILT)), Light::Green);
    assert_eq!(judge(BUILT + 9, None, None), Light::Green);
    assert_eq!(judge(BUILT + 9, Some(false), Some(BUILT)), Light::Yellow);
    assert_eq!(judge(BUILT - 3600, Some(true), Some(BUILT)), Light::Green);
    assert_eq!(judge(86_400, Some(true), Some(BUILT)), Light::Red);
}

#[test]
fn dhcp_is_one_server() {
    let judge = |offers: Vec<Offer>| {
        let probe = LanProbe { offers, ..good_lan() };
        find(&lan(&probe, None), Check::Dhcp)
    };
    assert_eq!(judge(vec![offer(1), offer(1)]).light, Light::Green);
    let none = judge(Vec::new());
    assert_eq!(none.light, Light::Yellow);
    assert!(none.advice.unwrap().contains("--addresses auto"));
    let two = judge(vec![offer(1), offer(2)]);
    assert_eq!(two.light, Light::Yellow);
    assert!(
        two.found.contains("10.73.42.1 ") && two.found.contains("10.73.42.2 "),
        "{two:?}"
    );
}

#[test]
fn a_switch_that_takes_no_foreign_address_is_red() {
    let judge = |own, probes| {
        let hosts = vec![Station {
            answered_own: own,
            answered_probes: probes,
            ..station()
        }];
        find(&lan(&LanProbe { hosts, ..good_lan() }, None), Check::ForeignMacs)
    };
    assert_eq!(judge(true, 4).light, Light::Green);
    assert!(judge(true, 0).found.contains("port security"));
    assert_eq!(judge(true, 0).light, Light::Red);
    assert!(judge(true, 2).found.contains("2 of 4"));
    assert_eq!(judge(true, 2).light, Light::Red);
    let silent = LanProbe {
        hosts: Vec::new(),
        ..good_lan()
    };
    assert_eq!(find(&lan(&silent, None), Check::ForeignMacs).light, Light::Yellow);
}

#[test]
fn a_way_that_loses_large_frames_is_red() {
    let judge = |large| {
        let hosts = vec![Station {
            answered_large: large,
            ..station()
        }];
        find(&lan(&LanProbe { hosts, ..good_lan() }, None), Check::LargeFrames).light
    };
    assert_eq!((judge(true), judge(false)), (Light::Green, Light::Red));
}

#[test]
fn a_bridge_that_snoops_needs_somebody_who_asks() {
    let judge = |queriers: &[Mac], bridge: Option<Bridge>| {
        let probe = LanProbe {
            queriers: queriers.to_vec(),
            ..good_lan()
        };
        find(&lan(&probe, bridge.as_ref()), Check::Multicast).light
    };
    assert_eq!(judge(&[], None), Light::Green);
    assert_eq!(judge(&[], Some(bridge(true, false))), Light::Yellow);
    assert_eq!(judge(&[MAC], Some(bridge(true, false))), Light::Green);
    assert_eq!(judge(&[], Some(bridge(true, true))), Light::Green);
    assert_eq!(judge(&[], Some(bridge(false, false))), Light::Green);
}

#[test]
fn networks_that_homes_have_are_yellow() {
    for (network, light) in [
        ("192.168.0.17/24", Light::Yellow),
        ("192.168.1.1/24", Light::Yellow),
        ("192.168.178.20/24", Light::Yellow),
        ("10.0.0.5/24", Light::Yellow),
        ("10.0.0.5/8", Light::Yellow),
        ("192.168.0.0/16", Light::Yellow),
        ("10.73.42.1/24", Light::Green),
        ("172.27.3.4/24", Light::Green),
    ] {
        assert_eq!(subnet(&[prefix(network)]).light, light, "{network}");
    }
    assert!(
        subnet(&[prefix("192.168.1.1/24")])
            .advice
            .unwrap()
            .contains("10.73.42.0/24")
    );
    assert_eq!(subnet(&[]).light, Light::Green);
}

#[test]
fn a_home_network_that_is_the_partys_is_red() {
    let judge = |party: Option<&str>| home_network(&home(), "lanparty0", party.map(prefix)).light;
    assert_eq!(judge(None), Light::Green);
    assert_eq!(judge(Some("10.73.42.51/24")), Light::Green);
    assert_eq!(judge(Some("192.168.178.51/24")), Light::Red);
    assert_eq!(judge(Some("192.168.0.0/16")), Light::Red);
    let found = home_network(&home(), "lanparty0", Some(prefix("192.168.178.51/24")));
    assert!(found.found.contains("eth0") && found.advice.unwrap().contains("--anyway"));
}

#[test]
fn a_machine_that_hears_its_own_shadow_is_on_the_partys_lan() {
    assert_eq!(party_lan(None).light, Light::Green);
    let here = party_lan(Some("eth0"));
    assert_eq!(here.light, Light::Red);
    assert!(here.found.contains("eth0") && here.advice.unwrap().contains("--anyway"));
}

#[test]
fn relays_and_lines_are_judged() {
    let why = || "because".to_owned();
    let reached = |rtt_ms, first_use: Option<&str>| RelayProbe::Reached {
        rtt_ms,
        first_use: first_use.map(|pin| pin.parse().unwrap()),
    };
    let pin = format!("sha256:{}", "2f".repeat(32));
    for (probe, light) in [
        (RelayProbe::Unreachable { why: why() }, Light::Red),
        (RelayProbe::Untrusted { why: why() }, Light::Red),
        (RelayProbe::Refused { why: why() }, Light::Yellow),
        (reached(20, Some(&pin)), Light::Yellow),
        (reached(140, None), Light::Yellow),
        (reached(20, None), Light::Green),
    ] {
        assert_eq!(relay("relay.example.org", &probe).light, light, "{probe:?}");
    }
    for (sent, arrived, kbit_per_second, light) in [
        (200, 200, Some(20_000), Light::Green),
        (200, 199, None, Light::Green),
        (200, 196, Some(20_000), Light::Yellow),
        (200, 150, Some(20_000), Light::Red),
        (200, 0, None, Light::Red),
        (200, 200, Some(900), Light::Yellow),
    ] {
        let measured = Line::Measured {
            sent,
            arrived,
            kbit_per_second,
        };
        assert_eq!(line(&measured).light, light, "{measured:?}");
    }
    let broken = line(&Line::Broken {
        why: "no answer within 6 s".into(),
    });
    assert_eq!(broken.light, Light::Red);
    assert!(broken.found.ends_with("and then no more: no answer within 6 s"));
}

#[test]
fn what_a_player_needs_is_named_when_it_is_missing() {
    assert_eq!(own_box(true).light, Light::Green);
    let unreachable = own_box(false);
    assert_eq!((unreachable.name, unreachable.light), (Check::Tun, Light::Yellow));
    assert!(unreachable.found.contains("servers on this machine"));
    assert_eq!(tun(true).light, Light::Green);
    assert_eq!(tun(false).light, Light::Red);
    assert_eq!(privileges(&[]).light, Light::Green);
    let missing = privileges(&["CAP_NET_ADMIN", "CAP_NET_RAW"]);
    assert_eq!(missing.light, Light::Red);
    assert!(missing.found.contains("CAP_NET_ADMIN and CAP_NET_RAW"));
}

fn find(findings: &[Finding], check: Check) -> Finding {
    findings.iter().find(|f| f.name == check).unwrap().clone()
}

fn good_card() -> Card {
    Card {
        name: "eth0".into(),
        kind: LinkKind::Ethernet,
        mac: Some(MAC),
        up: true,
        carrier: Some(true),
        speed: Some(1000),
        half_duplex: Some(false),
        mtu: Some(1500),
        own_tap: false,
        bridge: None,
        offloads: vec!["rx-gro".into(), "rx-vlan-hw-parse".into()],
    }
}

fn bridge(snooping: bool, querier: bool) -> Bridge {
    Bridge {
        name: "br0".into(),
        snooping,
        querier,
    }
}

fn good_lan() -> LanProbe {
    LanProbe {
        offers: vec![offer(1)],
        probes: 4,
        hosts: vec![station()],
        queriers: Vec::new(),
    }
}

fn offer(last: u8) -> Offer {
    Offer {
        server: Ipv4Addr::new(10, 73, 42, last),
        mac: Mac([2, 0, 0, 0, 1, last]),
        address: Some(prefix("10.73.42.51/24")),
    }
}

fn station() -> Station {
    Station {
        address: Ipv4Addr::new(10, 73, 42, 1),
        mac: MAC,
        answered_own: true,
        answered_probes: 4,
        answered_large: true,
    }
}

fn home() -> Snapshot {
    let address = |link, text: &str| Address::new(link, prefix(text));
    Snapshot {
        links: vec![
            Link::new(1, "lo", LinkKind::Loopback),
            Link::new(2, "eth0", LinkKind::Ethernet),
            Link::new(7, "lanparty0", LinkKind::Tap),
        ],
        addresses: vec![
            address(1, "127.0.0.1/8"),
            address(2, "192.168.178.20/24"),
            address(7, "10.73.42.51/24"),
        ],
        routes: Vec::new(),
        ..Snapshot::default()
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}
