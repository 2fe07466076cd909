//! Frames for tests, written byte by byte, with a checksum that shares nothing with the code under test.

use lanparty_wire::{Mac, ethertype};

pub(crate) const MEMBER: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const STATION: Mac = Mac([0x52, 0x54, 0, 0, 0, 9]);
pub(crate) const ALL_NODES: Mac = Mac([0x33, 0x33, 0, 0, 0, 1]);

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const PSH: u8 = 0x08;
pub(crate) const ACK: u8 = 0x10;
pub(crate) const CWR: u8 = 0x80;

/// A frame from [`MEMBER`]; `kind` is a type or a length.
pub(crate) fn ether(destination: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&destination.0[..], &MEMBER.0, &kind.to_be_bytes(), payload].concat()
}

/// The same, with a length and LLC in front of the payload.
pub(crate) fn llc(destination: Mac, header: &[u8], payload: &[u8]) -> Vec<u8> {
    let body = [header, payload].concat();
    ether(destination, body.len() as u16, &body)
}

/// SNAP behind LLC.
pub(crate) fn snap(destination: Mac, oui: [u8; 3], kind: u16, payload: &[u8]) -> Vec<u8> {
    let [a, b, c] = oui;
    let [high, low] = kind.to_be_bytes();
    llc(destination, &[0xaa, 0xaa, 0x03, a, b, c, high, low], payload)
}

pub(crate) fn v4(payload: &[u8]) -> Vec<u8> {
    ether(STATION, ethertype::IPV4, payload)
}

pub(crate) fn v6(payload: &[u8]) -> Vec<u8> {
    ether(STATION, ethertype::IPV6, payload)
}

/// An IPv4 packet from 10.0.0.1 to 10.0.0.9, with `options` in its header.
pub(crate) fn ipv4(protocol: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    fragment_v4(protocol, options, 0x4000, payload)
}

/// The same with the field of flags and offset.
pub(crate) fn fragment_v4(protocol: u8, options: &[u8], field: u16, payload: &[u8]) -> Vec<u8> {
    let header_len = 20 + options.len();
    let total = (header_len + payload.len()) as u16;
    let mut packet = vec![0x40 | (header_len / 4) as u8, 0];
    packet.extend(total.to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(field.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend([10, 0, 0, 1, 10, 0, 0, 9]);
    packet.extend(options);
    let sum = checksum(&packet);
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet from fe80::1 to fe80::9.
pub(crate) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 255]);
    for last in [1, 9] {
        packet.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

/// An extension header of `8 + units * 8` bytes in front of `payload`.
pub(crate) fn extension(next: u8, units: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 8 + usize::from(units) * 8];
    (bytes[0], bytes[1]) = (next, units);
    bytes.extend(payload);
    bytes
}

/// UDP without a checksum.
pub(crate) fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len()) as u16;
    let words = [source, destination, len, 0].map(u16::to_be_bytes);
    [&words.concat()[..], payload].concat()
}

/// TCP with a checksum of zero. `options` are a multiple of 4 bytes.
pub(crate) fn tcp(ports: (u16, u16), flags: u8, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut segment = [ports.0, ports.1].map(u16::to_be_bytes).concat();
    segment.extend(0xffff_ff00_u32.to_be_bytes());
    segment.extend(7_u32.to_be_bytes());
    segment.extend([
        ((20 + options.len()) as u8 / 4) << 4,
        flags,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    segment.extend(options);
    segment.extend(payload);
    segment
}

/// The internet checksum (RFC 1071) of `bytes`; zero if they contain a right one.
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0_u64;
    for (index, &byte) in bytes.iter().enumerate() {
        sum += u64::from(byte) << if index % 2 == 0 { 8 } else { 0 };
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// The checksum of what an untagged frame's IP packet carries behind `header_len` bytes of IP headers, pseudo header included;
/// zero if it is right.
pub(crate) fn transport_checksum(frame: &[u8], header_len: usize, protocol: u8) -> u16 {
    let packet = &frame[14..];
    let addresses = if packet[0] >> 4 == 4 {
        &packet[12..20]
    } else {
        &packet[8..40]
    };
    let segment = &packet[header_len..];
    let len = (segment.len() as u32).to_be_bytes();
    checksum(&[addresses, &len[..], &[0, 0, 0, protocol], segment].concat())
}

/// Puts the right checksum of an untagged frame at `offset` behind its IP headers.
pub(crate) fn with_checksum(mut frame: Vec<u8>, header_len: usize, protocol: u8, offset: usize) -> Vec<u8> {
    let at = 14 + header_len + offset;
    frame[at..at + 2].fill(0);
    let sum = transport_checksum(&frame, header_len, protocol);
    frame[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    frame
}
