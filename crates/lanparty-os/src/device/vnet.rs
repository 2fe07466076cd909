//! `virtio_net_hdr` (VIRTIO 1.2, 5.1.6), the kernel's note about what is unfinished in a frame, to and from
//! [`Offload`].
//!
//! The kernel's `hdr_len` is a hint that may be too long, so the header length is taken from the frame itself. The
//! header is in the machine's byte order, as TAP and packet sockets speak it unless told otherwise.

use lanparty_wire::{ETHERNET_HEADER_LEN, Frame, Offload, ethertype};

pub(crate) const LEN: usize = 10;
/// Nothing is left to do.
pub(crate) const FINISHED: [u8; LEN] = [0; LEN];

const NEEDS_CHECKSUM: u8 = 1;
const GSO_NONE: u8 = 0;
const GSO_TCP_V4: u8 = 1;
const GSO_TCP_V6: u8 = 4;
const GSO_UDP: u8 = 5;
/// May accompany the TCP types: the first segment carries CWR.
const GSO_ECN: u8 = 0x80;

/// The kernel described a frame in a way that the frame contradicts, or named a kind that we did not ask for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Undescribed;

/// What the header says about the frame behind it. `inserted` bytes were put into the frame in front of the network
/// header after the kernel wrote its offsets.
pub(crate) fn decode(header: &[u8; LEN], frame: &[u8], inserted: u16) -> Result<Offload, Undescribed> {
    let [flags, gso, rest @ ..] = header;
    let word = |at: usize| u16::from_ne_bytes([rest[at], rest[at + 1]]);
    let (size, start, offset) = (word(2), word(4), word(6));
    let start = start.checked_add(inserted).ok_or(Undescribed)?;
    let needs_checksum = flags & NEEDS_CHECKSUM != 0;
    if needs_checksum && usize::from(start) + usize::from(offset) + 2 > frame.len() {
        return Err(Undescribed);
    }
    let transport = || {
        if needs_checksum {
            Some(usize::from(start))
        } else {
            Transport::find(frame).map(|t| t.start)
        }
    };
    match gso & !GSO_ECN {
        GSO_NONE if needs_checksum => Ok(Offload::ChecksumNeeded { start, offset }),
        GSO_NONE => Ok(Offload::None),
        GSO_TCP_V4 | GSO_TCP_V6 => {
            let start = transport().ok_or(Undescribed)?;
            let words = frame.get(start + 12).ok_or(Undescribed)? >> 4;
            let header_len = header_len(frame, start, usize::from(words) * 4, 20)?;
            if size == 0 {
                Err(Undescribed)
            } else {
                Ok(Offload::TcpSegments { size, header_len })
            }
        }
        GSO_UDP => {
            let header_len = header_len(frame, transport().ok_or(Undescribed)?, 8, 8)?;
            if size == 0 {
                Err(Undescribed)
            } else {
                Ok(Offload::UdpSegments { size, header_len })
            }
        }
        _ => Err(Undescribed),
    }
}

/// The header that tells the kernel what is unfinished in `frame`; `None` if the frame is not what its offload says.
pub(crate) fn encode(frame: Frame<'_>) -> Option<[u8; LEN]> {
    let segments = |udp: bool, size: u16, header_len: u16| {
        let transport = Transport::find(frame.bytes)?;
        let (gso, offset) = match (udp, transport.v6) {
            (true, _) => (GSO_UDP, 6),
            (false, false) => (GSO_TCP_V4, 16),
            (false, true) => (GSO_TCP_V6, 16),
        };
        Some(pack(
            NEEDS_CHECKSUM,
            gso,
            [header_len, size, u16::try_from(transport.start).ok()?, offset],
        ))
    };
    match frame.offload {
        Offload::None => Some(FINISHED),
        Offload::ChecksumNeeded { start, offset } => {
            Some(pack(NEEDS_CHECKSUM, GSO_NONE, [0, 0, start, offset]))
        }
        Offload::TcpSegments { size, header_len } => segments(false, size, header_len),
        Offload::UdpSegments { size, header_len } => segments(true, size, header_len),
    }
}

fn pack(flags: u8, gso: u8, words: [u16; 4]) -> [u8; LEN] {
    let [[a, b], [c, d], [e, f], [g, h]] = words.map(u16::to_ne_bytes);
    [flags, gso, a, b, c, d, e, f, g, h]
}

fn header_len(frame: &[u8], start: usize, transport_len: usize, least: usize) -> Result<u16, Undescribed> {
    let end = start + transport_len;
    if transport_len < least || end > frame.len() {
        return Err(Undescribed);
    }
    u16::try_from(end).map_err(|_| Undescribed)
}

/// Where the transport header of an IP packet begins.
struct Transport {
    start: usize,
    v6: bool,
}

impl Transport {
    fn find(frame: &[u8]) -> Option<Transport> {
        let mut at = ETHERNET_HEADER_LEN - 2;
        let mut kind = word(frame, at)?;
        for _ in 0..2 {
            if kind == ethertype::VLAN || kind == ethertype::SERVICE_VLAN {
                at += 4;
                kind = word(frame, at)?;
            }
        }
        let network = at + 2;
        match kind {
            ethertype::IPV4 => {
                let len = usize::from(frame.get(network)? & 0x0f) * 4;
                (len >= 20).then_some(Transport {
                    start: network + len,
                    v6: false,
                })
            }
            ethertype::IPV6 => Some(Transport {
                start: behind_extensions(frame, network)?,
                v6: true,
            }),
            _ => None,
        }
    }
}

/// Walks the extension headers that may stand in a super-frame: hop-by-hop, routing, destination options (RFC 8200,
/// section 4).
fn behind_extensions(frame: &[u8], network: usize) -> Option<usize> {
    let mut next = *frame.get(network + 6)?;
    let mut at = network + 40;
    for _ in 0..8 {
        if !matches!(next, 0 | 43 | 60) {
            return Some(at);
        }
        next = *frame.get(at)?;
        at += 8 + usize::from(*frame.get(at + 1)?) * 8;
    }
    None
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tcp_super_frame_is_described_by_its_own_headers_and_not_by_the_hint() {
        let frame = tcp_v4(32, 4000);
        let header = pack(NEEDS_CHECKSUM, GSO_TCP_V4 | GSO_ECN, [200, 1448, 34, 16]);
        assert_eq!(
            decode(&header, &frame, 0),
            Ok(Offload::TcpSegments {
                size: 1448,
                header_len: 66
            })
        );
    }

    #[test]
    fn without_a_checksum_note_the_headers_are_found_in_the_frame() {
        let header = pack(0, GSO_TCP_V4, [0, 1448, 0, 0]);
        assert_eq!(
            decode(&header, &tcp_v4(20, 4000), 0),
            Ok(Offload::TcpSegments {
                size: 1448,
                header_len: 54
            })
        );
    }

    #[test]
    fn a_tag_put_back_moves_the_checksum() {
        let header = pack(NEEDS_CHECKSUM, GSO_NONE, [0, 0, 34, 16]);
        assert_eq!(
            decode(&header, &[0; 100], 4),
            Ok(Offload::ChecksumNeeded {
                start: 38,
                offset: 16
            })
        );
    }

    #[test]
    fn what_contradicts_the_frame_is_not_believed() {
        let frame = tcp_v4(20, 100);
        for header in [
            pack(NEEDS_CHECKSUM, GSO_NONE, [0, 0, 150, 6]),
            pack(NEEDS_CHECKSUM, GSO_NONE, [0, 0, u16::MAX, u16::MAX]),
            pack(NEEDS_CHECKSUM, GSO_TCP_V4, [0, 0, 34, 16]),
            pack(NEEDS_CHECKSUM, 3, [0, 1448, 34, 16]),
            pack(NEEDS_CHECKSUM, GSO_TCP_V4, [0, 1448, 20, 16]),
        ] {
            assert_eq!(decode(&header, &frame, 0), Err(Undescribed), "{header:?}");
        }
    }

    #[test]
    fn encoding_describes_what_decoding_understood() {
        let frame = tcp_v4(32, 4000);
        for offload in [
            Offload::None,
            Offload::ChecksumNeeded {
                start: 34,
                offset: 16,
            },
            Offload::TcpSegments {
                size: 1000,
                header_len: 66,
            },
        ] {
            let header = encode(Frame {
                bytes: &frame,
                offload,
            })
            .unwrap();
            assert_eq!(decode(&header, &frame, 0), Ok(offload));
        }
        assert_eq!(
            encode(Frame {
                bytes: &[0; 60],
                offload: Offload::TcpSegments {
                    size: 1,
                    header_len: 54
                }
            }),
            None
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_offsets_stay_inside(
            header: [u8; LEN],
            frame in proptest::collection::vec(any::<u8>(), 0..200),
            inserted in 0u16..8,
        ) {
            match decode(&header, &frame, inserted) {
                Ok(Offload::ChecksumNeeded { start, offset }) => {
                    prop_assert!(usize::from(start) + usize::from(offset) + 2 <= frame.len());
                }
                Ok(Offload::TcpSegments { size, header_len } | Offload::UdpSegments { size, header_len }) => {
                    prop_assert!(size > 0 && usize::from(header_len) <= frame.len());
                }
                Ok(Offload::None) | Err(Undescribed) => {}
            }
        }
    }

    /// Ethernet, IPv4 and TCP headers, the TCP header of `tcp_len` bytes.
    fn tcp_v4(tcp_len: usize, payload: usize) -> Vec<u8> {
        let mut frame = vec![0; 14 + 20 + tcp_len + payload];
        frame[12..14].copy_from_slice(&ethertype::IPV4.to_be_bytes());
        frame[14] = 0x45;
        frame[23] = 6;
        frame[34 + 12] = (tcp_len as u8 / 4) << 4;
        frame
    }
}
