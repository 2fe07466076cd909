//! A hostile member that speaks the protocol itself, without a client's guard, against a party whose relay has none either: what
//! does not come to the LAN was stopped by the LAN gateway alone. A decent frame beside each one proves the capture.
//!
//! The same against the real relay shows that it stops what it can see, and that pieces of frames, which it cannot see into,
//! still end at the LAN gateway.

#![allow(clippy::unwrap_used, reason = "what fails in a helper fails its test")]

mod hostile;

use std::{
    sync::{LazyLock, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use hostile::{
    Captures, Hostile, How, SOON, attack,
    drops::{Drops, add, drops_of, wait_for_drops},
    forgeries::{self, Forgery},
    frames::unwanted,
    padded,
    party::{addresses, destinations, member_of, start},
};
use lanparty_quic::PathClosed;
use lanparty_testkit::lab::{
    GAME_SERVER, LAN_NIC, Party, Who,
    frame::BROADCAST,
    junk::{EXPERIMENT, decent, jumbo},
    mac_of,
    probe::wait_for_ping,
    wait_for,
};
use lanparty_wire::{Class, Destination, DropReason, LeaveReason, control::Message};

/// Frames of another class may come later than the decent one; nothing in the lab takes this long.
const LATE: Duration = Duration::from_millis(700);

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
