//! Packets in forms that no honest stack writes: options, odd fragments, chains of extension headers.
//!
//! Checksums are those that a receiver would want to see where it looks at them before it looks at anything else: in IPv4's header.

use lanparty_testkit::lab::frame::{IPV4, IPV6};

const FROM: [u8; 4] = [10, 73, 42, 66];
const TO: [u8; 4] = [255; 4];

/// The field of flags and offset: do not fragment, and more fragments.
pub const WHOLE: u16 = 0x4000;
pub const MORE: u16 = 0x2000;

/// An IPv4 packet with options in its header and any field of flags and offset.
pub fn ipv4(protocol: u8, options: &[u8], field: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let mut packet = vec![0x40 | u8::try_from(header_len / 4).unwrap(), 0];
    packet.extend(word(header_len + payload.len()));
    packet.extend([0x66, 0x66]);
    packet.extend(field.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend([FROM, TO].concat());
    packet.extend(options);
    let sum = packet
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum::<u32>();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !(((sum & 0xffff) + (sum >> 16)) as u16);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet from a link-local address to all nodes.
pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(word(payload.len()));
    packet.extend([next, 255]);
    packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x66]);
    packet.extend([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

/// An extension header of `8 + units * 8` bytes in front of what it says is `next`.
pub fn extension(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + usize::from(units) * 8];
    (bytes[0], bytes[1]) = (next, units);
    // A padding option as long as the header, so that a host skips it.
    (bytes[2], bytes[3]) = (1, 4 + units * 8);
    bytes.extend(payload);
    bytes
}

/// UDP without a checksum.
pub fn udp(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    [
        &from.to_be_bytes()[..],
        &to.to_be_bytes(),
        &word(8 + payload.len()),
        &[0, 0],
        payload,
    ]
    .concat()
}

/// A BOOTP message: 1 is a question, 2 an answer. The mark stands in the server's name.
pub fn bootp(operation: u8, mark: &[u8]) -> Vec<u8> {
    let mut message = vec![0; 236];
    message[..4].copy_from_slice(&[operation, 1, 6, 0]);
    message[44..44 + mark.len()].copy_from_slice(mark);
    message.extend([0x63, 0x82, 0x53, 0x63, 53, 1, 2, 255]);
    message
}

/// ICMPv6: type 134 is a router advertisement, 137 a redirect.
pub fn icmp6(kind: u8, mark: &[u8]) -> Vec<u8> {
    [
        &[kind, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0, 253, 2][..],
        mark,
        &[0; 6],
    ]
    .concat()
}

/// What follows the addresses of a frame: a type and its payload.
pub fn typed(kind: u16, payload: &[u8]) -> Vec<u8> {
    [&kind.to_be_bytes()[..], payload].concat()
}

pub fn v4(packet: &[u8]) -> Vec<u8> {
    typed(IPV4, packet)
}

pub fn v6(packet: &[u8]) -> Vec<u8> {
    typed(IPV6, packet)
}

/// A length, IEEE 802.2 and the payload.
pub fn llc(header: &[u8], payload: &[u8]) -> Vec<u8> {
    [&word(header.len() + payload.len())[..], header, payload].concat()
}

/// A type and its payload behind SNAP, which access points and some hosts read as if it were not there.
pub fn snap(oui: [u8; 3], typed: &[u8]) -> Vec<u8> {
    llc(&[&[0xaa, 0xaa, 3][..], &oui].concat(), typed)
}

/// A VLAN tag of the kind `tag` in front of a type and its payload.
pub fn tag(tag: u16, id: u16, typed: &[u8]) -> Vec<u8> {
    [&tag.to_be_bytes()[..], &id.to_be_bytes(), typed].concat()
}

fn word(value: usize) -> [u8; 2] {
    u16::try_from(value).unwrap().to_be_bytes()
}
