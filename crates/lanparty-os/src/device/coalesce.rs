//! Which frames of a batch may become one super-frame.
//!
//! The room carries segments of TCP one by one, and a kernel that gets them one by one spends more on each than all of the tunnel does.
//! So successive segments of a flow are handed over as the super-frame that a card with receive offload would have made of them.
//! The rules are those of Linux's GRO, with the proof that nothing is lost by it: a super-frame is built only where cutting it gives
//! back every byte of what it was built from. Therefore everything but length, identification, sequence number, PSH and checksums must
//! be equal, and both checksums must be right and written as the kernel writes them: corruption is passed on, never repaired.
//!
//! Order within a flow stays: whatever is of a flow, or might be, ends the super-frame that is open for it.

use lanparty_wire::{ETHERNET_HEADER_LEN, checksum::Sum, ethertype};

/// Where the IP header begins: tagged frames are left alone.
const NETWORK: usize = ETHERNET_HEADER_LEN;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMP_V6: u8 = 58;
const ACK: u8 = 0x10;
const PSH: u8 = 0x08;
/// The longest IP packet. Kernels take more for IPv6 only where somebody has asked for it.
const MAX_PACKET_LEN: usize = u16::MAX as usize;
/// Ethernet, IPv4 without options or IPv6 without extension headers, TCP with all its options.
pub(super) const MAX_HEADER_LEN: usize = ETHERNET_HEADER_LEN + 40 + 60;

/// What a finished frame is to a super-frame.
#[derive(Debug)]
pub(super) enum Part {
    /// A segment that can stand at the beginning of one, or continue it.
    Segment(Segment),
    /// Of a flow of TCP, but it has to travel alone.
    Alone { flow: u64 },
    /// Of no flow of TCP.
    Apart,
    /// Nobody can tell whether it belongs to a flow.
    Unclear,
}

/// A segment with payload, right checksums and no flags but ACK and PSH.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment {
    pub(super) flow: u64,
    is_v6: bool,
    transport: usize,
    pub(super) header_len: usize,
    payload: usize,
    sequence: u32,
    pushed: bool,
}

impl Part {
    pub(super) fn of(frame: &[u8]) -> Part {
        match word(frame, 12) {
            Some(ethertype::IPV4) => ipv4(frame).unwrap_or(Part::Unclear),
            Some(ethertype::IPV6) => ipv6(frame).unwrap_or(Part::Unclear),
            Some(_) | None => Part::Unclear,
        }
    }
}

fn ipv4(frame: &[u8]) -> Option<Part> {
    const WITHOUT_OPTIONS: u8 = 0x45;
    const DO_NOT_FRAGMENT: u16 = 0x4000;

    let header: &[u8; 20] = frame.get(NETWORK..)?.first_chunk()?;
    let fragment = u16::from_be_bytes([header[6], header[7]]) & !DO_NOT_FRAGMENT;
    if header[0] != WITHOUT_OPTIONS || fragment != 0 {
        return None;
    }
    match header[9] {
        TCP => {}
        UDP | ICMP => return Some(Part::Apart),
        _ => return None,
    }
    let end = NETWORK + usize::from(u16::from_be_bytes([header[2], header[3]]));
    let found = transport(frame, NETWORK + 20, end, &header[12..20])?;
    // A header that says the same with all ones for zero would come back with zeros.
    let is_right = header[10..12] != [0xff; 2] && Sum::new().add_bytes(header).checksum() == 0;
    Some(found.finish(frame, false, is_right))
}

fn ipv6(frame: &[u8]) -> Option<Part> {
    let header: &[u8; 40] = frame.get(NETWORK..)?.first_chunk()?;
    match header[6] {
        TCP if header[0] >> 4 == 6 => {}
        UDP | ICMP_V6 => return Some(Part::Apart),
        _ => return None,
    }
    let end = NETWORK + 40 + usize::from(u16::from_be_bytes([header[4], header[5]]));
    let found = transport(frame, NETWORK + 40, end, &header[8..40])?;
    Some(found.finish(frame, true, true))
}

/// The TCP header of a packet that ends at `end`, and the flow that it belongs to.
struct Found<'a> {
    transport: usize,
    end: usize,
    addresses: &'a [u8],
    header: &'a [u8; 20],
    flow: u64,
}

fn transport<'a>(frame: &'a [u8], transport: usize, end: usize, addresses: &'a [u8]) -> Option<Found<'a>> {
    let header: &[u8; 20] = frame.get(transport..end)?.first_chunk()?;
    Some(Found {
        transport,
        end,
        addresses,
        header,
        flow: flow(addresses, [header[0], header[1], header[2], header[3]]),
    })
}

impl Found<'_> {
    fn finish(self, frame: &[u8], is_v6: bool, is_right: bool) -> Part {
        let alone = Part::Alone { flow: self.flow };
        let [
            ..,
            offset,
            flags,
            _,
            _,
            sum_high,
            sum_low,
            urgent_high,
            urgent_low,
        ] = *self.header;
        let header_len = self.transport + usize::from(offset >> 4) * 4;
        let is_plain = is_right
            && offset & 0x0f == 0
            && offset >> 4 >= 5
            && flags & !PSH == ACK
            && [urgent_high, urgent_low] == [0; 2]
            && [sum_high, sum_low] != [0xff; 2]
            // Padding would be lost, and a segment without payload would end up as none.
            && self.end == frame.len()
            && header_len < self.end;
        if !is_plain {
            return alone;
        }
        let sum = pseudo_sum(self.addresses, self.end - self.transport).add_bytes(&frame[self.transport..]);
        if sum.checksum() != 0 {
            return alone;
        }
        let [_, _, _, _, a, b, c, d, ..] = *self.header;
        Part::Segment(Segment {
            flow: self.flow,
            is_v6,
            transport: self.transport,
            header_len,
            payload: self.end - header_len,
            sequence: u32::from_be_bytes([a, b, c, d]),
            pushed: flags & PSH != 0,
        })
    }
}

/// Tells flows apart. Two with the same value end each other's super-frames, which costs nothing but them.
fn flow(addresses: &[u8], ports: [u8; 4]) -> u64 {
    const MIX: u64 = 0x9e37_79b9_7f4a_7c15;

    let (words, _) = addresses.as_chunks::<4>();
    let start = u64::from(u32::from_ne_bytes(ports));
    words.iter().fold(start.wrapping_mul(MIX), |hash, word| {
        (hash.rotate_left(29) ^ u64::from(u32::from_ne_bytes(*word))).wrapping_mul(MIX)
    })
}

/// The sum of the pseudo header (RFC 9293, section 3.1; RFC 8200, section 8.1).
fn pseudo_sum(addresses: &[u8], len: usize) -> Sum {
    // At most `MAX_PACKET_LEN`, of which the upper half of the length in IPv6 is zero.
    Sum::new()
        .add_bytes(addresses)
        .add_word(u16::from(TCP))
        .add_word(len as u16)
}

/// A super-frame that can still grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) flow: u64,
    /// Which frame of the batch it is.
    pub(super) entry: usize,
    /// Its first segment, whose headers it has.
    first: Segment,
    next_sequence: u32,
    next_identification: u16,
    pub(super) len: usize,
}

impl Open {
    /// Opens one with a segment that is frame `entry` of the batch; `None` if nothing can follow.
    pub(super) fn begin(entry: usize, frame: &[u8], first: Segment) -> Option<Open> {
        if first.pushed {
            return None;
        }
        Some(Open {
            flow: first.flow,
            entry,
            first,
            next_sequence: first.sequence.wrapping_add(first.payload as u32),
            next_identification: word(frame, NETWORK + 4)?.wrapping_add(1),
            len: frame.len(),
        })
    }

    /// Payload of each segment but the last.
    pub(super) fn size(&self) -> u16 {
        self.first.payload as u16
    }

    pub(super) fn header_len(&self) -> usize {
        self.first.header_len
    }

    /// True if `frame` continues `head`, the bytes of this super-frame.
    pub(super) fn is_continued_by(&self, head: &[u8], frame: &[u8], segment: &Segment) -> bool {
        let t = self.first.transport;
        let same = |from: usize, to: usize| head[from..to] == frame[from..to];
        let same_network = match segment.is_v6 {
            // Around the length.
            true => same(0, NETWORK + 4) && same(NETWORK + 6, t),
            // Around length and identification, and around the checksum.
            false => {
                same(0, NETWORK + 2)
                    && same(NETWORK + 6, NETWORK + 10)
                    && same(NETWORK + 12, t)
                    && word(frame, NETWORK + 4) == Some(self.next_identification)
            }
        };
        segment.is_v6 == self.first.is_v6
            && segment.header_len == self.first.header_len
            && segment.sequence == self.next_sequence
            && segment.payload <= self.first.payload
            && self.len - NETWORK + segment.payload <= MAX_PACKET_LEN
            && same_network
            // Ports; around sequence number, flags and checksum: acknowledgement, length of header, window, options.
            && same(t, t + 4)
            && same(t + 8, t + 13)
            && same(t + 14, t + 16)
            && same(t + 20, self.first.header_len)
    }

    /// Puts the payload of a segment that continues it behind it in `slot`, and corrects its headers. False if nothing can follow.
    pub(super) fn append(&mut self, slot: &mut [u8], frame: &[u8], segment: &Segment) -> bool {
        let end = self.len + segment.payload;
        slot[self.len..end].copy_from_slice(&frame[segment.header_len..]);
        self.len = end;
        self.next_sequence = self.next_sequence.wrapping_add(segment.payload as u32);
        self.next_identification = self.next_identification.wrapping_add(1);
        let transport = self.first.transport;
        let addresses = match self.first.is_v6 {
            true => {
                put(slot, NETWORK + 4, (end - transport) as u16);
                NETWORK + 8..NETWORK + 40
            }
            false => {
                put(slot, NETWORK + 2, (end - NETWORK) as u16);
                put(slot, NETWORK + 10, 0);
                let sum = Sum::new().add_bytes(&slot[NETWORK..transport]).checksum();
                put(slot, NETWORK + 10, sum);
                NETWORK + 12..NETWORK + 20
            }
        };
        // What a kernel expects of a segment that it has to finish: the pseudo header's sum.
        let sum = pseudo_sum(&slot[addresses], end - transport).fold();
        put(slot, transport + 16, sum);
        if segment.pushed {
            slot[transport + 13] |= PSH;
        }
        !segment.pushed && segment.payload == self.first.payload
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_be_bytes(*pair))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
