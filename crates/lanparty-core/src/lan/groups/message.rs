//! What hosts and multicast routers say about groups, read: IGMP (RFC 1112 appendix I, RFC 2236, RFC 3376) and MLD (RFC 2710, RFC 3810).
//!
//! MLD is IGMP in other packets: its first version is IGMP's second, its second IGMP's third, and they are named so here. Source
//! filters are read as far as they say whether somebody wants anything of a group at all.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lanparty_wire::{Frame, checksum::Sum};

use crate::guard::{Ip, Network, Packet, Upper, protocol, word};

/// Types of IGMP (IANA).
pub(super) mod igmp {
    pub(crate) const QUERY: u8 = 0x11;
    pub(crate) const REPORT_V1: u8 = 0x12;
    pub(crate) const REPORT_V2: u8 = 0x16;
    pub(crate) const LEAVE: u8 = 0x17;
    pub(crate) const REPORT_V3: u8 = 0x22;
}

/// Types of ICMPv6 that are MLD's (IANA).
pub(super) mod mld {
    pub(crate) const QUERY: u8 = 130;
    pub(crate) const REPORT_V1: u8 = 131;
    pub(crate) const DONE: u8 = 132;
    pub(crate) const REPORT_V2: u8 = 143;
}

/// Types of group records (RFC 3376 and RFC 3810, sections 4.2.12 and 5.2.12).
pub(super) mod record {
    pub(crate) const IS_INCLUDE: u8 = 1;
    pub(crate) const IS_EXCLUDE: u8 = 2;
    pub(crate) const TO_INCLUDE: u8 = 3;
    pub(crate) const TO_EXCLUDE: u8 = 4;
    pub(crate) const ALLOW: u8 = 5;
}

/// Records of one report that are read. A packet of 1500 bytes has room for 183.
const MAX_RECORDS: usize = 192;

/// IPv4's groups or IPv6's: two protocols that know nothing of each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) const ALL: [Family; 2] = [Family::V4, Family::V6];

    pub(super) fn of(address: IpAddr) -> Family {
        match address {
            IpAddr::V4(_) => Family::V4,
            IpAddr::V6(_) => Family::V6,
        }
    }
}

/// Of IGMP. MLD begins with what is [`Version::V2`] there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum Version {
    /// Who leaves says nothing.
    V1,
    /// MLDv1 as well.
    V2,
    /// With source filters; MLDv2 as well.
    V3,
}

/// One message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Message {
    Query(Query),
    Report(Report),
}

/// A multicast router, or a switch in its place, asks who listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Query {
    pub(super) family: Family,
    pub(super) version: Version,
    /// `None`: to all groups.
    pub(super) group: Option<IpAddr>,
    /// How long whoever is asked may take.
    pub(super) max_response: Duration,
}

/// A host says to what it listens, or no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Report {
    pub(super) version: Version,
    /// The address that it has said it from, which may be unspecified.
    pub(super) source: IpAddr,
    pub(super) records: Vec<Record>,
}

/// About one group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Record {
    pub(super) group: IpAddr,
    pub(super) wish: Wish,
}

/// What a host wants of a group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// It wants something of it from now on, and says so unasked.
    Joined,
    /// It wants something of it, and may have been asked.
    Listens,
    /// It wants nothing of it any more.
    Left,
}

impl Message {
    /// The message in a packet; `None` if there is none, or a wrong one.
    pub(super) fn parse(packet: &Packet<'_>) -> Option<Message> {
        match &packet.network {
            Network::V4(ip) => of_igmp(source_of(ip)?, whole(ip, protocol::IGMP)?),
            Network::V6(ip) => of_mld(ip),
            Network::Other | Network::Broken => None,
        }
    }
}

/// Whether a packet reports what its sender listens to, told by its type alone.
pub(crate) fn is_report(packet: &Packet<'_>) -> bool {
    match &packet.network {
        Network::V4(ip) => matches!(
            ip.beginning(protocol::IGMP).and_then(<[u8]>::first),
            Some(&(igmp::REPORT_V1 | igmp::REPORT_V2 | igmp::LEAVE | igmp::REPORT_V3))
        ),
        Network::V6(ip) => matches!(
            ip.icmpv6_type(),
            Some(mld::REPORT_V1 | mld::DONE | mld::REPORT_V2)
        ),
        Network::Other | Network::Broken => false,
    }
}

/// The same of a frame.
pub(crate) fn is_report_frame(frame: &[u8]) -> bool {
    Packet::parse(Frame::plain(frame)).is_ok_and(|packet| is_report(&packet))
}

/// What a packet is addressed to.
pub(super) fn destination_of(packet: &Packet<'_>) -> Option<IpAddr> {
    let addresses = packet.ip()?.addresses;
    address(addresses, addresses.len() / 2, addresses.len() / 2)
}

fn source_of(ip: &Ip<'_>) -> Option<IpAddr> {
    address(ip.addresses, 0, ip.addresses.len() / 2)
}

/// The address of `len` bytes at `at`.
fn address(bytes: &[u8], at: usize, len: usize) -> Option<IpAddr> {
    let bytes = bytes.get(at..at + len)?;
    match len {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk()?).into()),
        _ => Some(Ipv6Addr::from(*bytes.first_chunk()?).into()),
    }
}

/// A group that a host can listen to; everybody always listens to all nodes.
fn group(bytes: &[u8], at: usize, len: usize) -> Option<IpAddr> {
    let group = address(bytes, at, len)?;
    let all = [
        IpAddr::from(Ipv4Addr::new(224, 0, 0, 1)),
        IpAddr::from(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1)),
    ];
    (group.is_multicast() && !all.contains(&group)).then_some(group)
}

fn whole<'a>(ip: &Ip<'a>, wanted: u8) -> Option<&'a [u8]> {
    match ip.upper {
        Upper::Whole { bytes, .. } if ip.protocol == wanted => Some(bytes),
        Upper::Whole { .. } | Upper::Fragment { .. } | Upper::Unreachable => None,
    }
}

fn of_igmp(source: IpAddr, bytes: &[u8]) -> Option<Message> {
    if bytes.len() < 8 || Sum::new().add_bytes(bytes).checksum() != 0 {
        return None;
    }
    let one = |version, wish| {
        let records = vec![Record {
            group: group(bytes, 4, 4)?,
            wish,
        }];
        Some(Message::Report(Report {
            version,
            source,
            records,
        }))
    };
    match bytes[0] {
        igmp::QUERY => igmp_query(bytes).map(Message::Query),
        igmp::REPORT_V1 => one(Version::V1, Wish::Listens),
        igmp::REPORT_V2 => one(Version::V2, Wish::Listens),
        igmp::LEAVE => one(Version::V2, Wish::Left),
        igmp::REPORT_V3 => Some(Message::Report(Report {
            version: Version::V3,
            source,
            records: records(bytes, 4),
        })),
        _ => None,
    }
}

/// RFC 3376, section 7.1: which version a query has is told by its length and its code.
fn igmp_query(bytes: &[u8]) -> Option<Query> {
    const TENTH: Duration = Duration::from_millis(100);

    let code = bytes[1];
    let (version, tenths) = match (bytes.len(), code) {
        (8, 0) => (Version::V1, 100),
        (8, code) => (Version::V2, u32::from(code)),
        (12.., code) => (Version::V3, scaled(code.into(), 4)),
        (_, _) => return None,
    };
    Some(Query {
        family: Family::V4,
        version,
        group: asked_group(bytes, 4, 4)?,
        max_response: TENTH * tenths,
    })
}

fn of_mld(ip: &Ip<'_>) -> Option<Message> {
    let kind = ip.icmpv6_type()?;
    if ![mld::QUERY, mld::REPORT_V1, mld::DONE, mld::REPORT_V2].contains(&kind) {
        return None;
    }
    let (source, bytes) = (source_of(ip)?, whole(ip, protocol::ICMPV6)?);
    let length = u16::try_from(bytes.len()).ok()?;
    let sum = Sum::new().add_bytes(ip.addresses).add_word(length);
    let sum = sum.add_word(protocol::ICMPV6.into()).add_bytes(bytes);
    if bytes.len() < 8 || sum.checksum() != 0 {
        return None;
    }
    let one = |wish| {
        let records = vec![Record {
            group: group(bytes, 8, 16)?,
            wish,
        }];
        Some(Message::Report(Report {
            version: Version::V2,
            source,
            records,
        }))
    };
    match kind {
        mld::QUERY => mld_query(source, bytes).map(Message::Query),
        mld::REPORT_V1 => one(Wish::Listens),
        mld::DONE => one(Wish::Left),
        _ => Some(Message::Report(Report {
            version: Version::V3,
            source,
            records: records(bytes, 16),
        })),
    }
}

/// RFC 3810, sections 5.1.14 and 8.1.
fn mld_query(source: IpAddr, bytes: &[u8]) -> Option<Query> {
    let is_link_local = matches!(source, IpAddr::V6(source) if source.is_unicast_link_local());
    let code = word(bytes, 4)?;
    let (version, milliseconds) = match bytes.len() {
        24 => (Version::V2, u32::from(code)),
        28.. => (Version::V3, scaled(code, 12)),
        _ => return None,
    };
    is_link_local.then_some(Query {
        family: Family::V6,
        version,
        group: asked_group(bytes, 8, 16)?,
        max_response: Duration::from_millis(milliseconds.into()),
    })
}

/// The group that a query asks about: `Some(None)` for all of them, `None` for none that there can be.
#[allow(
    clippy::option_option,
    reason = "whether it is valid, and whether it names one"
)]
fn asked_group(bytes: &[u8], at: usize, len: usize) -> Option<Option<IpAddr>> {
    if address(bytes, at, len)?.is_unspecified() {
        return Some(None);
    }
    group(bytes, at, len).map(Some)
}

/// A number with `mantissa` bits behind three of exponent and a set one, or as it is (RFC 3376, section 4.1.1; RFC 3810, section 5.1.3).
fn scaled(code: u16, mantissa: u32) -> u32 {
    let code = u32::from(code);
    let set = 1 << mantissa;
    if code < set << 3 {
        return code;
    }
    let exponent = (code >> mantissa) & 7;
    (code & (set - 1) | set) << (exponent + 3)
}

/// The group records of a report whose addresses have `len` bytes (RFC 3376 and RFC 3810, sections 4.2 and 5.2), as far as they are
/// there and say something that we can use: who blocks sources may want others, or none, and is asked later.
fn records(bytes: &[u8], len: usize) -> Vec<Record> {
    let mut records = Vec::new();
    let count = word(bytes, 6).map_or(0, usize::from).min(MAX_RECORDS);
    let mut rest = bytes.get(8..).unwrap_or_default();
    for _ in 0..count {
        let (Some(&[kind, auxiliary]), Some(sources)) = (rest.first_chunk::<2>(), word(rest, 2)) else {
            break;
        };
        let end = 4 + len + usize::from(sources) * len + usize::from(auxiliary) * 4;
        let Some(record) = rest.get(..end) else {
            break;
        };
        rest = &rest[end..];
        let wish = match (kind, sources) {
            (record::IS_EXCLUDE, _) | (record::IS_INCLUDE, 1..) => Wish::Listens,
            (record::TO_EXCLUDE, _) | (record::TO_INCLUDE | record::ALLOW, 1..) => Wish::Joined,
            (record::TO_INCLUDE | record::IS_INCLUDE, 0) => Wish::Left,
            (_, _) => continue,
        };
        records.extend(group(record, 4, len).map(|group| Record { group, wish }));
    }
    records
}
