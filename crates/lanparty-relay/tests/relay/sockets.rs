//! A relay with several sockets behind one address.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use crate::common::{Machine, Relay, SOON, datagram, frame, mac};
use lanparty_quic::PathClosed;
use lanparty_testkit::member::BareMember;
use lanparty_wire::Destination;

/// So many that they do not all meet at one of two sockets, or the test could not tell (once in 2^15 runs).
const MEMBERS: u8 = 16;

#[test]
fn members_of_different_sockets_are_one_room() {
    let relay = Relay::start(&["--sockets", "2"]);
    let machines: Vec<Machine> = (0..MEMBERS).map(|_| Machine::new()).collect();
    let numbers = 1..=MEMBERS;
    let members: Vec<BareMember> = machines
        .iter()
        .zip(numbers)
        .map(|(machine, number)| machine.player(&relay, number))
        .collect();
    assert_eq!(relay.status().relay.unwrap().sockets.count, 2);
    let all: Vec<Player<'_>> = (1..).zip(&members).collect();
    for (mark, pair) in (1..).zip(all.windows(2)) {
        assert_eq!(exchange(pair[0], pair[1], mark), Some(mark), "to {}", pair[1].0);
        assert_eq!(exchange(pair[1], pair[0], mark), Some(mark), "to {}", pair[0].0);
    }
}

#[test]
fn a_player_who_roams_from_socket_to_socket_plays_on() {
    let relay = Relay::start(&["--sockets", "2"]);
    let machines = [Machine::new(), Machine::new()];
    let ada = machines[0].player(&relay, 1);
    let bob = machines[1].player(&relay, 2);
    for mark in 1..=16 {
        ada.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
        assert_eq!(
            exchange((1, &ada), (2, &bob), mark),
            Some(mark),
            "out, after move {mark}"
        );
        assert_eq!(
            exchange((2, &bob), (1, &ada), mark),
            Some(mark),
            "back, after move {mark}"
        );
    }
    let status = relay.wait_status("packets handed over", |status| {
        status
            .relay
            .as_ref()
            .is_some_and(|relay| relay.sockets.handed_over > 0)
    });
    assert_eq!(status.relay.unwrap().sockets.not_handed_over, 0);
    assert_eq!(ada.link().close_reason(), None);
}

#[test]
fn a_restarted_relay_with_several_sockets_resets_at_once() {
    let relay = Relay::start(&["--sockets", "2"]);
    let machines = [Machine::new(), Machine::new(), Machine::new(), Machine::new()];
    let before: Vec<BareMember> = machines
        .iter()
        .zip(1..)
        .map(|(machine, number)| machine.player(&relay, number))
        .collect();
    let relay = relay.kill_and_restart();
    for member in &before {
        let sent = Instant::now();
        member.send_datagram(vec![0; 100]).unwrap();
        while member.link().close_reason().is_none() && sent.elapsed() < SOON {
            std::thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(member.link().close_reason(), Some(PathClosed::Reset));
        assert!(sent.elapsed() < Duration::from_secs(1), "{:?}", sent.elapsed());
    }
    assert_eq!(machines[3].player(&relay, 4).id(), before[3].id());
}

#[test]
fn a_port_that_is_shared_by_one_relay_is_not_shared_with_another() {
    let relay = Relay::start(&["--sockets", "2"]);
    let state = tempfile::tempdir().unwrap();
    let output = std::process::Command::new("timeout")
        .args(["10", env!("CARGO_BIN_EXE_lanparty-relay"), "--sockets", "2"])
        .args(["--listen", &relay.address.to_string(), "--state-dir"])
        .arg(state.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

/// A member, with the last byte of its MAC.
type Player<'a> = (u8, &'a BareMember);

/// Sends one frame, and returns the mark of the one that comes.
fn exchange((source, from): Player<'_>, (target, to): Player<'_>, mark: u8) -> Option<u8> {
    let frame = frame(source, mac(target), mark);
    let datagram = datagram(from.id(), Destination::Member(to.id()), mark.into(), &frame);
    from.send_datagram(datagram).unwrap();
    let arrived = to.arrivals().next(Instant::now() + SOON);
    arrived.map(|datagram| *datagram.last().unwrap())
}
