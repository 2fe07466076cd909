//! Ethernet frames as the lab reads and writes them.
//!
//! This is written apart from `lanparty-wire` on purpose: a test that judges the product's filters with the product's
//! own parser would agree with every mistake in it.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// `ff:ff:ff:ff:ff:ff`.
pub const BROADCAST: [u8; 6] = [0xff; 6];

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// One Ethernet frame, from the destination address on, without check sequence.
#[derive(Clone, PartialEq, Eq)]
pub struct Frame(Vec<u8>);

impl From<&[u8]> for Frame {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }
}

impl Frame {
    /// A frame with the given type (or length) field. The payload is taken as it is, without padding.
    pub fn new(destination: [u8; 6], source: [u8; 6], kind: u16, payload: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(14 + payload.len());
        bytes.extend_from_slice(&destination);
        bytes.extend_from_slice(&source);
        bytes.extend_from_slice(&kind.to_be_bytes());
        bytes.extend_from_slice(payload);
        Self(bytes)
    }

    /// A UDP datagram in IPv4.
    pub fn udp4(
        (destination, source): ([u8; 6], [u8; 6]),
        (from, from_port): (Ipv4Addr, u16),
        (to, to_port): (Ipv4Addr, u16),
        payload: &[u8],
    ) -> Self {
        let udp = udp_header(from_port, to_port, payload);
        let pseudo = [&from.octets()[..], &to.octets(), &[0, UDP], &length16(udp.len())].concat();
        let udp = with_checksum(udp, 6, &pseudo);
        let mut header = vec![0x45, 0];
        header.extend_from_slice(&length16(20 + udp.len()));
        header.extend_from_slice(&[0x1a, 0x5e, 0x40, 0, 64, UDP, 0, 0]);
        header.extend_from_slice(&from.octets());
        header.extend_from_slice(&to.octets());
        let header = with_checksum(header, 10, &[]);
        Self::new(destination, source, IPV4, &[header, udp].concat())
    }

    /// A UDP datagram in IPv6.
    pub fn udp6(
        macs: ([u8; 6], [u8; 6]),
        (from, from_port): (Ipv6Addr, u16),
        (to, to_port): (Ipv6Addr, u16),
        payload: &[u8],
    ) -> Self {
        let udp = udp_header(from_port, to_port, payload);
        let pseudo = pseudo6(from, to, UDP, udp.len());
        let udp = with_checksum(udp, 6, &pseudo);
        Self::ipv6(macs, (from, to), UDP, &udp)
    }

    /// An ICMPv6 message; its checksum field (bytes 2 and 3) is filled in.
    pub fn icmp6(macs: ([u8; 6], [u8; 6]), (from, to): (Ipv6Addr, Ipv6Addr), message: &[u8]) -> Self {
        let message = with_checksum(message.to_vec(), 2, &pseudo6(from, to, ICMPV6, message.len()));
        Self::ipv6(macs, (from, to), ICMPV6, &message)
    }

    /// An IPv6 packet with the given next header and whatever follows the fixed header.
    pub fn ipv6(
        (destination, source): ([u8; 6], [u8; 6]),
        (from, to): (Ipv6Addr, Ipv6Addr),
        next_header: u8,
        payload: &[u8],
    ) -> Self {
        let mut packet = vec![0x60, 0, 0, 0];
        packet.extend_from_slice(&length16(payload.len()));
        packet.extend_from_slice(&[next_header, 255]);
        packet.extend_from_slice(&from.octets());
        packet.extend_from_slice(&to.octets());
        packet.extend_from_slice(payload);
        Self::new(destination, source, IPV6, &packet)
    }

    /// All bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Destination address; zeros if the frame is too short to have one.
    pub fn destination(&self) -> [u8; 6] {
        self.address(0)
    }

    /// Source address; zeros if the frame is too short to have one.
    pub fn source(&self) -> [u8; 6] {
        self.address(6)
    }

    /// The type or length field.
    pub fn kind(&self) -> u16 {
        self.word(12)
    }

    /// What follows the type or length field.
    pub fn payload(&self) -> &[u8] {
        self.0.get(14..).unwrap_or_default()
    }

    /// True if the payload starts with `bytes`; what follows may be padding.
    pub fn carries(&self, bytes: &[u8]) -> bool {
        self.payload().starts_with(bytes)
    }

    /// True if `bytes` stand anywhere in the frame.
    pub fn contains(&self, bytes: &[u8]) -> bool {
        self.0.windows(bytes.len()).any(|window| window == bytes)
    }

    /// True for a part of a fragmented IPv4 or IPv6 packet.
    pub fn is_ip_fragment(&self) -> bool {
        match self.kind() {
            IPV4 => self.word(20) & 0x3fff != 0,
            // Only as the first extension header, which is where a host that fragments puts it.
            IPV6 => self.0.get(20) == Some(&44),
            _ => false,
        }
    }

    /// Source and destination of an unfragmented IPv4 UDP datagram, and its payload.
    pub fn udp(&self) -> Option<Datagram<'_>> {
        if self.kind() != IPV4 || self.is_ip_fragment() || self.0.get(23) != Some(&UDP) {
            return None;
        }
        let udp = 14 + usize::from(self.0[14] & 0x0f) * 4;
        let payload = self.0.get(udp + 8..)?;
        let length = usize::from(self.word(udp + 4)).saturating_sub(8);
        Some(Datagram {
            from: (self.ipv4(26)?, self.word(udp)),
            to: (self.ipv4(30)?, self.word(udp + 2)),
            payload: payload.get(..length).unwrap_or(payload),
        })
    }

    /// Target address of an ARP request.
    pub fn arp_request_for(&self) -> Option<Ipv4Addr> {
        (self.kind() == ARP && self.word(20) == 1)
            .then(|| self.ipv4(38))
            .flatten()
    }

    /// Type of an ICMPv6 message that follows the fixed header directly.
    pub fn icmp6_type(&self) -> Option<u8> {
        (self.kind() == IPV6 && self.0.get(20) == Some(&ICMPV6))
            .then(|| self.0.get(54).copied())
            .flatten()
    }

    fn address(&self, at: usize) -> [u8; 6] {
        self.0
            .get(at..at + 6)
            .and_then(|bytes| bytes.try_into().ok())
            .unwrap_or_default()
    }

    fn word(&self, at: usize) -> u16 {
        self.0
            .get(at..at + 2)
            .and_then(|bytes| bytes.try_into().ok())
            .map_or(0, u16::from_be_bytes)
    }

    fn ipv4(&self, at: usize) -> Option<Ipv4Addr> {
        let octets: [u8; 4] = self.0.get(at..at + 4)?.try_into().ok()?;
        Some(octets.into())
    }
}

/// A UDP datagram inside a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// Sender.
    pub from: (Ipv4Addr, u16),
    /// Addressee.
    pub to: (Ipv4Addr, u16),
    /// What the program sent.
    pub payload: &'a [u8],
}

impl fmt::Display for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} > {} {:04x} {} bytes",
            mac_text(self.source()),
            mac_text(self.destination()),
            self.kind(),
            self.0.len()
        )?;
        match self.udp() {
            Some(udp) => write!(
                out,
                " udp {}:{} > {}:{}",
                udp.from.0, udp.from.1, udp.to.0, udp.to.1
            ),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

/// A hardware address as everybody writes it.
pub fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Reads what [`mac_text`] writes.
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> = text
        .trim()
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).ok())
        .collect();
    bytes?.try_into().ok()
}

fn udp_header(from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let mut udp = [
        from.to_be_bytes(),
        to.to_be_bytes(),
        length16(8 + payload.len()),
        [0, 0],
    ]
    .concat();
    udp.extend_from_slice(payload);
    udp
}

fn pseudo6(from: Ipv6Addr, to: Ipv6Addr, protocol: u8, length: usize) -> Vec<u8> {
    [
        &from.octets()[..],
        &to.octets(),
        &[0, 0],
        &length16(length),
        &[0, 0, 0, protocol],
    ]
    .concat()
}

/// A length that a test made up; anything over 16 bits is a mistake in the test and shows as a wrong length.
fn length16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

/// Writes the internet checksum (RFC 1071) over `pseudo` and `bytes` at offset `at` of `bytes`.
fn with_checksum(mut bytes: Vec<u8>, at: usize, pseudo: &[u8]) -> Vec<u8> {
    let sum: u32 = [pseudo, &bytes]
        .iter()
        .flat_map(|part| part.chunks(2))
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let checksum = match !(folded as u16) {
        // In UDP zero means "none"; everywhere else both forms of zero are equal.
        0 => 0xffff,
        other => other,
    };
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&checksum.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const MACS: ([u8; 6], [u8; 6]) = (BROADCAST, [2, 0, 0, 0, 0, 1]);

    #[test]
    fn a_datagram_written_is_a_datagram_read() {
        let from = (Ipv4Addr::new(10, 0, 0, 1), 5000);
        let to = (Ipv4Addr::BROADCAST, 6000);
        let frame = Frame::udp4(MACS, from, to, b"hello");
        assert_eq!(
            frame.udp(),
            Some(Datagram {
                from,
                to,
                payload: b"hello"
            })
        );
        assert_eq!(frame.destination(), BROADCAST);
        assert!(!frame.is_ip_fragment());
    }

    #[test]
    fn checksums_are_those_of_etherparse() {
        let from = (Ipv4Addr::new(192, 168, 1, 20), 68);
        let to = (Ipv4Addr::new(192, 168, 1, 1), 67);
        let frame = Frame::udp4(MACS, from, to, b"odd length");
        let packet = etherparse::SlicedPacket::from_ethernet(frame.bytes()).unwrap();
        let Some(etherparse::NetSlice::Ipv4(ip)) = packet.net else {
            panic!("not IPv4")
        };
        let header = ip.header().to_header();
        assert_eq!(header.header_checksum, header.calc_header_checksum());
        let Some(etherparse::TransportSlice::Udp(udp)) = packet.transport else {
            panic!("not UDP")
        };
        let expected = udp
            .to_header()
            .calc_checksum_ipv4(&header, udp.payload())
            .unwrap();
        assert_eq!(udp.checksum(), expected);
    }

    #[test]
    fn fragments_are_told_from_whole_packets() {
        let mut bytes = Frame::udp4(MACS, (Ipv4Addr::LOCALHOST, 1), (Ipv4Addr::LOCALHOST, 2), b"x").0;
        bytes[20] = 0x20;
        assert!(Frame::from(&bytes[..]).is_ip_fragment());
        let whole = Frame::ipv6(MACS, (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST), UDP, &[0; 8]);
        let part = Frame::ipv6(MACS, (Ipv6Addr::LOCALHOST, Ipv6Addr::LOCALHOST), 44, &[0; 8]);
        assert!(part.is_ip_fragment() && !whole.is_ip_fragment());
    }

    #[test]
    fn short_frames_have_no_fields_and_do_no_harm() {
        for length in 0..60 {
            let frame = Frame::from(&vec![0x45; length][..]);
            let _ = (
                frame.udp(),
                frame.arp_request_for(),
                frame.icmp6_type(),
                frame.is_ip_fragment(),
            );
            let _ = (frame.source(), frame.kind(), frame.to_string());
        }
    }

    #[test]
    fn addresses_survive_their_text() {
        let mac = [0x02, 0xab, 0, 1, 0xfe, 0x10];
        assert_eq!(parse_mac(&mac_text(mac)), Some(mac));
        assert_eq!(parse_mac("02:ab:00:01:fe"), None);
        assert_eq!(parse_mac("lo"), None);
    }
}
