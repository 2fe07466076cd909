//! Two LAN gateways in one room: one carries, one waits, and never both.

use std::{net::Ipv4Addr, time::Duration};

use lanparty_wire::{
    DropReason, Mac,
    control::{Message, Tenure},
};

use super::room::{GATEWAY, Room, STANDBY, STATION, mac, member_id};
use crate::{
    lan::{
        Signal, Station,
        duty::Change,
        groups::tests::{G4, is_question, report4, said},
    },
    node::Event,
};

const LEASE: Tenure = Tenure::Milliseconds(1000);

/// A room of two players, the active LAN gateway, and one that waits. Both LAN gateways are on the same LAN.
fn contested() -> Room {
    let mut room = Room::new(2);
    room.join(STANDBY, 1);
    let now = room.now;
    for (id, last) in [(GATEWAY, 1), (STANDBY, 2)] {
        room.node(id).lan_station(
            now,
            Station {
                mac: Some(Mac([0, 0x16, 0x3e, 0, 0, last])),
                addresses: Vec::new(),
            },
        );
    }
    room.drain();
    answer(&mut room, GATEWAY, 1, LEASE);
    room
}

/// The relay answers the questions that a LAN gateway has asked.
fn answer(room: &mut Room, id: u16, term: u64, tenure: Tenure) -> usize {
    let mut asked = Vec::new();
    room.controls.retain(|(from, message)| match message {
        Message::Renew { number } if *from == id => {
            asked.push(*number);
            false
        }
        _ => true,
    });
    let now = room.now;
    for &number in &asked {
        room.node(id)
            .handle_control(now, &Message::Lease { number, term, tenure });
    }
    room.drain();
    asked.len()
}

/// Time passes in which the relay gives the lease to the first LAN gateway again and again.
fn hold(room: &mut Room, id: u16, term: u64, time: Duration) {
    let end = room.now + time;
    while room.now < end {
        room.pass(Duration::from_millis(50));
        answer(room, id, term, LEASE);
    }
}

fn changes(room: &Room, id: u16) -> Vec<Change> {
    let change = |event: &&Event| match event {
        Event::Duty(change) => Some(*change),
        _ => None,
    };
    room.events_of(id).iter().filter_map(change).collect()
}

/// From the LAN to the first player.
fn from_lan() -> Vec<u8> {
    frame(mac(1), STATION)
}

fn frame(to: Mac, from: Mac) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    frame.extend_from_slice(&[0x81, 0x37]);
    frame.resize(60, 7);
    frame
}

#[test]
fn who_waits_carries_nothing_either_way() {
    let mut room = contested();
    assert_eq!(changes(&room, STANDBY), []);
    assert_eq!(room.send(STANDBY, &from_lan()), []);
    assert_eq!(room.drops.pop(), Some((STANDBY, DropReason::Standby)));
    let written = room.send(1, &frame(Mac::BROADCAST, mac(1)));
    let reached: Vec<u16> = written.iter().map(|(id, _)| *id).collect();
    assert!(
        reached.contains(&GATEWAY) && !reached.contains(&STANDBY),
        "{reached:?}"
    );
    assert_eq!(room.send(GATEWAY, &from_lan()).len(), 1);
}

#[test]
fn who_is_alone_asks_nothing_and_who_is_waited_for_asks_again_and_again() {
    let mut room = Room::new(1);
    room.pass(Duration::from_secs(5));
    assert_eq!(answer(&mut room, GATEWAY, 1, LEASE), 0);
    let mut room = contested();
    room.pass(Duration::from_millis(300));
    assert_eq!(answer(&mut room, GATEWAY, 1, LEASE), 1);
    assert_eq!(answer(&mut room, STANDBY, 1, LEASE), 0);
}

#[test]
fn an_active_one_without_answers_stops_after_a_second_of_its_own() {
    let mut room = contested();
    hold(&mut room, GATEWAY, 1, Duration::from_secs(3));
    assert_eq!(room.send(GATEWAY, &from_lan()).len(), 1);
    room.pass(Duration::from_millis(1050));
    assert_eq!(room.send(GATEWAY, &from_lan()), []);
    assert_eq!(changes(&room, GATEWAY), [Change::Begun, Change::Ended]);
    assert_eq!(
        room.send(1, &frame(Mac::BROADCAST, mac(1)))
            .iter()
            .filter(|(id, _)| *id == GATEWAY)
            .count(),
        0
    );
    // And goes on if the lease is still its own.
    room.pass(Duration::from_millis(900));
    assert!(answer(&mut room, GATEWAY, 1, LEASE) > 0);
    assert_eq!(room.send(GATEWAY, &from_lan()).len(), 1);
}

#[test]
fn the_one_that_waited_takes_over_and_shows_every_address_to_the_switches() {
    let mut room = contested();
    let next = Message::Gateway {
        member: member_id(STANDBY),
        term: 2,
    };
    room.injected.clear();
    room.tell_all(&next);
    assert_eq!(
        room.send(STANDBY, &from_lan()),
        [],
        "not before the relay has answered it"
    );
    assert_eq!(answer(&mut room, STANDBY, 2, LEASE), 1);
    assert_eq!(changes(&room, STANDBY), [Change::Begun]);
    assert_eq!(changes(&room, GATEWAY), [Change::Begun, Change::Ended]);
    for player in [1, 2] {
        assert!(
            room.injected.iter().any(|frame| frame[6..12] == mac(player).0),
            "player {player}"
        );
        let told = room.events_of(player);
        assert!(told.contains(&&Event::GatewayChanged {
            member: member_id(STANDBY)
        }));
        assert!(
            !told.contains(&&Event::GatewayPresent(false)),
            "the LAN was there all the time"
        );
    }
    assert_eq!(room.send(STANDBY, &from_lan()).len(), 1);
    assert_eq!(room.send(GATEWAY, &from_lan()), []);
    let to_lan: Vec<u16> = room
        .send(1, &frame(STATION, mac(1)))
        .iter()
        .map(|(id, _)| *id)
        .collect();
    assert_eq!(to_lan, [STANDBY]);
}

#[test]
fn the_one_that_takes_over_knows_what_members_have_joined_and_tells_the_switches() {
    let mut room = contested();
    let report = report4((mac(1), Ipv4Addr::new(10, 73, 42, 101)), 0x16, G4);
    let written = room.send(1, &report);
    let reached: Vec<u16> = written.iter().map(|(id, _)| *id).collect();
    assert_eq!(reached, [GATEWAY], "who waits lets nothing out");
    room.nodes.remove(&GATEWAY);
    room.tell_all(&Message::Gateway {
        member: member_id(STANDBY),
        term: 2,
    });
    answer(&mut room, STANDBY, 2, LEASE);
    room.injected.clear();
    let asked = room.pass(Duration::from_millis(1));
    assert!(
        room.injected
            .iter()
            .any(|frame| frame[6..12] == mac(1).0 && said(frame, false) == [G4]),
        "{:02x?}",
        room.injected
    );
    for player in [1, 2] {
        let questions = asked
            .iter()
            .filter(|(to, frame)| *to == player && is_question(frame));
        assert_eq!(questions.count(), 2, "player {player}");
    }
}

#[test]
fn who_has_got_the_lease_holds_back_while_it_hears_the_other_on_the_lan() {
    let mut room = contested();
    let next = Message::Gateway {
        member: member_id(STANDBY),
        term: 2,
    };
    let now = room.now;
    room.node(STANDBY).handle_control(now, &next);
    room.drain();
    let other = Signal::Beacon { term: 1 }.frame(STATION, [0; 8]);
    room.send(STANDBY, &other);
    answer(&mut room, STANDBY, 2, LEASE);
    assert_eq!(changes(&room, STANDBY), []);
    for _ in 0..4 {
        room.pass(Duration::from_millis(200));
        room.send(STANDBY, &other);
        // The relay that the old one hears has not heard of the new one.
        answer(&mut room, GATEWAY, 1, LEASE);
        answer(&mut room, STANDBY, 2, LEASE);
        assert_eq!(room.send(STANDBY, &from_lan()), []);
    }
    for _ in 0..3 {
        room.pass(Duration::from_millis(150));
        answer(&mut room, GATEWAY, 1, LEASE);
        answer(&mut room, STANDBY, 2, LEASE);
    }
    assert_eq!(changes(&room, STANDBY), [Change::Begun]);
    // The old one hears the new one's beacon, and stops though nobody else has told it.
    let newer = Signal::Beacon { term: 2 }.frame(STATION, [0; 8]);
    assert_eq!(room.send(GATEWAY, &from_lan()).len(), 1);
    room.send(GATEWAY, &newer);
    assert_eq!(room.send(GATEWAY, &from_lan()), []);
}

#[test]
fn a_beacon_of_another_room_means_nothing() {
    let mut room = contested();
    let other = Signal::Beacon { term: u64::MAX }.frame(STATION, [7; 8]);
    room.send(GATEWAY, &other);
    assert_eq!(room.send(GATEWAY, &from_lan()).len(), 1);
}

#[test]
fn the_lan_hears_which_one_is_active_only_while_another_one_waits() {
    let mut room = contested();
    room.injected.clear();
    hold(&mut room, GATEWAY, 1, Duration::from_secs(1));
    let beacons = |room: &Room| {
        let is_beacon = |frame: &&Vec<u8>| matches!(Signal::parse(frame), Some((_, Signal::Beacon { .. })));
        room.injected.iter().filter(is_beacon).count()
    };
    assert!((8..=12).contains(&beacons(&room)), "{}", beacons(&room));
    room.leave(STANDBY);
    room.injected.clear();
    room.pass(Duration::from_secs(1));
    assert_eq!(beacons(&room), 0);
}

#[test]
fn every_relay_that_the_active_one_meets_is_told_who_may_wait() {
    let mut room = Room::empty();
    room.join(GATEWAY, 1);
    let standby = lanparty_wire::PeerId([7; 32]);
    let now = room.now;
    room.node(GATEWAY).set_lan(
        now,
        crate::lan::LanConfig {
            standbys: vec![standby],
            ..Default::default()
        },
    );
    let told = |room: &Room| {
        let is_meant = |(_, message): &&(u16, Message)| matches!(message, Message::Standbys { identities } if *identities == [standby]);
        room.controls.iter().filter(is_meant).count()
    };
    for connection in 1..=3 {
        room.join(GATEWAY, 1);
        assert_eq!(told(&room), connection);
    }
    room.join(STANDBY, 1);
    assert_eq!(told(&room), 3, "once for each connection");
}
