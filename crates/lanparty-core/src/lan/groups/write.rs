//! Membership messages as we send them: reports in a member's name for the LAN, and questions for members.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use lanparty_wire::{MIN_FRAME_LEN, Mac, checksum::Sum, ethertype};

use super::message::{Family, Version, igmp, mld, record};
use crate::guard::protocol;

/// Records in one report: 48 bytes of headers, 8 and 20 for each of IPv6, below 1280 together (RFC 8200, section 5).
const RECORDS: usize = 60;

/// Who says something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Speaker {
    pub(super) mac: Mac,
    /// Unspecified if it has none that is known (RFC 3376, section 4.2.13; RFC 4541, section 2.1.1).
    pub(super) v4: Ipv4Addr,
    /// Link-local (RFC 3810, section 5.2.13), or unspecified if none is known.
    pub(super) v6: Ipv6Addr,
}

/// What is said about groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Saying {
    Listens,
    Left,
}

/// The frames that say it about each of these groups of one family.
pub(super) fn reports(
    speaker: &Speaker,
    version: Version,
    saying: Saying,
    groups: &[IpAddr],
) -> Vec<Vec<u8>> {
    match version {
        Version::V3 => groups
            .chunks(RECORDS)
            .map(|groups| current_state(speaker, saying, groups))
            .collect(),
        // Who speaks the first version leaves without a word.
        Version::V1 if saying == Saying::Left => Vec::new(),
        Version::V1 | Version::V2 => groups
            .iter()
            .map(|&group| single(speaker, version, saying, group))
            .collect(),
    }
}

/// "Who listens to what?", with the question's time for answers (RFC 3376, section 4.1; RFC 3810, section 5.1). Hosts that speak older
/// versions understand it as well.
pub(super) fn question(speaker: &Speaker, family: Family) -> Vec<u8> {
    /// The robustness variable, and no wish to suppress others' timers.
    const ROBUSTNESS: u8 = 2;
    /// Seconds between questions.
    const INTERVAL: u8 = 60;

    match family {
        Family::V4 => {
            // One second in tenths.
            let body = [igmp::QUERY, 10, 0, 0, 0, 0, 0, 0, ROBUSTNESS, INTERVAL, 0, 0];
            over_v4(speaker, Ipv4Addr::new(224, 0, 0, 1), body.to_vec())
        }
        Family::V6 => {
            // One second in milliseconds.
            let mut body = vec![mld::QUERY, 0, 0, 0, 0x03, 0xe8, 0, 0];
            body.extend([0; 16]);
            body.extend([ROBUSTNESS, INTERVAL, 0, 0]);
            over_v6(speaker, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1), body)
        }
    }
}

/// The link-local address that a station makes from its MAC (RFC 4291, appendix A).
pub(super) fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}

fn single(speaker: &Speaker, version: Version, saying: Saying, group: IpAddr) -> Vec<u8> {
    match group {
        IpAddr::V4(group) => {
            let (kind, to) = match (saying, version) {
                (Saying::Left, _) => (igmp::LEAVE, Ipv4Addr::new(224, 0, 0, 2)),
                (Saying::Listens, Version::V1) => (igmp::REPORT_V1, group),
                (Saying::Listens, Version::V2 | Version::V3) => (igmp::REPORT_V2, group),
            };
            let body = [&[kind, 0, 0, 0][..], &group.octets()].concat();
            over_v4(speaker, to, body)
        }
        IpAddr::V6(group) => {
            let (kind, to) = match saying {
                Saying::Left => (mld::DONE, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2)),
                Saying::Listens => (mld::REPORT_V1, group),
            };
            let body = [&[kind, 0, 0, 0, 0, 0, 0, 0][..], &group.octets()].concat();
            over_v6(speaker, to, body)
        }
    }
}

/// One report of the third version about groups of one family.
fn current_state(speaker: &Speaker, saying: Saying, groups: &[IpAddr]) -> Vec<u8> {
    let kind = match saying {
        Saying::Listens => record::IS_EXCLUDE,
        Saying::Left => record::TO_INCLUDE,
    };
    let is_v4 = groups.iter().any(IpAddr::is_ipv4);
    let first = if is_v4 { igmp::REPORT_V3 } else { mld::REPORT_V2 };
    let mut body = vec![first, 0, 0, 0, 0, 0, 0, groups.len() as u8];
    for group in groups {
        body.extend([kind, 0, 0, 0]);
        match group {
            IpAddr::V4(group) => body.extend(group.octets()),
            IpAddr::V6(group) => body.extend(group.octets()),
        }
    }
    if is_v4 {
        over_v4(speaker, Ipv4Addr::new(224, 0, 0, 22), body)
    } else {
        over_v6(speaker, Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x16), body)
    }
}

/// An IGMP message in its frame: to the group's address (RFC 1112, section 6.4), no further than this link, for routers to look at (RFC 2113).
fn over_v4(speaker: &Speaker, to: Ipv4Addr, mut body: Vec<u8>) -> Vec<u8> {
    const HEADER: usize = 24;
    let sum = Sum::new().add_bytes(&body).checksum();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let [_, b, c, d] = to.octets();
    let length = (HEADER + body.len()) as u16;
    let mut header = vec![0x46, 0xc0];
    header.extend(length.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 1, protocol::IGMP, 0, 0]);
    header.extend(speaker.v4.octets());
    header.extend(to.octets());
    header.extend([0x94, 4, 0, 0]);
    let sum = Sum::new().add_bytes(&header).checksum();
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    let group = Mac([0x01, 0x00, 0x5e, b & 0x7f, c, d]);
    framed(group, speaker.mac, ethertype::IPV4, &[header, body].concat())
}

/// An MLD message in its frame: to the group's address (RFC 2464, section 7), with the router alert (RFC 2711).
fn over_v6(speaker: &Speaker, to: Ipv6Addr, mut body: Vec<u8>) -> Vec<u8> {
    const ALERT: [u8; 8] = [protocol::ICMPV6, 0, 5, 2, 0, 0, 1, 0];
    let addresses = [speaker.v6.octets(), to.octets()].concat();
    let sum = Sum::new()
        .add_bytes(&addresses)
        .add_word(body.len() as u16)
        .add_word(protocol::ICMPV6.into())
        .add_bytes(&body)
        .checksum();
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let length = (ALERT.len() + body.len()) as u16;
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([protocol::HOP_BY_HOP, 1]);
    packet.extend(addresses);
    packet.extend(ALERT);
    packet.extend(body);
    let [.., c, d, e, f] = to.octets();
    let group = Mac([0x33, 0x33, c, d, e, f]);
    framed(group, speaker.mac, ethertype::IPV6, &packet)
}

fn framed(destination: Mac, source: Mac, kind: u16, packet: &[u8]) -> Vec<u8> {
    let mut frame = [&destination.0[..], &source.0, &kind.to_be_bytes(), packet].concat();
    frame.resize(frame.len().max(MIN_FRAME_LEN), 0);
    frame
}
