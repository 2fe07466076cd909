//! The same filters, against a sender who hides what he sends.

use lanparty_wire::{DropReason::*, Frame, MIN_FRAME_LEN, Offload, ethertype};
use proptest::prelude::*;

use super::*;

const ADVERTISEMENT: [u8; 16] = [134, 0, 0, 0, 64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0];
const SOLICITATION: [u8; 8] = [133, 0, 0, 0, 0, 0, 0, 0];

#[test]
fn snap_hides_no_type() {
    let offer = ipv4(17, &[], &udp(67, 68, &[2, 1, 6, 0]));
    let request = ipv4(17, &[], &udp(68, 67, &[1, 1, 6, 0]));
    for oui in [[0, 0, 0], [0, 0, 0xf8]] {
        refused(Eapol, &snap(STATION, oui, ethertype::EAPOL, &[1, 1, 0, 0]));
        refused(Lldp, &snap(STATION, oui, ethertype::LLDP, &[2, 7, 4]));
        refused_from_members(DhcpServer, &snap(STATION, oui, ethertype::IPV4, &offer));
        let advertisement = ipv6(58, &ADVERTISEMENT);
        refused_from_members(
            RouterAdvertisement,
            &snap(STATION, oui, ethertype::IPV6, &advertisement),
        );
        refused_from_members(VlanTag, &snap(STATION, oui, ethertype::VLAN, &[0, 5, 8, 6]));
        passes(&snap(STATION, oui, ethertype::IPV4, &request));
    }
    // IP by its own service access point, other control bytes, the flag in the access point.
    refused_from_members(DhcpServer, &llc(STATION, &[0x06, 0x06, 3], &offer));
    refused_from_members(
        DhcpServer,
        &llc(STATION, &[0xab, 0xab, 0xf3, 0, 0, 0, 8, 0], &offer),
    );
    passes(&llc(STATION, &[0x06, 0x06, 3], &request));
    // A length beyond the frame's end changes nothing.
    let mut lying = snap(STATION, [0, 0, 0], ethertype::EAPOL, &[1]);
    lying[12..14].copy_from_slice(&0x05ff_u16.to_be_bytes());
    refused(Eapol, &lying);
}

#[test]
fn a_snap_type_below_the_smallest_is_a_vendors_own() {
    passes(&snap(STATION, [0, 0, 0], 0x0003, &[0x42, 0x42, 3]));
    refused_from_members(Malformed, &llc(STATION, &[0xaa, 0xaa, 3, 0], &[]));
    refused_from_members(Malformed, &llc(STATION, &[0x42], &[]));
}

#[test]
fn options_hide_no_dhcp_server() {
    for options in [4, 20, 40] {
        let packet = |source, op| ipv4(17, &vec![1; options], &udp(source, 4011, &[op]));
        refused_from_members(DhcpServer, &v4(&packet(67, 0)));
        refused_from_members(DhcpServer, &v4(&packet(9, 2)));
        passes(&v4(&packet(9, 1)));
    }
}

#[test]
fn fragments_hide_no_dhcp_server() {
    const MORE: u16 = 0x2000;
    let offer = udp(67, 68, &[2; 64]);
    let reply = udp(9, 67, &[2; 64]);
    let game = udp(9, 10, &[2; 64]);
    let of = |field, payload: &[u8]| v4(&fragment_v4(17, &[], field, payload));
    refused_from_members(DhcpServer, &of(MORE, &offer));
    refused_from_members(DhcpServer, &of(MORE, &reply));
    // A first fragment that leaves ports or message to the next.
    for len in [0, 4, 8, 16] {
        refused_from_members(Ipv4Fragment, &of(MORE, &reply[..len]));
    }
    // A later one that overwrites them, or passes the end of what a packet can be.
    for offset in [1, 2] {
        refused_from_members(Ipv4Fragment, &of(MORE | offset, &offer[..24]));
        refused_from_members(Ipv4Fragment, &of(offset, &offer[..24]));
    }
    refused_from_members(Ipv4Fragment, &of(0x1fff, &game[..48]));
    passes(&of(MORE, &game));
    passes(&of(MORE | 9, &game));
    passes(&of(9, &game[..5]));
}

#[test]
fn the_end_of_a_packet_hides_no_dhcp_server() {
    // A client that reads the raw frame may look behind it.
    let mut frame = v4(&ipv4(17, &[], &udp(9, 68, &[])));
    frame.extend([2, 1, 6, 0]);
    refused_from_members(DhcpServer, &frame);
}

#[test]
fn a_super_frame_hides_no_dhcp_server() {
    let admit = |second: u8| {
        let payload = [[1; 100], [second; 100]].concat();
        let bytes = v4(&ipv4(17, &[], &udp(9, 67, &payload)));
        let offload = Offload::UdpSegments {
            size: 100,
            header_len: 42,
        };
        of_member().admit(
            start(),
            Frame {
                bytes: &bytes,
                offload,
            },
        )
    };
    assert_eq!(admit(2), Err(DhcpServer));
    assert!(admit(1).is_ok());
}

#[test]
fn an_unfinished_checksum_is_written_over_nothing_that_counts() {
    let admit = |frame: &[u8], start: usize, offset| {
        let offload = Offload::ChecksumNeeded {
            start: start as u16,
            offset,
        };
        of_member()
            .admit(
                self::start(),
                Frame {
                    bytes: frame,
                    offload,
                },
            )
            .map(|_| ())
    };
    let datagram = v4(&ipv4(17, &[], &udp(9, 67, &[1; 80])));
    let ping = v6(&ipv6(58, &[128; 40]));
    let arp = ether(STATION, ethertype::ARP, &[0; 46]);
    assert_eq!(admit(&datagram, 34, 6), Ok(()));
    assert_eq!(
        admit(&v4(&ipv4(6, &[], &tcp((1, 2), ACK, &[], &[]))), 34, 16),
        Ok(())
    );
    assert_eq!(admit(&ping, 54, 2), Ok(()));
    assert_eq!(
        admit(&datagram, 34 + 8 + 8 + 14 + 20, 6),
        Ok(()),
        "a packet in VXLAN"
    );
    for (frame, start, offset) in [
        (&datagram, 34, 8),
        (&datagram, 34, 0),
        (&datagram, 14, 20),
        (&datagram, 0, 12),
        (&ping, 54, 0),
        (&ping, 14, 6),
        (&arp, 14, 0),
    ] {
        assert_eq!(
            admit(frame, start, offset),
            Err(BadSuperFrame),
            "{start} {offset}"
        );
    }
}

#[test]
fn extension_headers_hide_no_router() {
    let udp_reply = udp(547, 546, &[7, 0, 0, 1]);
    for kind in [0, 43, 60, 135, 139, 140] {
        for units in [0, 1, 5] {
            let behind = |next, payload: &[u8]| v6(&ipv6(kind, &extension(next, units, payload)));
            refused_from_members(RouterAdvertisement, &behind(58, &ADVERTISEMENT));
            refused_from_members(Dhcpv6Server, &behind(17, &udp_reply));
            passes(&behind(58, &SOLICITATION));
        }
    }
    // Behind an authentication header, whose length counts otherwise, and behind many in an order that RFC 8200 forbids.
    let authentication = |payload: &[u8]| [&[58, 4][..], &[0; 22], payload].concat();
    refused_from_members(
        RouterAdvertisement,
        &v6(&ipv6(51, &authentication(&ADVERTISEMENT))),
    );
    passes(&v6(&ipv6(51, &authentication(&SOLICITATION))));
    let tangled = |payload: &[u8]| {
        let inner = extension(43, 0, &extension(0, 2, &extension(58, 0, payload)));
        v6(&ipv6(60, &extension(60, 1, &inner)))
    };
    refused_from_members(RouterAdvertisement, &tangled(&ADVERTISEMENT));
    passes(&tangled(&SOLICITATION));
}

#[test]
fn a_chain_without_an_end_is_refused() {
    let whole = ipv6(60, &extension(58, 0, &SOLICITATION));
    passes(&v6(&whole));
    for frame in [
        // Ends in, or right behind, an extension header, or within the upper one.
        v6(&ipv6(60, &[])),
        v6(&ipv6(60, &[58, 0, 0, 0])),
        v6(&ipv6(60, &extension(60, 0, &[]))),
        v6(&ipv6(60, &extension(58, 0, &[]))),
        v6(&ipv6(60, &extension(58, 0, &[134, 0]))),
        v6(&ipv6(60, &[58, 200, 0, 0, 0, 0, 0, 0])),
        v6(&ipv6(60, &extension(17, 0, &[2, 35]))),
        // Goes on for longer than anybody has a reason for.
        v6(&ipv6(
            60,
            &(0..17).fold(ADVERTISEMENT.to_vec(), |inner, depth| {
                extension(if depth == 0 { 58 } else { 60 }, 0, &inner)
            }),
        )),
    ] {
        refused_from_members(Ipv6Chain, &frame);
    }
    // No next header, ESP and unknown protocols end a chain as well.
    for next in [59, 50, 253, 132] {
        passes(&v6(&ipv6(60, &extension(next, 0, &[0; 8]))));
    }
}

#[test]
fn every_ipv6_fragment_of_a_member_is_refused() {
    let fragment = |field: u16, payload: &[u8]| {
        let [high, low] = field.to_be_bytes();
        [&[58, 0, high, low, 0, 0, 0, 1][..], payload].concat()
    };
    for field in [0, 1, 8, 0xfff8] {
        refused_from_members(Ipv6Fragment, &v6(&ipv6(44, &fragment(field, &SOLICITATION))));
        let behind = extension(44, 0, &fragment(field, &SOLICITATION));
        refused_from_members(Ipv6Fragment, &v6(&ipv6(0, &behind)));
    }
    refused_from_members(Ipv6Chain, &v6(&ipv6(44, &[58, 0, 0, 0])));
}

#[test]
fn headers_that_contradict_the_frame_are_malformed() {
    let good = v4(&ipv4(17, &[], &udp(9, 10, &[0; 8])));
    passes(&good);
    for (at, value) in [(14, 0x65), (14, 0x44), (14, 0x4f), (16, 0xff), (17, 19)] {
        let mut bad = good.clone();
        bad[at] = value;
        refused_from_members(Malformed, &bad);
    }
    refused_from_members(Malformed, &v4(&ipv4(17, &[], &udp(9, 10, &[])[..7])));
    refused_from_members(Malformed, &ether(STATION, ethertype::IPV4, &[]));
    let good = v6(&ipv6(58, &SOLICITATION));
    for (at, value) in [(14, 0x40), (18, 0xff), (19, 9)] {
        let mut bad = good.clone();
        bad[at] = value;
        refused_from_members(Malformed, &bad);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in any_frame(), lan: bool, offload in any_offload()) {
        let mut guard = if lan { of_lan() } else { of_member() };
        let frame = Frame { bytes: &bytes, offload };
        let _ = guard.admit(start(), frame);
        let _ = guard.admit_unknown_unicast(start(), frame);
    }

    #[test]
    fn padding_changes_no_verdict_on_what_passes(bytes in any_frame(), padding in 0usize..64) {
        let class = from_member(&bytes);
        prop_assume!(class.is_ok());
        let mut padded = bytes.clone();
        padded.resize((bytes.len() + padding).min(MIN_FRAME_LEN.max(bytes.len())), 0);
        prop_assert_eq!(from_member(&padded), class);
    }

    #[test]
    fn the_lan_may_send_whatever_a_member_may(bytes in any_frame()) {
        prop_assume!(from_member(&bytes).is_ok());
        prop_assert!(from_lan(&bytes).is_ok());
    }

    #[test]
    fn an_advertisement_passes_behind_no_chain(headers in chain()) {
        let packet = headers.iter().fold((58, ADVERTISEMENT.to_vec()), |(next, inner), &(kind, units)| {
            (kind, extension(next, units, &inner))
        });
        let frame = v6(&ipv6(packet.0, &packet.1));
        prop_assert!(from_member(&frame).is_err());
    }
}

/// Bytes that are often nearly a frame of ours.
fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop_oneof![
        Just(ethertype::IPV4),
        Just(ethertype::IPV6),
        Just(ethertype::VLAN),
        0u16..0x600,
        any::<u16>(),
    ];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..120),
        (any::<u8>(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(p, b)| ipv4(p, &[], &b)),
        (0u8..64, proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(p, b)| ipv6(p, &b)),
        (any::<u16>(), any::<u16>()).prop_map(|(s, d)| ipv4(17, &[], &udp(s, d, &[2; 30]))),
        proptest::collection::vec(any::<u8>(), 0..60).prop_map(|b| [
            &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..],
            &ipv4(17, &[], &b)
        ]
        .concat()),
    ];
    (kinds, body).prop_map(|(kind, body)| ether(STATION, kind, &body))
}

fn any_offload() -> impl Strategy<Value = Offload> {
    prop_oneof![
        Just(Offload::None),
        any::<(u16, u16)>().prop_map(|(start, offset)| Offload::ChecksumNeeded { start, offset }),
        any::<(u16, u16)>().prop_map(|(size, header_len)| Offload::TcpSegments { size, header_len }),
        (0u16..100, 0u16..100).prop_map(|(size, header_len)| Offload::UdpSegments { size, header_len }),
    ]
}

fn chain() -> impl Strategy<Value = Vec<(u8, u8)>> {
    let kind = prop_oneof![Just(0), Just(43), Just(60), Just(135), Just(44)];
    proptest::collection::vec((kind, 0u8..4), 0..20)
}
