//! A hostile member that speaks the protocol itself, without a client's guard, against a party whose relay has none either: what
//! does not come to the LAN was stopped by the LAN gateway alone. A decent frame beside each one proves the capture.
//!
//! The same against the real relay shows that it stops what it can see, and that pieces of frames, which it cannot see into,
//! still end at the LAN gateway.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod hostile;

use std::{
    fs,
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use hostile::{
    Captures, Drops, Hostile, How, SOON, add, attack, drops_of,
    forgeries::{self, Forgery},
    frames::unwanted,
    padded,
    party::{addresses, destinations, known_station, member_of, start},
    storm::{self, GAME},
    wait_for_cut, wait_for_drops,
};
use lanparty_quic::PathClosed;
use lanparty_testkit::lab::{
    GAME_SERVER, LAN_NIC, Party, TAP, Who,
    frame::{BROADCAST, Frame},
    junk::{EXPERIMENT, decent, jumbo},
    mac_of,
    probe::wait_for_ping,
    wait_for,
};
use lanparty_wire::{Class, Destination, DropReason, LeaveReason, control::Message};

/// Frames of another class may come later than the decent one; nothing in the lab takes this long.
const LATE: Duration = Duration::from_millis(700);
/// How long storms last.
const STORM: Duration = Duration::from_secs(3);

/// One player and a hostile member; only the LAN gateway guards.
static UNGUARDED: LazyLock<Mutex<Party>> = LazyLock::new(|| Mutex::new(start(true, &[])));
/// The same with the real relay.
static GUARDED: LazyLock<Mutex<Party>> = LazyLock::new(|| Mutex::new(start(false, &[])));

fn enter(party: &'static LazyLock<Mutex<Party>>) -> MutexGuard<'static, Party> {
    party.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn the_lan_gateway_alone_stops_every_unwanted_frame() {
    let party = enter(&UNGUARDED);
    let mut hostile = Hostile::join(&party, 1);
    let captures = Captures::start(&party);
    let frames = unwanted(addresses(&party, &hostile));
    let destinations = destinations(&mut hostile, &captures);
    let mut dropped = attack(&mut hostile, &frames, &destinations, How::Whole, &captures);
    let pieces = attack(&mut hostile, &frames, &destinations, How::Pieces, &captures);
    add(&mut dropped, pieces);
    wait_for_drops(&party, Who::Gateway, hostile.member.id(), &dropped);
    assert_eq!(
        drops_of(&party, Who::Relay, hostile.member.id()),
        Drops::new(),
        "the relay has stopped nothing"
    );
    captures.assert_none_of(&frames);
}

#[test]
fn the_lan_gateway_alone_stops_jumbo_frames() {
    let party = enter(&UNGUARDED);
    let lan = &party.lab.lan;
    let wide = [
        (&party.lab.gateway.host, LAN_NIC),
        (&lan.switch, "p-gateway"),
        (&lan.switch, "p-games"),
        (&lan.games, "eth0"),
    ];
    // A LAN that would carry them, so that nothing else stops them.
    for (machine, nic) in wide {
        machine.run(&format!("ip link set {nic} mtu 4000")).unwrap();
    }
    let mut hostile = Hostile::join(&party, 2);
    let captures = Captures::start(&party);
    let station = lan.games_mac().unwrap();
    let to_gateway = Destination::Member(hostile.gateway);
    let mut expected = Drops::new();
    for (length, reason) in [
        (1515, DropReason::Jumbo),
        (1530, DropReason::Jumbo),
        (1531, DropReason::OverMtu),
        (3000, DropReason::OverMtu),
    ] {
        for (to, destination) in [(BROADCAST, Destination::Flood), (station, to_gateway)] {
            let mut bytes = jumbo(hostile.mac, to).frame.bytes().to_vec();
            bytes.resize(length, 0x55);
            hostile.send(destination, Class::Bulk, How::Pieces, &bytes);
            // A payload that is longer than any frame is not even begun, so each of its pieces counts.
            let pieces = hostile::pieces(&bytes).count() as u64;
            *expected.entry(reason).or_default() += if reason == DropReason::Jumbo { 1 } else { pieces };
            let mut full = decent(hostile.mac, *b"the full").bytes().to_vec();
            full.resize(1514, 0x55);
            hostile.send(destination, Class::Bulk, How::Pieces, &full);
            let beside = format!("a jumbo of {length} bytes");
            hostile.send_decent(&beside, destination, Class::Bulk, How::Pieces, &captures.gateway);
            captures.assert_absent(&beside, &jumbo(hostile.mac, to).mark);
        }
    }
    wait_for_drops(&party, Who::Gateway, hostile.member.id(), &expected);
    captures.assert_absent("a jumbo", &jumbo(hostile.mac, BROADCAST).mark);
    let full = captures.gateway.count(|frame| frame.contains(b"the full"));
    assert_eq!(full, 8, "frames of exactly 1500 bytes pass");
    for (machine, nic) in wide {
        machine.run(&format!("ip link set {nic} mtu 1500")).unwrap();
    }
}

#[test]
fn announcing_a_hosts_address_opens_the_lan_to_no_member() {
    let party = enter(&UNGUARDED);
    let lan = &party.lab.lan;
    let captures = Captures::start(&party);
    // A host of its own, because an impostor's address stays reserved for a while.
    let host = lan.add_host("victim").unwrap();
    host.run("ip address add 10.73.42.77/24 dev eth0").unwrap();
    let lease = party.wait_for_lease(0, SOON).unwrap().to_string();
    wait_for_ping(&host, &lease, SOON).unwrap();
    let station = mac_of(&host, "eth0").unwrap();
    lan.wait_for_port("br0", station, "p-victim", SOON).unwrap();
    // A relay cannot know whose it is: a virtual machine's address is locally administered, as a member's.
    let mut hostile = Hostile::join_as(&party, 11, station);
    let mark = *b"i am you";
    for destination in [Destination::Flood, Destination::Member(hostile.gateway)] {
        let frame = decent(station, mark);
        hostile.send(destination, Class::Bulk, How::Whole, frame.bytes());
    }
    let mut other = Hostile::join(&party, 12);
    let (flood, how) = (Destination::Flood, How::Whole);
    other.send_decent("a thief", flood, Class::Bulk, how, &captures.gateway);
    thread::sleep(LATE);
    // Neither its frames nor those that tell the switches where a member is, which come at its joining.
    for (at, what) in [(&captures.gateway, "frames"), (&captures.station, "refreshes")] {
        let taken = at.count(|frame| frame.source() == station && frame.kind() == EXPERIMENT);
        assert_eq!(taken, 0, "{what} under a host's address:\n{}", at.summary());
    }
    assert_eq!(
        lan.port_of("br0", station).unwrap().as_deref(),
        Some("p-victim"),
        "the switch knows where the host is"
    );
    wait_for_ping(&host, &GAME_SERVER.to_string(), SOON).unwrap();
    let log = party.log(Who::Gateway);
    assert!(
        log.contains("would harm the LAN"),
        "the host of the party is told:\n{log}"
    );
}

#[test]
fn a_forged_header_dies_at_the_relay_even_without_its_guard() {
    let party = enter(&UNGUARDED);
    let mut hostile = Hostile::join(&party, 3);
    let captures = Captures::start(&party);
    let player = member_of(&party, Who::Player(0));
    let frame = padded(decent(hostile.mac, forgeries::MARK).bytes());
    let mut expected = Drops::new();
    let forged = forgeries::of_headers(&mut hostile, player, &frame);
    for Forgery {
        name,
        datagram,
        reason,
    } in forged
    {
        hostile.member.send_datagram(datagram).unwrap();
        *expected.entry(reason).or_default() += 1;
        hostile.send_decent(
            name,
            Destination::Flood,
            Class::Bulk,
            How::Whole,
            &captures.gateway,
        );
        captures.assert_absent(name, &forgeries::MARK);
    }
    wait_for_drops(&party, Who::Relay, hostile.member.id(), &expected);
    assert_eq!(
        drops_of(&party, Who::Gateway, hostile.member.id()),
        Drops::new(),
        "none has come so far"
    );
}

#[test]
fn replays_and_contradicting_pieces_die_at_the_lan_gateway() {
    let party = enter(&UNGUARDED);
    let mut hostile = Hostile::join(&party, 4);
    let captures = Captures::start(&party);
    let mut expected = Drops::new();
    for destination in destinations(&mut hostile, &captures) {
        add(
            &mut expected,
            forgeries::replay(&mut hostile, destination, &captures),
        );
        add(
            &mut expected,
            forgeries::contradict(&mut hostile, destination, &captures),
        );
        add(
            &mut expected,
            forgeries::hide_in_probe(&mut hostile, destination, &captures),
        );
    }
    wait_for_drops(&party, Who::Gateway, hostile.member.id(), &expected);
    captures.assert_absent("a replay or a contradiction", &forgeries::MARK);
}

#[test]
fn the_lan_gateway_alone_cuts_a_storm_of_broadcasts() {
    const RATE: u32 = 20_000;
    let party = enter(&UNGUARDED);
    let mut hostile = Hostile::join(&party, 5);
    let captures = Captures::start(&party);
    let player = party.machine(Who::Player(0));
    let frames = storm::to_everybody(hostile.mac);
    let start = Instant::now();
    // To the LAN gateway as if it were unicast, under a class that is none of theirs: the relay sees no broadcast.
    let sent = thread::scope(|scope| {
        let storm = scope.spawn(|| {
            hostile.storm(RATE, STORM, Class::Interactive, |number| {
                frames[number as usize % frames.len()].1.clone()
            })
        });
        let mut rounds = 0;
        while !storm.is_finished() {
            player.run(&format!("ip neigh flush dev {TAP}")).unwrap();
            wait_for_ping(player, &GAME_SERVER.to_string(), SOON).unwrap();
            rounds += 1;
        }
        assert!(rounds > 1, "a player has asked for addresses meanwhile");
        storm.join().unwrap()
    });
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(LATE);
    let mut arrived = 0;
    for ((mark, _), (burst, rate)) in frames
        .iter()
        .zip([(500, 500), (300, 100), (300, 100), (500, 500)])
    {
        let of_kind = captures.gateway.count(|frame| frame.contains(mark));
        let most = f64::from(burst) + f64::from(rate) * (seconds + 1.0);
        assert!((of_kind as f64) < most, "{of_kind} of {mark:?} in {seconds:.1} s");
        assert!(of_kind > 50, "{of_kind} of {mark:?}: a limit, not a wall");
        arrived += of_kind;
    }
    println!("{sent} broadcasts in {seconds:.1} s, {arrived} arrived");
    assert!(
        (arrived as f64) < 1_000.0 * (seconds + 1.0),
        "{arrived} in {seconds:.1} s"
    );
    let reasons = [
        DropReason::FloodRate,
        DropReason::NeighborRate,
        DropReason::ChatterRate,
    ];
    let cut = wait_for_cut(&party, &hostile, &reasons, u64::from(sent) / 2);
    println!("the LAN gateway cut {cut}");
    assert!(
        party.log(Who::Gateway).contains("rate-limited"),
        "and its log says so"
    );
}

#[test]
fn the_lan_gateway_alone_cuts_a_storm_for_stations_that_do_not_exist() {
    const RATE: u32 = 2_000;
    let party = enter(&UNGUARDED);
    let mut hostile = Hostile::join(&party, 6);
    let captures = Captures::start(&party);
    let (mac, station) = (hostile.mac, known_station(&party));
    let start = Instant::now();
    let sent = hostile.storm(RATE, STORM, Class::Interactive, |number| {
        let [_, a, b, c] = number.to_be_bytes();
        let (to, mark) = if number % 40 == 0 {
            (station, b"known to")
        } else {
            ([2, 0xde, 0xad, a, b, c], b"unknown!")
        };
        Frame::new(to, mac, GAME, &[&mark[..], &[0; 46]].concat())
            .bytes()
            .to_vec()
    });
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(LATE);
    let unknown = captures.gateway.count(|frame| frame.contains(b"unknown!"));
    let known = captures.gateway.count(|frame| frame.contains(b"known to"));
    println!("{sent} frames in {seconds:.1} s, {unknown} for nobody, {known} for a station");
    assert!(unknown >= 300, "{unknown}: a limit, not a wall");
    assert!(
        (unknown as f64) < 300.0 + 100.0 * (seconds + 1.0),
        "{unknown} in {seconds:.1} s"
    );
    assert_eq!(known, sent.div_ceil(40) as usize, "what is for somebody arrives");
    wait_for_cut(
        &party,
        &hostile,
        &[DropReason::UnknownUnicastRate],
        u64::from(sent) / 2,
    );
}

#[test]
fn the_lan_gateway_alone_holds_a_member_to_its_bandwidth() {
    const RATE: u32 = 5_000;
    const LENGTH: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let limits = folder.path().join("limits.toml");
    fs::write(
        &limits,
        "[limits.bandwidth]\nbytes_per_second = 1000000\nburst_bytes = 200000\n",
    )
    .unwrap();
    let party = start(true, &["--config", &limits.display().to_string()]);
    let mut hostile = Hostile::join(&party, 7);
    let captures = Captures::start(&party);
    let station = known_station(&party);
    let frame = Frame::new(
        station,
        hostile.mac,
        GAME,
        &[&b"too much"[..], &[0x55; LENGTH - 22]].concat(),
    );
    let start = Instant::now();
    let sent = hostile.storm(RATE, STORM, Class::Bulk, |_| frame.bytes().to_vec());
    let seconds = start.elapsed().as_secs_f64();
    // ARP and the like are not held up by it, nor is another member.
    hostile.send_decent(
        "a copy",
        Destination::Flood,
        Class::Bulk,
        How::Whole,
        &captures.gateway,
    );
    wait_for_ping(party.machine(Who::Player(0)), &GAME_SERVER.to_string(), SOON).unwrap();
    thread::sleep(LATE);
    let bytes = captures.gateway.count(|frame| frame.contains(b"too much")) * LENGTH;
    println!(
        "{} bytes sent in {seconds:.1} s, {bytes} arrived",
        sent as usize * LENGTH
    );
    assert!(
        (bytes as f64) < 200_000.0 + 1_000_000.0 * (seconds + 1.0),
        "{bytes} bytes"
    );
    assert!(
        (bytes as f64) > 500_000.0 * seconds,
        "{bytes} bytes: a limit, not a wall"
    );
    wait_for_cut(
        &party,
        &hostile,
        &[DropReason::BandwidthRate],
        u64::from(sent) / 3,
    );
}

#[test]
fn the_relay_stops_what_it_sees_and_the_lan_gateway_what_it_does_not() {
    let party = enter(&GUARDED);
    let mut hostile = Hostile::join(&party, 8);
    let captures = Captures::start(&party);
    let frames = unwanted(addresses(&party, &hostile));
    let destinations = destinations(&mut hostile, &captures);
    let whole = attack(&mut hostile, &frames, &destinations, How::Whole, &captures);
    // Who is where is not a relay's business.
    let is_switching = |reason| [DropReason::Misdirected, DropReason::Reflection].contains(&reason);
    let (mut at_gateway, at_relay): (Drops, Drops) =
        whole.into_iter().partition(|&(reason, _)| is_switching(reason));
    let id = hostile.member.id();
    wait_for_drops(&party, Who::Relay, id, &at_relay);
    wait_for_drops(&party, Who::Gateway, id, &at_gateway);
    let pieces = attack(&mut hostile, &frames, &destinations, How::Pieces, &captures);
    add(&mut at_gateway, pieces);
    wait_for_drops(&party, Who::Gateway, id, &at_gateway);
    wait_for_drops(&party, Who::Relay, id, &at_relay);
    captures.assert_none_of(&frames);
}

#[test]
fn who_sends_what_makes_no_sense_is_disconnected_and_told_why() {
    const LIMIT: usize = 100;
    let party = enter(&GUARDED);
    let mut other = Hostile::join(&party, 9);
    let mut hostile = Hostile::join(&party, 10);
    let captures = Captures::start(&party);
    for number in 0..LIMIT {
        hostile.member.send_datagram(vec![0; number % 40]).unwrap();
    }
    let beside = "as much nonsense as is borne";
    hostile.send_decent(
        beside,
        Destination::Flood,
        Class::Bulk,
        How::Whole,
        &captures.gateway,
    );
    let id = hostile.member.id();
    wait_for_drops(
        &party,
        Who::Relay,
        id,
        &Drops::from([(DropReason::Malformed, LIMIT as u64)]),
    );
    hostile.member.send_datagram(vec![0; 40]).unwrap();
    let goodbye = hostile.member.wait_control(SOON, |message| match message {
        Message::Goodbye { reason } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(goodbye.unwrap(), LeaveReason::Malformed);
    let closed = wait_for("the end of the connection", SOON, || {
        hostile.member.link().close_reason()
    });
    assert_eq!(closed.unwrap(), PathClosed::Peer(LeaveReason::Malformed));
    let left = other.member.wait_control(SOON, |message| match message {
        Message::Left { member, reason, .. } if *member == id => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(left.unwrap(), LeaveReason::Malformed, "the others hear why");
    assert!(
        party.log(Who::Relay).contains("malformed"),
        "so does the operator"
    );
    other.send_decent(
        "it all",
        Destination::Flood,
        Class::Bulk,
        How::Whole,
        &captures.gateway,
    );
}
