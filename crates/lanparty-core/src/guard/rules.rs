//! The safety filters, as a table: what is refused, from whom, and how it is told.
//!
//! Two things are kept apart. *Control planes* (switches, port authentication, link discovery) go through the tunnel in neither
//! direction: no remote player has a switch, and no switch of the party has a port there. *Services that own a network* (DHCP,
//! router advertisements) and everything that could hide them are refused from members only; the LAN's own pass, they are what
//! a player has come for.
//!
//! Types are those of Ethernet II and of SNAP alike (`packet.rs`). Inside a VLAN tag the LAN's frames are inspected as outside;
//! members' tagged frames are refused whatever they carry. Encrypted and tunnelled payloads (ESP, 6in4) pass: only their endpoint
//! reads them.

use lanparty_wire::{DropReason, Offload, ethertype, mtu};

use super::packet::{Link, MAX_TAGS, Network, Packet, Upper, protocol};
use crate::lan::SIGNAL;

/// Refuses what the first rule in the table says, in its order.
pub(super) fn inspect(packet: &Packet<'_>, from_member: bool) -> Result<(), DropReason> {
    RULES
        .iter()
        .find(|rule| (from_member || rule.of == Of::Everyone) && (rule.matches)(packet))
        .map_or(Ok(()), |rule| Err(rule.reason))
}

/// Whose frames a rule is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Of {
    Everyone,
    Members,
}

struct Rule {
    reason: DropReason,
    of: Of,
    matches: fn(&Packet<'_>) -> bool,
}

const fn rule(of: Of, reason: DropReason, matches: fn(&Packet<'_>) -> bool) -> Rule {
    Rule { reason, of, matches }
}

/// The order decides only which reason is told when several hold.
const RULES: &[Rule] = &[
    rule(Of::Everyone, DropReason::Eapol, |p| has_type(p, ethertype::EAPOL)),
    rule(Of::Everyone, DropReason::Lldp, |p| has_type(p, ethertype::LLDP)),
    rule(Of::Everyone, DropReason::SlowProtocol, |p| {
        has_type(p, ethertype::SLOW_PROTOCOLS)
    }),
    rule(Of::Everyone, DropReason::SwitchControl, is_switch_control),
    rule(Of::Everyone, DropReason::VlanTag, |p| p.tags > MAX_TAGS),
    rule(Of::Members, DropReason::VlanTag, is_tagged),
    rule(Of::Members, DropReason::GatewaySignal, is_gateway_signal),
    rule(Of::Members, DropReason::Malformed, is_malformed),
    rule(Of::Members, DropReason::BadSuperFrame, has_misplaced_checksum),
    rule(Of::Members, DropReason::Ipv4Fragment, is_hiding_ipv4_fragment),
    rule(Of::Members, DropReason::DhcpServer, is_dhcp_server),
    rule(Of::Members, DropReason::Ipv6Fragment, is_ipv6_fragment),
    rule(Of::Members, DropReason::Ipv6Chain, is_broken_ipv6_chain),
    rule(
        Of::Members,
        DropReason::RouterAdvertisement,
        is_router_advertisement,
    ),
    rule(Of::Members, DropReason::Ipv6Redirect, |p| {
        icmpv6_type(p) == Some(137)
    }),
    rule(Of::Members, DropReason::Dhcpv6Server, is_dhcpv6_server),
    rule(Of::Members, DropReason::MulticastRouter, is_multicast_router),
];

/// Refuses frames that no LAN port would take: more than 1500 bytes behind the header, or more than the room's MTU. The LAN's
/// tags come on top of that, as they do on a wire (IEEE 802.3, clause 3.2.7). `longest` is the longest segment.
pub(super) fn check_length(longest: usize, tags: usize, room_mtu: u16) -> Result<(), DropReason> {
    let tags = tags * 4;
    if longest > mtu::frame_limit(mtu::DEFAULT_MTU) + tags {
        return Err(DropReason::Jumbo);
    }
    if longest > mtu::frame_limit(room_mtu) + tags {
        return Err(DropReason::OverMtu);
    }
    Ok(())
}

fn has_type(packet: &Packet<'_>, wanted: u16) -> bool {
    matches!(packet.link, Link::Typed { ethertype, .. } if ethertype == wanted)
}

/// Which LAN gateway is the active one is not for players to say.
fn is_gateway_signal(packet: &Packet<'_>) -> bool {
    let Link::Typed {
        ethertype: ethertype::LOCAL_EXPERIMENTAL,
        at,
    } = packet.link
    else {
        return false;
    };
    packet
        .frame
        .bytes
        .get(at..)
        .is_some_and(|payload| payload.starts_with(SIGNAL))
}

/// Destinations that only switches listen to, by the beginning of the address.
const SWITCH_DESTINATIONS: &[&[u8]] = &[
    // IEEE 802.1Q tables 8-1 to 8-3 and 10-1: bridges, port authentication, LACP, LLDP, GARP and MRP, CFM, TRILL.
    &[0x01, 0x80, 0xc2, 0x00, 0x00],
    // Cisco: CDP, VTP, DTP, PAgP, UDLD (cc:cc:cc), PVST (cc:cc:cd), uplink fast, CGMP.
    &[0x01, 0x00, 0x0c],
    // Nortel's topology discovery.
    &[0x01, 0x00, 0x81, 0x00, 0x01],
    // Foundry's and Brocade's discovery and ring protection.
    &[0x01, 0xe0, 0x52],
    // Extreme's discovery and ring protection.
    &[0x00, 0xe0, 0x2b, 0x00, 0x00],
];

/// Types that switches act on whatever the destination is.
const SWITCH_TYPES: &[u16] = &[
    0x22ea, // stream reservation
    0x22f3, // TRILL
    0x22f4, // TRILL's IS-IS
    0x8808, // pause and priority flow control
    0x8899, // Realtek's remote switch configuration and loop detection
    0x88e3, // media redundancy rings
    0x88e7, // provider backbone: a frame inside a frame
    0x88f5, // MVRP
    0x88f6, // MMRP
    0x8902, // connectivity fault management
    0x9000, // configuration testing: whoever supports it sends the frame on to an address in it
];

fn is_switch_control(packet: &Packet<'_>) -> bool {
    /// Spanning tree, of a bridge's own service access point.
    const BRIDGE: u8 = 0x42;
    const CISCO: [u8; 3] = [0x00, 0x00, 0x0c];

    let destination = packet.destination.0;
    if SWITCH_DESTINATIONS
        .iter()
        .any(|&prefix| destination.starts_with(prefix))
    {
        return true;
    }
    match packet.link {
        Link::Typed { ethertype, .. } => SWITCH_TYPES.contains(&ethertype),
        Link::Llc { destination, source } => destination & !1 == BRIDGE || source & !1 == BRIDGE,
        Link::Vendor { oui } => oui == CISCO,
        Link::RawIpx | Link::Cut => false,
    }
}

fn is_tagged(packet: &Packet<'_>) -> bool {
    packet.tags > 0
}

/// Headers that contradict themselves: a receiver would drop it, or read something that no rule has seen.
fn is_malformed(packet: &Packet<'_>) -> bool {
    match &packet.network {
        Network::Broken => true,
        Network::Other => packet.link == Link::Cut,
        Network::V4(ip) => matches!(ip.upper, Upper::Whole { bytes, .. } if cut_udp(ip.protocol, bytes)),
        Network::V6(_) => false,
    }
}

fn cut_udp(protocol: u8, bytes: &[u8]) -> bool {
    protocol == protocol::UDP && bytes.len() < 8
}

/// Refuses a checksum that would be written over something the rules have looked at: it belongs into the header of what the packet
/// carries, or of a packet inside that (VXLAN).
fn has_misplaced_checksum(packet: &Packet<'_>) -> bool {
    /// UDP's header and the first bytes of a DHCP message.
    const LOOKED_AT: usize = 16;

    let Offload::ChecksumNeeded { start, offset } = packet.frame.offload else {
        return false;
    };
    let Some(ip) = packet.ip() else {
        return true;
    };
    let Upper::Whole { at, .. } = ip.upper else {
        return true;
    };
    let start = usize::from(start);
    let field = match ip.protocol {
        protocol::TCP => 16,
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return start < at,
    };
    let is_own = start == at && offset == field;
    !is_own && start < at + LOOKED_AT
}

/// Refuses the two tricks of RFC 1858 and RFC 3128: a first fragment too short for its upper header, and a later one that
/// overwrites that header. Other fragments pass: where a message begins says whose it is, so its first fragment decides.
fn is_hiding_ipv4_fragment(packet: &Packet<'_>) -> bool {
    /// UDP's header and the first bytes of a DHCP message; TCP's header without options. A multiple of 8.
    const HEADERS: usize = 24;
    /// What an IPv4 packet can hold behind its shortest header.
    const WHOLE: usize = 65_535 - 20;

    let Network::V4(ip) = &packet.network else {
        return false;
    };
    match ip.upper {
        Upper::Fragment { offset: 0, bytes, .. } => bytes.len() < HEADERS,
        Upper::Fragment { offset, bytes, .. } => offset < HEADERS || offset + bytes.len() > WHOLE,
        Upper::Whole { .. } | Upper::Unreachable => false,
    }
}

/// A DHCP server sends from port 67, and only servers send to clients, which listen on 68 (RFC 2131, section 4.1): whatever the
/// message says, for clients that read the raw frame take it even from behind the packet's end. Replies to relay agents and PXE
/// clients are told by what they say.
fn is_dhcp_server(packet: &Packet<'_>) -> bool {
    const SERVER: u16 = 67;
    const CLIENT: u16 = 68;
    const BOOT_SERVER: u16 = 4011;

    let Network::V4(ip) = &packet.network else {
        return false;
    };
    let Some((source, destination, payload)) = ip.udp() else {
        return false;
    };
    if source == SERVER || destination == CLIENT {
        return true;
    }
    let is_boot = destination == SERVER || [source, destination].contains(&BOOT_SERVER);
    is_boot && holds_boot_reply(packet.frame.offload, payload)
}

/// True if a datagram of the packet is a BOOTP reply. A super-frame is many datagrams behind one header.
fn holds_boot_reply(offload: Offload, payload: &[u8]) -> bool {
    const REPLY: u8 = 2;
    match offload {
        Offload::UdpSegments { size, .. } => payload
            .chunks(usize::from(size).max(1))
            .any(|datagram| datagram.first() == Some(&REPLY)),
        Offload::None | Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. } => {
            payload.first() == Some(&REPLY)
        }
    }
}

/// Atomic fragments as well (RFC 6946): nothing sends them but somebody who hides.
fn is_ipv6_fragment(packet: &Packet<'_>) -> bool {
    matches!(&packet.network, Network::V6(ip) if matches!(ip.upper, Upper::Fragment { .. }))
}

/// A chain whose end, upper header included, is not in the packet (RFC 7112).
fn is_broken_ipv6_chain(packet: &Packet<'_>) -> bool {
    let Network::V6(ip) = &packet.network else {
        return false;
    };
    match ip.upper {
        Upper::Unreachable => true,
        Upper::Whole { bytes, .. } => {
            cut_udp(ip.protocol, bytes) || ip.protocol == protocol::ICMPV6 && bytes.len() < 4
        }
        Upper::Fragment { .. } => false,
    }
}

/// Router advertisements of IPv6 (RFC 4861), and of IPv4 (RFC 1256), which some hosts still believe.
fn is_router_advertisement(packet: &Packet<'_>) -> bool {
    match &packet.network {
        Network::V4(ip) => ip.beginning(protocol::ICMP).and_then(<[u8]>::first) == Some(&9),
        Network::V6(ip) => ip.icmpv6_type() == Some(134),
        Network::Other | Network::Broken => false,
    }
}

fn icmpv6_type(packet: &Packet<'_>) -> Option<u8> {
    match &packet.network {
        Network::V6(ip) => ip.icmpv6_type(),
        Network::V4(_) | Network::Other | Network::Broken => None,
    }
}

/// Who asks which groups are listened to is the LAN's querier if its address is the lowest, and to whom switches send all groups: so for whoever
/// advertises itself as a multicast router (RFC 4286), or routes by DVMRP or PIM.
fn is_multicast_router(packet: &Packet<'_>) -> bool {
    /// Query, DVMRP, PIMv1, advertisement.
    const IGMP: [u8; 4] = [0x11, 0x13, 0x14, 0x30];
    /// Query, advertisement.
    const ICMPV6: [u8; 2] = [130, 151];

    match &packet.network {
        Network::V4(ip) => {
            let igmp = ip.beginning(protocol::IGMP).and_then(<[u8]>::first);
            ip.protocol == protocol::PIM || igmp.is_some_and(|kind| IGMP.contains(kind))
        }
        Network::V6(ip) => {
            ip.protocol == protocol::PIM || ip.icmpv6_type().is_some_and(|kind| ICMPV6.contains(&kind))
        }
        Network::Other | Network::Broken => false,
    }
}

/// Servers and relay agents send from 547, and only they send to clients, which listen on 546 (RFC 8415, section 7.2). A
/// relay agent's message is told by its type on the way to another agent.
fn is_dhcpv6_server(packet: &Packet<'_>) -> bool {
    const SERVER: u16 = 547;
    const CLIENT: u16 = 546;
    /// Advertise, reply, reconfigure, relay-forward, relay-reply.
    const SERVER_MESSAGES: [u8; 5] = [2, 7, 10, 12, 13];

    let Network::V6(ip) = &packet.network else {
        return false;
    };
    let Some((source, destination, payload)) = ip.udp() else {
        return false;
    };
    let from_server =
        destination == SERVER && payload.first().is_some_and(|kind| SERVER_MESSAGES.contains(kind));
    source == SERVER || destination == CLIENT || from_server
}
