//! Where frames go, in how many datagrams, and why some go nowhere.

use std::time::Duration;

use lanparty_wire::{
    Class, Destination, DropReason, Frame, Header, Kind, Mac, Offload,
    control::Message,
    mtu::{self, MIN_BUDGET},
};

use super::{
    frames::{ipx, offered_mss, syn, tcp_super_frame, udp},
    room::{GATEWAY, PATH, Room, STATION, mac, member_id},
};
use crate::node::{Delivery, Event, PathId, probe::Probe};

#[test]
fn a_players_broadcast_reaches_everybody_else_once() {
    let mut room = Room::new(3);
    let frame = ipx(mac(1), Mac::BROADCAST, 100);
    let written = room.send(1, &frame);
    assert_eq!(
        written,
        [(2, frame.clone()), (3, frame.clone()), (GATEWAY, frame)]
    );
    assert_eq!(
        room.node(1).counters().datagrams_out,
        1,
        "the relay makes the copies"
    );
    assert_eq!(room.drops, []);
}

#[test]
fn unicast_reaches_its_target_only() {
    let mut room = Room::new(3);
    let to_player = ipx(mac(1), mac(3), 100);
    assert_eq!(room.send(1, &to_player), [(3, to_player)]);
    let to_lan = ipx(mac(1), STATION, 100);
    assert_eq!(room.send(1, &to_lan), [(GATEWAY, to_lan)]);
    let from_lan = ipx(STATION, mac(2), 100);
    assert_eq!(room.send(GATEWAY, &from_lan), [(2, from_lan)]);
}

#[test]
fn lan_traffic_between_others_stays_on_the_lan() {
    let mut room = Room::new(1);
    assert_eq!(
        room.send(GATEWAY, &ipx(STATION, Mac([0, 0, 0, 0, 0, 7]), 100)),
        []
    );
    assert_eq!(
        room.send(GATEWAY, &ipx(mac(1), Mac::BROADCAST, 100)),
        [],
        "it came back to us"
    );
    assert_eq!(
        room.drops,
        [
            (GATEWAY, DropReason::NotRemote),
            (GATEWAY, DropReason::SourceIsRemote)
        ]
    );
    assert_eq!(room.node(GATEWAY).counters().drops.total(), 2);
}

#[test]
fn a_frame_with_anothers_address_dies_at_its_sender_and_again_at_its_receiver() {
    let mut room = Room::new(2);
    assert_eq!(room.send(1, &ipx(mac(2), STATION, 100)), []);
    let forged = datagram(1, Destination::Flood, 0, &ipx(mac(2), Mac::BROADCAST, 100));
    assert_eq!(room.forward(&forged), []);
    assert_eq!(
        room.drops,
        [
            (1, DropReason::ForgedSource),
            (2, DropReason::ForgedSource),
            (GATEWAY, DropReason::ForgedSource)
        ]
    );
    let of_one =
        |(id, drops): (_, &lanparty_wire::DropCounters)| (id == member_id(1)).then_some(drops.total());
    assert_eq!(room.node(2).member_drops().find_map(of_one), Some(1));
}

#[test]
fn a_member_that_sprays_unknown_stations_is_held_at_the_lan_gateway() {
    let mut room = Room::new(1);
    let mut arrived = 0;
    for n in 0..5000_u16 {
        let [high, low] = n.to_be_bytes();
        let frame = ipx(mac(1), Mac([0, 0, 0, 9, high, low]), 60);
        let sprayed = datagram(1, Destination::Member(member_id(GATEWAY)), n.into(), &frame);
        arrived += usize::from(room.deliver(GATEWAY, &sprayed).is_some());
    }
    assert!(arrived < 1000, "{arrived} reached the LAN");
    assert!(room.drops.contains(&(GATEWAY, DropReason::UnknownUnicastRate)));
    room.send(GATEWAY, &ipx(STATION, mac(1), 60));
    let known = datagram(
        1,
        Destination::Member(member_id(GATEWAY)),
        5000,
        &ipx(mac(1), STATION, 60),
    );
    assert!(
        room.deliver(GATEWAY, &known).is_some(),
        "a station that was heard is reached all the same"
    );
}

#[test]
fn unicast_for_somebody_else_is_not_taken() {
    let mut room = Room::new(3);
    let misaddressed = datagram(1, Destination::Member(member_id(2)), 0, &ipx(mac(1), mac(3), 60));
    assert_eq!(room.deliver(2, &misaddressed), None);
    assert_eq!(room.deliver(3, &misaddressed), None);
    let through_lan = datagram(
        1,
        Destination::Member(member_id(GATEWAY)),
        0,
        &ipx(mac(1), mac(3), 60),
    );
    assert_eq!(room.deliver(GATEWAY, &through_lan), None);
    let misdirected = DropReason::Misdirected;
    assert_eq!(
        room.drops,
        [(2, misdirected), (3, misdirected), (GATEWAY, misdirected)]
    );
}

#[test]
fn a_full_frame_passes_the_smallest_legs_whole() {
    let mut room = Room::empty();
    room.budgets.extend([(1, MIN_BUDGET), (2, 1414), (GATEWAY, 1162)]);
    room.join(GATEWAY, 1);
    room.join(1, 1);
    room.join(2, 1);
    for (from, to) in [(2, mac(1)), (1, mac(2)), (2, Mac::BROADCAST)] {
        let frame = ipx(mac(from), to, mtu::frame_limit(1500));
        let written = room.send(from, &frame);
        assert!(!written.is_empty());
        assert!(written.iter().all(|(_, bytes)| *bytes == frame));
    }
    assert_eq!(room.node(2).counters().fragmented_out, 2);
    assert_eq!(room.node(1).counters().reassembled_in, 2);
    assert_eq!(room.drops, []);
}

#[test]
fn a_datagram_is_as_large_as_the_smaller_leg_and_no_larger() {
    let mut room = Room::new(2);
    let largest = mtu::whole_payload(1162);
    let change = Message::Budget {
        member: Some(member_id(2)),
        bytes: 1162,
    };
    room.budgets.insert(2, 1162);
    room.tell_all(&change);
    room.send(1, &ipx(mac(1), mac(2), largest));
    assert_eq!(room.node(1).counters().datagrams_out, 1);
    room.send(1, &ipx(mac(1), mac(2), largest + 1));
    assert_eq!(room.node(1).counters().datagrams_out, 3);
    room.send(1, &ipx(mac(1), STATION, largest + 1));
    assert_eq!(
        room.node(1).counters().datagrams_out,
        4,
        "the LAN gateway's leg takes more"
    );
}

#[test]
fn what_was_queued_under_a_larger_budget_is_cut_for_the_one_it_leaves_under() {
    let mut room = Room::new(2);
    let (now, frame) = (room.now, ipx(mac(1), mac(2), 1386));
    room.node(1).handle_frame(now, Frame::plain(&frame)).unwrap();
    room.node(1).path_budget(now, PATH, MIN_BUDGET);
    room.budgets.insert(1, MIN_BUDGET);
    assert_eq!(room.run(), [(2, frame)]);
    assert_eq!(room.node(1).counters().fragmented_out, 1);
}

#[test]
fn a_short_frame_is_padded_for_the_device() {
    let mut room = Room::new(1);
    let frame = ipx(mac(1), STATION, 20);
    let written = room.send(1, &frame);
    assert_eq!(written[0].1.len(), 60);
    assert_eq!(written[0].1[..20], frame);
    assert_eq!(written[0].1[20..], [0; 40]);
}

#[test]
fn a_frame_over_the_rooms_mtu_is_dropped_where_it_comes_in() {
    let mut room = Room::new(1);
    let mut small = super::room::config(2);
    small.mtu = 1200;
    room.nodes.insert(2, crate::node::Node::new(small, room.now));
    room.join(2, 1);
    room.send(2, &ipx(mac(2), mac(1), mtu::frame_limit(1200) + 1));
    room.send(1, &ipx(mac(1), mac(2), mtu::frame_limit(1200) + 1));
    assert_eq!(room.drops, [(2, DropReason::OverMtu), (2, DropReason::OverMtu)]);
}

#[test]
fn tcp_is_clamped_on_its_way_out_and_in() {
    let mut room = Room::empty();
    room.budgets.extend([(1, 1162), (GATEWAY, 1414)]);
    room.join(GATEWAY, 1);
    room.join(1, 1);
    let young = room.send(1, &syn(mac(1), STATION, 1460));
    assert_eq!(
        offered_mss(&young[0].1),
        mtu::clamped_mss(1414, 20),
        "not shown less yet"
    );
    room.pass(Duration::from_secs(10));
    let out = room.send(1, &syn(mac(1), STATION, 1460));
    assert_eq!(offered_mss(&out[0].1), mtu::clamped_mss(1162, 20));
    let held = unclamped_syn_at_the_lan_gateway(&mut room);
    assert_eq!(
        offered_mss(&held),
        mtu::clamped_mss(1162, 20),
        "the receiver clamps too"
    );
    assert_eq!(room.node(GATEWAY).counters().mss_clamped, 1);
}

/// The LAN gateway receives a SYN that its sender has not clamped.
fn unclamped_syn_at_the_lan_gateway(room: &mut Room) -> Vec<u8> {
    let frame = syn(mac(1), STATION, 1460);
    let datagram = datagram(1, Destination::Member(member_id(GATEWAY)), 1000, &frame);
    room.deliver(GATEWAY, &datagram).unwrap()
}

#[test]
fn a_super_frame_leaves_as_segments_that_fit() {
    let mut room = Room::empty();
    room.budgets.extend([(1, 1162), (GATEWAY, 1414)]);
    room.join(GATEWAY, 1);
    room.join(1, 1);
    let bytes = tcp_super_frame(STATION, mac(1), 20_000);
    let offload = Offload::TcpSegments {
        size: 1460,
        header_len: 54,
    };
    let written = room.send_offloaded(
        GATEWAY,
        Frame {
            bytes: &bytes,
            offload,
        },
    );
    assert_eq!(room.drops, []);
    assert_eq!(room.node(GATEWAY).counters().fragmented_out, 0);
    let payload: Vec<u8> = written
        .iter()
        .flat_map(|(_, frame)| frame[54..].to_vec())
        .collect();
    assert_eq!(payload, bytes[54..], "in order, nothing lost");
    assert_eq!(room.node(GATEWAY).counters().frames_out, written.len() as u64);
}

#[test]
fn numbers_leave_in_order_though_urgent_frames_overtake() {
    let mut room = Room::new(1);
    let now = room.now;
    for port in 0..20 {
        let bulk = udp(mac(1), STATION, (port, 5000), &[7; 1300]);
        room.node(1).handle_frame(now, Frame::plain(&bulk)).unwrap();
    }
    let game = udp(mac(1), STATION, (99, 27015), &[1; 40]);
    room.node(1).handle_frame(now, Frame::plain(&game)).unwrap();
    let headers: Vec<Header> = room
        .take_datagrams()
        .iter()
        .map(|(_, datagram)| Header::decode(datagram).unwrap().0)
        .collect();
    assert_eq!(headers[0].class, Class::Interactive);
    let numbers: Vec<u64> = headers.iter().map(|header| header.sequence).collect();
    assert_eq!(numbers, (0..21).collect::<Vec<_>>());
}

#[test]
fn a_queue_that_overflows_says_so() {
    let mut room = Room::new(2);
    let now = room.now;
    for _ in 0..5000 {
        let bulk = udp(mac(1), mac(2), (1, 5000), &[7; 1300]);
        room.node(1).handle_frame(now, Frame::plain(&bulk)).unwrap();
    }
    let left = room.take_datagrams().len() as u64;
    assert_eq!(
        room.node(1).counters().drops.of(DropReason::QueueFull),
        5000 - left
    );
    assert!(left > 1000);
}

#[test]
fn a_replayed_datagram_and_one_without_a_key_are_refused() {
    let mut room = Room::new(2);
    let datagram = datagram(1, Destination::Member(member_id(2)), 7, &ipx(mac(1), mac(2), 60));
    assert!(room.deliver(2, &datagram).is_some());
    assert!(room.deliver(2, &datagram).is_none());
    let mut sealed = datagram.clone();
    sealed[1] |= 1;
    sealed[11] = 8;
    assert!(room.deliver(2, &sealed).is_none());
    assert_eq!(
        room.drops,
        [(2, DropReason::Duplicate), (2, DropReason::WrongKey)]
    );
    sealed[1] &= !0x1f;
    assert!(
        room.deliver(2, &sealed).is_some(),
        "a refused one did not use up the number"
    );
}

#[test]
fn what_a_queue_on_the_way_has_found_reaches_the_sender() {
    let mut room = Room::new(2);
    let mut frame = udp(mac(1), mac(2), (5000, 6000), &[7; 300]);
    let mut congested = |sequence, frame: &[u8]| {
        let mut bytes = datagram(1, Destination::Member(member_id(2)), sequence, frame);
        bytes[0] |= 1;
        room.deliver(2, &bytes)
    };
    assert_eq!(
        congested(0, &frame),
        None,
        "to a sender without ECN only a loss says so"
    );
    frame[15] |= 1;
    let told = congested(1, &frame).expect("it is marked instead");
    assert_eq!((told[15] & 3, &told[34..]), (3, &frame[34..]));
    assert_eq!(room.drops, [(2, DropReason::QueueDelay)]);
}

#[test]
fn garbage_and_strangers_are_refused_by_name() {
    let mut room = Room::new(1);
    let frame = ipx(mac(1), Mac::BROADCAST, 60);
    let own = datagram(1, Destination::Flood, 0, &frame);
    assert_eq!(room.deliver(1, &own), None);
    let stranger = datagram(77, Destination::Flood, 0, &frame);
    assert_eq!(room.deliver(1, &stranger), None);
    assert_eq!(room.deliver(1, &[0xff; 40]), None);
    assert_eq!(
        room.drops,
        [
            (1, DropReason::Reflection),
            (1, DropReason::UnknownSource),
            (1, DropReason::Malformed)
        ]
    );
    let now = room.now;
    let elsewhere = room.node(1).handle_datagram(now, PathId(5), &own);
    assert_eq!(elsewhere, Err(DropReason::NoPath));
}

#[test]
fn half_a_frame_is_forgotten_in_time_and_counted_with_its_sender() {
    let mut room = Room::new(1);
    let now = room.now;
    let frame = ipx(mac(1), STATION, 1514);
    room.node(1).handle_frame(now, Frame::plain(&frame)).unwrap();
    let pieces = room.take_datagrams();
    assert_eq!(pieces.len(), 2);
    assert_eq!(room.deliver(GATEWAY, &pieces[1].1), None);
    room.pass(Duration::from_millis(300));
    let gateway = room.node(GATEWAY);
    assert_eq!(gateway.counters().drops.of(DropReason::ReassemblyTimeout), 1);
    let total: u64 = gateway.member_drops().map(|(_, drops)| drops.total()).sum();
    assert_eq!(total, 1);
}

#[test]
fn the_first_pieces_of_a_frame_are_followed_by_its_others() {
    let mut room = Room::new(1);
    let now = room.now;
    for length in [1514, 1500] {
        let frame = ipx(mac(1), STATION, length);
        room.node(1).handle_frame(now, Frame::plain(&frame)).unwrap();
    }
    let order: Vec<(u64, bool)> = room
        .take_datagrams()
        .iter()
        .map(|(_, datagram)| Header::decode(datagram).unwrap())
        .map(|(header, rest)| (header.sequence, rest[..2] == [0, 0]))
        .collect();
    assert_eq!(order, [(0, true), (0, false), (1, true), (1, false)]);
}

#[test]
fn the_round_trip_to_the_lan_gateway_is_measured() {
    let mut room = Room::new(1);
    room.pass(Duration::from_millis(1));
    assert_eq!(room.node(1).gateway_rtt(), Some(Duration::ZERO));
    assert!(room.events_of(1).contains(&&Event::GatewayRtt(Duration::ZERO)));
    room.pass(Duration::from_secs(60));
    let asked = room.node(GATEWAY).counters().probes_answered;
    assert!((10..=31).contains(&asked), "{asked} in a minute");
}

#[test]
fn probes_do_not_make_a_node_work_for_others() {
    let mut room = Room::new(2);
    let mut answered = 0;
    for number in 0..1000 {
        let probe = probe(1, Destination::Member(member_id(GATEWAY)), number);
        room.deliver(GATEWAY, &probe);
        answered += room.take_datagrams().len();
    }
    assert!(answered <= 10, "{answered} answers");
    let flooded = probe(2, Destination::Flood, 0);
    room.deliver(GATEWAY, &flooded);
    assert!(room.drops.contains(&(GATEWAY, DropReason::Malformed)));
    let mut unasked = probe(GATEWAY, Destination::Member(member_id(1)), 5);
    unasked[12] = 1;
    room.deliver(1, &unasked);
    assert_eq!(
        room.node(1).gateway_rtt(),
        None,
        "a guessed answer measures nothing"
    );
}

#[test]
fn a_device_gets_the_datagrams_own_bytes_where_nothing_must_change() {
    let mut room = Room::new(2);
    let datagram = datagram(1, Destination::Member(member_id(2)), 0, &ipx(mac(1), mac(2), 200));
    let now = room.now;
    match room.node(2).handle_datagram(now, PATH, &datagram) {
        Ok(Delivery::Frame(frame)) => assert_eq!(frame.as_ptr(), datagram[12..].as_ptr()),
        other => panic!("{other:?}"),
    }
}

pub fn datagram(from: u16, destination: Destination, sequence: u64, payload: &[u8]) -> Vec<u8> {
    let header = Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Bulk,
        key_id: 0,
        flow: 0,
        source: member_id(from),
        destination,
        sequence,
    };
    [&header.encode()[..], payload].concat()
}

fn probe(from: u16, destination: Destination, sequence: u64) -> Vec<u8> {
    let mut bytes = datagram(from, destination, sequence, &Probe::Request(sequence).encode());
    bytes[0] |= (Kind::Probe as u8) << 2;
    bytes
}
