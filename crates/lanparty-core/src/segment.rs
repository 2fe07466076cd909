//! Finishes what a kernel left undone: checksums, and super-frames of many segments.
//!
//! Kernels hand such frames to TAP and packet sockets because a network card would finish them. In the tunnel nobody would, so it
//! is done here, when a frame is taken out of its queue: by then the budget of the leg is known, and TCP is cut to it. Every
//! segment is a frame of its own, as the sender's kernel would have sent it (Linux's segmentation offloads document).

use etherparse::checksum::Sum16BitWords;
use lanparty_wire::{DropReason, Frame, Offload};

use crate::guard::{Network, Packet, Upper, protocol, word};

/// Calls `each` with the finished frames that `frame` stands for, in their order.
///
/// Segments of TCP are at most `largest` bytes long, headers included. Plain frames and UDP datagrams have the length that they
/// have; what is over the budget travels in fragments. `scratch` is overwritten; it grows to the longest segment and can
/// be kept for the next call.
///
/// # Errors
/// [`DropReason::BadSuperFrame`] if the frame contradicts its offload, or has headers that leave no room in `largest`. Then `each` was
/// not called.
pub fn for_each_segment(
    frame: Frame<'_>,
    largest: usize,
    scratch: &mut Vec<u8>,
    mut each: impl FnMut(&[u8]),
) -> Result<(), DropReason> {
    scratch.clear();
    match frame.offload {
        Offload::None => each(frame.bytes),
        Offload::ChecksumNeeded { start, offset } => {
            scratch.extend_from_slice(frame.bytes);
            complete(scratch, start.into(), offset.into()).ok_or(DropReason::BadSuperFrame)?;
            each(scratch);
        }
        Offload::TcpSegments { .. } | Offload::UdpSegments { .. } => {
            let super_frame = SuperFrame::parse(frame, largest).ok_or(DropReason::BadSuperFrame)?;
            super_frame.cut(scratch, &mut each);
        }
    }
    Ok(())
}

/// Replaces the pseudo header's sum at `start + offset` by the checksum of everything from `start`.
fn complete(frame: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let covered = frame.get_mut(start..)?;
    // The sum that stands there is part of what is summed.
    let checksum = Sum16BitWords::new()
        .add_slice(covered)
        .to_ones_complement_with_no_zero();
    *covered.get_mut(offset..)?.first_chunk_mut()? = checksum.to_ne_bytes();
    Some(())
}

/// A super-frame whose headers were found to be what its offload says.
struct SuperFrame<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    /// Payload of each segment but the last.
    size: usize,
    network: usize,
    transport: usize,
    addresses: &'a [u8],
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
            addresses: ip.addresses,
            is_v6,
            is_tcp,
        })
    }

    fn cut(&self, scratch: &mut Vec<u8>, each: &mut impl FnMut(&[u8])) {
        scratch.reserve(self.header.len() + self.size.min(self.payload.len()));
        let mut index: u16 = 0;
        let mut offset = 0;
        loop {
            let end = (offset + self.size).min(self.payload.len());
            let is_last = end == self.payload.len();
            scratch.clear();
            scratch.extend_from_slice(self.header);
            scratch.extend_from_slice(&self.payload[offset..end]);
            self.finish_network(scratch, index);
            if self.is_tcp {
                self.finish_tcp(scratch, offset, is_last);
            } else {
                let len = scratch.len() - self.transport;
                put(scratch, self.transport + 4, len as u16);
            }
            self.finish_transport_checksum(scratch);
            each(scratch);
            if is_last {
                return;
            }
            index = index.wrapping_add(1);
            offset = end;
        }
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
        let sum = Sum16BitWords::new().add_slice(&segment[self.network..self.transport]);
        put(segment, self.network + 10, u16::from_be(sum.ones_complement()));
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
        let (protocol, at) = match self.is_tcp {
            true => (protocol::TCP, self.transport + 16),
            false => (protocol::UDP, self.transport + 6),
        };
        put(segment, at, 0);
        let len = segment.len() - self.transport;
        let sum = Sum16BitWords::new()
            .add_slice(self.addresses)
            .add_2bytes([0, protocol])
            .add_2bytes((len as u16).to_be_bytes())
            .add_slice(&segment[self.transport..]);
        put(segment, at, u16::from_be(sum.to_ones_complement_with_no_zero()));
    }
}

/// Writes a field whose place [`SuperFrame::parse`] has found to be inside.
fn put(segment: &mut [u8], at: usize, value: u16) {
    segment[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

#[cfg(test)]
mod tests;
