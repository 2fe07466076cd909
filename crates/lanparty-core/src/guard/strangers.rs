//! What members of a room for strangers may send, on top of what every member is held to.
//!
//! To each other: what finds games and what plays them, and nothing else. To the LAN: everything but services that hand out files,
//! desktops and shells. And nowhere under an address that is not theirs: of IPv4 the one that the LAN's DHCP server has given them, of IPv6 the
//! link-local one that follows from their MAC (RFC 4291, appendix A). All of it is decided frame by frame, by whoever receives it.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::Duration,
};

use lanparty_wire::{DropReason, Frame, Mac, ethertype};

use super::packet::{Ip, Link, Network, Packet, Upper, protocol, word};

/// Names and services (RFC 6762, RFC 4795, UPnP, WS-Discovery) and NetBIOS names (RFC 1002), by UDP.
const DISCOVERY: [u16; 5] = [137, 1900, 3702, 5353, 5355];
/// Where games and their voice chats listen, first and last port, by UDP and TCP.
const GAMES: [(u16, u16); 17] = [
    (2300, 2400),   // DirectPlay
    (2456, 2458),   // Valheim
    (3074, 3074),   // Xbox
    (6073, 6073),   // DirectPlay 8
    (6112, 6119),   // Blizzard
    (7777, 7788),   // Unreal, Terraria, Satisfactory
    (9987, 9987),   // TeamSpeak
    (14567, 14567), // Battlefield 1942
    (16567, 16567), // Battlefield 2
    (19132, 19133), // Minecraft, Bedrock edition
    (25565, 25565), // Minecraft, Java edition
    (26000, 26004), // Quake
    (27000, 27060), // Source, Steam
    (27500, 27969), // QuakeWorld, Quake 2 and 3
    (28960, 28969), // Call of Duty
    (34197, 34197), // Factorio
    (47624, 47624), // DirectPlay's lobby
];
/// Services that are closed: SSH, telnet, RPC, SMB, AFP, NFS, RDP, VNC, WinRM, first and last port.
const CLOSED: [(u16, u16); 11] = [
    (22, 23),
    (111, 111),
    (135, 135),
    (138, 139),
    (445, 445),
    (548, 548),
    (2049, 2049),
    (3389, 3389),
    (5900, 5909),
    (5985, 5986),
    (47001, 47001),
];
/// Where programs that ask have their ports: Linux takes them from here on, everybody else from 49152 (RFC 6335, section 6).
const ASKING: u16 = 32_768;
const DHCP_SERVER: u16 = 67;
const DHCP_CLIENT: u16 = 68;

/// Whether a member may send a frame to another member.
///
/// # Errors
/// [`DropReason::Stranger`].
pub fn between_strangers(frame: Frame<'_>) -> Result<(), DropReason> {
    let packet = Packet::parse(frame)?;
    let is_allowed = match (&packet.network, packet.link) {
        (Network::Other, link) => is_arp(link),
        (Network::V4(ip), _) => ip.protocol == protocol::IGMP || is_found_or_played(ip),
        (Network::V6(ip), _) => is_neighborly(ip) || is_found_or_played(ip),
        (Network::Broken, _) => false,
    };
    is_allowed.then_some(()).ok_or(DropReason::Stranger)
}

/// Whether a member may send a frame to the LAN.
///
/// # Errors
/// [`DropReason::ClosedService`].
pub fn stranger_to_lan(frame: Frame<'_>) -> Result<(), DropReason> {
    /// NetBEUI, on which SMB runs without IP.
    const NETBEUI: u8 = 0xf0;
    let packet = Packet::parse(frame)?;
    let is_closed = match (packet.ip(), packet.link) {
        (Some(ip), _) => match ports(ip) {
            Some((_, destination)) => is_in(&CLOSED, destination),
            None => !matches!(
                ip.protocol,
                protocol::ICMP | protocol::IGMP | protocol::ICMPV6 | protocol::TCP | protocol::UDP
            ),
        },
        (None, Link::Llc { destination, .. }) => destination & !1 == NETBEUI,
        (None, Link::Typed { .. } | Link::Vendor { .. } | Link::RawIpx | Link::Cut) => false,
    };
    (!is_closed).then_some(()).ok_or(DropReason::ClosedService)
}

/// Whether the addresses that a member's frame claims are its own. `lease` is what DHCP has given it, if it was seen.
///
/// # Errors
/// [`DropReason::ForgedAddress`].
pub fn claims_its_own(frame: Frame<'_>, mac: Mac, lease: Option<Ipv4Addr>) -> Result<(), DropReason> {
    let packet = Packet::parse(frame)?;
    let is_own = match (&packet.network, packet.link) {
        (Network::V4(ip), _) => is_own_v4(ip, mac, lease),
        (Network::V6(ip), _) => is_own_v6(ip, mac),
        (Network::Other, Link::Typed { at, .. }) if is_arp(packet.link) => {
            is_own_arp(frame.bytes.get(at..).unwrap_or_default(), mac, lease)
        }
        (Network::Other | Network::Broken, _) => true,
    };
    is_own.then_some(()).ok_or(DropReason::ForgedAddress)
}

/// What a DHCP server was heard to give to a station.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeardLease {
    pub mac: Mac,
    pub address: Ipv4Addr,
    /// For how long, in whole seconds; zero if the server has not said it.
    pub lifetime: Duration,
}

/// Which address a DHCP server's acknowledgement gives to which station (RFC 2131, section 4.3.1).
pub fn lease_in(frame: Frame<'_>) -> Option<HeardLease> {
    const REPLY: u8 = 2;
    const ETHERNET: u8 = 1;
    const MESSAGE_TYPE: u8 = 53;
    const ACKNOWLEDGEMENT: u8 = 5;
    const LEASE_TIME: u8 = 51;
    let packet = Packet::parse(frame).ok()?;
    let Network::V4(ip) = &packet.network else {
        return None;
    };
    let (source, destination, message) = ip.udp()?;
    let (head, options) = message.split_at_checked(240)?;
    if (source, destination) != (DHCP_SERVER, DHCP_CLIENT) || head[..3] != [REPLY, ETHERNET, 6] {
        return None;
    }
    let address: Ipv4Addr = <[u8; 4]>::try_from(&head[16..20]).ok()?.into();
    let is_given = !address.is_unspecified() && option(options, MESSAGE_TYPE) == Some(&[ACKNOWLEDGEMENT]);
    let lifetime = option(options, LEASE_TIME).and_then(|time| <[u8; 4]>::try_from(time).ok());
    is_given.then_some(HeardLease {
        mac: hardware_address(message)?,
        address,
        lifetime: Duration::from_secs(lifetime.map_or(0, u32::from_be_bytes).into()),
    })
}

/// What the options say under this code (RFC 2132).
fn option(mut options: &[u8], code: u8) -> Option<&[u8]> {
    loop {
        match options {
            [0, rest @ ..] => options = rest,
            [255, ..] | [] | [_] => return None,
            [found, length, rest @ ..] => {
                let (value, others) = rest.split_at_checked(usize::from(*length))?;
                if *found == code {
                    return Some(value);
                }
                options = others;
            }
        }
    }
}

/// Whose message it is: DHCP's `chaddr`.
fn hardware_address(message: &[u8]) -> Option<Mac> {
    Some(Mac(*message.get(28..)?.first_chunk()?))
}

fn is_arp(link: Link) -> bool {
    matches!(
        link,
        Link::Typed {
            ethertype: ethertype::ARP,
            ..
        }
    )
}

/// Neighbour discovery (RFC 4861) and group membership (RFC 2710, RFC 3810).
fn is_neighborly(ip: &Ip<'_>) -> bool {
    matches!(ip.icmpv6_type(), Some(130..=132 | 135 | 136 | 143))
}

/// Pieces of a packet are worth nothing without the first, which shows its ports.
fn is_found_or_played(ip: &Ip<'_>) -> bool {
    if matches!(ip.upper, Upper::Fragment { offset: 1.., .. }) {
        return true;
    }
    let Some((source, destination)) = ports(ip) else {
        return false;
    };
    let is_udp = ip.protocol == protocol::UDP;
    let listens = |port: u16| is_in(&GAMES, port) || is_udp && DISCOVERY.contains(&port);
    // An answer to somebody who has asked; who only says that it comes from a game opens nothing.
    let is_answer = listens(source) && destination >= ASKING && !is_in(&CLOSED, destination) && !opens(ip);
    listens(destination) || is_answer
}

/// True if a TCP segment opens a connection.
fn opens(ip: &Ip<'_>) -> bool {
    const SYN: u8 = 2;
    const ACK: u8 = 16;
    let flags = ip.beginning(protocol::TCP).and_then(|segment| segment.get(13));
    flags.is_some_and(|flags| flags & (SYN | ACK) == SYN)
}

/// Source and destination port of UDP and TCP.
fn ports(ip: &Ip<'_>) -> Option<(u16, u16)> {
    let bytes = ip
        .beginning(protocol::UDP)
        .or_else(|| ip.beginning(protocol::TCP))?;
    Some((word(bytes, 0)?, word(bytes, 2)?))
}

fn is_in(ranges: &[(u16, u16)], port: u16) -> bool {
    ranges.iter().any(|&(first, last)| (first..=last).contains(&port))
}

fn is_own_v4(ip: &Ip<'_>, mac: Mac, lease: Option<Ipv4Addr>) -> bool {
    let Some(source) = ip.addresses.first_chunk::<4>().copied().map(Ipv4Addr::from) else {
        return false;
    };
    if let Some((DHCP_CLIENT, DHCP_SERVER, message)) = ip.udp() {
        // Who had an address before we were there asks for it again under it.
        let is_mine = source.is_unspecified() || lease.is_none_or(|lease| lease == source);
        return is_mine && hardware_address(message) == Some(mac);
    }
    lease == Some(source) || source.is_unspecified() && ip.protocol == protocol::IGMP
}

/// An Ethernet sender that is the member, and an address that is its own, or a probe (RFC 5227, section 1.1).
fn is_own_arp(message: &[u8], mac: Mac, lease: Option<Ipv4Addr>) -> bool {
    const ETHERNET_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    let Some((head, _)) = message.split_first_chunk::<28>() else {
        return false;
    };
    let sender = Ipv4Addr::new(head[14], head[15], head[16], head[17]);
    head[..6] == ETHERNET_IPV4 && head[8..14] == mac.0 && (sender.is_unspecified() || lease == Some(sender))
}

fn is_own_v6(ip: &Ip<'_>, mac: Mac) -> bool {
    let own = link_local(mac);
    let Some(source) = ip.addresses.first_chunk::<16>().copied().map(Ipv6Addr::from) else {
        return false;
    };
    if source != own && !(source.is_unspecified() && ip.icmpv6_type().is_some()) {
        return false;
    }
    let Some(message) = ip.beginning(protocol::ICMPV6) else {
        return true;
    };
    match ip.icmpv6_type() {
        // Router solicitation, neighbour solicitation, neighbour advertisement: options stand behind 8 and 24 bytes.
        Some(133) => names_only(message.get(8..), mac),
        Some(135) => names_only(message.get(24..), mac),
        Some(136) => message.get(8..24) == Some(&own.octets()[..]) && names_only(message.get(24..), mac),
        Some(_) | None => true,
    }
}

/// True if every option with a link-layer address (RFC 4861, section 4.6.1) has this one.
fn names_only(options: Option<&[u8]>, mac: Mac) -> bool {
    let Some(mut options) = options else {
        return false;
    };
    while let [kind, units, ..] = *options {
        let Some((option, rest)) = options.split_at_checked(usize::from(units) * 8) else {
            return false;
        };
        if units == 0 || matches!(kind, 1 | 2) && option.get(2..8) != Some(&mac.0[..]) {
            return false;
        }
        options = rest;
    }
    options.is_empty()
}

/// The link-local address of an interface that makes it from its MAC.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
}
