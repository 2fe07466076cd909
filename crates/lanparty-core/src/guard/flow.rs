//! Which frames must stay in order: those of one flow.
//!
//! The value travels in the clear header, so it is keyed with something that the session alone knows: an observer sees that two
//! datagrams belong together, not what they belong to.

use std::hash::{DefaultHasher, Hasher};

use lanparty_wire::Frame;

use super::packet::{Ip, Link, Packet, Upper, protocol};

/// Equal for frames of one flow in one direction: addresses, protocol and ports of TCP and UDP, addresses and protocol of other
/// IP packets and of all fragments (the first has ports, the others do not), else MAC addresses and type. The upper byte is what the
/// header carries.
pub fn flow_hash(key: u64, frame: &[u8]) -> u16 {
    // The top of SipHash is as good as any other part.
    Packet::parse(Frame::plain(frame)).map_or(0, |packet| (hash(key, &packet) >> 48) as u16)
}

/// The same, unshortened.
pub(super) fn hash(key: u64, packet: &Packet<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(key);
    match packet.ip() {
        Some(ip) => write_ip(&mut hasher, ip),
        None => write_link(&mut hasher, packet),
    }
    hasher.finish()
}

fn write_ip(hasher: &mut DefaultHasher, ip: &Ip<'_>) {
    hasher.write(ip.addresses);
    hasher.write_u8(ip.protocol);
    let has_ports = matches!(ip.protocol, protocol::TCP | protocol::UDP);
    if let Upper::Whole { bytes, .. } = ip.upper
        && has_ports
        && let Some(ports) = bytes.first_chunk::<4>()
    {
        hasher.write(ports);
    }
}

fn write_link(hasher: &mut DefaultHasher, packet: &Packet<'_>) {
    hasher.write(&packet.destination.0);
    hasher.write(&packet.source.0);
    match packet.link {
        Link::Typed { ethertype, .. } => hasher.write_u16(ethertype),
        Link::Llc { destination, source } => hasher.write(&[destination, source]),
        Link::Vendor { oui } => hasher.write(&oui),
        Link::RawIpx | Link::Cut => {}
    }
}
