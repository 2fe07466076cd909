//! The LAN gateway's own machine is a station of the LAN: what runs there is found and reached by remote players, without that its
//! address moves or a bridge is built; and where it has a bridge, the LAN gateway becomes a port of it.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::{IpAddr, Ipv4Addr, UdpSocket},
    process::Command,
    thread,
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, GAME_SERVER, HostSnapshot, LAN_NIC, Lab, Machine, Party, Process, TAP, Who,
    copy::{content, copy},
    game::{DoomClient, DoomServer},
    mac_of,
    probe::{BEACON_PORT, Beacon, wait_for_ping},
    wait_for,
};

const SOON: Duration = Duration::from_secs(10);
const START: Duration = Duration::from_secs(60);
/// The LAN gateway's own address.
const OWN: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 5);
const EVERYBODY: Ipv4Addr = Ipv4Addr::new(10, 73, 42, 255);
const PLAYER: Who = Who::Player(0);

#[test]
fn a_dhcp_server_on_the_gateways_own_box_serves_a_remote_player() {
    let (mut party, _dnsmasq) = prepared(1);
    party.begin().unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    assert_eq!(lease.octets()[..3], [10, 73, 42]);
    assert!((150..=160).contains(&lease.octets()[3]), "{lease}");
    // Its ARP is answered by the machine itself.
    let known = || {
        wait_for_ping(party.machine(PLAYER), &OWN.to_string(), SOON).unwrap();
        party
            .machine(PLAYER)
            .run(&format!("ip neigh show {OWN}"))
            .unwrap()
    };
    let mac = lanparty_testkit::lab::frame::mac_text(mac_of(party.machine(Who::Gateway), LAN_NIC).unwrap());
    assert!(known().contains(&mac), "{}", known());
    wait_for_ping(party.machine(Who::Gateway), &lease.to_string(), SOON).unwrap();
}

#[test]
fn a_game_server_on_the_gateways_own_box_is_found_and_played_by_both_sides() {
    let (mut party, _dnsmasq) = prepared(1);
    party.begin().unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    let mut server = DoomServer::start(party.machine(Who::Gateway)).unwrap();
    {
        let mut client = DoomClient::start(party.machine(PLAYER), 2).unwrap();
        client.wait_for_connection(START).unwrap();
        let mut neighbour = DoomClient::start(&party.lab.lan.games, 2).unwrap();
        neighbour.wait_for_connection(START).unwrap();
        // The game begins with the second player, and only then the server's log outgrows its buffer.
        server.wait_for_player(lease, SOON).unwrap();
        server.wait_for_player(GAME_SERVER, SOON).unwrap();
        assert!(client.is_running() && server.is_running());
    }
    let player = party.machine(PLAYER);
    for (from, to) in [
        (player, party.machine(Who::Gateway)),
        (party.machine(Who::Gateway), player),
    ] {
        let (source, target) = if from.name() == player.name() {
            (lease, OWN)
        } else {
            (OWN, lease)
        };
        let _beacon = Beacon::start(to).unwrap();
        assert_eq!(ask(from, source), IpAddr::V4(target), "by {}", from.name());
    }
}

#[test]
fn a_file_is_copied_intact_both_ways_from_and_to_the_gateways_own_box() {
    let (mut party, _dnsmasq) = prepared(1);
    party.begin().unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    let (player, own) = (party.machine(PLAYER), party.machine(Who::Gateway));
    wait_for_ping(player, &OWN.to_string(), SOON).unwrap();
    for (from, to, address) in [(player, own, OWN), (own, player, lease)] {
        copy(from, to, address, &content(3 << 20)).unwrap();
    }
}

#[test]
fn a_frame_for_everybody_comes_once_to_each_and_never_back() {
    const PORT: u16 = 27_900;
    const COUNT: usize = 20;
    let (mut party, _dnsmasq) = prepared(2);
    party.begin().unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    party.wait_for_lease(1, START).unwrap();
    let player = party.machine(PLAYER);
    let hearers = [
        party.machine(Who::Gateway),
        party.machine(Who::Player(1)),
        &party.lab.lan.games,
    ]
    .map(|machine| {
        let bound = machine.inside(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap());
        bound.unwrap()
    });
    let tap = Capture::start(player, TAP).unwrap();
    let sender = player.inside(|| UdpSocket::bind((lease, 0)).unwrap()).unwrap();
    sender.set_broadcast(true).unwrap();
    for number in 0..COUNT {
        let text = format!("everybody hears number {number}");
        sender.send_to(text.as_bytes(), (EVERYBODY, PORT)).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
    for hearer in &hearers {
        hearer.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let mut heard = 0;
        while hearer.recv_from(&mut [0; 64]).is_ok() {
            heard += 1;
        }
        assert_eq!(heard, COUNT, "{hearer:?}");
    }
    let seen = tap.count(|frame| frame.contains(b"everybody hears number"));
    assert_eq!(seen, COUNT, "{}", tap.summary());
    // They were told from what a loop would bring.
    let drops = party.status(Who::Gateway).unwrap()["drops"].to_string();
    assert!(!drops.contains("source_is_remote"), "{drops}");
}

#[test]
fn containers_of_the_gateways_box_are_stations_too() {
    let (mut party, _dnsmasq) = prepared(1);
    let own = party.machine(Who::Gateway);
    let container = Machine::boot("container", &own.directory().with_file_name("container")).unwrap();
    // In the network of the box but in the PID namespace of the test, which `netns` takes the process id of.
    let words = format!(
        "ip link add eth0 link {LAN_NIC} netns {} type macvlan mode bridge",
        container.init_pid()
    );
    let words: Vec<&str> = words.split_whitespace().collect();
    let added = own
        .inside(|| Command::new(words[0]).args(&words[1..]).output().unwrap())
        .unwrap();
    assert!(
        added.status.success(),
        "{}",
        String::from_utf8_lossy(&added.stderr)
    );
    container.run("ip address add 10.73.42.6/24 dev eth0").unwrap();
    container.run("ip link set eth0 up").unwrap();
    party.begin().unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    wait_for_ping(&container, &lease.to_string(), SOON).unwrap();
    wait_for_ping(party.machine(PLAYER), "10.73.42.6", SOON).unwrap();
}

#[test]
fn a_crash_and_a_restart_leave_the_box_as_it_was() {
    let (mut party, dnsmasq) = prepared(1);
    let before = HostSnapshot::take(party.machine(Who::Gateway)).unwrap();
    party.begin().unwrap();
    party.wait_for_lease(0, START).unwrap();
    let during = HostSnapshot::take(party.machine(Who::Gateway)).unwrap();
    let difference = before.difference(&during);
    assert!(difference.contains("own-lan0"), "nothing to undo: {difference}");

    party.crash(Who::Gateway);
    wait_for("the crash to take the TAP along", SOON, || {
        let left = HostSnapshot::take(party.machine(Who::Gateway)).ok()?;
        before.difference(&left).is_empty().then_some(())
    })
    .unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, START).unwrap();
    wait_for_ping(party.machine(PLAYER), &OWN.to_string(), START).unwrap();
    assert!(party.stop(Who::Gateway).unwrap().success());
    let after = HostSnapshot::take(party.machine(Who::Gateway)).unwrap();
    assert_eq!(before.difference(&after), "");
    drop(dnsmasq);
}

#[test]
fn without_the_way_to_itself_the_gateway_says_so_and_bridges_the_lan() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    let own = party.machine(Who::Gateway);
    own.run(&format!("ip address add {OWN}/24 dev {LAN_NIC}"))
        .unwrap();
    // Somebody else's interface has the name.
    own.run("ip link add own-lan0 type veth peer name other0")
        .unwrap();
    party.begin().unwrap();
    party.wait_for_lease(0, START).unwrap();
    wait_for_ping(party.machine(PLAYER), &GAME_SERVER.to_string(), SOON).unwrap();
    let log = party.log(Who::Gateway);
    assert!(
        log.contains("cannot reach programs on this machine itself") && log.contains("own-lan0"),
        "{log}"
    );
}

#[test]
fn a_port_of_the_hosts_bridge_serves_bridge_lan_and_players_and_goes_at_the_end() {
    let mut party = Party::prepare(&Lab::builder()).unwrap();
    let own = party.machine(Who::Gateway);
    own.run("ip link add br-lan type bridge stp_state 0 forward_delay 0 mcast_snooping 0")
        .unwrap();
    own.run(&format!("ip link set {LAN_NIC} master br-lan")).unwrap();
    own.run("ip link set br-lan up").unwrap();
    own.run(&format!("ip address add {OWN}/24 dev br-lan")).unwrap();
    let before = HostSnapshot::take(own).unwrap();
    party.launch(Who::Relay).unwrap();

    // Its cable alone is no LAN any more.
    let said = match party.launch(Who::Gateway) {
        Ok(()) => {
            let gateway = party.process(Who::Gateway).unwrap();
            gateway.wait_for_log("attach bridge=br-lan", SOON).unwrap()
        }
        // It has ended before the lab has seen it run.
        Err(error) => error.to_string(),
    };
    assert!(
        said.contains("is a part of br-lan") && said.contains("attach bridge=br-lan"),
        "{said}"
    );

    let attach = ["--attach", "bridge=br-lan"];
    party.launch_with(Who::Gateway, &attach).unwrap();
    party.launch(PLAYER).unwrap();
    let lease = party.wait_for_lease(0, START).unwrap();
    let player = party.machine(PLAYER);
    for target in [OWN, GAME_SERVER] {
        wait_for_ping(player, &target.to_string(), SOON).unwrap();
    }
    wait_for_ping(party.machine(Who::Gateway), &lease.to_string(), SOON).unwrap();
    let file = content(1 << 20);
    copy(player, party.machine(Who::Gateway), OWN, &file).unwrap();
    copy(&party.lab.lan.games, player, lease, &file).unwrap();

    // Somebody takes the port away: it comes back.
    party.machine(Who::Gateway).run("ip link del lan-br-lan").unwrap();
    wait_for_ping(player, &OWN.to_string(), START).unwrap();

    party.crash(Who::Gateway);
    party.launch_with(Who::Gateway, &attach).unwrap();
    party.wait_until_joined(Who::Gateway, START).unwrap();
    wait_for_ping(party.machine(PLAYER), &OWN.to_string(), START).unwrap();
    assert!(party.stop(Who::Gateway).unwrap().success());
    let after = HostSnapshot::take(party.machine(Who::Gateway)).unwrap();
    assert_eq!(before.difference(&after), "");
}

/// A party whose DHCP server runs on the LAN gateway's own box, together with the usual rules of Docker. The other DHCP server is
/// unplugged.
fn prepared(players: u8) -> (Party, Process) {
    let party = Party::prepare(&Lab::builder().players(players)).unwrap();
    party.lab.lan.dhcp.run("ip link set eth0 down").unwrap();
    let own = party.machine(Who::Gateway);
    own.run(&format!("ip address add {OWN}/24 broadcast + dev {LAN_NIC}"))
        .unwrap();
    own.shell(
        "ip link add docker0 type bridge; ip address add 172.17.0.1/16 dev docker0; ip link set docker0 up",
    )
    .unwrap();
    own.feed(
        &["nft", "-f", "-"],
        "table ip docker { chain forward { type filter hook forward priority 0; policy drop; }; }",
    )
    .unwrap();
    let leases = own.directory().join("leases").display().to_string();
    let words = format!(
        "dnsmasq --keep-in-foreground --log-facility=- --user=root --conf-file=/dev/null --pid-file= --port=0 \
         --interface={LAN_NIC} --bind-interfaces --dhcp-authoritative --no-ping --log-dhcp \
         --dhcp-range=10.73.42.150,10.73.42.160,255.255.255.0,120s --dhcp-leasefile={leases}"
    );
    let words: Vec<&str> = words.split_whitespace().collect();
    let mut dnsmasq = own.spawn("dnsmasq", &words).unwrap();
    dnsmasq.wait_for_log("started", SOON).unwrap();
    (party, dnsmasq)
}

/// Asks everybody on the LAN until somebody answers.
fn ask(machine: &Machine, address: Ipv4Addr) -> IpAddr {
    let socket = machine.inside(|| UdpSocket::bind((address, 0)).unwrap()).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    wait_for("an answer to a question to everybody", SOON, || {
        socket.send_to(b"who is there?", (EVERYBODY, BEACON_PORT)).ok()?;
        socket.recv_from(&mut [0; 64]).ok().map(|(_, from)| from.ip())
    })
    .unwrap()
}
