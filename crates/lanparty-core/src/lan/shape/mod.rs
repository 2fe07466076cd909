//! Keeping members' internet where it is: what a party's routers and servers offer to everybody is right for those who sit there, and wrong
//! for who sits at home. Only the copy toward the room is touched; the LAN's own stations see what their servers have sent.
//!
//! | what the LAN says | what members get |
//! |---|---|
//! | DHCP and BOOTP replies | without the options of `dhcp::REMOVED`, to clients and through relay agents alike |
//! | DHCPv6 advertise, reply, reconfigure | without the options of `dhcpv6::REMOVED`, inside relay-reply as well |
//! | router advertisements | with a router lifetime of zero, without the options of `router::REMOVED`, with prefixes |
//! | redirects; IPv4 router advertisements (RFC 1256) | nothing |
//!
//! What is kept is kept byte for byte and in its order; checksums are those of the changed message. A message that authenticates itself (RFC
//! 3118, SEND) does so no more. What cannot be looked into as a whole, because it comes in fragments or behind an authentication header, does not
//! pass: no DHCP server and no router sends such (RFC 6980), but who hides does.

pub(crate) mod dhcp;
pub(crate) mod dhcpv6;
pub(crate) mod router;
#[cfg(test)]
mod tests;

use lanparty_wire::{DropReason, Frame, MIN_FRAME_LEN, Offload, checksum::Sum};

use super::{Pass, concern::Concern};
use crate::guard::{Ip, Network, Packet, Upper, protocol};

/// What members get of a frame from the LAN, for fuzzing and measuring; `None` if it is this frame itself.
///
/// # Errors
/// Why they get nothing.
pub fn shape_frame(frame: Frame<'_>) -> Result<Option<Vec<u8>>, DropReason> {
    let packet = Packet::parse(frame)?;
    match shape(&packet, Concern::of(&packet))? {
        Pass::Changed(changed) => Ok(Some(changed)),
        Pass::AsItIs | Pass::Taken => Ok(None),
    }
}

/// What members get of what the LAN has said.
///
/// # Errors
/// It must not reach them, or what has to be taken out of it cannot be.
pub(super) fn shape(packet: &Packet<'_>, concern: Concern) -> Result<Pass, DropReason> {
    /// RFC 792.
    const REDIRECT: u8 = 5;
    /// RFC 1256.
    const ADVERTISEMENT: u8 = 9;
    /// RFC 4861, section 4.5.
    const REDIRECT_V6: u8 = 137;
    /// RFC 4861, section 4.2.
    const ADVERTISEMENT_V6: u8 = 134;

    match concern {
        Concern::Icmp(REDIRECT) => Err(DropReason::Ipv4Redirect),
        Concern::Icmp(ADVERTISEMENT) => Err(DropReason::RouterAdvertisement),
        Concern::Icmpv6(REDIRECT_V6) => Err(DropReason::Ipv6Redirect),
        Concern::Icmpv6(ADVERTISEMENT_V6) => edit(packet, router::edit),
        Concern::Dhcp => edit(packet, |upper| behind_udp(upper, |message| dhcp::edit(message))),
        Concern::Dhcpv6 => edit(packet, |upper| behind_udp(upper, dhcpv6::edit)),
        Concern::Hidden => Err(DropReason::Unshapable),
        Concern::None | Concern::Arp | Concern::Igmp | Concern::Icmp(_) | Concern::Icmpv6(_) => {
            Ok(Pass::AsItIs)
        }
    }
}

/// Lets `editor` change what a packet carries; it says whether it has.
fn edit(packet: &Packet<'_>, editor: impl FnOnce(&mut Vec<u8>) -> bool) -> Result<Pass, DropReason> {
    let ip = packet.ip().ok_or(DropReason::Unshapable)?;
    let is_v6 = matches!(packet.network, Network::V6(_));
    match packet.frame.offload {
        Offload::None | Offload::ChecksumNeeded { .. } => {}
        // Many messages behind one header.
        Offload::TcpSegments { .. } | Offload::UdpSegments { .. } => return Err(DropReason::Unshapable),
    }
    let Upper::Whole { at, bytes } = ip.upper else {
        return Err(DropReason::Unshapable);
    };
    let mut upper = bytes.to_vec();
    if !editor(&mut upper) {
        return Ok(Pass::AsItIs);
    }
    if !ip.rewritable {
        return Err(DropReason::Unshapable);
    }
    rebuild(packet.frame.bytes, ip, is_v6, at, &upper)
        .map(Pass::Changed)
        .ok_or(DropReason::Unshapable)
}

/// Lets `editor` change the payload of a UDP datagram. What is behind the datagram's own end (RFC 9868) is cut off if it does.
fn behind_udp(upper: &mut Vec<u8>, editor: impl FnOnce(&mut Vec<u8>) -> bool) -> bool {
    const HEADER: usize = 8;
    let Some(declared) = upper
        .get(4..6)
        .map(|field| usize::from(u16::from_be_bytes([field[0], field[1]])))
    else {
        return false;
    };
    // Receivers of raw frames look behind the datagram's end as well.
    let end = if (HEADER..=upper.len()).contains(&declared) {
        declared
    } else {
        upper.len()
    };
    let Some(payload) = upper.get(HEADER..end) else {
        return false;
    };
    let mut payload = payload.to_vec();
    if !editor(&mut payload) {
        return false;
    }
    upper.truncate(HEADER);
    upper.extend_from_slice(&payload);
    let Ok(len) = u16::try_from(upper.len()) else {
        return false;
    };
    upper[4..6].copy_from_slice(&len.to_be_bytes());
    true
}

/// The frame with `upper` in place of what its packet carries, at `at`, with lengths and checksums that fit. It is as long as it was: a
/// packet that has become shorter has padding behind it. `None` if that is no packet.
fn rebuild(frame: &[u8], ip: &Ip<'_>, is_v6: bool, at: usize, upper: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = frame.get(..at)?.to_vec();
    bytes.extend_from_slice(upper);
    let field = match ip.protocol {
        protocol::UDP => 6,
        protocol::ICMP | protocol::ICMPV6 => 2,
        _ => return None,
    };
    let header = bytes.get_mut(ip.at..at)?;
    if is_v6 {
        let len = u16::try_from(header.len() - 40 + upper.len()).ok()?;
        header.get_mut(4..6)?.copy_from_slice(&len.to_be_bytes());
    } else {
        let len = u16::try_from(header.len() + upper.len()).ok()?;
        header.get_mut(2..4)?.copy_from_slice(&len.to_be_bytes());
        header.get_mut(10..12)?.fill(0);
        let sum = Sum::new().add_bytes(header).checksum();
        header.get_mut(10..12)?.copy_from_slice(&sum.to_be_bytes());
    }
    let mut sum = Sum::new();
    if ip.protocol != protocol::ICMP {
        let len = u16::try_from(upper.len()).ok()?;
        sum = sum
            .add_bytes(ip.addresses)
            .add_word(len)
            .add_word(ip.protocol.into());
    }
    let upper = bytes.get_mut(at..)?;
    upper.get_mut(field..field + 2)?.fill(0);
    let checksum = match sum.add_bytes(upper).checksum() {
        // Zero means that there is none (RFC 768).
        0 if ip.protocol == protocol::UDP => 0xffff,
        checksum => checksum,
    };
    upper
        .get_mut(field..field + 2)?
        .copy_from_slice(&checksum.to_be_bytes());
    bytes.resize(bytes.len().max(frame.len()).max(MIN_FRAME_LEN), 0);
    Some(bytes)
}
