//! Every filter, tried with crafted frames: from the player's TAP towards the LAN, and from the LAN towards the player. A capture proves
//! the absence; a decent frame sent beside each proves the capture.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

use std::{
    net::Ipv4Addr,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use lanparty_testkit::lab::{
    Capture, Frame, LAN_NIC, Lab, Party, RawPort, TAP, Who,
    frame::{ARP, BROADCAST},
    junk::{EXPERIMENT, Junk, control_frames, decent, jumbo, remote_frames},
    probe::wait_for_ping,
};

const SOON: Duration = Duration::from_secs(5);
/// A frame of another class may come later than the decent one; nothing in the lab takes this long.
const LATE: Duration = Duration::from_millis(700);
const PLAYER: Who = Who::Player(0);

static PARTY: LazyLock<Mutex<Party>> =
    LazyLock::new(|| Mutex::new(Party::start(&Lab::builder().players(2)).unwrap()));

fn party() -> MutexGuard<'static, Party> {
    PARTY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn nothing_unwanted_comes_from_a_player_to_the_lan() {
    let party = party();
    let mac = party.player_mac(0).unwrap();
    let mut junk = control_frames(mac);
    junk.extend(remote_frames(mac));
    let tap = RawPort::open(party.machine(PLAYER), TAP).unwrap();
    // At the switch's own port: a bridge would swallow some of these before any host saw them.
    let lan = Capture::start(&party.lab.lan.switch, "p-gateway").unwrap();
    none_arrives(&junk, mac, &tap, &lan);
}

#[test]
fn nothing_unwanted_comes_from_a_player_to_another() {
    let party = party();
    let mac = party.player_mac(0).unwrap();
    let mut junk = control_frames(mac);
    junk.extend(remote_frames(mac));
    let tap = RawPort::open(party.machine(PLAYER), TAP).unwrap();
    let other = Capture::start(party.machine(Who::Player(1)), TAP).unwrap();
    none_arrives(&junk, mac, &tap, &other);
}

#[test]
fn nothing_of_the_switches_and_no_invalid_source_comes_from_the_lan_to_a_player() {
    let party = party();
    let mac = [2, 0, 0, 0x1a, 0, 1];
    let mut junk = control_frames(mac);
    junk.extend(remote_frames(mac).into_iter().filter(|junk| {
        let source = junk.frame.source();
        source[0] & 1 == 1 || source == [0; 6]
    }));
    assert_eq!(junk.len(), 7);
    let port = RawPort::open(&party.lab.lan.switch, "p-gateway").unwrap();
    let tap = Capture::start(party.machine(PLAYER), TAP).unwrap();
    none_arrives(&junk, mac, &port, &tap);
}

#[test]
fn the_lans_dhcp_and_router_frames_do_reach_a_player() {
    let party = party();
    let mac = [2, 0, 0, 0x1a, 0, 2];
    let port = RawPort::open(&party.lab.lan.games, "eth0").unwrap();
    let tap = Capture::start(party.machine(PLAYER), TAP).unwrap();
    let wanted = ["an answer of a DHCP server", "an answer of a DHCPv6 server"];
    for junk in remote_frames(mac)
        .iter()
        .filter(|junk| wanted.contains(&junk.name))
    {
        port.send(junk.frame.bytes()).unwrap();
        tap.wait_for(junk.name, SOON, |frame| frame.contains(&junk.mark))
            .unwrap();
    }
}

#[test]
fn jumbo_frames_cross_in_neither_direction() {
    let party = party();
    let player = party.machine(PLAYER);
    let lan = &party.lab.lan;
    let (mac, games_mac) = (party.player_mac(0).unwrap(), lan.games_mac().unwrap());
    let wide = [
        (&lan.games, "eth0"),
        (&lan.switch, "p-games"),
        (&lan.switch, "p-gateway"),
        (&party.lab.gateway.host, LAN_NIC),
        (player, TAP),
    ];
    for (machine, nic) in wide {
        machine.run(&format!("ip link set {nic} mtu 4000")).unwrap();
    }
    let tap = RawPort::open(player, TAP).unwrap();
    let capture = Capture::start(&lan.games, "eth0").unwrap();
    none_arrives(
        &[jumbo(mac, games_mac), jumbo(mac, BROADCAST)],
        mac,
        &tap,
        &capture,
    );
    let port = RawPort::open(&lan.games, "eth0").unwrap();
    let at_gateway = Capture::start(&party.lab.gateway.host, LAN_NIC).unwrap();
    let capture = Capture::start(player, TAP).unwrap();
    let frames = [jumbo(games_mac, mac), jumbo(games_mac, BROADCAST)];
    none_arrives(&frames, games_mac, &port, &capture);
    assert_eq!(
        at_gateway.count(|frame| frame.contains(&frames[0].mark)),
        2,
        "they did reach the LAN gateway"
    );
    for (machine, nic) in wide {
        machine.run(&format!("ip link set {nic} mtu 1500")).unwrap();
    }
}

#[test]
fn unicast_of_the_lan_that_is_for_nobody_here_stays_there() {
    let party = party();
    let source = [2, 0, 0, 0x1a, 0, 3];
    let mark = *b"notforus";
    let port = RawPort::open(&party.lab.lan.switch, "p-gateway").unwrap();
    let uplink = Capture::start(&party.lab.gateway.router, "lan").unwrap();
    let tap = Capture::start(party.machine(PLAYER), TAP).unwrap();
    let stray = Frame::new(
        [2, 9, 9, 9, 9, 9],
        source,
        EXPERIMENT,
        &[&mark[..], &[0; 1300]].concat(),
    );
    uplink.clear();
    for _ in 0..50 {
        port.send(stray.bytes()).unwrap();
    }
    port.send(decent(source, *b"goes_out").bytes()).unwrap();
    tap.wait_for("the decent frame", SOON, |frame| frame.contains(b"goes_out"))
        .unwrap();
    assert_eq!(tap.count(|frame| frame.contains(&mark)), 0);
    let large = uplink.count(|frame| {
        frame
            .udp()
            .is_some_and(|udp| udp.to.1 == 443 && udp.payload.len() > 1300)
    });
    assert!(
        large < 10,
        "{large} of 50 strays went to the relay:\n{}",
        uplink.summary()
    );
}

#[test]
fn what_a_player_floods_is_cut_to_the_limit_of_its_class_and_the_rest_plays_on() {
    /// The defaults of `lanparty-core`: frames a second, and at once.
    const GAME_LIMIT: (f64, f64) = (500.0, 500.0);
    const OTHER_LIMIT: (f64, f64) = (100.0, 300.0);
    let party = party();
    let mac = party.player_mac(0).unwrap();
    let unknown = Frame::new(
        [2, 9, 9, 9, 9, 8],
        mac,
        EXPERIMENT,
        &[&b"unknown!"[..], &[0; 46]].concat(),
    );
    let ports = (
        (party.wait_for_lease(0, SOON).unwrap(), 27_960),
        (Ipv4Addr::BROADCAST, 27_960),
    );
    let game = Frame::udp4(
        (BROADCAST, mac),
        ports.0,
        ports.1,
        b"\xff\xff\xff\xffgetinfo xxx and more of it",
    );
    // Nobody answers for this address, so only the questions count.
    let arp = [
        &[0, 1, 8, 0, 6, 4, 0, 1][..],
        &mac,
        &[10, 73, 42, 250],
        &[0; 6],
        &[10, 73, 42, 251],
        &[0; 18],
    ]
    .concat();
    let floods = [
        ("game broadcasts", game, GAME_LIMIT),
        (
            "broadcasts of no known kind",
            decent(mac, *b"a storm!"),
            OTHER_LIMIT,
        ),
        ("frames to nobody", unknown, OTHER_LIMIT),
        (
            "ARP questions",
            Frame::new(BROADCAST, mac, ARP, &arp),
            OTHER_LIMIT,
        ),
    ];
    let tap = RawPort::open(party.machine(PLAYER), TAP).unwrap();
    let lan = Capture::start(&party.lab.lan.switch, "p-gateway").unwrap();
    for (name, frame, (rate, burst)) in floods {
        let start = Instant::now();
        let sent = send_for_three_seconds(&tap, &frame);
        let other = party.wait_for_lease(1, SOON).unwrap().to_string();
        wait_for_ping(&party.lab.lan.games, &other, SOON).unwrap();
        thread::sleep(LATE);
        let arrived = lan.count(|seen| *seen == frame) as f64;
        let most = burst + rate * start.elapsed().as_secs_f64();
        println!("{name}: {arrived} of {sent}");
        assert!(
            arrived >= burst,
            "{arrived} of {sent} {name} came, {burst} should pass at once"
        );
        assert!(
            arrived <= most,
            "{arrived} of {sent} {name} came, at most {most} should"
        );
    }
    let own = party.wait_for_lease(0, SOON).unwrap().to_string();
    wait_for_ping(&party.lab.lan.games, &own, SOON).unwrap();
}

/// Far more than any limit lets through, and not so fast that the TAP's own queue would cut it before lanparty does.
fn send_for_three_seconds(tap: &RawPort, frame: &Frame) -> usize {
    const BATCH: usize = 15;
    const ROUNDS: u32 = 300;
    let start = Instant::now();
    for round in 1..=ROUNDS {
        for _ in 0..BATCH {
            tap.send(frame.bytes()).unwrap();
        }
        let due = Duration::from_millis(10) * round;
        thread::sleep(due.saturating_sub(start.elapsed()));
    }
    BATCH * ROUNDS as usize
}

/// Sends each unwanted frame with a decent one behind it: all decent ones arrive, no other does.
fn none_arrives(junk: &[Junk], source: [u8; 6], from: &RawPort, at: &Capture) {
    for (number, junk) in junk.iter().enumerate() {
        let mark = [
            b'd',
            b'e',
            b'c',
            b'e',
            b'n',
            b't',
            u8::try_from(number).unwrap(),
            junk.mark[0],
        ];
        from.send(junk.frame.bytes()).unwrap();
        from.send(decent(source, mark).bytes()).unwrap();
        let what = format!("the decent frame beside {}", junk.name);
        // Frames that a capture on the sending port shows as its own do not count.
        at.wait_for(&what, SOON, |frame| frame.contains(&mark)).unwrap();
    }
    thread::sleep(LATE);
    for junk in junk {
        assert_eq!(
            at.count(|frame| frame.contains(&junk.mark)),
            0,
            "{} came through:\n{}",
            junk.name,
            at.summary()
        );
    }
}
