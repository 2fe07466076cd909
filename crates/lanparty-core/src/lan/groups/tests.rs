//! Messages about groups as hosts and switches write them, and as we read and write them.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lanparty_wire::{Frame, MIN_FRAME_LEN, Mac, ethertype};
use proptest::prelude::*;

use super::{
    message::{Family, Message, Query, Record, Report, Version, Wish},
    rewrite_report,
    write::{Saying, Speaker, link_local, question, reports},
};
use crate::guard::{
    Packet,
    crafted::{checksum, ether},
};

const MEMBER: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const G4: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
pub(crate) const G6: Ipv6Addr = Ipv6Addr::new(0xff15, 0, 0, 0, 0, 0, 0, 0x77);

/// An IPv4 packet to a group in its frame.
pub(crate) fn to_group4(from: (Mac, Ipv4Addr), to: Ipv4Addr, protocol: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x46, 0xc0];
    packet.extend((24 + body.len() as u16).to_be_bytes());
    packet.extend([0, 0, 0, 0, 1, protocol, 0, 0]);
    packet.extend(from.1.octets());
    packet.extend(to.octets());
    packet.extend([0x94, 4, 0, 0]);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(body);
    let [_, b, c, d] = to.octets();
    framed(
        Mac([1, 0, 0x5e, b & 0x7f, c, d]),
        from.0,
        ethertype::IPV4,
        &packet,
    )
}

/// An IPv6 packet to a group in its frame.
pub(crate) fn to_group6(from: (Mac, Ipv6Addr), to: Ipv6Addr, next: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((body.len() as u16).to_be_bytes());
    packet.extend([next, 1]);
    packet.extend(from.1.octets());
    packet.extend(to.octets());
    packet.extend(body);
    let [.., c, d, e, f] = to.octets();
    framed(Mac([0x33, 0x33, c, d, e, f]), from.0, ethertype::IPV6, &packet)
}

fn framed(to: Mac, from: Mac, kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = ether(to, kind, packet);
    frame[6..12].copy_from_slice(&from.0);
    frame.resize(frame.len().max(MIN_FRAME_LEN), 0);
    frame
}

/// An IGMP message with its checksum.
pub(crate) fn igmp(from: (Mac, Ipv4Addr), to: Ipv4Addr, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    let sum = checksum(&body);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    to_group4(from, to, 2, &body)
}

/// An MLD message with its checksum, behind the router alert.
pub(crate) fn mld(from: (Mac, Ipv6Addr), to: Ipv6Addr, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    let length = (body.len() as u32).to_be_bytes();
    let pseudo = [&from.1.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], &body].concat();
    let sum = checksum(&pseudo);
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let alert = [58, 0, 5, 2, 0, 0, 1, 0];
    to_group6(from, to, 0, &[&alert[..], &body].concat())
}

/// A report of IGMPv2 (`0x16`), or of IGMPv1 (`0x12`).
pub(crate) fn report4(from: (Mac, Ipv4Addr), kind: u8, group: Ipv4Addr) -> Vec<u8> {
    igmp(from, group, &[&[kind, 0, 0, 0][..], &group.octets()].concat())
}

/// A leave of IGMPv2.
pub(crate) fn leave4(from: (Mac, Ipv4Addr), group: Ipv4Addr) -> Vec<u8> {
    let body = [&[0x17, 0, 0, 0][..], &group.octets()].concat();
    igmp(from, Ipv4Addr::new(224, 0, 0, 2), &body)
}

/// A report of IGMPv3 with records of a kind, a group, and so many sources.
pub(crate) fn report_v3(from: (Mac, Ipv4Addr), records: &[(u8, Ipv4Addr, u8)]) -> Vec<u8> {
    let mut body = vec![0x22, 0, 0, 0, 0, 0, 0, records.len() as u8];
    for &(kind, group, sources) in records {
        body.extend([kind, 0, 0, sources]);
        body.extend(group.octets());
        (0..sources).for_each(|source| body.extend([10, 0, 0, source]));
    }
    igmp(from, Ipv4Addr::new(224, 0, 0, 22), &body)
}

/// A report of MLDv1, or its done (`132`).
pub(crate) fn report6(from: (Mac, Ipv6Addr), kind: u8, group: Ipv6Addr) -> Vec<u8> {
    let to = if kind == 132 {
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2)
    } else {
        group
    };
    let body = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat();
    mld(from, to, &body)
}

/// A question of IGMP to a group, or with none to all.
pub(crate) fn query4(from: (Mac, Ipv4Addr), code: u8, group: Option<Ipv4Addr>, is_v3: bool) -> Vec<u8> {
    let about = group.unwrap_or(Ipv4Addr::UNSPECIFIED);
    let mut body = [&[0x11, code, 0, 0][..], &about.octets()].concat();
    if is_v3 {
        body.extend([2, 125, 0, 0]);
    }
    igmp(from, group.unwrap_or(Ipv4Addr::new(224, 0, 0, 1)), &body)
}

/// The same of MLD, with milliseconds to answer in.
pub(crate) fn query6(from: (Mac, Ipv6Addr), code: u16, group: Option<Ipv6Addr>, is_v2: bool) -> Vec<u8> {
    let about = group.unwrap_or(Ipv6Addr::UNSPECIFIED);
    let [high, low] = code.to_be_bytes();
    let mut body = [&[130, 0, 0, 0, high, low, 0, 0][..], &about.octets()].concat();
    if is_v2 {
        body.extend([2, 125, 0, 0]);
    }
    mld(
        from,
        group.unwrap_or(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
        &body,
    )
}

/// Whether a frame asks who listens.
pub(crate) fn is_question(frame: &[u8]) -> bool {
    matches!(read(frame), Some(Message::Query(_)))
}

fn read(frame: &[u8]) -> Option<Message> {
    Message::parse(&Packet::parse(Frame::plain(frame)).ok()?)
}

/// The groups that a report names as listened to, or as left.
pub(crate) fn said(frame: &[u8], left: bool) -> Vec<IpAddr> {
    match read(frame) {
        Some(Message::Report(report)) => report
            .records
            .iter()
            .filter(|record| (record.wish == Wish::Left) == left)
            .map(|record| record.group)
            .collect(),
        Some(Message::Query(_)) | None => Vec::new(),
    }
}

const FROM4: (Mac, Ipv4Addr) = (MEMBER, Ipv4Addr::new(10, 73, 42, 100));

fn from6() -> (Mac, Ipv6Addr) {
    (MEMBER, link_local(MEMBER))
}

#[test]
fn every_version_of_a_question_is_told_by_its_length_and_code() {
    let seconds = Duration::from_secs;
    let of = |family, version, group, max_response| {
        Some(Message::Query(Query {
            family,
            version,
            group,
            max_response,
        }))
    };
    let group = Some(IpAddr::V4(G4));
    assert_eq!(
        read(&query4(FROM4, 0, None, false)),
        of(Family::V4, Version::V1, None, seconds(10))
    );
    assert_eq!(
        read(&query4(FROM4, 10, Some(G4), false)),
        of(Family::V4, Version::V2, group, seconds(1))
    );
    assert_eq!(
        read(&query4(FROM4, 100, None, true)),
        of(Family::V4, Version::V3, None, seconds(10))
    );
    // RFC 3376, section 4.1.1: 1, exponent 0, mantissa 4.
    assert_eq!(
        read(&query4(FROM4, 0x84, None, true)),
        of(Family::V4, Version::V3, None, seconds(16))
    );
    assert_eq!(
        read(&query6(from6(), 10_000, None, false)),
        of(Family::V6, Version::V2, None, seconds(10))
    );
    // RFC 3810, section 5.1.3: 1, exponent 0, mantissa 0.
    assert_eq!(
        read(&query6(from6(), 0x8000, Some(G6), true)),
        of(
            Family::V6,
            Version::V3,
            Some(G6.into()),
            Duration::from_millis(32_768)
        )
    );
}

#[test]
fn a_question_of_mld_from_no_link_local_address_is_none() {
    let from = (MEMBER, Ipv6Addr::UNSPECIFIED);
    assert_eq!(read(&query6(from, 1000, None, true)), None);
}

#[test]
fn source_filters_say_whether_anything_is_wanted() {
    let wish = |kind, sources| match read(&report_v3(FROM4, &[(kind, G4, sources)])) {
        Some(Message::Report(Report { records, .. })) => records.first().map(|record| record.wish),
        other => panic!("{other:?}"),
    };
    assert_eq!(wish(2, 0), Some(Wish::Listens), "everything");
    assert_eq!(wish(2, 3), Some(Wish::Listens), "everything but these");
    assert_eq!(wish(1, 2), Some(Wish::Listens), "these");
    assert_eq!(wish(1, 0), Some(Wish::Left));
    assert_eq!(wish(3, 0), Some(Wish::Left), "the third version's leave");
    assert_eq!(wish(3, 1), Some(Wish::Joined));
    assert_eq!(wish(4, 0), Some(Wish::Joined));
    assert_eq!(wish(5, 1), Some(Wish::Joined), "one source more");
    assert_eq!(wish(6, 1), None, "others may be left");
    assert_eq!(wish(9, 0), None);
}

#[test]
fn what_is_cut_or_wrong_says_nothing_more_than_is_there() {
    let whole = report_v3(FROM4, &[(4, G4, 0), (4, Ipv4Addr::new(239, 9, 9, 9), 0)]);
    assert_eq!(said(&whole, false).len(), 2);
    let mut forged = whole.clone();
    forged[50] ^= 1;
    assert_eq!(read(&forged), None, "a wrong checksum");
    // It speaks of more records than it has.
    let mut body = vec![0x22, 0, 0, 0, 0, 0, 0xff, 0xff, 4, 0, 0, 0];
    body.extend(G4.octets());
    body.extend([4, 0, 0xff, 0xff]);
    let frame = igmp(FROM4, Ipv4Addr::new(224, 0, 0, 22), &body);
    assert_eq!(said(&frame, false), [IpAddr::V4(G4)]);
    // No host can be in these.
    for group in [Ipv4Addr::new(224, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 1)] {
        assert_eq!(read(&report4(FROM4, 0x16, group)), None);
    }
}

fn families() -> [(Family, Vec<IpAddr>); 2] {
    [
        (Family::V4, vec![G4.into(), Ipv4Addr::new(239, 255, 0, 1).into()]),
        (
            Family::V6,
            vec![G6.into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1).into()],
        ),
    ]
}

fn speaker() -> Speaker {
    Speaker {
        mac: FROM4.0,
        v4: FROM4.1,
        v6: from6().1,
    }
}

#[test]
fn reports_of_every_version_are_read_as_they_were_written() {
    for (family, groups) in families() {
        let source = match family {
            Family::V4 => IpAddr::V4(FROM4.1),
            Family::V6 => IpAddr::V6(from6().1),
        };
        for version in [Version::V1, Version::V2, Version::V3] {
            for saying in [Saying::Listens, Saying::Left] {
                let frames = reports(&speaker(), version, saying, &groups);
                if (version, saying) == (Version::V1, Saying::Left) {
                    assert!(frames.is_empty(), "the first version has no word for it");
                    continue;
                }
                let wish = if saying == Saying::Left {
                    Wish::Left
                } else {
                    Wish::Listens
                };
                let mut heard = Vec::new();
                for frame in &frames {
                    assert!(frame.len() >= MIN_FRAME_LEN && frame[6..12] == MEMBER.0);
                    let Some(Message::Report(report)) = read(frame) else {
                        panic!("{frame:02x?}");
                    };
                    assert_eq!(report.source, source);
                    assert_eq!(report.version == Version::V3, version == Version::V3);
                    heard.extend(report.records);
                }
                let expected: Vec<Record> = groups.iter().map(|&group| Record { group, wish }).collect();
                assert_eq!(heard, expected, "{version:?} {saying:?}");
            }
        }
        let asked = read(&question(&speaker(), family));
        let expected = Query {
            family,
            version: Version::V3,
            group: None,
            max_response: Duration::from_secs(1),
        };
        assert_eq!(asked, Some(Message::Query(expected)));
    }
}

/// What we write is held against etherparse and a checksum that shares nothing with ours.
#[test]
fn what_we_write_is_right_on_a_wire() {
    for (family, groups) in families() {
        let frames = [
            reports(&speaker(), Version::V3, Saying::Listens, &groups),
            reports(&speaker(), Version::V2, Saying::Left, &groups),
            vec![question(&speaker(), family)],
        ]
        .concat();
        for frame in frames {
            let packet = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            let ip = match packet.net.unwrap() {
                etherparse::NetSlice::Ipv4(ip) => {
                    let header = ip.header().to_header();
                    assert_eq!(header.header_checksum, header.calc_header_checksum());
                    assert_eq!(
                        (header.time_to_live, &header.options[..]),
                        (1, &[0x94, 4, 0, 0][..])
                    );
                    assert_eq!(checksum(ip.payload().payload), 0);
                    assert_eq!(frame[..3], [1, 0, 0x5e]);
                    IpAddr::V4(header.destination.into())
                }
                etherparse::NetSlice::Ipv6(ip) => {
                    let header = ip.header().to_header();
                    assert_eq!(header.hop_limit, 1);
                    let icmp = packet.transport.unwrap();
                    let etherparse::TransportSlice::Icmpv6(icmp) = icmp else {
                        panic!("{icmp:?}");
                    };
                    assert!(icmp.is_checksum_valid(header.source, header.destination));
                    assert_eq!(frame[..2], [0x33, 0x33]);
                    IpAddr::V6(header.destination.into())
                }
                other => panic!("{other:?}"),
            };
            assert!(ip.is_multicast());
        }
    }
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    let group4 = any::<[u8; 3]>().prop_map(|[a, b, c]| Ipv4Addr::new(239, a, b, c));
    let records = proptest::collection::vec((0_u8..8, group4, 0_u8..4), 0..9);
    let v3 = records.prop_map(|records| report_v3(FROM4, &records));
    let wild4 = proptest::collection::vec(any::<u8>(), 4..80)
        .prop_map(|body| igmp(FROM4, Ipv4Addr::new(224, 0, 0, 22), &body));
    let kinds = prop_oneof![Just(130_u8), Just(131), Just(132), Just(143)];
    let wild6 = (kinds, proptest::collection::vec(any::<u8>(), 3..120)).prop_map(|(kind, body)| {
        mld(
            from6(),
            Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16),
            &[&[kind][..], &body].concat(),
        )
    });
    let noise = proptest::collection::vec(any::<u8>(), 0..120);
    prop_oneof![v3, wild4, wild6, noise]
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_is_read_can_be_written(frame in any_frame()) {
        for written in rewrite_report(Frame::plain(&frame)).into_iter().flatten() {
            prop_assert_eq!(rewrite_report(Frame::plain(&written)), Some(vec![written.clone()]));
        }
    }
}
