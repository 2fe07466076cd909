//! Rooms as their members see them: who is there, who is told what and when, and where datagrams go.

use std::{
    net::UdpSocket,
    time::{Duration, Instant},
};

use crate::common::{Machine, Relay, SOON, datagram, frame, joined, mac, marks, narrow_way};
use lanparty_testkit::member::BareMember;
use lanparty_wire::{
    Class, Destination, DropReason, FragmentHeader, GroupHandle, Header, LeaveReason, Mac, MemberId,
    control::{Message, Role, Stats},
};

const LATE: Duration = Duration::from_millis(300);

#[test]
fn members_hear_of_a_joiner_before_it_is_welcomed_and_it_hears_of_them_after() {
    let relay = Relay::start(&[]);
    let (host, ada) = (Machine::new(), Machine::new());
    let mut gateway = host.gateway(&relay);
    let mut player = ada.player(&relay, 1);
    let told = joined(&mut gateway, player.id(), Duration::from_millis(20));
    assert_eq!((told.mac, told.identity), (Some(mac(1)), ada.identity()));
    assert_eq!(player.welcome().gateway, Some(gateway.id()));
    assert_eq!(player.welcome().members, 2);
    let there = joined(&mut player, gateway.id(), SOON);
    assert_eq!((there.role, there.identity), (Role::Gateway, host.identity()));
}

#[test]
fn datagrams_reach_their_targets_and_nobody_else() {
    let relay = Relay::start(&[]);
    let machines = [Machine::new(), Machine::new(), Machine::new()];
    let mut ada = machines[0].player(&relay, 1);
    let bob = machines[1].player(&relay, 2);
    let eve = machines[2].player(&relay, 3);
    let group = GroupHandle::new(0xff07).unwrap();
    let register = Message::Group {
        handle: group,
        members: vec![eve.id()],
    };
    ada.send_control(&register).unwrap();
    relay.wait_status("three members", |status| members(status) == 3);
    let one = Destination::Member(bob.id());
    ada.send_frame(one, Class::Bulk, &frame(1, mac(2), 1)).unwrap();
    ada.send_frame(Destination::Flood, Class::Bulk, &frame(1, Mac::BROADCAST, 2))
        .unwrap();
    ada.send_frame(
        Destination::Group(group),
        Class::Bulk,
        &frame(1, Mac::BROADCAST, 3),
    )
    .unwrap();
    assert_eq!(marks(&bob, LATE), [1, 2]);
    assert_eq!(marks(&eve, LATE), [2, 3]);
    assert!(marks(&ada, LATE).is_empty());
}

#[test]
fn what_a_member_must_not_send_is_dropped_counted_and_stops_nothing_else() {
    let relay = Relay::start(&[]);
    let (ada, eve) = (Machine::new(), Machine::new());
    let ada = ada.player(&relay, 1);
    let mut eve = eve.player(&relay, 3);
    let (me, other) = (eve.id(), ada.id());
    let to_ada = Destination::Member(other);
    let good = frame(3, mac(1), 9);
    let sealed = {
        let mut bytes = datagram(me, to_ada, 101, &good);
        bytes[1] |= 1;
        bytes
    };
    let nobody = MemberId::new(if other.value() == 77 { 78 } else { 77 }).unwrap();
    // Each has a number of its own; under the same they were copies.
    let cases = [
        (datagram(other, to_ada, 102, &good), DropReason::SourceMismatch),
        (
            datagram(me, Destination::Member(nobody), 103, &good),
            DropReason::UnknownDestination,
        ),
        (
            datagram(me, Destination::Member(me), 104, &good),
            DropReason::Reflection,
        ),
        (sealed, DropReason::WrongKey),
        (vec![0xff; 40], DropReason::Malformed),
        (
            datagram(me, to_ada, 105, &frame(1, mac(1), 9)),
            DropReason::ForgedSource,
        ),
        (datagram(me, to_ada, 106, &bpdu()), DropReason::SwitchControl),
    ];
    for (bytes, _) in &cases {
        eve.send_datagram(bytes.clone()).unwrap();
    }
    eve.send_frame(to_ada, Class::Interactive, &frame(3, mac(1), 7))
        .unwrap();
    assert_eq!(marks(&ada, LATE), [7]);
    let status = relay.wait_status("drops", |status| status.drops.total() >= cases.len() as u64);
    for (_, reason) in cases {
        assert_eq!(status.drops.of(reason), 1, "{reason}");
    }
    let room = &status.relay.unwrap().rooms[0];
    let blamed = room.members.iter().find(|member| member.id == me).unwrap();
    assert_eq!(blamed.drops.total(), 7);
}

#[test]
fn a_sender_of_malformed_datagrams_is_put_out_and_the_others_hear_why() {
    let relay = Relay::start(&["--malformed-limit", "20"]);
    let (ada, eve) = (Machine::new(), Machine::new());
    let mut ada = ada.player(&relay, 1);
    let mut eve = eve.player(&relay, 3);
    let id = eve.id();
    for _ in 0..21 {
        eve.send_datagram(vec![0; 5]).unwrap();
    }
    assert_eq!(left(&mut ada, id), LeaveReason::Malformed);
    assert_eq!(goodbye(&mut eve), LeaveReason::Malformed);
}

#[test]
fn leaving_and_vanishing_are_told_apart() {
    let relay = Relay::start(&[]);
    let (ada, bob, eve) = (Machine::new(), Machine::new(), Machine::new());
    let mut ada = ada.player(&relay, 1);
    let mut bob = bob.player(&relay, 2);
    let id = bob.id();
    let goodbye = Message::Goodbye {
        reason: LeaveReason::Goodbye,
    };
    bob.send_control(&goodbye).unwrap();
    assert_eq!(left(&mut ada, id), LeaveReason::Goodbye);
    let eve = eve.player(&relay, 3);
    let id = eve.id();
    // Its sockets and timers go without a word, so the relay finds out by itself.
    drop(eve);
    let silence = Duration::from_secs(15);
    let reason = left_within(&mut ada, id, silence);
    assert!(
        matches!(reason, LeaveReason::ConnectionLost | LeaveReason::TimedOut),
        "{reason:?}"
    );
}

#[test]
fn an_identity_takes_its_own_place_over_and_the_old_connection_is_told() {
    let relay = Relay::start(&[]);
    let (ada, bob) = (Machine::new(), Machine::new());
    let mut bob = bob.player(&relay, 2);
    let mut ghost = ada.player(&relay, 1);
    joined(&mut bob, ghost.id(), SOON);
    let ada = ada.player(&relay, 1);
    assert_eq!(ada.id(), ghost.id());
    assert!(ada.welcome().incarnation > ghost.welcome().incarnation);
    assert_eq!(goodbye(&mut ghost), LeaveReason::Displaced);
    let again = joined(&mut bob, ada.id(), SOON);
    assert_eq!(again.incarnation, ada.welcome().incarnation);
    drop(ghost);
    let none = bob.wait_control(LATE, |message| {
        matches!(message, Message::Left { .. }).then_some(())
    });
    assert!(none.is_err(), "a displaced connection is no departure");
}

#[test]
fn what_cannot_join_is_told_why() {
    let relay = Relay::start(&["--max-members", "3"]);
    let machines: Vec<Machine> = (0..6).map(|_| Machine::new()).collect();
    let refusal = |machine: &Machine, role, mac| {
        let error = machine.try_join(&relay, role, mac).map(drop).unwrap_err();
        error.to_string()
    };
    let _gateway = machines[0].gateway(&relay);
    assert!(refusal(&machines[1], Role::Gateway, None).contains("already has a LAN gateway"));
    let _ada = machines[1].player(&relay, 1);
    assert!(refusal(&machines[2], Role::Client, Some(mac(1))).contains("already has this MAC"));
    let global = Some(Mac([0x00, 1, 2, 3, 4, 5]));
    assert!(refusal(&machines[2], Role::Client, global).contains("cannot be used"));
    let _bob = machines[2].player(&relay, 2);
    assert!(refusal(&machines[3], Role::Client, Some(mac(3))).contains("full"));
}

#[test]
fn the_state_of_a_leg_and_of_the_lan_cable_reaches_everybody_and_later_joiners() {
    let relay = Relay::start(&[]);
    let machines = [Machine::new(), Machine::new(), Machine::new()];
    let mut gateway = machines[0].gateway(&relay);
    let mut ada = machines[1].player(&relay, 1);
    let link = Message::LanLink {
        member: None,
        up: false,
    };
    gateway.send_control(&link).unwrap();
    let budget = Message::Budget {
        member: None,
        bytes: 1150,
    };
    gateway.send_control(&budget).unwrap();
    let id = gateway.id();
    let down = |message: &Message| {
        (*message
            == Message::LanLink {
                member: Some(id),
                up: false,
            })
        .then_some(())
    };
    ada.wait_control(SOON, down).unwrap();
    let small = Message::Budget {
        member: Some(id),
        bytes: 1150,
    };
    ada.wait_control(SOON, |message| (*message == small).then_some(()))
        .unwrap();
    let mut bob = machines[2].player(&relay, 2);
    let there = joined(&mut bob, id, SOON);
    assert_eq!((there.lan_link, there.budget), (Some(false), 1150));
}

#[test]
fn an_envelope_reaches_its_addressee_with_its_sender() {
    let relay = Relay::start(&[]);
    let (ada, bob) = (Machine::new(), Machine::new());
    let mut ada = ada.player(&relay, 1);
    let mut bob = bob.player(&relay, 2);
    let envelope = |from| Message::Envelope {
        from,
        to: bob.id(),
        data: "aGVsbG8=".into(),
    };
    let (sent, expected) = (envelope(None), envelope(Some(ada.id())));
    ada.send_control(&sent).unwrap();
    bob.wait_control(SOON, |message| (*message == expected).then_some(()))
        .unwrap();
}

#[test]
fn reports_of_members_are_kept_for_the_operator() {
    let relay = Relay::start(&[]);
    let ada = Machine::new();
    let mut ada = ada.player(&relay, 1);
    let stats = Stats {
        frames_out: 42,
        ..Stats::default()
    };
    ada.send_control(&Message::Stats(stats.clone())).unwrap();
    relay.wait_status("the report", |status| {
        let relay = status.relay.as_ref().unwrap();
        relay
            .rooms
            .first()
            .is_some_and(|room| room.members[0].reported == Some(stats.clone()))
    });
}

#[test]
fn a_member_that_hangs_delays_nobody_else_and_costs_little() {
    let relay = Relay::start(&[]);
    let machines = [Machine::new(), Machine::new(), Machine::new()];
    let slow = machines[0].player(&relay, 1);
    let mut bob = machines[1].player(&relay, 2);
    let eve = machines[2].player(&relay, 3);
    let before = relay.memory_kib();
    slow.freeze(Duration::from_secs(4));
    let (to_slow, to_eve) = (Destination::Member(slow.id()), Destination::Member(eve.id()));
    let mut bulk = frame(2, mac(1), 1);
    bulk.resize(1100, 1);
    for round in 0..4000_u32 {
        bob.send_frame(to_slow, Class::Bulk, &bulk).unwrap();
        if round % 100 == 0 {
            bob.send_frame(to_eve, Class::Interactive, &frame(2, mac(3), 7))
                .unwrap();
        }
    }
    assert_eq!(marks(&eve, LATE), [7; 40]);
    let status = relay.wait_status("full queue", |status| status.drops.of(DropReason::QueueFull) > 0);
    let room = &status.relay.as_ref().unwrap().rooms[0];
    let slow = room.members.iter().find(|member| member.id == slow.id()).unwrap();
    assert_eq!(
        slow.drops.of(DropReason::QueueFull),
        status.drops.of(DropReason::QueueFull)
    );
    // A probe of QUIC's takes one that has waited for too long.
    let late = status.drops.of(DropReason::QueueDelay);
    assert_eq!(
        status.drops.total(),
        status.drops.of(DropReason::QueueFull) + late
    );
    let grown = relay.memory_kib().saturating_sub(before);
    assert!(grown < 16 * 1024, "{grown} KiB for one hanging member");
}

#[test]
fn who_must_prove_its_address_gets_an_answer_all_the_same() {
    let relay = Relay::start(&[]);
    let wrong = Some(Mac([0x00, 1, 2, 3, 4, 5]));
    // More than one address may begin unproven; a refused join is the quickest answer.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let machine = Machine::new();
                for _ in 0..40 {
                    let error = machine
                        .try_join(&relay, Role::Client, wrong)
                        .map(drop)
                        .unwrap_err();
                    assert!(error.to_string().contains("cannot be used"), "{error}");
                }
            });
        }
    });
    let status = relay.wait_status("240 handshakes", |status| {
        status.relay.as_ref().unwrap().handshakes.accepted == 240
    });
    let handshakes = status.relay.unwrap().handshakes;
    assert!(handshakes.retried > 0, "{handshakes:?}");
}

#[test]
fn what_is_too_large_for_a_targets_leg_arrives_in_pieces() {
    let relay = Relay::start(&[]);
    let (ada, bob) = (Machine::new(), Machine::new());
    let way = narrow_way(relay.address, 1252);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let bob = bob
        .join_from(&relay, way, socket, Role::Client, Some(mac(2)))
        .unwrap();
    let mut ada = ada.player(&relay, 1);
    let until = Instant::now() + SOON;
    while ada.link().budget() < 1400 {
        assert!(Instant::now() < until, "{:?}", ada.link());
        std::thread::sleep(Duration::from_millis(20));
    }
    let mut whole = frame(1, mac(2), 0);
    whole.extend((0..1300).map(|n| n as u8));
    ada.send_frame(Destination::Member(bob.id()), Class::Bulk, &whole)
        .unwrap();
    let mut received = vec![0; whole.len()];
    let pieces = bob.datagrams(Duration::from_secs(1));
    for piece in &pieces {
        let (header, rest) = Header::decode(piece).unwrap();
        let (range, bytes) = FragmentHeader::decode(rest).unwrap();
        assert!(header.fragment && usize::from(range.total) == whole.len());
        received[usize::from(range.offset)..][..bytes.len()].copy_from_slice(bytes);
    }
    assert_eq!((pieces.len(), received), (2, whole));
}

#[test]
fn urgent_datagrams_leave_twice_when_told_so_and_bulk_does_not() {
    let relay = Relay::start(&["--redundancy", "always"]);
    let (ada, bob) = (Machine::new(), Machine::new());
    let mut ada = ada.player(&relay, 1);
    let bob = bob.player(&relay, 2);
    let to = Destination::Member(bob.id());
    for (mark, class) in [(1, Class::Interactive), (2, Class::Bulk), (3, Class::Interactive)] {
        ada.send_frame(to, class, &frame(1, mac(2), mark)).unwrap();
        // Each copy leaves on its own time, not with the next datagram.
        let expected: &[u8] = if class == Class::Bulk { &[2] } else { &[mark, mark] };
        assert_eq!(marks(&bob, LATE), expected);
    }
    let status = relay.wait_status("two copies", |status| status.traffic.duplicates_out == 2);
    assert_eq!(status.traffic.datagrams_out, 5);
    assert_eq!(status.drops.total(), 0);
}

#[test]
fn a_full_room_at_rest_costs_little() {
    const MEMBERS: u8 = 100;
    let limit = (u16::from(MEMBERS) + 1).to_string();
    let relay = Relay::start(&["--max-members", &limit, "--max-connections-per-address", &limit]);
    let machines: Vec<Machine> = (0..=MEMBERS).map(|_| Machine::new()).collect();
    let _first = machines[0].player(&relay, 0);
    let before = relay.memory_kib();
    let _others: Vec<BareMember> = (1..=MEMBERS)
        .map(|n| machines[usize::from(n)].player(&relay, n))
        .collect();
    let each = (relay.memory_kib() - before) / u64::from(MEMBERS);
    eprintln!("{each} KiB for a member at rest");
    assert!(each < 64, "{each} KiB for a member at rest");
    let busy = relay.processor_time();
    std::thread::sleep(Duration::from_secs(4));
    let busy = relay.processor_time() - busy;
    eprintln!("{busy:?} of processor time in four seconds");
    assert!(
        busy < Duration::from_millis(400),
        "{busy:?} in four seconds at rest"
    );
}

#[test]
fn one_socket_serves_both_families() {
    let relay = Relay::start_on("[::]:0");
    let (ada, bob) = (Machine::new(), Machine::new());
    let port = relay.address.port();
    let join = |machine: &Machine, remote: &str, local: &str, last| {
        let remote = format!("{remote}:{port}").parse().unwrap();
        let socket = UdpSocket::bind(local).unwrap();
        machine
            .join_from(&relay, remote, socket, Role::Client, Some(mac(last)))
            .unwrap()
    };
    let mut ada = join(&ada, "127.0.0.1", "127.0.0.1:0", 1);
    let bob = join(&bob, "[::1]", "[::1]:0", 2);
    ada.send_frame(Destination::Flood, Class::Bulk, &frame(1, Mac::BROADCAST, 5))
        .unwrap();
    assert_eq!(marks(&bob, LATE), [5]);
}

fn members(status: &lanparty_api::Status) -> usize {
    let relay = status.relay.as_ref().unwrap();
    relay.rooms.iter().map(|room| room.members.len()).sum()
}

fn left(member: &mut BareMember, id: MemberId) -> LeaveReason {
    left_within(member, id, SOON)
}

fn left_within(member: &mut BareMember, id: MemberId, limit: Duration) -> LeaveReason {
    member
        .wait_control(limit, |message| match message {
            Message::Left { member, reason, .. } if *member == id => Some(reason.clone()),
            _ => None,
        })
        .unwrap()
}

fn goodbye(member: &mut BareMember) -> LeaveReason {
    member
        .wait_control(SOON, |message| match message {
            Message::Goodbye { reason } => Some(reason.clone()),
            _ => None,
        })
        .unwrap()
}

/// A spanning tree frame of member 3.
fn bpdu() -> Vec<u8> {
    frame(3, Mac([0x01, 0x80, 0xc2, 0, 0, 0]), 9)
}
