//! How urgent a frame is, told by what it does rather than by whose it is.
//!
//! *Neighbor* is what everything else waits for; *chatter* what nobody waits for; *interactive* what a player feels: requests,
//! acknowledgements, small datagrams, and whatever a game shouts into the room. The rest is bulk.
//!
//! What a packet is can be told from itself only in part: a small one may belong to a flood, and a large one to a game. So each flow's
//! bytes of the last moments are counted, and a flow that sends more than its kind may is bulk for [`HOLD`]: small packets may be many, large
//! datagrams few, and a full TCP segment says enough by itself. That a flow changes its class costs no order: the scheduler keeps what
//! a flow has waiting together. All fragments of a packet get one class.

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
        Ok(Urgency::Awaited | Urgency::Small) => Class::Interactive,
        Ok(Urgency::Large | Urgency::Bulk) | Err(_) => Class::Bulk,
    }
}

/// UDP payloads up to this many bytes are a player's: states and inputs of games, voice, queries. Copies of files fill
/// their datagrams.
const SMALL_DATAGRAM: usize = 512;
/// TCP payloads up to this many bytes: somebody types, clicks or moves, with the padding of his protocol.
const SMALL_SEGMENT: usize = 256;
/// Frames without IP (IPX, NetBEUI) up to this many bytes: as a small datagram, with the headers that are not looked into.
const SMALL_FRAME: usize = 576;
/// How long a flow that was bulk stays so: longer than a pause between two chunks of a transfer.
const HOLD: Duration = Duration::from_secs(1);
/// What a flow has sent is forgotten as fast as it would be spread over this time.
const FADE_MS: u64 = 500;
/// Bytes within [`FADE_MS`] of a flow of small packets: 128 kB/s, a game at its busiest and ten times a voice.
const MANY_SMALL: u32 = 64_000;
/// Bytes within [`FADE_MS`] in which a large datagram is a game's: 24 kB/s, the state of a full server.
const FEW_LARGE: u32 = 12_000;
/// Bytes within [`FADE_MS`] of acknowledgements: those of a download of 400 Mbit/s. More of them need not be early.
const MANY_AWAITED: u32 = 512_000;

/// What each flow has sent a moment ago, by hash. Flows that share an entry share their fate, which costs urgency and
/// never order.
#[derive(Debug)]
pub(super) struct Flows {
    /// Empty until the first flow comes.
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Entry {
    /// Bytes, faded since `at`.
    level: u32,
    /// In milliseconds since the guard was made, counted from 1.
    at: u32,
    /// When it was bulk last; 0 for never.
    bulk: u32,
}

impl Flows {
    /// A LAN with a handful of copies under way then spoils a game's urgency in one case of two hundred.
    const ENTRIES: usize = 1024;

    pub(super) const fn new() -> Flows {
        Flows { entries: Vec::new() }
    }

    /// The class of `packet`, given what its flow has sent before. `now` counts from when the guard was made, `bytes` are those of
    /// all its segments.
    pub(super) fn class_of(&mut self, now: Duration, packet: &Packet<'_>, bytes: usize) -> Class {
        // Acknowledgements are counted apart from the data that goes their way.
        let (most, kind) = match Urgency::of(packet) {
            Urgency::Always(class) => return class,
            Urgency::Awaited => (MANY_AWAITED, 1),
            Urgency::Small => (MANY_SMALL, 0),
            Urgency::Large => (FEW_LARGE, 0),
            Urgency::Bulk => (0, 0),
        };
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); Flows::ENTRIES];
        }
        let now = u32::try_from(now.as_millis()).unwrap_or(u32::MAX - 1) + 1;
        let place = flow::hash(kind, packet) as usize % Flows::ENTRIES;
        let entry = self.entries.get_mut(place);
        if entry.is_none_or(|entry| entry.is_bulk(now, bytes, most)) {
            Class::Bulk
        } else {
            Class::Interactive
        }
    }
}

impl Entry {
    fn is_bulk(&mut self, now: u32, bytes: usize, most: u32) -> bool {
        let passed = u64::from(now.saturating_sub(self.at)).min(FADE_MS);
        let left = u64::from(self.level) * (FADE_MS - passed) / FADE_MS;
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.level = (left as u32).saturating_add(bytes);
        self.at = now;
        if self.level > most {
            self.bulk = now;
        }
        self.bulk != 0 && now.saturating_sub(self.bulk) <= HOLD.as_millis() as u32
    }
}

/// What a packet by itself says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Urgency {
    /// Whatever else its flow sends.
    Always(Class),
    /// Interactive, unless there are very many: the other side waits for it.
    Awaited,
    /// Interactive, if its flow is not bulk and they are not too many.
    Small,
    /// Interactive if they are few, else bulk, and the flow with it.
    Large,
    /// Bulk, and its flow with it.
    Bulk,
}

impl Urgency {
    fn small_if(is_small: bool) -> Urgency {
        if is_small { Urgency::Small } else { Urgency::Large }
    }

    fn of(packet: &Packet<'_>) -> Urgency {
        let urgency = match &packet.network {
            Network::V4(ip) | Network::V6(ip) => Urgency::of_ip(ip, packet.frame.offload),
            Network::Other => Urgency::of_link(packet),
            Network::Broken => Urgency::Bulk,
        };
        match urgency {
            // What a game shouts is urgent at any length; its rate is bounded elsewhere.
            Urgency::Awaited | Urgency::Small | Urgency::Large | Urgency::Bulk if packet.is_flood() => {
                Urgency::Always(Class::Interactive)
            }
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
            protocol::ICMP => Urgency::Small,
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
            _ => Urgency::Small,
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
            return Urgency::Small;
        }
        let size = match offload {
            Offload::UdpSegments { size, .. } => payload.len().min(usize::from(size)),
            Offload::None | Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. } => payload.len(),
        };
        match offload {
            // Who hands over many full datagrams at once copies something.
            Offload::UdpSegments { .. } if size > SMALL_DATAGRAM => Urgency::Bulk,
            Offload::UdpSegments { .. }
            | Offload::None
            | Offload::ChecksumNeeded { .. }
            | Offload::TcpSegments { .. } => Urgency::small_if(size <= SMALL_DATAGRAM),
        }
    }

    /// A segment that opens a connection or only acknowledges is what the other side waits for, and takes no harm from being early.
    /// One that ends a connection stays with the data: a reset that overtook it would discard it.
    fn of_tcp(segment: &[u8]) -> Urgency {
        const FIN_RST: u8 = 0b101;
        const SYN: u8 = 0b010;

        let Some(header) = segment.first_chunk::<20>() else {
            return Urgency::Bulk;
        };
        let payload = segment.len().saturating_sub(usize::from(header[12] >> 4) * 4);
        let is_end = header[13] & FIN_RST != 0;
        let is_start = header[13] & SYN != 0;
        if is_start || payload == 0 && !is_end {
            return Urgency::Awaited;
        }
        if payload <= SMALL_SEGMENT {
            Urgency::Small
        } else {
            Urgency::Bulk
        }
    }
}
