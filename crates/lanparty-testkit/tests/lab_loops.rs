//! Players who have a second way to the party's LAN: the loop is stopped at their port and named, and everybody else plays on.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use lanparty_testkit::lab::{
    Capture, GAME_SERVER, Lab, Machine, Party, RawPort, TAP, Who, end,
    frame::{BROADCAST, Frame},
    plug,
    probe::{Pinging, wait_for_ping},
    wait_for,
};
use serde_json::Value;

/// Who plays on, and who has the second way.
const PLAYS: usize = 0;
const LOOPS: usize = 1;
/// "Within a few seconds", and what a loaded machine may add.
const SOON: Duration = Duration::from_secs(20);
/// The first hold is ten seconds after the last question that came back.
const OPENED: Duration = Duration::from_secs(45);
/// What the others may miss.
const OUTAGE: Duration = Duration::from_secs(1);
/// Broadcasts of the LAN's host, a tenth of a second apart. In a ring each of them would go round thousands of times.
const SHOUT: [u8; 8] = *b"a shout!";

/// The party, started, in an open or a sealed room. Players insist: a client that hears at another adapter that it is on the party's
/// LAN already ends otherwise.
fn party(players: u8, sealed: bool) -> Party {
    let mut party = Party::prepare(&Lab::builder().players(players)).unwrap();
    if sealed {
        party.seal();
    }
    party.launch(Who::Relay).unwrap();
    party.launch(Who::Gateway).unwrap();
    party.wait_until_joined(Who::Gateway, SOON).unwrap();
    for player in 0..usize::from(players) {
        party.launch_with(Who::Player(player), &["--anyway"]).unwrap();
    }
    for player in 0..usize::from(players) {
        party.wait_for_lease(player, SOON).unwrap();
    }
    party
}

/// Ends a thread when its scope is left, by whatever way.
struct StopsAtEnd<'a>(&'a AtomicBool);

impl Drop for StopsAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A second way into the LAN for a machine, as interface `lan9`.
fn second_cable(party: &Party, machine: &Machine) {
    party.lab.lan.plug_in(machine, "lan9", "p-loop").unwrap();
}

/// Ties interfaces of a machine together.
fn bridge(machine: &Machine, ports: &[&str]) {
    machine
        .run("ip link add br9 type bridge stp_state 0 mcast_snooping 0 forward_delay 0")
        .unwrap();
    machine.sysctl("net/ipv6/conf/br9/disable_ipv6", "1").unwrap();
    machine.run("ip link set br9 up").unwrap();
    for port in ports {
        machine.run(&format!("ip link set {port} master br9")).unwrap();
    }
}

/// Why the port of a player is stopped, as its own status and the LAN gateway's tell.
fn faults(party: &Party, player: usize) -> (Option<String>, Option<String>) {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let own = party.status(Who::Player(player)).unwrap();
    let host = party.status(Who::Gateway).unwrap();
    let id = &own["endpoint"]["member"];
    let members = host["endpoint"]["members"].as_array().unwrap();
    let seen = members.iter().find(|member| member["id"] == *id);
    let seen = seen.and_then(|member| text(&member["port_fault"]));
    (text(&own["endpoint"]["port_fault"]), seen)
}

fn wait_for_fault(party: &Party, player: usize, fault: Option<&str>, limit: Duration) {
    let wanted = (fault.map(str::to_owned), fault.map(str::to_owned));
    let what = format!("player {player} and the host to say {fault:?}");
    wait_for(&what, limit, || (faults(party, player) == wanted).then_some(())).unwrap_or_else(|error| {
        let logs = [Who::Gateway, Who::Player(player)]
            .map(|who| party.log(who))
            .join("\n");
        panic!("{error}: {:?}\n{logs}", faults(party, player))
    });
}

/// Runs `meanwhile` while a host of the LAN says something to everybody ten times a second.
fn while_the_lan_talks<T>(party: &Party, meanwhile: impl FnOnce() -> T) -> T {
    let port = RawPort::open(&party.lab.lan.games, "eth0").unwrap();
    let frame = Frame::new(BROADCAST, port.mac(), 0x88b6, &[&SHOUT[..], &[0; 46]].concat());
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = port.send(frame.bytes());
                thread::sleep(Duration::from_millis(100));
            }
        });
        let _end = StopsAtEnd(&stop);
        meanwhile()
    })
}

/// Provokes a loop at player [`LOOPS`] while another one plays, and takes it away again.
fn a_loop_is_stopped_and_named(party: &Party, tie: impl FnOnce(), untie: impl FnOnce()) {
    let lan = &party.lab.lan;
    let plays = party.machine(Who::Player(PLAYS));
    let target = GAME_SERVER.to_string();
    wait_for_ping(plays, &target, SOON).unwrap();
    let capture = Capture::start(&lan.dhcp, "eth0").unwrap();
    while_the_lan_talks(party, || {
        let pinging = Pinging::start(plays, &target, 80).unwrap();
        tie();
        wait_for_fault(party, LOOPS, Some("lan_loop"), SOON);
        let (longest, _) = pinging.end();
        assert!(longest <= OUTAGE, "nothing came through for {longest:?}");
    });
    // Eight seconds of it, and more: a ring would have carried some thousand a second.
    let shouts = capture.count(|frame| frame.contains(&SHOUT));
    println!("{shouts} shouts, {} frames in all", capture.count(|_| true));
    assert!(shouts < 2_000, "{shouts} frames went round");
    assert_eq!(faults(party, PLAYS), (None, None), "nobody else is blamed");
    for (who, text) in [
        (Who::Gateway, "is also connected to this LAN by another way"),
        (
            Who::Player(LOOPS),
            "is also connected to the party's LAN by another way",
        ),
    ] {
        assert!(party.log(who).contains(text), "{who:?}: {}", party.log(who));
    }

    untie();
    wait_for_fault(party, LOOPS, None, OPENED);
    assert!(party.log(Who::Player(LOOPS)).contains("Your port is open again"));
    wait_for_ping(party.machine(Who::Player(LOOPS)), &target, SOON).unwrap();
    wait_for_ping(plays, &target, SOON).unwrap();
}

fn a_player_bridges_his_cable(sealed: bool) {
    let party = party(2, sealed);
    let machine = party.machine(Who::Player(LOOPS));
    second_cable(&party, machine);
    a_loop_is_stopped_and_named(
        &party,
        || bridge(machine, &["lan9", TAP]),
        || machine.run("ip link del br9").map(drop).unwrap(),
    );
}

#[test]
fn a_player_who_bridges_his_cable_and_the_tunnel_is_stopped_and_named() {
    a_player_bridges_his_cable(false);
}

#[test]
fn so_he_is_in_a_sealed_room() {
    a_player_bridges_his_cable(true);
}

#[test]
fn another_overlay_that_leads_to_the_lan_is_stopped_and_named() {
    let party = party(3, false);
    let (near, far) = (party.machine(Who::Player(LOOPS)), party.machine(Who::Player(2)));
    // The other VPN's own way, and a machine at its far end that has a cable into the LAN.
    plug(end(near, "vpn0"), end(far, "vpn0"), 1600).unwrap();
    second_cable(&party, far);
    let _vpn =
        [(near, "192.0.2.1", "192.0.2.2"), (far, "192.0.2.2", "192.0.2.1")].map(|(machine, own, other)| {
            machine.run(&format!("ip address add {own}/24 dev vpn0")).unwrap();
            let words = "openvpn --dev vx9 --dev-type tap --proto udp --port 1195 --auth none --local";
            let words = [
                &words.split(' ').collect::<Vec<_>>()[..],
                &[own, "--remote", other],
            ]
            .concat();
            let process = machine.spawn("openvpn", &words).unwrap();
            wait_for("OpenVPN's adapter", SOON, || {
                machine.run("ip link set vx9 up").ok()
            })
            .unwrap();
            process
        });
    bridge(far, &["lan9", "vx9"]);
    a_loop_is_stopped_and_named(
        &party,
        || bridge(near, &["vx9", TAP]),
        || near.run("ip link del br9").map(drop).unwrap(),
    );
}

#[test]
fn an_address_that_moves_between_room_and_lan_is_damped_and_named() {
    let party = party(2, false);
    let target = GAME_SERVER.to_string();
    let (plays, moves) = (
        party.machine(Who::Player(PLAYS)),
        party.machine(Who::Player(LOOPS)),
    );
    let port = RawPort::open(&party.lab.lan.dhcp, "eth0").unwrap();
    let mac = party.player_mac(LOOPS).unwrap();
    let frame = Frame::new(BROADCAST, mac, 0x88b6, &[0; 46]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let _ = port.send(frame.bytes());
                thread::sleep(Duration::from_millis(50));
            }
        });
        let _end = StopsAtEnd(&stop);
        // Its answers do not matter, its questions do.
        let pinging = Pinging::start(moves, &target, 80).unwrap();
        wait_for_fault(&party, LOOPS, Some("mac_flapping"), SOON);
        drop(pinging);
    });
    assert_eq!(faults(&party, PLAYS), (None, None), "nobody else is blamed");
    wait_for_ping(plays, &target, SOON).unwrap();
    wait_for_fault(&party, LOOPS, None, OPENED);
    wait_for_ping(moves, &target, SOON).unwrap();
}
