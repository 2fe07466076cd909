//! Whatever comes from the network, the device or the relay: no panic, no growth, no frame that was not allowed.

use std::time::Duration;

use lanparty_wire::{
    Class, Destination, Frame, Header, Incarnation, Kind, LeaveReason, MAX_SEQUENCE, Mac, Offload,
    control::Message,
};
use proptest::prelude::*;

use super::room::{GATEWAY, PATH, Room, mac, member, member_id, welcome};

#[derive(Clone, Debug)]
enum Input {
    Datagram(Vec<u8>),
    Headed { header: Header, rest: Vec<u8> },
    Frame { bytes: Vec<u8>, offload: Offload },
    Joined(u16, u32),
    Left(u16, u32),
    Welcome,
    Budget(u16, u16),
    Wait(u64),
    PathDown,
    PathUp(u16),
}

fn headers() -> impl Strategy<Value = Header> {
    let destination = prop_oneof![
        4 => Just(Destination::Flood),
        4 => Just(Destination::Member(member_id(1))),
        1 => (1_u16..).prop_filter_map("a destination", Destination::from_wire),
    ];
    let sequence = prop_oneof![0..40_u64, Just(MAX_SEQUENCE), 0..=MAX_SEQUENCE];
    (
        any::<[bool; 3]>(),
        0..4_u8,
        0..2_u8,
        1..12_u16,
        destination,
        sequence,
    )
        .prop_map(
            |([probe, fragment, congested], class, key_id, source, destination, sequence)| Header {
                kind: if probe { Kind::Probe } else { Kind::Frame },
                fragment,
                congested,
                class: Class::from_wire(class).unwrap(),
                key_id,
                flow: class,
                source: member_id(source),
                destination,
                sequence,
            },
        )
}

fn frames() -> impl Strategy<Value = Vec<u8>> {
    let address = (0..14_u16).prop_map(|n| match n {
        13 => Mac::BROADCAST,
        n => mac(n),
    });
    let ethertype = prop_oneof![Just([8, 0]), Just([8, 6]), Just([0x86, 0xdd]), any::<[u8; 2]>()];
    let rest = proptest::collection::vec(any::<u8>(), 0..1600);
    (address.clone(), address, ethertype, rest)
        .prop_map(|(to, from, kind, rest)| [&to.0[..], &from.0, &kind, &rest].concat())
}

fn inputs() -> impl Strategy<Value = Input> {
    let offload = prop_oneof![
        Just(Offload::None),
        any::<[u16; 2]>().prop_map(|[start, offset]| Offload::ChecksumNeeded { start, offset }),
        any::<[u16; 2]>().prop_map(|[size, header_len]| Offload::TcpSegments { size, header_len }),
        any::<[u16; 2]>().prop_map(|[size, header_len]| Offload::UdpSegments { size, header_len }),
    ];
    prop_oneof![
        2 => proptest::collection::vec(any::<u8>(), 0..60).prop_map(Input::Datagram),
        6 => (headers(), frames()).prop_map(|(header, rest)| Input::Headed { header, rest }),
        6 => (frames(), offload).prop_map(|(bytes, offload)| Input::Frame { bytes, offload }),
        2 => (1..12_u16, 0..3_u32).prop_map(|(id, incarnation)| Input::Joined(id, incarnation)),
        1 => (1..12_u16, 0..3_u32).prop_map(|(id, incarnation)| Input::Left(id, incarnation)),
        1 => Just(Input::Welcome),
        1 => (1..12_u16, any::<u16>()).prop_map(|(id, bytes)| Input::Budget(id, bytes)),
        2 => (0..3000_u64).prop_map(Input::Wait),
        1 => Just(Input::PathDown),
        1 => any::<u16>().prop_map(Input::PathUp),
    ]
}

proptest! {
    #[test]
    fn no_sequence_of_inputs_panics_or_lets_a_forged_frame_through(
        gateway in any::<bool>(),
        inputs in proptest::collection::vec(inputs(), 1..120),
    ) {
        let own = if gateway { GATEWAY } else { 1 };
        let mut room = Room::new(3);
        room.now += Duration::from_secs(5);
        for input in inputs {
            let now = room.now;
            let node = room.node(own);
            match input {
                Input::Datagram(bytes) => drop(node.handle_datagram(now, PATH, &bytes)),
                Input::Headed { header, rest } => {
                    let bytes = [&header.encode()[..], &rest].concat();
                    if let Ok(crate::node::Delivery::Frame(frame)) = node.handle_datagram(now, PATH, &bytes) {
                        let source = Mac(frame[6..12].try_into().unwrap());
                        let from_lan = header.source.value() == GATEWAY;
                        prop_assert!(from_lan || source == mac(header.source.value()));
                        prop_assert!((60..=1514).contains(&frame.len()));
                    }
                }
                Input::Frame { bytes, offload } => {
                    let _ = node.handle_frame(now, Frame { bytes: &bytes, offload });
                }
                Input::Joined(id, incarnation) if id != own => {
                    let member = member(id, incarnation, 1200);
                    node.handle_control(now, &Message::Joined { member });
                }
                Input::Joined(..) => {}
                Input::Left(id, incarnation) => node.handle_control(now, &Message::Left {
                    member: member_id(id),
                    incarnation: Incarnation(incarnation),
                    reason: LeaveReason::TimedOut,
                }),
                Input::Welcome => node.handle_control(now, &welcome(own, 1, &[2, 3])),
                Input::Budget(id, bytes) => node.handle_control(now, &Message::Budget {
                    member: Some(member_id(id)),
                    bytes,
                }),
                Input::Wait(millis) => {
                    room.now += Duration::from_millis(millis);
                    let now = room.now;
                    room.node(own).handle_timeout(now);
                }
                Input::PathDown => node.path_down(now, PATH),
                Input::PathUp(budget) => node.path_up(now, PATH, budget),
            }
            let now = room.now;
            let node = room.node(own);
            while node.poll_output().is_some() {}
            while node.poll_transmit(now, PATH).is_some() {}
            prop_assert!(!node.has_transmit(PATH));
            if let Some((due, _)) = node.poll_timeout() {
                node.handle_timeout(now.max(due));
                room.now = now.max(due);
            }
        }
    }
}
