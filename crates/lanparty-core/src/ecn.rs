//! Telling a sender of a queue without losing its packet: congestion marks in IP headers (RFC 3168) and in ours.
//!
//! Who can see the frame marks the frame. Who cannot (a relay, which must treat sealed and open rooms alike) sets CONGESTED in the
//! datagram's header, and the receiver settles it as a tunnel's egress does (RFC 6040, section 4.2): a frame whose sender understands
//! ECN gets the mark, any other is dropped, because to its sender a loss is the only mark.

use bytes::{Bytes, BytesMut};
use lanparty_wire::{Frame, Header};

use crate::guard::{Network, Packet};

const ECN: u8 = 0b11;
const CONGESTION_EXPERIENCED: u8 = 0b11;
/// The ECN field is the lower end of the second byte in IPv4, and the middle of the second byte in IPv6.
const SHIFT_V4: u8 = 0;
const SHIFT_V6: u8 = 4;

/// Where the ECN field of a frame stands.
#[derive(Clone, Copy)]
struct Field {
    /// Where the IP header begins.
    at: usize,
    shift: u8,
}

/// True if the sender of the frame understands a mark. Not so if it is not IP.
pub fn is_capable(frame: &[u8]) -> bool {
    find(frame).is_some_and(|field| field.read(frame) != Some(0))
}

/// Marks a frame as having experienced congestion. False, and nothing changed, if its sender would not understand.
pub fn mark(frame: &mut [u8]) -> bool {
    let Some(field) = find(frame) else {
        return false;
    };
    match field.read(frame) {
        None | Some(0) => false,
        Some(CONGESTION_EXPERIENCED) => true,
        Some(_) => field.mark(frame),
    }
}

/// Sets CONGESTED in a datagram's header. False, and nothing changed, if it is no datagram of ours. Copies it if its bytes are shared.
pub fn set_congested(datagram: &mut Bytes) -> bool {
    let Ok((header, _)) = Header::decode(datagram) else {
        return false;
    };
    let marked = Header {
        congested: true,
        ..header
    };
    let mut bytes = std::mem::take(datagram)
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let head = marked.encode();
    bytes[..head.len()].copy_from_slice(&head);
    *datagram = bytes.freeze();
    true
}

fn find(frame: &[u8]) -> Option<Field> {
    let packet = Packet::parse(Frame::plain(frame)).ok()?;
    let (at, shift) = match &packet.network {
        Network::V4(ip) => (ip.at, SHIFT_V4),
        Network::V6(ip) => (ip.at, SHIFT_V6),
        Network::Other | Network::Broken => return None,
    };
    Some(Field { at, shift })
}

impl Field {
    fn read(self, frame: &[u8]) -> Option<u8> {
        frame.get(self.at + 1).map(|byte| byte >> self.shift & ECN)
    }

    fn mark(self, frame: &mut [u8]) -> bool {
        let Some(header) = frame.get_mut(self.at..) else {
            return false;
        };
        let Some(&[first, second]) = header.first_chunk() else {
            return false;
        };
        let marked = second | CONGESTION_EXPERIENCED << self.shift;
        if self.shift == SHIFT_V4 {
            let Some(sum) = header.get_mut(10..12) else {
                return false;
            };
            let before = u16::from_be_bytes([first, second]);
            let after = u16::from_be_bytes([first, marked]);
            let updated = updated_sum(u16::from_be_bytes([sum[0], sum[1]]), before, after);
            sum.copy_from_slice(&updated.to_be_bytes());
        }
        header[1] = marked;
        true
    }
}

/// The Internet checksum after one word has changed (RFC 1624, equation 3).
fn updated_sum(sum: u16, before: u16, after: u16) -> u16 {
    let total = u32::from(!sum) + u32::from(!before) + u32::from(after);
    let folded = (total & 0xffff) + (total >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use etherparse::{Ipv4HeaderSlice, Ipv6HeaderSlice};
    use lanparty_wire::{Class, Destination, Kind, Mac, MemberId, ethertype};

    use super::*;
    use crate::guard::crafted::*;

    fn v4_with(ecn: u8, tos: u8) -> Vec<u8> {
        let mut packet = ipv4(17, &[], &udp(1, 2, &[7; 40]));
        packet[1] = tos << 2 | ecn;
        let sum = Ipv4HeaderSlice::from_slice(&packet)
            .unwrap()
            .to_header()
            .calc_header_checksum();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    #[test]
    fn ipv4_is_marked_and_its_checksum_stays_right() {
        for tos in 0..64 {
            for ecn in 1..=3 {
                let mut frame = v4(&v4_with(ecn, tos));
                assert!(is_capable(&frame) && mark(&mut frame));
                let header = Ipv4HeaderSlice::from_slice(&frame[14..]).unwrap();
                assert_eq!(header.ecn().value(), 3);
                assert_eq!(header.dcp().value(), tos);
                assert_eq!(
                    header.header_checksum(),
                    header.to_header().calc_header_checksum()
                );
            }
        }
    }

    #[test]
    fn ipv6_is_marked_behind_tags_too() {
        let mut packet = ipv6(17, &udp(1, 2, &[7; 40]));
        packet[0] |= 0x0b;
        packet[1] |= 0x9a;
        packet[1] &= !0x30;
        packet[1] |= 0x20;
        let tagged = [&[0, 5][..], &ethertype::IPV6.to_be_bytes(), &packet].concat();
        let mut frame = ether(Mac([2; 6]), ethertype::VLAN, &tagged);
        let before = Ipv6HeaderSlice::from_slice(&packet).unwrap().to_header();
        assert!(mark(&mut frame));
        let after = Ipv6HeaderSlice::from_slice(&frame[18..]).unwrap().to_header();
        assert_eq!(after.traffic_class, before.traffic_class | 3);
        assert_eq!(after.flow_label, before.flow_label);
    }

    #[test]
    fn what_does_not_understand_is_left_alone() {
        for frame in [
            v4(&v4_with(0, 0)),
            v6(&ipv6(17, &udp(1, 2, &[]))),
            ether(Mac([2; 6]), ethertype::IPX, &[0xff; 60]),
            vec![1, 2, 3],
        ] {
            let mut marked = frame.clone();
            assert!(!is_capable(&frame) && !mark(&mut marked));
            assert_eq!(frame, marked);
        }
    }

    #[test]
    fn one_receivers_mark_is_not_anothers() {
        let header = Header {
            kind: Kind::Frame,
            fragment: false,
            congested: false,
            class: Class::Bulk,
            key_id: 3,
            flow: 9,
            source: MemberId::new(7).unwrap(),
            destination: Destination::Flood,
            sequence: 1,
        };
        let mut mine = Bytes::from([&header.encode()[..], &[1; 100]].concat());
        let theirs = mine.clone();
        assert!(set_congested(&mut mine));
        let (marked, rest) = Header::decode(&mine).unwrap();
        assert!(marked.congested);
        assert_eq!(marked.associated_data(), header.associated_data());
        assert_eq!(rest, [1; 100]);
        assert_eq!(Header::decode(&theirs).unwrap().0, header);
        let mut junk = Bytes::from_static(&[0; 30]);
        assert!(!set_congested(&mut junk));
        assert_eq!(junk.len(), 30);
    }
}
