//! What is urgent, what is one flow, and that the order within a flow survives both.

use std::collections::HashSet;

use lanparty_wire::{Class::*, Mac, Offload, ethertype};

use super::{
    super::{class_of, flow_hash},
    *,
};

#[test]
fn each_kind_of_traffic_has_its_class() {
    let udp4 = |source, destination, len: usize| v4(&ipv4(17, &[], &udp(source, destination, &vec![0; len])));
    let tcp4 = |flags, len: usize| v4(&ipv4(6, &[], &tcp((5000, 8080), flags, &[], &vec![0; len])));
    for (class, frame) in [
        (Neighbor, ether(Mac::BROADCAST, ethertype::ARP, &[0; 46])),
        (Neighbor, udp4(68, 67, 300)),
        (Neighbor, v6(&ipv6(17, &udp(546, 547, &[1; 60])))),
        (Neighbor, v6(&ipv6(58, &[135, 0, 0, 0]))),
        (Neighbor, v6(&ipv6(0, &extension(58, 0, &[143, 0, 0, 0])))),
        (
            Neighbor,
            v4(&ipv4(2, &[0x94, 4, 0, 0], &[0x16, 0, 0, 0, 224, 0, 2, 60])),
        ),
        (
            Neighbor,
            ether(Mac::BROADCAST, ethertype::LOCAL_EXPERIMENTAL, &[0; 46]),
        ),
        (Chatter, udp4(5353, 5353, 1400)),
        (Chatter, udp4(50_000, 1900, 100)),
        (Chatter, udp4(137, 137, 50)),
        (Chatter, v6(&ipv6(17, &udp(50_000, 5355, &[0; 30])))),
        (Chatter, udp4(50_000, 3702, 600)),
        (Interactive, v4(&ipv4(1, &[], &[8; 1480]))),
        (Interactive, v6(&ipv6(58, &[128, 0, 0, 0]))),
        (Interactive, udp4(50_000, 53, 40)),
        (Interactive, udp4(53, 50_000, 1400)),
        (Interactive, udp4(27005, 27015, 512)),
        (Bulk, udp4(27005, 27015, 513)),
        (Interactive, tcp4(ACK, 0)),
        (Interactive, tcp4(SYN, 0)),
        (Interactive, tcp4(ACK | PSH, 256)),
        (Bulk, tcp4(ACK, 257)),
        (Interactive, tcp4(ACK | FIN, 0)),
        (Interactive, tcp4(RST, 0)),
        (Bulk, v4(&fragment_v4(17, &[], 0x2000, &[0; 64]))),
        (Interactive, ether(Mac::BROADCAST, ethertype::IPX, &[0; 1000])),
        (Interactive, ether(STATION, ethertype::IPX, &[0; 100])),
        (Bulk, ether(STATION, ethertype::IPX, &[0; 1000])),
        (
            Interactive,
            ether(ALL_NODES, ethertype::IPV6, &ipv6(17, &udp(4445, 4445, &[0; 900]))),
        ),
        (Bulk, vec![1, 2, 3]),
    ] {
        assert_eq!(class_of(&frame), class, "{frame:02x?}");
        if frame.len() >= 14 {
            let mut padded = frame.clone();
            padded.resize(frame.len().max(60), 0);
            assert_eq!(class_of(&padded), class, "padded {frame:02x?}");
        }
    }
}

#[test]
fn tags_and_snap_hide_no_class() {
    let arp = [0, 5, 8, 6, 0, 1];
    assert_eq!(class_of(&ether(STATION, ethertype::VLAN, &arp)), Neighbor);
    assert_eq!(
        class_of(&snap(STATION, [0, 0, 0], ethertype::ARP, &[0; 28])),
        Neighbor
    );
}

#[test]
fn a_super_frame_has_the_class_of_its_segments() {
    let bytes = v4(&ipv4(17, &[], &udp(27005, 27015, &[0; 4000])));
    for (size, class) in [(400, Interactive), (1400, Bulk)] {
        let offload = Offload::UdpSegments { size, header_len: 42 };
        assert_eq!(
            of_member().admit(
                start(),
                Frame {
                    bytes: &bytes,
                    offload
                }
            ),
            Ok(class)
        );
    }
}

/// The class of the last of a flow's UDP datagrams with `len` bytes, of which one comes every `every` milliseconds.
fn steady(guard: &mut Guard, from: u64, port: u16, len: usize, every: usize, until: u64) -> Class {
    let frame = v4(&ipv4(17, &[], &udp(port, 9, &vec![0; len])));
    let classes = (from..until).step_by(every);
    let classes = classes.map(|ms| guard.admit(after(ms), Frame::plain(&frame)).unwrap());
    classes.last().unwrap()
}

#[test]
fn a_flow_is_what_it_does() {
    for (len, every, class) in [
        (120, 16, Interactive),
        (160, 20, Interactive),
        (400, 8, Interactive),
        (1000, 50, Interactive),
        (1200, 1, Bulk),
        (1200, 20, Bulk),
        (18, 1, Interactive),
        (500, 1, Bulk),
    ] {
        let shown = steady(&mut of_lan(), 0, 1, len, every, 5_000);
        assert_eq!(shown, class, "{len} bytes every {every} ms");
    }
}

#[test]
fn a_flood_of_small_packets_is_bulk_until_it_ends() {
    let mut guard = of_lan();
    let ping = v4(&ipv4(1, &[], &[8; 64]));
    let mut class = |ms| {
        (0..20)
            .map(|_| guard.admit(after(ms), Frame::plain(&ping)))
            .last()
    };
    assert_eq!(class(0), Some(Ok(Interactive)));
    assert_eq!((1..200).filter_map(&mut class).last(), Some(Ok(Bulk)));
    assert_eq!(class(800), Some(Ok(Bulk)), "it may come back");
    assert_eq!(class(3_000), Some(Ok(Interactive)));
}

#[test]
fn a_flow_that_was_bulk_is_so_for_a_while() {
    let mut guard = of_lan();
    assert_eq!(steady(&mut guard, 0, 1, 100, 10, 100), Interactive);
    assert_eq!(steady(&mut guard, 100, 1, 1400, 1, 150), Bulk);
    assert_eq!(steady(&mut guard, 160, 1, 100, 10, 900), Bulk);
    assert_eq!(
        steady(&mut guard, 900, 2, 100, 10, 950),
        Interactive,
        "another flow"
    );
    assert_eq!(steady(&mut guard, 1_300, 1, 100, 10, 1_400), Interactive);
}

#[test]
fn the_end_of_a_copy_stays_behind_it_and_acknowledgements_do_not_wait() {
    let mut guard = of_lan();
    let mut class = |flags, len: usize| {
        let frame = v4(&ipv4(6, &[], &tcp((5000, 445), flags, &[], &vec![0; len])));
        guard.admit(start(), Frame::plain(&frame)).unwrap()
    };
    assert_eq!(class(SYN, 0), Interactive);
    assert_eq!(class(PSH | ACK, 60), Interactive);
    assert_eq!(class(ACK, 1400), Bulk);
    assert_eq!(class(PSH | ACK, 60), Bulk);
    assert_eq!(class(ACK, 0), Interactive);
    assert_eq!(class(FIN | ACK, 0), Bulk);
}

#[test]
fn frames_of_one_flow_hash_alike_and_others_spread() {
    let of = |source, payload: &[u8]| flow_hash(7, &v4(&ipv4(17, &[], &udp(source, 27015, payload))));
    assert_eq!(of(1, &[1; 10]), of(1, &[2; 900]));
    let spread: HashSet<u8> = (0..1000).map(|port| (of(port, &[]) >> 8) as u8).collect();
    assert!(spread.len() > 230, "{} of 256", spread.len());
    let segment = |payload: &[u8]| v6(&ipv6(6, &tcp((1, 2), ACK, &[], payload)));
    assert_eq!(flow_hash(7, &segment(&[])), flow_hash(7, &segment(&[1; 100])));
    let protocols: HashSet<u16> = (0..=255)
        .map(|p| flow_hash(7, &v4(&ipv4(p, &[], &[1, 2, 3, 4]))))
        .collect();
    assert!(protocols.len() > 120);
    let keyed: HashSet<u16> = (0..1000).map(|key| flow_hash(key, &segment(&[]))).collect();
    assert!(keyed.len() > 230, "the key does not matter");
}

#[test]
fn fragments_of_one_packet_hash_alike() {
    let of = |field, payload: &[u8]| flow_hash(7, &v4(&fragment_v4(17, &[], field, payload)));
    assert_eq!(of(0x2000, &udp(1, 2, &[0; 40])), of(6, &[9; 40]));
    let of = |field: u8, payload: &[u8]| {
        let fragment = [&[17, 0, 0, field, 0, 0, 0, 1][..], payload].concat();
        flow_hash(7, &v6(&ipv6(44, &fragment)))
    };
    assert_eq!(of(1, &udp(1, 2, &[0; 40])), of(48, &[9; 40]));
}

#[test]
fn without_ip_a_flow_is_a_pair_of_stations_and_a_type() {
    let of = |destination, kind, payload: &[u8]| flow_hash(7, &ether(destination, kind, payload));
    assert_eq!(
        of(STATION, ethertype::IPX, &[1; 30]),
        of(STATION, ethertype::IPX, &[2; 500])
    );
    let mut other = ether(STATION, ethertype::IPX, &[1; 30]);
    let sources: HashSet<u16> = (0..=255)
        .map(|last| {
            other[11] = last;
            flow_hash(7, &other)
        })
        .collect();
    assert!(sources.len() > 120);
    let types: HashSet<u16> = (0x6000..0x6400).map(|kind| of(STATION, kind, &[])).collect();
    assert!(types.len() > 230);
    assert_eq!(
        flow_hash(7, &[1, 2, 3]),
        flow_hash(7, &[4, 5, 6]),
        "no frame, no flow"
    );
}
