//! The main job: a player at home is on the party's LAN. Two players behind different NATs, two switches, a DHCP server that
//! offers a default gateway, a router that advertises itself; relay, LAN gateway and clients are the real binaries.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, DhcpOptions, Frame, GAME_SERVER, LAN_NIC, Lab, Machine, Party, ROUTER, RawPort, TAP, Who,
    frame::{BROADCAST, IPV4, mac_text},
    game::{self, DoomClient, DoomServer},
    mac_of,
    probe::{Beacon, ask_everybody, ping},
    wait_for,
};
use serde_json::Value;

const SOON: Duration = Duration::from_secs(5);

static PARTY: LazyLock<Mutex<Party>> = LazyLock::new(|| {
    let dhcp = DhcpOptions {
        offers_internet: true,
        advertises_router: true,
        ..DhcpOptions::default()
    };
    Mutex::new(Party::start(&Lab::builder().players(2).two_switches().dhcp(dhcp)).unwrap())
});

fn party() -> MutexGuard<'static, Party> {
    PARTY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn a_player_leases_his_address_from_the_partys_dhcp_server() {
    let party = party();
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let mac = mac_text(party.player_mac(0).unwrap());
    let log = party.lab.lan.dhcp_log();
    assert!(log.contains(&format!("DHCPACK(eth0) {lease} {mac}")), "{log}");
    let addresses = party
        .machine(Who::Player(0))
        .run(&format!("ip -4 -o address show dev {TAP}"))
        .unwrap();
    assert!(addresses.contains(&format!("inet {lease}/24")), "{addresses}");
    assert_eq!(mac_text(mac_of(party.machine(Who::Player(0)), TAP).unwrap()), mac);
}

#[test]
fn arp_and_ping_cross_both_ways_with_the_real_hardware_addresses() {
    let party = party();
    let player = party.machine(Who::Player(0));
    let lease = party.wait_for_lease(0, SOON).unwrap();
    for (machine, nic) in [(player, TAP), (&party.lab.lan.games, "eth0")] {
        machine.run(&format!("ip neigh flush dev {nic}")).unwrap();
    }
    ping(player, &GAME_SERVER.to_string(), &[]).unwrap();
    ping(&party.lab.lan.games, &lease.to_string(), &[]).unwrap();
    let known = player.run(&format!("ip neigh show {GAME_SERVER}")).unwrap();
    assert!(
        known.contains(&mac_text(party.lab.lan.games_mac().unwrap())),
        "{known}"
    );
    let known = party
        .lab
        .lan
        .games
        .run(&format!("ip neigh show {lease}"))
        .unwrap();
    assert!(known.contains(&mac_text(party.player_mac(0).unwrap())), "{known}");
}

#[test]
fn every_switch_knows_each_player_on_the_port_of_the_lan_gateway() {
    let party = party();
    for player in 0..2 {
        let mac = party.player_mac(player).unwrap();
        party
            .lab
            .lan
            .wait_for_port("br0", mac, "p-gateway", SOON)
            .unwrap();
        party.lab.lan.wait_for_port("br1", mac, "trunk1", SOON).unwrap();
    }
}

#[test]
fn players_reach_each_other_and_the_lan_does_not_carry_it() {
    let party = party();
    let (one, two) = (party.machine(Who::Player(0)), party.machine(Who::Player(1)));
    let address = party.wait_for_lease(1, SOON).unwrap();
    // The first ping asks by ARP, which everybody hears.
    ping(one, &address.to_string(), &[]).unwrap();
    let lan = Capture::start(&party.lab.lan.switch, "p-gateway").unwrap();
    ping(one, &address.to_string(), &["-s", "1000"]).unwrap();
    ping(
        two,
        &party.wait_for_lease(0, SOON).unwrap().to_string(),
        &["-s", "1000"],
    )
    .unwrap();
    let mac = party.player_mac(1).unwrap();
    let crossed =
        |frame: &Frame| frame.kind() == IPV4 && (frame.destination() == mac || frame.source() == mac);
    assert_eq!(
        lan.count(|frame| crossed(frame) && frame.bytes().len() > 1000),
        0,
        "{}",
        lan.summary()
    );
}

#[test]
fn a_question_by_broadcast_is_answered_across_the_tunnel_both_ways() {
    let party = party();
    let (player, games) = (party.machine(Who::Player(0)), &party.lab.lan.games);
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let beacon = Beacon::start(games).unwrap();
    assert_eq!(
        ask_everybody(player, lease).unwrap().0.ip(),
        IpAddr::V4(GAME_SERVER)
    );
    drop(beacon);
    let _beacon = Beacon::start(player).unwrap();
    assert_eq!(
        ask_everybody(games, GAME_SERVER).unwrap().0.ip(),
        IpAddr::V4(lease)
    );
}

#[test]
fn all_four_framings_of_ipx_cross_byte_for_byte() {
    let party = party();
    let (player, games) = (party.machine(Who::Player(0)), &party.lab.lan.games);
    let (player_mac, games_mac) = (party.player_mac(0).unwrap(), party.lab.lan.games_mac().unwrap());
    let directions = [
        ((player, TAP, player_mac), (games, "eth0", games_mac)),
        ((games, "eth0", games_mac), (player, TAP, player_mac)),
    ];
    for ((from, from_nic, source), (to, to_nic, target)) in directions {
        let port = RawPort::open(from, from_nic).unwrap();
        let capture = Capture::start(to, to_nic).unwrap();
        for destination in [target, BROADCAST] {
            for (name, frame) in ipx_frames(destination, source) {
                capture.clear();
                port.send(frame.bytes()).unwrap();
                let what = format!("{name} from {} to {destination:02x?}", from.name());
                capture.wait_for(&what, SOON, |seen| *seen == frame).unwrap();
            }
        }
    }
}

#[test]
fn a_frame_shorter_than_ethernet_allows_arrives_padded_with_zeros() {
    let party = party();
    let port = RawPort::open(party.machine(Who::Player(0)), TAP).unwrap();
    let capture = Capture::start(&party.lab.lan.games, "eth0").unwrap();
    let frame = Frame::new(BROADCAST, party.player_mac(0).unwrap(), 0x88b5, b"short");
    port.send(frame.bytes()).unwrap();
    let seen = capture
        .wait_for("the short frame", SOON, |seen| seen.carries(b"short"))
        .unwrap()
        .frame;
    let mut expected = frame.bytes().to_vec();
    expected.resize(60, 0);
    assert_eq!(seen.bytes(), expected);
}

#[test]
fn mdns_and_ssdp_cross_both_ways() {
    let party = party();
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let ends = [
        (party.machine(Who::Player(0)), lease),
        (&party.lab.lan.games, GAME_SERVER),
    ];
    for (group, port) in [
        (Ipv4Addr::new(224, 0, 0, 251), 5353),
        (Ipv4Addr::new(239, 255, 255, 250), 1900),
    ] {
        for (from, to) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            let listener = listen_to_group(to, group, port);
            let sender = from.0.inside(|| UdpSocket::bind((from.1, 0)).unwrap()).unwrap();
            sender.send_to(b"anybody?", (group, port)).unwrap();
            let sender = wait_for("the announcement", SOON, || listener.recv_from(&mut [0; 64]).ok())
                .unwrap()
                .1;
            assert_eq!(
                sender.ip(),
                IpAddr::V4(from.1),
                "{group}:{port} from {}",
                from.0.name()
            );
        }
    }
}

#[test]
fn ipv6_link_local_addresses_reach_each_other() {
    let party = party();
    let (player, games) = (party.machine(Who::Player(0)), &party.lab.lan.games);
    let (near, far) = (link_local(player, TAP), link_local(games, "eth0"));
    ping(player, &format!("{far}%{TAP}"), &["-6"]).unwrap();
    ping(games, &format!("{near}%eth0"), &["-6"]).unwrap();
}

#[test]
fn a_lan_that_offers_the_internet_moves_neither_default_route_nor_names() {
    const ROUTER_ADVERTISEMENT: u8 = 134;
    // In its first minute dnsmasq sends one every 5 to 20 seconds.
    const RA_LIMIT: Duration = Duration::from_secs(25);
    let party = party();
    let player = party.machine(Who::Player(0));
    let tap = Capture::start(player, TAP).unwrap();
    let advertised = |frame: &Frame| frame.icmp6_type() == Some(ROUTER_ADVERTISEMENT);
    tap.wait_for("a router advertisement", RA_LIMIT, advertised)
        .unwrap();
    let default4 = player.run("ip -4 route show default").unwrap();
    assert!(
        default4.contains("dev eth0") && !default4.contains(TAP),
        "{default4}"
    );
    let default6 = player.run("ip -6 route show default").unwrap();
    assert!(!default6.contains(TAP), "{default6}");
    let names = player.run("cat /etc/resolv.conf").unwrap();
    assert_eq!(names.trim(), format!("nameserver {ROUTER}"));
    let way = player.run("ip route get 1.1.1.1").unwrap();
    assert!(way.contains("dev eth0"), "{way}");
}

#[test]
fn a_lan_that_says_half_the_internet_is_on_link_moves_nothing() {
    /// An address that lies in the advertised prefix and nowhere in the lab.
    const FAR: &str = "2606:4700::1111";
    let party = party();
    let player = party.machine(Who::Player(0));
    // A host as others at the party: it believes what routers say.
    let neighbour = party.lab.lan.add_host("believer").unwrap();
    let port = RawPort::open(&party.lab.lan.games, "eth0").unwrap();
    let tap = Capture::start(player, TAP).unwrap();
    let advertisement = on_link_advertisement(party.lab.lan.games_mac().unwrap());
    port.send(advertisement.bytes()).unwrap();
    // The LAN gateway lets nothing pass that says so; the player's machine would not believe it either.
    let shaped = |seen: &Frame| seen.icmp6_type() == Some(134) && seen.source() == advertisement.source();
    let seen = tap.wait_for("the advertisement", SOON, shaped).unwrap().frame;
    assert_eq!(seen.bytes()[70..74], [3, 4, 3, 0], "{seen}");
    wait_for("the neighbour to believe it", SOON, || {
        port.send(advertisement.bytes()).unwrap();
        way6(&neighbour, FAR).contains("dev eth0").then_some(())
    })
    .unwrap();
    let way = way6(player, FAR);
    assert!(!way.contains(TAP), "{way}");
    let routes = player.run(&format!("ip -6 route show dev {TAP}")).unwrap();
    assert!(!routes.contains("2000::"), "{routes}");
}

#[test]
fn the_tunnel_is_pinned_to_the_players_line() {
    let party = party();
    let route = &party.status(Who::Player(0)).unwrap()["endpoint"]["route"];
    assert_eq!(route["pinned"], true, "{route}");
    assert_eq!(route["interface"], "eth0", "{route}");
    // What the kernel says of the socket.
    let sockets = party.machine(Who::Player(0)).run("ss -uanp").unwrap();
    let ours = sockets.lines().find(|line| line.contains("lanparty-client"));
    assert!(ours.is_some_and(|line| line.contains("%eth0:")), "{sockets}");
}

#[test]
fn the_lan_gateways_status_shows_its_interface_as_it_is() {
    let party = party();
    let machine = party.machine(Who::Gateway);
    machine
        .run(&format!("ip address add 192.0.2.77/24 dev {LAN_NIC}"))
        .unwrap();
    let index = machine
        .run(&format!("cat /sys/class/net/{LAN_NIC}/ifindex"))
        .unwrap();
    let has_address = |status: &Value| {
        let addresses = status["endpoint"]["interface"]["addresses"].as_array();
        addresses.is_some_and(|all| all.iter().any(|address| *address == "192.0.2.77/24"))
    };
    let status = party
        .wait_for_status(Who::Gateway, "its new address", SOON, has_address)
        .unwrap();
    machine
        .run(&format!("ip address del 192.0.2.77/24 dev {LAN_NIC}"))
        .unwrap();
    let shown = &status["endpoint"]["interface"];
    assert_eq!(shown["index"].to_string(), index.trim());
    assert_eq!(shown["mac"], mac_text(mac_of(machine, LAN_NIC).unwrap()).as_str());
    party
        .wait_for_status(Who::Gateway, "its address gone", SOON, |status| {
            !has_address(status)
        })
        .unwrap();
}

#[test]
fn running_processes_hold_only_the_capabilities_they_need() {
    const NET_BIND_SERVICE: u64 = 1 << 10;
    const NET_ADMIN: u64 = 1 << 12;
    const NET_RAW: u64 = 1 << 13;
    let mut party = party();
    let allowed = [
        (Who::Relay, NET_BIND_SERVICE),
        (Who::Gateway, NET_ADMIN | NET_RAW),
        // Its DHCP client renews from port 68.
        (Who::Player(0), NET_ADMIN | NET_RAW | NET_BIND_SERVICE),
    ];
    for (who, needed) in allowed {
        let held = party.process(who).unwrap().effective_capabilities().unwrap();
        assert_eq!(held & !needed, 0, "{who:?} holds {held:#x}");
    }
}

#[test]
fn a_game_that_is_given_no_address_finds_its_server_and_joins() {
    let party = party();
    let lease = party.wait_for_lease(0, SOON).unwrap();
    let lan = Capture::start(&party.lab.lan.games, "eth0").unwrap();
    let wan = Capture::start(&party.lab.players[0].router, "wan").unwrap();
    let mut server = DoomServer::start(&party.lab.lan.games).unwrap();
    let mut client = DoomClient::start(party.machine(Who::Player(0)), 1).unwrap();

    client.wait_for_connection(Duration::from_secs(20)).unwrap();
    server.wait_for_player(lease, SOON).unwrap();
    let question = lan
        .wait_for("the client's question", SOON, game::is_question)
        .unwrap();
    assert_eq!(question.frame.source(), party.player_mac(0).unwrap());
    let answer = lan
        .wait_for("the server's answer", SOON, game::is_answer)
        .unwrap();
    assert_eq!(answer.frame.destination(), party.player_mac(0).unwrap());
    let bare = wan.count(|frame| {
        frame
            .udp()
            .is_some_and(|udp| udp.to.1 == game::PORT || udp.from.1 == game::PORT)
    });
    assert_eq!(
        bare,
        0,
        "the game goes through the tunnel only:\n{}",
        wan.summary()
    );
    assert!(client.is_running() && server.is_running() && server.players_lost() == 0);
}

/// An IPX packet in each of the four framings that drivers of its time used.
fn ipx_frames(destination: [u8; 6], source: [u8; 6]) -> [(&'static str, Frame); 4] {
    // Checksum ffff, then length, transport control, packet type, and whatever the game says.
    let mut packet = vec![0xff, 0xff, 0, 90, 0, 4];
    packet.extend(6..90_u8);
    let length = |header: usize| u16::try_from(header + packet.len()).unwrap();
    let with = |header: &[u8]| [header, &packet].concat();
    let (llc, snap) = ([0xe0, 0xe0, 3], [0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0x37]);
    [
        ("Ethernet II", Frame::new(destination, source, 0x8137, &packet)),
        ("802.3 raw", Frame::new(destination, source, length(0), &packet)),
        (
            "802.2",
            Frame::new(destination, source, length(llc.len()), &with(&llc)),
        ),
        (
            "SNAP",
            Frame::new(destination, source, length(snap.len()), &with(&snap)),
        ),
    ]
}

/// A router that is nobody's default router (lifetime 0) says that all public addresses are neighbours (RFC 4861, 4.6.2).
fn on_link_advertisement(source: [u8; 6]) -> Frame {
    const ALL_MAC: [u8; 6] = [0x33, 0x33, 0, 0, 0, 1];
    const ALL: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);
    let header = [134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    // Prefix information: length 3, flag L, valid and preferred for a minute, 2000::.
    let prefix = [3, 4, 3, 0x80, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0, 0, 0x20];
    let message = [&header[..], &prefix, &[0; 15]].concat();
    Frame::icmp6((ALL_MAC, source), (ROUTER, ALL), &message)
}

/// Where packets to `target` would go; what `ip` says about a target without a way is as good.
fn way6(machine: &Machine, target: &str) -> String {
    let output = machine
        .output(&["ip", "-6", "route", "get", target], SOON)
        .unwrap();
    output.stdout + &output.stderr
}

fn listen_to_group((machine, address): (&Machine, Ipv4Addr), group: Ipv4Addr, port: u16) -> UdpSocket {
    let socket = machine
        .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap())
        .unwrap();
    socket.join_multicast_v4(&group, &address).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    socket
}

fn link_local(machine: &Machine, nic: &str) -> String {
    let text = machine
        .run(&format!("ip -6 -o address show dev {nic} scope link"))
        .unwrap();
    let address = text
        .split_whitespace()
        .find(|word| word.starts_with("fe80"))
        .unwrap_or_else(|| panic!("{text}"));
    address.split('/').next().unwrap().to_owned()
}
