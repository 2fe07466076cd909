//! A party whose router wants to be everybody's, and one without any DHCP server: what a player at home gets of either. Real dnsmasq,
//! the product's own DHCP client, real names on the wire.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, DHCP_SERVER, DhcpOptions, Frame, GAME_SERVER, Lab, Machine, Party, ROUTER, TAP, Who,
    probe::{ping, wait_for_ping},
    wait_for,
};

const SOON: Duration = Duration::from_secs(10);
/// A join, some questions without an answer, and the helper's patience.
const LEASE_LIMIT: Duration = Duration::from_secs(40);
/// In its first minute dnsmasq sends one every 5 to 20 seconds.
const RA_LIMIT: Duration = Duration::from_secs(30);
const ROUTER_ADVERTISEMENT: u8 = 134;
const DHCP_ACK: u8 = 5;
/// What the lab's DHCP server sends whether it was asked for or not.
const MOVING: [u8; 7] = [3, 6, 15, 119, 121, 249, 252];

#[test]
fn a_partys_router_and_name_server_stay_the_partys() {
    let mut party = Party::prepare(&Lab::builder().dhcp(greedy())).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    let lan = Capture::start(&party.lab.lan.switch, "p-dhcp").unwrap();
    let tap = launch_and_capture(&mut party);

    let lease = party.wait_for_lease(0, LEASE_LIMIT).unwrap();
    let said = lan.wait_for("a lease", SOON, is_ack).unwrap().frame;
    assert_eq!(codes(&said, &MOVING), MOVING, "the server offers all of it");
    let heard = tap.wait_for("a lease", SOON, is_ack).unwrap().frame;
    assert!(codes(&heard, &MOVING).is_empty(), "{heard}");
    assert_eq!(codes(&heard, &[1, 51, 54]), [1, 51, 54], "what makes an address");
    let advertised = |frame: &Frame| frame.icmp6_type() == Some(ROUTER_ADVERTISEMENT);
    let seen = tap
        .wait_for("an advertisement", RA_LIMIT, advertised)
        .unwrap()
        .frame;
    assert_eq!(router_lifetime(&seen), 0);
    assert!(
        options_of_advertisement(&seen, &[24, 25, 31]).is_empty(),
        "{seen}"
    );
    assert_eq!(options_of_advertisement(&seen, &[3]), [3], "the prefix");
    let seen = lan.wait_for("an advertisement", SOON, advertised).unwrap().frame;
    assert_ne!(router_lifetime(&seen), 0, "the router offers itself");

    keeps_its_own_internet(&party);
    let player = party.machine(Who::Player(0));
    wait_for_ping(player, &GAME_SERVER.to_string(), SOON).unwrap();
    let _names = Names::start(&party.lab.lan.games);
    for (service, target) in NAME_SERVICES {
        let from = ask_for_name(player, lease, service, target);
        assert_eq!(from.ip(), GAME_SERVER, "{service:?}");
    }
}

#[test]
fn a_host_who_shares_the_lans_internet_lets_its_offers_through() {
    let mut party = Party::prepare(&Lab::builder().dhcp(greedy())).unwrap();
    party.launch(Who::Relay).unwrap();
    party.launch_with(Who::Gateway, &["--lan-internet"]).unwrap();
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    let tap = launch_and_capture(&mut party);

    party.wait_for_lease(0, LEASE_LIMIT).unwrap();
    let heard = tap.wait_for("a lease", SOON, is_ack).unwrap().frame;
    assert_eq!(codes(&heard, &MOVING), MOVING);
    let advertised = |frame: &Frame| frame.icmp6_type() == Some(ROUTER_ADVERTISEMENT);
    let seen = tap
        .wait_for("an advertisement", RA_LIMIT, advertised)
        .unwrap()
        .frame;
    assert_ne!(router_lifetime(&seen), 0);
    assert_eq!(options_of_advertisement(&seen, &[25]), [25], "the name server");
    // What a player takes of it is the player's business, and this client takes none.
    keeps_its_own_internet(&party);
}

#[test]
fn on_a_lan_without_dhcp_players_get_addresses_that_nobody_has() {
    const SQUATTED: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 100);
    let (mut party, squatter) = party_without_dhcp(2, SQUATTED);
    let leases = [0, 1].map(|player| party.wait_for_lease(player, LEASE_LIMIT).unwrap());

    assert_ne!(leases[0], leases[1]);
    for (player, lease) in leases.into_iter().enumerate() {
        assert_eq!(lease.octets()[..3], [10, 73, 42]);
        assert!((101..=149).contains(&lease.octets()[3]), "{lease}");
        let machine = party.machine(Who::Player(player));
        wait_for_ping(machine, &GAME_SERVER.to_string(), SOON).unwrap();
        ping(machine, &SQUATTED.to_string(), &[]).unwrap();
        ping(&party.lab.lan.games, &lease.to_string(), &[]).unwrap();
        let route = machine.run("ip -4 route show default").unwrap();
        assert!(!route.contains(TAP), "{route}");
    }
    ping(party.machine(Who::Player(0)), &leases[1].to_string(), &[]).unwrap();
    ping(&squatter, &GAME_SERVER.to_string(), &[]).unwrap();
    let log = party.log(Who::Gateway);
    assert!(
        log.contains(&format!("uses {SQUATTED}, so no player gets it")),
        "{log}"
    );

    // The table outlives the LAN gateway.
    party.crash(Who::Player(1));
    party.stop(Who::Gateway).unwrap();
    launch_helper(&mut party);
    party.launch(Who::Player(1)).unwrap();
    assert_eq!(party.wait_for_lease(1, LEASE_LIMIT).unwrap(), leases[1]);
}

#[test]
fn the_lans_own_machines_get_nothing_from_the_address_helper() {
    let (party, _squatter) = party_without_dhcp(1, Ipv4Addr::new(10, 73, 42, 100));
    let newcomer = party.lab.lan.add_host("newcomer").unwrap();
    let wire = Capture::start(&newcomer, "eth0").unwrap();
    let words = [
        "udhcpc",
        "-f",
        "-n",
        "-q",
        "-t",
        "4",
        "-T",
        "1",
        "-i",
        "eth0",
        "-s",
        "/bin/true",
    ];
    let asked = newcomer.output(&words, Duration::from_secs(20)).unwrap();
    assert!(!asked.status.success(), "{} {}", asked.stdout, asked.stderr);
    party.wait_for_lease(0, LEASE_LIMIT).unwrap();
    let replies = wire.count(|frame| frame.udp().is_some_and(|udp| udp.from.1 == 67));
    assert_eq!(replies, 0, "{}", wire.summary());
}

#[test]
fn a_dhcp_server_that_appears_is_the_only_one_from_then_on() {
    let (mut party, _squatter) = party_without_dhcp(2, Ipv4Addr::new(10, 73, 42, 100));
    let helped = party.wait_for_lease(0, LEASE_LIMIT).unwrap();
    party.lab.lan.start_dhcp().unwrap();
    party.crash(Who::Player(1));
    let tap = launch_and_capture_player(&mut party, 1);

    let by_server =
        |status: &serde_json::Value| status["endpoint"]["dhcp"]["server"] == DHCP_SERVER.to_string().as_str();
    party
        .wait_for_status(
            Who::Player(1),
            "a lease of the real server's",
            LEASE_LIMIT,
            by_server,
        )
        .unwrap();
    let said = format!("There is a DHCP server on the LAN ({DHCP_SERVER})");
    party
        .process(Who::Gateway)
        .unwrap()
        .wait_for_log(&said, SOON)
        .unwrap();
    let of_others = |frame: &Frame| {
        frame
            .udp()
            .is_some_and(|udp| udp.from.1 == 67 && udp.from.0 != DHCP_SERVER)
    };
    assert_eq!(tap.count(of_others), 0, "{}", tap.summary());
    assert_eq!(
        party.wait_for_lease(0, SOON).unwrap(),
        helped,
        "who has an address keeps it"
    );
}

/// A DHCP server and router that wants everybody's traffic, name queries and proxy settings.
fn greedy() -> DhcpOptions {
    let forced = [
        "15,party.example",
        "option:domain-search,party.example",
        "121,0.0.0.0/0,10.73.42.1,198.51.100.0/24,10.73.42.1",
        "249,0.0.0.0/0,10.73.42.1",
        "252,http://10.73.42.1/wpad.dat",
    ];
    DhcpOptions {
        offers_internet: true,
        advertises_router: true,
        extra: forced
            .map(|option| format!("--dhcp-option-force={option}"))
            .to_vec(),
        ..DhcpOptions::default()
    }
}

/// The helper serves; a machine of the LAN has an address of its range.
fn party_without_dhcp(players: u8, squatted: Ipv4Addr) -> (Party, Machine) {
    let mut party = Party::prepare(&Lab::builder().players(players)).unwrap();
    party.lab.lan.stop_dhcp();
    let squatter = party.lab.lan.add_host("squatter").unwrap();
    squatter
        .run(&format!("ip address add {squatted}/24 dev eth0"))
        .unwrap();
    party.launch(Who::Relay).unwrap();
    launch_helper(&mut party);
    for player in 0..usize::from(players) {
        party.launch(Who::Player(player)).unwrap();
    }
    (party, squatter)
}

fn launch_helper(party: &mut Party) {
    let range = ["--addresses", "10.73.42.100-10.73.42.149/24"];
    party.launch_with(Who::Gateway, &range).unwrap();
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
}

fn launch_and_capture(party: &mut Party) -> Capture {
    launch_and_capture_player(party, 0)
}

/// The TAP is there before its player has joined, and nothing is asked before that.
fn launch_and_capture_player(party: &mut Party, player: usize) -> Capture {
    party.launch(Who::Player(player)).unwrap();
    let machine = party.machine(Who::Player(player));
    wait_for("the TAP", SOON, || Capture::start(machine, TAP).ok()).unwrap()
}

#[track_caller]
fn keeps_its_own_internet(party: &Party) {
    let player = party.machine(Who::Player(0));
    for family in ["-4", "-6"] {
        let route = player.run(&format!("ip {family} route show default")).unwrap();
        assert!(!route.contains(TAP), "{route}");
    }
    let way = player.run("ip route get 1.1.1.1").unwrap();
    assert!(way.contains("dev eth0"), "{way}");
    let way = player.run("ip route get 198.51.100.7").unwrap();
    assert!(way.contains("dev eth0"), "{way}");
    let names = player.run("cat /etc/resolv.conf").unwrap();
    assert_eq!(names.trim(), format!("nameserver {ROUTER}"));
}

fn is_ack(frame: &Frame) -> bool {
    frame.udp().is_some_and(|udp| udp.from.1 == 67 && udp.to.1 == 68)
        && options(frame).contains(&(53, vec![DHCP_ACK]))
}

/// Which of `wanted` a DHCP reply has, in the order of `wanted`.
fn codes(frame: &Frame, wanted: &[u8]) -> Vec<u8> {
    let options = options(frame);
    let has = |code: &u8| options.iter().any(|(there, _)| there == code);
    wanted.iter().copied().filter(has).collect()
}

/// Those of the file and name fields are left out: dnsmasq uses them only if nothing else fits.
fn options(frame: &Frame) -> Vec<(u8, Vec<u8>)> {
    let udp = frame.udp().unwrap();
    let mut field = udp.payload.get(240..).unwrap_or_default();
    let mut options = Vec::new();
    while let [code, length, rest @ ..] = field {
        match code {
            0 => field = &field[1..],
            255 => break,
            _ => {
                let (value, rest) = rest.split_at(usize::from(*length));
                options.push((*code, value.to_vec()));
                field = rest;
            }
        }
    }
    options
}

fn router_lifetime(advertisement: &Frame) -> u16 {
    u16::from_be_bytes(advertisement.bytes()[60..62].try_into().unwrap())
}

/// Which of `wanted` a router advertisement has.
fn options_of_advertisement(frame: &Frame, wanted: &[u8]) -> Vec<u8> {
    let bytes = frame.bytes();
    let end = 54 + usize::from(u16::from_be_bytes([bytes[18], bytes[19]]));
    let (mut at, mut found) = (70, Vec::new());
    while at < end {
        found.push(bytes[at]);
        at += usize::from(bytes[at + 1]) * 8;
    }
    found.retain(|code| wanted.contains(code));
    found
}

/// How machines of a LAN ask each other for names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Service {
    /// Multicast DNS (RFC 6762), one shot.
    Mdns,
    /// RFC 4795.
    Llmnr,
    /// RFC 1002, by broadcast.
    NetBios,
}

const NAME_SERVICES: [(Service, SocketAddr); 3] = [
    (Service::Mdns, target(Ipv4Addr::new(224, 0, 0, 251), 5353)),
    (Service::Llmnr, target(Ipv4Addr::new(224, 0, 0, 252), 5355)),
    (Service::NetBios, target(Ipv4Addr::new(10, 73, 42, 255), 137)),
];

const fn target(address: Ipv4Addr, port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(address), port)
}

impl Service {
    /// The name of the lab's game server, as this service writes names.
    fn name(self) -> Vec<u8> {
        match self {
            Service::Mdns => b"\x05games\x05local\0".to_vec(),
            Service::Llmnr => b"\x05games\0".to_vec(),
            Service::NetBios => {
                let padded = b"GAMES          \x20";
                let letters = padded
                    .iter()
                    .flat_map(|byte| [b'A' + (byte >> 4), b'A' + (byte & 15)]);
                [vec![32], letters.collect(), vec![0]].concat()
            }
        }
    }

    fn kind(self) -> u16 {
        match self {
            Service::Mdns | Service::Llmnr => 1,
            Service::NetBios => 0x20,
        }
    }

    fn question(self) -> Vec<u8> {
        let flags: u16 = if self == Service::NetBios { 0x0110 } else { 0 };
        let mut message = vec![0x12, 0x34];
        message.extend(flags.to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        message.extend(self.name());
        message.extend(self.kind().to_be_bytes());
        message.extend([0, 1]);
        message
    }

    /// The answer to a question for our name; `None` to any other message.
    fn answer(self, question: &[u8]) -> Option<Vec<u8>> {
        let name = self.name();
        if question.get(2)? & 0x80 != 0 || question.get(12..12 + name.len())? != name {
            return None;
        }
        let mut message = question[..2].to_vec();
        message.extend([0x84, 0, 0, 0, 0, 1, 0, 0, 0, 0]);
        message.extend(name);
        message.extend(self.kind().to_be_bytes());
        message.extend([0, 1, 0, 0, 0, 120]);
        let address = GAME_SERVER.octets();
        if self == Service::NetBios {
            message.extend([0, 6, 0, 0]);
        } else {
            message.extend([0, 4]);
        }
        message.extend(address);
        Some(message)
    }
}

/// Asks until somebody answers with the game server's address, and gives who it was.
fn ask_for_name(player: &Machine, own: Ipv4Addr, service: Service, target: SocketAddr) -> SocketAddr {
    let socket = player.inside(|| UdpSocket::bind((own, 0)).unwrap()).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    wait_for(&format!("an answer by {service:?}"), SOON, || {
        socket.send_to(&service.question(), target).unwrap();
        let mut buffer = [0; 512];
        let (length, from) = socket.recv_from(&mut buffer).ok()?;
        buffer[..length].ends_with(&GAME_SERVER.octets()).then_some(from)
    })
    .unwrap()
}

/// Answers for the game server's name, as its operating system would.
struct Names {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Names {
    fn start(machine: &Machine) -> Names {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = NAME_SERVICES.map(|(service, target)| {
            let socket = machine
                .inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, target.port())).unwrap())
                .unwrap();
            if let SocketAddr::V4(group) = target
                && group.ip().is_multicast()
            {
                socket.join_multicast_v4(group.ip(), &GAME_SERVER).unwrap();
            }
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut buffer = [0; 512];
                while !stop.load(Ordering::Relaxed) {
                    if let Ok((length, from)) = socket.recv_from(&mut buffer)
                        && let Some(answer) = service.answer(&buffer[..length])
                    {
                        // Who has asked asks again.
                        let _ = socket.send_to(&answer, from);
                    }
                }
            })
        });
        Names {
            stop,
            threads: threads.into(),
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
