//! Finishes what a kernel left undone: checksums, and super-frames of many segments.
//!
//! Kernels hand such frames to TAP and packet sockets because a network card would finish them. In the tunnel nobody would, so it
//! is done here, when a frame is taken out of its queue: by then the budget of the leg is known, and TCP is cut to it. Every
//! segment is a frame of its own, as the sender's kernel would have sent it (Linux's segmentation offloads document).

use std::{iter::FusedIterator, ops::DerefMut};

use bytes::BufMut;
use lanparty_wire::{DropReason, Frame, Offload, checksum::Sum};

use crate::guard::{Network, Packet, Upper, protocol, word};

/// The finished frames that `frame` stands for, in their order.
///
/// Segments of TCP are at most `largest` bytes long, headers included. Plain frames and UDP datagrams have the length that they
/// have; what is over the budget travels in fragments.
///
/// # Errors
/// [`DropReason::BadSuperFrame`] if the frame contradicts its offload, or has headers that leave no room in `largest`.
pub fn segments(frame: Frame<'_>, largest: usize) -> Result<Segments<'_>, DropReason> {
    let source = match frame.offload {
        Offload::None => Source::Finished(frame.bytes),
        Offload::ChecksumNeeded { start, offset } => {
            let (start, offset) = (usize::from(start), usize::from(offset));
            if start + offset + 2 > frame.bytes.len() {
                return Err(DropReason::BadSuperFrame);
            }
            Source::Unfinished {
                bytes: frame.bytes,
                start,
                offset,
            }
        }
        Offload::TcpSegments { .. } | Offload::UdpSegments { .. } => {
            Source::Super(SuperFrame::parse(frame, largest).ok_or(DropReason::BadSuperFrame)?)
        }
    };
    Ok(Segments {
        source,
        index: 0,
        rest: Some(0),
    })
}

/// Iterates over the finished frames that one frame stands for.
#[derive(Clone, Debug)]
pub struct Segments<'a> {
    source: Source<'a>,
    index: u16,
    /// Where the payload of the next segment begins.
    rest: Option<usize>,
}

/// A finished frame that is yet to be written.
#[derive(Clone, Copy, Debug)]
pub struct Segment<'a> {
    source: Source<'a>,
    index: u16,
    /// Its part of a super-frame's payload.
    from: usize,
    to: usize,
}

#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Finished(&'a [u8]),
    /// The checksum of everything from `start` belongs at `start + offset`, which is inside.
    Unfinished {
        bytes: &'a [u8],
        start: usize,
        offset: usize,
    },
    Super(SuperFrame<'a>),
}

impl<'a> Iterator for Segments<'a> {
    type Item = Segment<'a>;

    fn next(&mut self) -> Option<Segment<'a>> {
        let from = self.rest.take()?;
        let mut to = 0;
        if let Source::Super(of) = &self.source {
            to = (from + of.size).min(of.payload.len());
            self.rest = (to < of.payload.len()).then_some(to);
        }
        let index = self.index;
        self.index = index.wrapping_add(1);
        Some(Segment {
            source: self.source,
            index,
            from,
            to,
        })
    }
}

impl FusedIterator for Segments<'_> {}

impl Segment<'_> {
    /// Bytes of the finished frame.
    #[allow(clippy::len_without_is_empty, reason = "a frame has a header")]
    pub fn len(&self) -> usize {
        match &self.source {
            Source::Finished(bytes) | Source::Unfinished { bytes, .. } => bytes.len(),
            Source::Super(of) => of.header.len() + self.to - self.from,
        }
    }

    /// Writes the finished frame behind what `buffer` holds. This is the only copy of its bytes that is made.
    pub fn append_to<B: BufMut + DerefMut<Target = [u8]>>(&self, buffer: &mut B) {
        let begin = buffer.len();
        match &self.source {
            Source::Finished(bytes) => buffer.put_slice(bytes),
            Source::Unfinished { bytes, start, offset } => {
                buffer.put_slice(bytes);
                complete(&mut buffer[begin + start..], *offset);
            }
            Source::Super(of) => {
                buffer.put_slice(of.header);
                buffer.put_slice(&of.payload[self.from..self.to]);
                of.finish(&mut buffer[begin..], self);
            }
        }
    }
}

/// Replaces the pseudo header's sum at `offset` by the checksum of it all.
fn complete(covered: &mut [u8], offset: usize) {
    // The sum that stands there is part of what is summed.
    put(
        covered,
        offset,
        without_zero(Sum::new().add_bytes(covered).checksum()),
    );
}

/// Zero, which means "none" in UDP, in its other form (RFC 768).
fn without_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// A super-frame whose headers were found to be what its offload says.
#[derive(Clone, Copy, Debug)]
struct SuperFrame<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    /// Payload of each segment but the last.
    size: usize,
    network: usize,
    transport: usize,
    /// Addresses and protocol of the pseudo header, which all segments have in common.
    pseudo: Sum,
    is_v6: bool,
    is_tcp: bool,
}

impl<'a> SuperFrame<'a> {
    fn parse(frame: Frame<'a>, largest: usize) -> Option<SuperFrame<'a>> {
        let (is_tcp, size, header_len) = match frame.offload {
            Offload::TcpSegments { size, header_len } => (true, usize::from(size), usize::from(header_len)),
            Offload::UdpSegments { size, header_len } => (false, usize::from(size), usize::from(header_len)),
            Offload::None | Offload::ChecksumNeeded { .. } => return None,
        };
        let packet = Packet::parse(frame).ok()?;
        let (ip, is_v6) = match packet.network {
            Network::V4(ip) => (ip, false),
            Network::V6(ip) => (ip, true),
            Network::Other | Network::Broken => return None,
        };
        let Upper::Whole { at: transport, bytes } = ip.upper else {
            return None;
        };
        let (wanted, transport_len) = match is_tcp {
            true => (protocol::TCP, usize::from(bytes.get(12)? >> 4) * 4),
            false => (protocol::UDP, 8),
        };
        let least = if is_tcp { 20 } else { 8 };
        let is_consistent = ip.protocol == wanted
            && ip.rewritable
            && transport_len >= least
            && transport + transport_len == header_len;
        if !is_consistent {
            return None;
        }
        let payload = bytes.get(transport_len..)?;
        let size = match is_tcp {
            true => size.min(largest.checked_sub(header_len)?),
            false => size,
        };
        let longest = header_len + size.min(payload.len()) - ip.at;
        if size == 0 || longest > usize::from(u16::MAX) {
            return None;
        }
        Some(SuperFrame {
            header: frame.bytes.get(..header_len)?,
            payload,
            size,
            network: ip.at,
            transport,
            pseudo: Sum::new().add_bytes(ip.addresses).add_word(wanted.into()),
            is_v6,
            is_tcp,
        })
    }

    /// Makes the headers of `segment`, which are copies of the super-frame's, its own.
    fn finish(&self, bytes: &mut [u8], segment: &Segment<'_>) {
        self.finish_network(bytes, segment.index);
        if self.is_tcp {
            self.finish_tcp(bytes, segment.from, segment.to == self.payload.len());
        } else {
            let len = bytes.len() - self.transport;
            put(bytes, self.transport + 4, len as u16);
        }
        self.finish_transport_checksum(bytes);
    }

    /// Lengths, and for IPv4 the identification, which counts as if the sender had sent one by one, and the checksum.
    fn finish_network(&self, segment: &mut [u8], index: u16) {
        let len = segment.len() - self.network;
        if self.is_v6 {
            put(segment, self.network + 4, (len - 40) as u16);
            return;
        }
        let identification = word(self.header, self.network + 4).unwrap_or(0);
        put(segment, self.network + 2, len as u16);
        put(segment, self.network + 4, identification.wrapping_add(index));
        put(segment, self.network + 10, 0);
        let sum = Sum::new().add_bytes(&segment[self.network..self.transport]);
        put(segment, self.network + 10, sum.checksum());
    }

    /// The sequence number moves on; CWR is the first segment's (RFC 3168, section 6.1.2), FIN and PSH are the last one's.
    fn finish_tcp(&self, segment: &mut [u8], offset: usize, is_last: bool) {
        const FIN: u8 = 0x01;
        const PSH: u8 = 0x08;
        const CWR: u8 = 0x80;

        let [_, _, _, _, a, b, c, d, ..] = self.header[self.transport..] else {
            return;
        };
        let sequence = u32::from_be_bytes([a, b, c, d]).wrapping_add(offset as u32);
        segment[self.transport + 4..self.transport + 8].copy_from_slice(&sequence.to_be_bytes());
        let flags = &mut segment[self.transport + 13];
        if !is_last {
            *flags &= !(FIN | PSH);
        }
        if offset > 0 {
            *flags &= !CWR;
        }
    }

    fn finish_transport_checksum(&self, segment: &mut [u8]) {
        let at = self.transport + if self.is_tcp { 16 } else { 6 };
        put(segment, at, 0);
        let covered = &segment[self.transport..];
        let sum = self.pseudo.add_word(covered.len() as u16).add_bytes(covered);
        // TCP has no other form of zero, and kernels leave it.
        let checksum = match self.is_tcp {
            true => sum.checksum(),
            false => without_zero(sum.checksum()),
        };
        put(segment, at, checksum);
    }
}

/// Writes a field whose place [`segments`] has found to be inside.
fn put(segment: &mut [u8], at: usize, value: u16) {
    segment[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
