//! Announcements of a LAN as members get them, read by a parser that shares nothing with the one under test.

use lanparty_wire::{DropReason, Frame, Offload};
use proptest::prelude::*;

use super::{dhcp, dhcpv6, router, shape_frame};
use crate::guard::crafted::{self, checksum, transport_checksum, with_checksum};

const UDP: u8 = 17;
const ICMPV6: u8 = 58;
const COOKIE: [u8; 4] = [99, 130, 83, 99];

#[test]
fn a_reply_keeps_its_length_and_loses_what_moves_the_internet() {
    let wanted: &[(u8, &[u8])] = &[
        (53, &[5]),
        (1, &[255, 255, 255, 0]),
        (3, &[10, 0, 0, 1]),
        (6, &[10, 0, 0, 1, 9, 9, 9, 9]),
        (51, &[0, 0, 14, 16]),
        (121, &[0, 10, 0, 0, 1]),
        (224, b"a vendor's own"),
        (252, b"http://proxy/"),
        (54, &[10, 0, 0, 1]),
    ];
    let frame = reply(&encoded(wanted, 80), &[], &[]);
    let shaped = shape_frame(Frame::plain(&frame)).unwrap().unwrap();
    assert_eq!(shaped.len(), frame.len());
    let kept: Vec<_> = wanted
        .iter()
        .filter(|(code, _)| ![3, 6, 121, 252].contains(code))
        .collect();
    let seen = read(&message(&shaped)[240..]);
    assert_eq!(seen.len(), kept.len());
    for ((code, value), kept) in seen.iter().zip(kept) {
        assert_eq!((*code, &value[..]), (kept.0, kept.1));
    }
    is_right(&shaped, 20);
}

#[test]
fn fields_that_are_overloaded_with_options_are_cleared_as_well() {
    let options = encoded(&[(53, &[2]), (52, &[3])], 4);
    let file = encoded(&[(6, &[9, 9, 9, 9]), (67, b"boot.img")], 0);
    let name = encoded(&[(3, &[10, 0, 0, 1]), (12, b"player")], 0);
    let shaped = shape_frame(Frame::plain(&reply(&options, &file, &name)))
        .unwrap()
        .unwrap();
    let message = message(&shaped);
    assert_eq!(read(&message[240..]), [(53, vec![2]), (52, vec![3])]);
    assert_eq!(read(&message[108..236]), [(67, b"boot.img".to_vec())]);
    assert_eq!(read(&message[44..108]), [(12, b"player".to_vec())]);
}

#[test]
fn a_name_that_looks_like_options_stays_a_name() {
    let name = encoded(&[(3, &[10, 0, 0, 1])], 0);
    let frame = reply(&encoded(&[(53, &[2])], 0), &[], &name);
    assert_eq!(shape_frame(Frame::plain(&frame)), Ok(None));
}

#[test]
fn an_option_that_runs_over_the_end_is_gone_with_what_follows() {
    let mut options = encoded(&[(53, &[2])], 0);
    options.pop();
    options.extend([12, 200, b'x', 3, 4, 10, 0, 0, 1, 255]);
    let shaped = shape_frame(Frame::plain(&reply(&options, &[], &[])))
        .unwrap()
        .unwrap();
    let field = &message(&shaped)[240..];
    assert_eq!(read(field), [(53, vec![2])]);
    assert!(field[4..].iter().all(|&byte| byte == 0), "{field:02x?}");
}

#[test]
fn questions_of_the_lans_own_clients_are_left_alone() {
    let mut payload = message_of(&encoded(&[(53, &[1]), (3, &[1, 2, 3, 4])], 0), &[], &[]);
    payload[0] = 1;
    let frame = crafted::v4(&crafted::ipv4(UDP, &[], &crafted::udp(68, 67, &payload)));
    assert_eq!(shape_frame(Frame::plain(&frame)), Ok(None));
}

#[test]
fn replies_to_relay_agents_and_boot_clients_are_shaped_too() {
    let payload = message_of(&encoded(&[(53, &[2]), (3, &[1, 2, 3, 4])], 0), &[], &[]);
    for ports in [(67, 67), (67, 68), (4011, 68), (67, 4011)] {
        let frame = crafted::v4(&crafted::ipv4(
            UDP,
            &[],
            &crafted::udp(ports.0, ports.1, &payload),
        ));
        assert!(shape_frame(Frame::plain(&frame)).unwrap().is_some(), "{ports:?}");
    }
}

#[test]
fn a_reply_whose_checksum_the_card_was_to_finish_is_finished_here() {
    let frame = reply(&encoded(&[(53, &[2]), (3, &[1, 2, 3, 4])], 0), &[], &[]);
    let offload = Offload::ChecksumNeeded { start: 34, offset: 6 };
    let shaped = shape_frame(Frame {
        bytes: &frame,
        offload,
    })
    .unwrap()
    .unwrap();
    is_right(&shaped, 20);
}

#[test]
fn what_hides_in_fragments_or_among_others_does_not_pass() {
    let reply = reply(&encoded(&[(3, &[1, 2, 3, 4])], 0), &[], &[]);
    let datagram = &reply[34..];
    let unshapable = Err(DropReason::Unshapable);
    let v4 = |field, part: &[u8]| crafted::v4(&crafted::fragment_v4(UDP, &[], field, part));
    assert_eq!(
        shape_frame(Frame::plain(&v4(0x2000, &datagram[..64]))),
        unshapable
    );
    assert_eq!(
        shape_frame(Frame::plain(&v4(0x2000, &[0; 4]))),
        unshapable,
        "too short to tell"
    );
    assert_eq!(
        shape_frame(Frame::plain(&v4(0x0008, &datagram[64..]))),
        Ok(None),
        "worth nothing alone"
    );
    let game = crafted::udp(4011, 4011, &[2; 248]);
    assert_eq!(
        shape_frame(Frame::plain(&v4(0x2000, &game))),
        Ok(None),
        "a game's port"
    );
    let offload = Offload::UdpSegments {
        size: 100,
        header_len: 42,
    };
    assert_eq!(
        shape_frame(Frame {
            bytes: &reply,
            offload
        }),
        unshapable
    );

    let advertisement = [&[134, 0, 0, 0, 64, 0, 7, 8][..], &[0; 8]].concat();
    let fragment = |next, part: &[u8]| {
        let header = [next, 0, 0, 1, 0, 0, 0, 7];
        crafted::v6(&crafted::ipv6(44, &[&header[..], part].concat()))
    };
    assert_eq!(
        shape_frame(Frame::plain(&fragment(ICMPV6, &advertisement))),
        unshapable
    );
    assert_eq!(
        shape_frame(Frame::plain(&fragment(60, &[58, 0, 0, 0, 0, 0, 0, 0]))),
        unshapable
    );
    assert_eq!(
        shape_frame(Frame::plain(&fragment(ICMPV6, &[128, 0, 0, 0]))),
        Ok(None),
        "a long ping"
    );
    let authenticated = crafted::v6(&crafted::ipv6(51, &crafted::extension(ICMPV6, 0, &advertisement)));
    assert_eq!(shape_frame(Frame::plain(&authenticated)), unshapable);
}

#[test]
fn an_advertisement_names_no_router_and_keeps_its_prefix() {
    let prefix = prefix_option(64, 0xc0);
    let dns = [25, 3, 0, 0, 0, 0, 2, 88]
        .iter()
        .copied()
        .chain([0xfd; 16])
        .collect::<Vec<_>>();
    let search = [31, 1, 0, 0, 0, 0, 2, 88];
    let route = [24, 1, 0, 8, 0, 0, 2, 88];
    let mtu = [5, 1, 0, 0, 0, 0, 5, 220];
    let link = [1, 1, 2, 0, 0, 0, 0, 1];
    let options = [&link[..], &dns, &prefix, &search, &route, &mtu].concat();
    let frame = advertisement(0b0000_1000, 1800, &options);
    let shaped = shape_frame(Frame::plain(&frame)).unwrap().unwrap();
    let message = ipv6_payload(&shaped);
    assert_eq!(message[4..8], [64, 0, 0, 0], "no lifetime, no preference");
    assert_eq!(message[16..], [&link[..], &prefix, &mtu].concat());
    is_right(&shaped, 40);
}

#[test]
fn half_of_the_internet_is_not_on_the_link() {
    let options = [prefix_option(1, 0xc0), prefix_option(64, 0xc0)].concat();
    let shaped = shape_frame(Frame::plain(&advertisement(0, 0, &options)))
        .unwrap()
        .unwrap();
    assert_eq!(
        ipv6_payload(&shaped)[16..],
        [prefix_option(1, 0x40), prefix_option(64, 0xc0)].concat()
    );
    let harmless = advertisement(0, 0, &prefix_option(64, 0xc0));
    assert_eq!(shape_frame(Frame::plain(&harmless)), Ok(None));
}

#[test]
fn dhcpv6_servers_name_no_name_servers_even_through_relays() {
    let address = option6(3, &[7; 12]);
    let forbidden = [
        option6(23, &[0xfd; 16]),
        option6(24, b"\x05party\0"),
        option6(31, &[0xfd; 16]),
    ]
    .concat();
    let reply = [&[7, 1, 2, 3][..], &address, &forbidden, &option6(1, &[1])].concat();
    let cleared = [&[7, 1, 2, 3][..], &address, &option6(1, &[1])].concat();
    let head = [&[13, 0][..], &[0xfe; 32]].concat();
    let relayed = |inner: &[u8]| [&head[..], &option6(18, b"port"), &option6(9, inner)].concat();
    for (ports, said, heard) in [
        ((547, 546), reply.clone(), cleared.clone()),
        ((547, 547), relayed(&reply), relayed(&cleared)),
        ((547, 547), relayed(&relayed(&reply)), relayed(&relayed(&cleared))),
    ] {
        let frame = crafted::v6(&crafted::ipv6(UDP, &crafted::udp(ports.0, ports.1, &said)));
        let shaped = shape_frame(Frame::plain(&frame)).unwrap().unwrap();
        assert_eq!(shaped.len(), frame.len(), "padded to what it was");
        assert_eq!(ipv6_payload(&shaped)[8..], heard);
        is_right(&shaped, 40);
    }
    let request = crafted::v6(&crafted::ipv6(
        UDP,
        &crafted::udp(546, 547, &[&[3, 1, 2, 3], &forbidden[..]].concat()),
    ));
    assert_eq!(shape_frame(Frame::plain(&request)), Ok(None));
}

proptest! {
    #[test]
    fn any_options_come_out_without_the_forbidden_and_otherwise_as_they_were(
        options in prop::collection::vec((1_u8..=254, prop::collection::vec(any::<u8>(), 0..20)), 0..20),
        pad in 0_usize..40,
    ) {
        let options: Vec<_> = options.into_iter().filter(|(code, _)| *code != 52).collect();
        let borrowed: Vec<_> = options.iter().map(|(code, value)| (*code, &value[..])).collect();
        let frame = reply(&encoded(&borrowed, pad), &[], &[]);
        let shaped = shape_frame(Frame::plain(&frame)).unwrap();
        let kept: Vec<_> = options.iter().filter(|(code, _)| !dhcp::REMOVED.contains(code)).cloned().collect();
        prop_assert_eq!(shaped.is_some(), kept.len() != options.len());
        let result = shaped.as_ref().unwrap_or(&frame);
        prop_assert_eq!(result.len(), frame.len());
        prop_assert_eq!(read(&message(result)[240..]), kept);
        prop_assert_eq!(&message(result)[..240], &message(&frame)[..240]);
        if let Some(shaped) = &shaped {
            is_right(shaped, 20);
        }
    }

    #[test]
    fn any_dhcpv6_reply_comes_out_without_the_forbidden(
        options in prop::collection::vec((prop_oneof![any::<u16>(), 20_u16..35], prop::collection::vec(any::<u8>(), 0..20)), 0..20),
    ) {
        let said = |wanted: &dyn Fn(u16) -> bool| {
            let options = options.iter().filter(|(code, _)| wanted(*code));
            [vec![7, 1, 2, 3], options.flat_map(|(code, value)| option6(*code, value)).collect()].concat()
        };
        let frame = crafted::v6(&crafted::ipv6(UDP, &crafted::udp(547, 546, &said(&|_| true))));
        let shaped = shape_frame(Frame::plain(&frame)).unwrap();
        let result = shaped.as_ref().unwrap_or(&frame);
        prop_assert_eq!(&ipv6_payload(result)[8..], &said(&|code| !dhcpv6::REMOVED.contains(&code))[..]);
    }

    #[test]
    fn any_bytes_behind_the_headers_of_an_announcement_are_survived_and_shaped_once(
        kind in 0_usize..3,
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        lead in any::<bool>(),
    ) {
        let frame = match kind {
            0 => {
                let mut message = if lead { message_of(&[], &[], &[]) } else { Vec::new() };
                message.extend(&bytes);
                crafted::v4(&crafted::ipv4(UDP, &[], &crafted::udp(67, 68, &message)))
            }
            1 => {
                let message = [if lead { vec![13] } else { vec![7] }, bytes].concat();
                crafted::v6(&crafted::ipv6(UDP, &crafted::udp(547, 546, &message)))
            }
            _ => {
                let message = [vec![134, 0, 0, 0], bytes].concat();
                crafted::v6(&crafted::ipv6(ICMPV6, &message))
            }
        };
        if let Ok(Some(shaped)) = shape_frame(Frame::plain(&frame)) {
            is_right(&shaped, if kind == 0 { 20 } else { 40 });
            prop_assert_eq!(shape_frame(Frame::plain(&shaped)), Ok(None));
        }
    }
}

#[test]
fn nothing_that_is_removed_is_named_twice() {
    let unique =
        |codes: Vec<u16>| codes.iter().collect::<std::collections::BTreeSet<_>>().len() == codes.len();
    assert!(unique(dhcp::REMOVED.map(u16::from).to_vec()));
    assert!(unique(dhcpv6::REMOVED.to_vec()));
    assert!(unique(router::REMOVED.map(u16::from).to_vec()));
}

/// Options one after the other, an end and `pad` zeros.
fn encoded(options: &[(u8, &[u8])], pad: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (code, value) in options {
        bytes.extend([*code, value.len() as u8]);
        bytes.extend(*value);
    }
    bytes.push(255);
    bytes.resize(bytes.len() + pad, 0);
    bytes
}

fn read(mut field: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut options = Vec::new();
    loop {
        match field {
            [0, rest @ ..] => field = rest,
            [] | [255, ..] => return options,
            [code, length, rest @ ..] => {
                let (value, rest) = rest.split_at(usize::from(*length));
                options.push((*code, value.to_vec()));
                field = rest;
            }
            [_] => panic!("half an option"),
        }
    }
}

fn message_of(options: &[u8], file: &[u8], name: &[u8]) -> Vec<u8> {
    let mut message: Vec<u8> = (0..44).map(|at| at as u8).collect();
    message[0] = 2;
    message.resize(240, 0);
    message[44..44 + name.len()].copy_from_slice(name);
    message[108..108 + file.len()].copy_from_slice(file);
    message[236..].copy_from_slice(&COOKIE);
    message.extend(options);
    message
}

fn reply(options: &[u8], file: &[u8], name: &[u8]) -> Vec<u8> {
    let datagram = crafted::udp(67, 68, &message_of(options, file, name));
    crafted::v4(&crafted::ipv4(UDP, &[], &datagram))
}

/// The DHCP message of an untagged frame.
fn message(frame: &[u8]) -> &[u8] {
    &frame[42..]
}

fn option6(code: u16, value: &[u8]) -> Vec<u8> {
    [
        &code.to_be_bytes()[..],
        &(value.len() as u16).to_be_bytes(),
        value,
    ]
    .concat()
}

fn prefix_option(length: u8, flags: u8) -> Vec<u8> {
    let mut option = vec![3, 4, length, flags, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    option.extend([0x20; 16]);
    option
}

fn advertisement(flags: u8, lifetime: u16, options: &[u8]) -> Vec<u8> {
    let [high, low] = lifetime.to_be_bytes();
    let fixed = [134, 0, 0, 0, 64, flags, high, low, 0, 0, 0, 0, 0, 0, 0, 0];
    let frame = crafted::v6(&crafted::ipv6(ICMPV6, &[&fixed[..], options].concat()));
    with_checksum(frame, 40, ICMPV6, 2)
}

fn ipv6_payload(frame: &[u8]) -> &[u8] {
    let length = usize::from(u16::from_be_bytes([frame[18], frame[19]]));
    &frame[54..54 + length]
}

/// Lengths and checksums fit.
fn is_right(frame: &[u8], header_len: usize) {
    let is_v4 = header_len == 20;
    let end = 14
        + if is_v4 {
            assert_eq!(checksum(&frame[14..34]), 0);
            usize::from(u16::from_be_bytes([frame[16], frame[17]]))
        } else {
            40 + usize::from(u16::from_be_bytes([frame[18], frame[19]]))
        };
    assert!(frame[end..].iter().all(|&byte| byte == 0), "padding");
    let protocol = if is_v4 { frame[23] } else { frame[20] };
    assert_eq!(transport_checksum(&frame[..end], header_len, protocol), 0);
    if protocol == UDP {
        let at = 14 + header_len;
        assert_eq!(
            usize::from(u16::from_be_bytes([frame[at + 4], frame[at + 5]])),
            end - at
        );
    }
}
