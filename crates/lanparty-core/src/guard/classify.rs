//! How urgent a frame is, told by what it does rather than by whose it is.
//!
//! *Neighbor* is what everything else waits for; *chatter* what nobody waits for; *interactive* what a player feels: requests,
//! acknowledgements, small datagrams, and whatever a game shouts into the room. The rest is bulk.
//!
//! A more urgent class overtakes a less urgent one, so a flow must not change from bulk to interactive while its bulk may still be
//! queued: the order within a flow would be lost, and with it what a game sent first. Hence a flow that was bulk stays bulk for
//! [`HOLD`]. For the same reason all fragments of a packet get one class.

use std::time::Duration;

use lanparty_wire::{Class, Frame, Offload, ethertype};

use super::{
    flow,
    packet::{Ip, Link, Network, Packet, Upper, protocol},
};

/// The class of a finished frame by itself; bulk for anything that is no frame. A guard knows more: it has seen the flow.
pub fn class_of(frame: &[u8]) -> Class {
    match Packet::parse(Frame::plain(frame)).map(|packet| Urgency::of(&packet)) {
        Ok(Urgency::Always(class)) => class,
        Ok(Urgency::Small) => Class::Interactive,
        Ok(Urgency::Large) | Err(_) => Class::Bulk,
    }
}

/// UDP payloads up to this many bytes are a player's: states and inputs of games, voice, queries. Copies of files fill
/// their datagrams.
const SMALL_DATAGRAM: usize = 512;
/// TCP payloads up to this many bytes: somebody types, clicks or moves, with the padding of his protocol.
const SMALL_SEGMENT: usize = 256;
/// Frames without IP (IPX, NetBEUI) up to this many bytes: as a small datagram, with the headers that are not looked into.
const SMALL_FRAME: usize = 576;
/// How long a flow that was bulk stays so: longer than a bulk queue holds a frame on a slow uplink.
const HOLD: Duration = Duration::from_secs(5);

/// The flows that were bulk a short while ago, by hash. Flows that share an entry share their fate, which costs urgency and
/// never order.
#[derive(Debug)]
pub(super) struct BulkFlows {
    /// When, in milliseconds since the guard was made, counted from 1; 0 for never.
    seen: Box<[u32; BulkFlows::ENTRIES]>,
}

impl BulkFlows {
    /// A LAN with a handful of copies under way then spoils a game's urgency in one case of two hundred.
    const ENTRIES: usize = 1024;

    pub(super) fn new() -> BulkFlows {
        BulkFlows {
            seen: Box::new([0; BulkFlows::ENTRIES]),
        }
    }

    /// The class of `packet`, given what its flow has sent before. `now` counts from when the guard was made.
    pub(super) fn class_of(&mut self, now: Duration, packet: &Packet<'_>) -> Class {
        let urgency = Urgency::of(packet);
        if let Urgency::Always(class) = urgency {
            return class;
        }
        let now = u32::try_from(now.as_millis()).unwrap_or(u32::MAX - 1) + 1;
        let entry = flow::hash(0, packet) as usize % BulkFlows::ENTRIES;
        let Some(seen) = self.seen.get_mut(entry) else {
            return Class::Bulk;
        };
        if urgency == Urgency::Large {
            *seen = now;
        }
        let is_bulk = *seen != 0 && now.saturating_sub(*seen) <= HOLD.as_millis() as u32;
        if is_bulk { Class::Bulk } else { Class::Interactive }
    }
}

/// What a packet by itself says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Urgency {
    /// Whatever else its flow sends.
    Always(Class),
    /// Interactive, if its flow is not bulk.
    Small,
    /// Bulk, and its flow with it.
    Large,
}

impl Urgency {
    fn small_if(is_small: bool) -> Urgency {
        if is_small { Urgency::Small } else { Urgency::Large }
    }

    fn of(packet: &Packet<'_>) -> Urgency {
        let urgency = match &packet.network {
            Network::V4(ip) | Network::V6(ip) => Urgency::of_ip(ip, packet.frame.offload),
            Network::Other => Urgency::of_link(packet),
            Network::Broken => Urgency::Large,
        };
        match urgency {
            // What a game shouts is urgent at any length; its rate is bounded elsewhere.
            Urgency::Small | Urgency::Large if packet.is_flood() => Urgency::Always(Class::Interactive),
            _ => urgency,
        }
    }

    fn of_link(packet: &Packet<'_>) -> Urgency {
        match packet.link {
            Link::Typed {
                ethertype: ethertype::ARP | ethertype::LOCAL_EXPERIMENTAL,
                ..
            } => Urgency::Always(Class::Neighbor),
            _ => Urgency::small_if(packet.frame.bytes.len() <= SMALL_FRAME),
        }
    }

    fn of_ip(ip: &Ip<'_>, offload: Offload) -> Urgency {
        let Upper::Whole { bytes, .. } = ip.upper else {
            return Urgency::Large;
        };
        match ip.protocol {
            protocol::IGMP => Urgency::Always(Class::Neighbor),
            protocol::ICMP => Urgency::Always(Class::Interactive),
            protocol::ICMPV6 => Urgency::of_icmpv6(ip),
            protocol::UDP => Urgency::of_udp(ip, offload),
            protocol::TCP => Urgency::of_tcp(bytes),
            _ => Urgency::Large,
        }
    }

    /// Group membership (RFC 2710, RFC 3810, RFC 4286) and neighbour discovery (RFC 4861, RFC 3122).
    fn of_icmpv6(ip: &Ip<'_>) -> Urgency {
        match ip.icmpv6_type() {
            Some(130..=137 | 141..=143 | 151..=153) => Urgency::Always(Class::Neighbor),
            _ => Urgency::Always(Class::Interactive),
        }
    }

    fn of_udp(ip: &Ip<'_>, offload: Offload) -> Urgency {
        /// DHCP and DHCPv6.
        const ADDRESSES: [u16; 4] = [67, 68, 546, 547];
        /// NetBIOS names and datagrams, SSDP, WS-Discovery, mDNS, LLMNR.
        const DISCOVERY: [u16; 6] = [137, 138, 1900, 3702, 5353, 5355];
        const DNS: u16 = 53;

        let Some((source, destination, payload)) = ip.udp() else {
            return Urgency::Large;
        };
        let either = |ports: &[u16]| ports.contains(&source) || ports.contains(&destination);
        if either(&ADDRESSES) {
            return Urgency::Always(Class::Neighbor);
        }
        if either(&DISCOVERY) {
            return Urgency::Always(Class::Chatter);
        }
        if either(&[DNS]) {
            return Urgency::Always(Class::Interactive);
        }
        let size = match offload {
            Offload::UdpSegments { size, .. } => payload.len().min(usize::from(size)),
            Offload::None | Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. } => payload.len(),
        };
        Urgency::small_if(size <= SMALL_DATAGRAM)
    }

    /// A segment that opens a connection or only acknowledges is what the other side waits for, and takes no harm from being early.
    /// One that ends a connection stays with the data: a reset that overtook it would discard it.
    fn of_tcp(segment: &[u8]) -> Urgency {
        const FIN_RST: u8 = 0b101;
        const SYN: u8 = 0b010;

        let Some(header) = segment.first_chunk::<20>() else {
            return Urgency::Large;
        };
        let payload = segment.len().saturating_sub(usize::from(header[12] >> 4) * 4);
        let is_end = header[13] & FIN_RST != 0;
        let is_start = header[13] & SYN != 0;
        if is_start || payload == 0 && !is_end {
            return Urgency::Always(Class::Interactive);
        }
        Urgency::small_if(payload <= SMALL_SEGMENT)
    }
}
