//! How urgent a frame is, told by what it does rather than by whose it is.
//!
//! *Neighbor* is what everything else waits for; *chatter* what nobody waits for; *interactive* what a player feels: requests,
//! acknowledgements, small datagrams, and whatever a game shouts into the room. The rest is bulk. All fragments of a packet get
//! one class, so that they cannot overtake each other.

use lanparty_wire::{Class, Frame, Offload, ethertype};

use super::packet::{Ip, Link, Network, Packet, Upper, protocol};

/// The class of a finished frame; bulk for anything that is no frame.
pub fn class_of(frame: &[u8]) -> Class {
    Packet::parse(Frame::plain(frame)).map_or(Class::Bulk, |packet| class_of_packet(&packet))
}

/// UDP payloads up to this many bytes are a player's: states and inputs of games, voice, queries. Copies of files fill
/// their datagrams.
const SMALL_DATAGRAM: usize = 512;
/// Frames without IP (IPX, NetBEUI) up to this many bytes: as above, with the headers that are not looked into.
const SMALL_FRAME: usize = 576;
/// TCP payloads up to this many bytes on a port where somebody types: keys and echoes, with their padding.
const SMALL_KEYSTROKE: usize = 256;

pub(super) fn class_of_packet(packet: &Packet<'_>) -> Class {
    let class = match &packet.network {
        Network::V4(ip) => of_ip(ip, packet.frame.offload),
        Network::V6(ip) => of_ip(ip, packet.frame.offload),
        Network::Broken => None,
        Network::Other => of_link(packet),
    };
    class.unwrap_or(if packet.is_flood() {
        Class::Interactive
    } else {
        Class::Bulk
    })
}

fn of_link(packet: &Packet<'_>) -> Option<Class> {
    match packet.link {
        Link::Typed {
            ethertype: ethertype::ARP | ethertype::LOCAL_EXPERIMENTAL,
            ..
        } => Some(Class::Neighbor),
        _ => (packet.frame.bytes.len() <= SMALL_FRAME).then_some(Class::Interactive),
    }
}

/// `None` for what only its destination can tell.
fn of_ip(ip: &Ip<'_>, offload: Offload) -> Option<Class> {
    let Upper::Whole { bytes, .. } = ip.upper else {
        return None;
    };
    match ip.protocol {
        protocol::IGMP => Some(Class::Neighbor),
        protocol::ICMP => Some(Class::Interactive),
        protocol::ICMPV6 => Some(of_icmpv6(ip)),
        protocol::UDP => of_udp(ip, offload),
        protocol::TCP => of_tcp(bytes),
        _ => None,
    }
}

/// Group membership (RFC 2710, RFC 3810, RFC 4286) and neighbour discovery (RFC 4861, RFC 3122).
fn of_icmpv6(ip: &Ip<'_>) -> Class {
    match ip.icmpv6_type() {
        Some(130..=137 | 141..=143 | 151..=153) => Class::Neighbor,
        _ => Class::Interactive,
    }
}

fn of_udp(ip: &Ip<'_>, offload: Offload) -> Option<Class> {
    /// DHCP and DHCPv6.
    const ADDRESSES: [u16; 4] = [67, 68, 546, 547];
    /// NetBIOS names and datagrams, SSDP, WS-Discovery, mDNS, LLMNR.
    const DISCOVERY: [u16; 6] = [137, 138, 1900, 3702, 5353, 5355];
    const DNS: u16 = 53;

    let (source, destination, payload) = ip.udp()?;
    let either = |ports: &[u16]| ports.contains(&source) || ports.contains(&destination);
    let size = match offload {
        Offload::UdpSegments { size, .. } => payload.len().min(usize::from(size)),
        Offload::None | Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. } => payload.len(),
    };
    if either(&ADDRESSES) {
        Some(Class::Neighbor)
    } else if either(&DISCOVERY) {
        Some(Class::Chatter)
    } else if either(&[DNS]) || size <= SMALL_DATAGRAM {
        Some(Class::Interactive)
    } else {
        None
    }
}

/// A segment that opens a connection or carries nothing is what the other side waits for. One that ends a connection stays
/// behind the data: a reset that overtook it would discard it.
fn of_tcp(segment: &[u8]) -> Option<Class> {
    const SSH: u16 = 22;
    const FIN_RST: u8 = 0b101;
    const SYN: u8 = 0b010;

    let (header, _) = segment.split_first_chunk::<20>()?;
    let payload = segment.len().saturating_sub(usize::from(header[12] >> 4) * 4);
    let source = u16::from_be_bytes([header[0], header[1]]);
    let destination = u16::from_be_bytes([header[2], header[3]]);
    let is_ssh = source == SSH || destination == SSH;
    let is_end = header[13] & FIN_RST != 0;
    let is_start = header[13] & SYN != 0;
    let is_urgent = is_start || !is_end && payload == 0 || is_ssh && payload <= SMALL_KEYSTROKE;
    is_urgent.then_some(Class::Interactive)
}
