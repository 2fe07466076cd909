//! Every filter: what it refuses, and the legitimate frame next to it.

use lanparty_wire::{DropReason::*, ETHERNET_HEADER_LEN, Frame, Mac, Offload, ethertype};

use super::*;

#[test]
fn control_planes_pass_in_neither_direction() {
    let station = STATION;
    for (reason, frame) in [
        (Eapol, ether(group(3), ethertype::EAPOL, &[1, 1, 0, 0])),
        (Eapol, ether(station, ethertype::EAPOL, &[1, 1, 0, 0])),
        (Lldp, ether(group(0x0e), ethertype::LLDP, &[2, 7, 4])),
        (Lldp, ether(station, ethertype::LLDP, &[2, 7, 4])),
        (SlowProtocol, ether(group(2), ethertype::SLOW_PROTOCOLS, &[1, 1])),
        (SlowProtocol, ether(station, ethertype::SLOW_PROTOCOLS, &[3, 1])),
        (SwitchControl, llc(group(0), &[0x42, 0x42, 3], &[0, 0, 0, 0])),
        (SwitchControl, llc(station, &[0x42, 0x42, 3], &[0, 0, 0, 0])),
        (SwitchControl, llc(Mac::BROADCAST, &[0x43, 0x42, 3], &[0, 0])),
        (SwitchControl, ether(group(1), 0x8808, &[0, 1, 0xff, 0xff])),
        (SwitchControl, ether(station, 0x8808, &[0, 1, 0xff, 0xff])),
        (SwitchControl, ether(group(0x0f), 0x1234, &[])),
        (SwitchControl, llc(group(0x20), &[0x42, 0x42, 3], &[0, 1])),
        (SwitchControl, ether(group(0x21), 0x88f5, &[0])),
        (SwitchControl, ether(station, 0x88f6, &[0])),
        (SwitchControl, ether(group(0x30), 0x8902, &[0])),
        (
            SwitchControl,
            snap(Mac([1, 0, 0x0c, 0xcc, 0xcc, 0xcc]), [0, 0, 0x0c], 0x2000, &[2]),
        ),
        (
            SwitchControl,
            snap(Mac([1, 0, 0x0c, 0xcc, 0xcc, 0xcd]), [0, 0, 0x0c], 0x010b, &[0, 0]),
        ),
        (SwitchControl, snap(Mac::BROADCAST, [0, 0, 0x0c], 0x2003, &[1])),
        (SwitchControl, ether(Mac::BROADCAST, 0x8899, &[0x23])),
        (SwitchControl, ether(station, 0x9000, &[0, 0, 2, 0])),
    ] {
        refused(reason, &frame);
    }
}

#[test]
fn each_switch_destination_and_type_is_refused() {
    for destination in [
        [0x01, 0x80, 0xc2, 0, 0, 0x0f],
        [0x01, 0x80, 0xc2, 0, 0, 0x2f],
        [0x01, 0x00, 0x0c, 0xcc, 0xcc, 0xcc],
        [0x01, 0x00, 0x0c, 0xcd, 0xcd, 0xcd],
        [0x01, 0x00, 0x81, 0x00, 0x01, 0x01],
        [0x01, 0xe0, 0x52, 0xcc, 0xcc, 0xcc],
        [0x00, 0xe0, 0x2b, 0x00, 0x00, 0x04],
    ] {
        refused(SwitchControl, &ether(Mac(destination), 0x1234, &[0; 46]));
    }
    for kind in [
        0x22ea, 0x22f3, 0x22f4, 0x8808, 0x8899, 0x88e3, 0x88e7, 0x88f5, 0x88f6, 0x8902, 0x9000,
    ] {
        refused(SwitchControl, &ether(STATION, kind, &[0; 46]));
        passes(&ether(STATION, kind ^ 0x0010, &[0; 46]));
    }
    for points in [[0x42, 0x42], [0x43, 0x42], [0x43, 0x00], [0x00, 0x43]] {
        refused(SwitchControl, &llc(STATION, &[points[0], points[1], 3], &[0; 40]));
    }
}

#[test]
fn what_only_resembles_a_control_plane_passes() {
    for frame in [
        // Two bytes beside each of the types.
        ether(STATION, 0x888f, &[1, 1, 0, 0]),
        ether(STATION, 0x88cd, &[2, 7, 4]),
        ether(STATION, 0x880a, &[1]),
        // A group of the same vendor block that is not for bridges, and one bit away from Cisco's.
        ether(Mac([0x01, 0x80, 0xc2, 0, 1, 0]), 0x1234, &[0; 46]),
        ether(Mac([0x03, 0x00, 0x0c, 0xcc, 0xcc, 0xcc]), 0x1234, &[0; 46]),
        // NetBEUI, which Windows 98 plays by.
        llc(Mac([3, 0, 0, 0, 0, 1]), &[0xf0, 0xf0, 3], &[0x2c, 0, 0xff, 0xef]),
        // AppleTalk in SNAP.
        snap(Mac([9, 0, 7, 0xff, 0xff, 0xff]), [8, 0, 7], 0x809b, &[0; 20]),
        // A packet in which the bytes of a BPDU are only content.
        v4(&ipv4(17, &[], &udp(5000, 5001, &[0x42, 0x42, 3, 0, 0]))),
        ether(Mac::BROADCAST, ethertype::LOCAL_EXPERIMENTAL, &[0; 46]),
        ether(Mac::BROADCAST, ethertype::ARP, &[0, 1, 8, 0, 6, 4, 0, 1]),
        ether(STATION, 0x0842, &[0xff; 102]),
    ] {
        passes(&frame);
    }
}

#[test]
fn ipx_passes_in_all_four_framings() {
    let ipx = [
        0xff, 0xff, 0, 34, 0, 17, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 4, 0x52,
    ];
    for frame in [
        ether(Mac::BROADCAST, ethertype::IPX, &ipx),
        ether(Mac::BROADCAST, ipx.len() as u16, &ipx),
        llc(Mac::BROADCAST, &[0xe0, 0xe0, 3], &ipx),
        snap(Mac::BROADCAST, [0, 0, 0], ethertype::IPX, &ipx),
    ] {
        passes(&frame);
    }
}

#[test]
fn a_member_sends_from_its_own_address_only() {
    let mut frame = ether(STATION, ethertype::ARP, &[0; 46]);
    passes(&frame);
    frame[6..12].copy_from_slice(&STATION.0);
    refused_from_members(ForgedSource, &frame);
    for source in [Mac::ZERO, Mac::BROADCAST, Mac([0x33, 0x33, 0, 0, 0, 1])] {
        frame[6..12].copy_from_slice(&source.0);
        refused(InvalidSource, &frame);
    }
}

#[test]
fn a_member_without_an_address_sends_nothing() {
    let mut guard = Guard::new(
        Origin::Member { mac: Mac::ZERO },
        1500,
        &Limits::default(),
        start(),
    );
    let mut frame = ether(STATION, ethertype::ARP, &[0; 46]);
    frame[6..12].fill(0);
    assert_eq!(guard.admit(start(), Frame::plain(&frame)), Err(InvalidSource));
}

#[test]
fn frames_longer_than_a_lan_port_takes_are_refused() {
    let of = |len: usize| ether(STATION, 0x1234, &vec![0; len]);
    passes(&of(1500));
    refused(Jumbo, &of(1501));
    refused(Jumbo, &of(9000));
    refused(Runt, &[0; ETHERNET_HEADER_LEN - 1]);
    let mut small = Guard::new(Origin::Member { mac: MEMBER }, 1200, &Limits::default(), start());
    assert!(small.admit(start(), Frame::plain(&of(1200))).is_ok());
    assert_eq!(small.admit(start(), Frame::plain(&of(1201))), Err(OverMtu));
    assert_eq!(small.admit(start(), Frame::plain(&of(1501))), Err(Jumbo));
}

#[test]
fn a_super_frame_is_as_long_as_its_segments() {
    let bytes = v4(&ipv4(6, &[], &tcp((5000, 80), ACK, &[], &[7; 14_600])));
    let of = |size, header_len| Frame {
        bytes: &bytes,
        offload: Offload::TcpSegments { size, header_len },
    };
    assert!(of_member().admit(start(), of(1460, 54)).is_ok());
    assert_eq!(of_member().admit(start(), of(1461, 54)), Err(Jumbo));
    let short = v4(&ipv4(6, &[], &tcp((5000, 80), ACK, &[], &[7; 1400])));
    let offload = Offload::TcpSegments {
        size: 9000,
        header_len: 54,
    };
    assert!(
        of_member()
            .admit(
                start(),
                Frame {
                    bytes: &short,
                    offload
                }
            )
            .is_ok()
    );
    for (size, header_len) in [(0, 54), (1460, 13), (1460, u16::MAX)] {
        assert_eq!(
            of_member().admit(start(), of(size, header_len)),
            Err(BadSuperFrame)
        );
    }
}

#[test]
fn tags_are_the_lans_alone() {
    let tagged = |tags: &[u16], kind: u16, payload: &[u8]| {
        let mut body = Vec::new();
        for next in tags[1..].iter().chain([&kind]) {
            body.extend([0, 5]);
            body.extend(next.to_be_bytes());
        }
        body.extend(payload);
        ether(STATION, tags[0], &body)
    };
    for tags in [&[0x8100][..], &[0x88a8], &[0x9100], &[0x9200], &[0x88a8, 0x8100]] {
        refused_from_members(VlanTag, &tagged(tags, ethertype::ARP, &[0; 46]));
        // A tag hides nothing, and its bytes do not count.
        assert_eq!(from_lan(&tagged(tags, ethertype::EAPOL, &[0; 46])), Err(Eapol));
        assert_eq!(from_lan(&tagged(tags, 3, &[0x42, 0x42, 3])), Err(SwitchControl));
        passes_from_lan(&tagged(tags, 0x1234, &[0; 1500]));
        assert_eq!(from_lan(&tagged(tags, 0x1234, &[0; 1501])), Err(Jumbo));
    }
    refused(
        VlanTag,
        &tagged(&[0x8100, 0x8100, 0x8100], ethertype::ARP, &[0; 46]),
    );
}

#[test]
fn what_lan_gateways_say_to_each_other_is_the_lans_alone() {
    let signal = |payload: &[u8]| ether(Mac::BROADCAST, ethertype::LOCAL_EXPERIMENTAL, payload);
    let beacon = signal(b"lanparty\x01roomroom\x01\0\0\0\0\0\0\0\x07");
    refused_from_members(GatewaySignal, &beacon);
    refused_from_members(GatewaySignal, &signal(b"lanparty"));
    passes_from_lan(&beacon);
    // The number is there for experiments, and other people's are none of our business.
    passes(&signal(b"lanpart"));
    passes(&signal(&[]));
}

#[test]
fn dhcp_servers_are_the_lans_alone() {
    let of = |source, destination, op: u8| v4(&ipv4(17, &[], &udp(source, destination, &[op, 1, 6, 0])));
    for frame in [
        of(67, 68, 2),
        of(67, 68, 1),
        of(67, 5000, 9),
        of(5000, 68, 2),
        of(68, 68, 2),
        of(5000, 68, 1),
        of(5000, 67, 2),
        of(4011, 68, 2),
        of(68, 4011, 2),
        of(4011, 9, 2),
        of(9, 4011, 2),
    ] {
        refused_from_members(DhcpServer, &frame);
    }
    // A client's own request, those to a PXE server, and a game that happens to begin with a 2.
    for frame in [
        of(68, 67, 1),
        of(68, 4011, 1),
        of(4011, 4011, 1),
        of(5000, 5001, 2),
    ] {
        passes(&frame);
    }
}

#[test]
fn dhcpv6_servers_are_the_lans_alone() {
    let of = |source, destination, kind: u8| v6(&ipv6(17, &udp(source, destination, &[kind, 0, 0, 1])));
    for frame in [
        of(547, 546, 2),
        of(547, 547, 12),
        of(547, 5000, 0),
        of(5000, 546, 7),
        of(5000, 546, 0xee),
        of(5000, 547, 13),
        of(546, 547, 10),
    ] {
        refused_from_members(Dhcpv6Server, &frame);
    }
    for frame in [of(546, 547, 1), of(5000, 547, 11), of(5000, 5001, 2)] {
        passes(&frame);
    }
}

#[test]
fn routers_are_the_lans_alone() {
    let icmpv6 = |kind: u8| v6(&ipv6(58, &[kind, 0, 0, 0, 64, 0, 0, 30, 0, 0, 0, 0, 0, 0, 0, 0]));
    refused_from_members(RouterAdvertisement, &icmpv6(134));
    refused_from_members(Ipv6Redirect, &icmpv6(137));
    // Solicitations, neighbours, a ping, listener reports.
    for kind in [133, 135, 136, 128, 129, 131, 143] {
        passes(&icmpv6(kind));
    }
    let icmp = |kind: u8| v4(&ipv4(1, &[], &[kind, 0, 0, 0, 1, 2, 7, 8]));
    refused_from_members(RouterAdvertisement, &icmp(9));
    for kind in [0, 8, 10] {
        passes(&icmp(kind));
    }
}

#[test]
fn multicast_queriers_and_routers_are_the_lans_alone() {
    let igmp = |kind| v4(&ipv4(2, &[0x94, 4, 0, 0], &[kind, 0, 0, 0, 0, 0, 0, 0]));
    let behind_alert = |kind| v6(&ipv6(0, &extension(58, 0, &[kind, 0, 0, 0, 0, 0, 0, 0])));
    for frame in [
        igmp(0x11),
        igmp(0x13),
        igmp(0x14),
        igmp(0x30),
        v4(&ipv4(103, &[], &[0x20, 0, 0, 0])),
        behind_alert(130),
        behind_alert(151),
        v6(&ipv6(103, &[0x20, 0, 0, 0])),
    ] {
        refused_from_members(MulticastRouter, &frame);
    }
    // What hosts say: reports and leaves of all versions, and solicitations of multicast routers.
    for kind in [0x12, 0x16, 0x17, 0x22, 0x31] {
        passes(&igmp(kind));
    }
    for kind in [131, 132, 143, 152] {
        passes(&behind_alert(kind));
    }
}
