//! Clamps the segment size that TCP hosts agree on, so that a full segment fits one datagram of the smaller leg.
//!
//! A LAN host believes in 1500 bytes and cannot be told otherwise by a bridge (DESIGN, section 8). Larger packets travel in fragments;
//! TCP, which is most of the bytes, is better off with segments that need none. Done at both ends, before sealing.

use lanparty_wire::{Frame, mtu};

use crate::guard::{Network, Packet, Upper, protocol, word};

/// Lowers the MSS option in the SYN of a finished frame to what a datagram of `budget` bytes carries; never raises it. A budget
/// below [`mtu::MIN_BUDGET`] counts as that. True if the frame has changed.
///
/// A frame with [`lanparty_wire::Offload::ChecksumNeeded`] must be finished first (`segment.rs`): its checksum does not cover the
/// option yet, so correcting it would break it.
pub fn clamp(frame: &mut [u8], budget: u16) -> bool {
    let Some(found) = find(frame) else {
        return false;
    };
    let limit = mtu::clamped_mss(budget.max(mtu::MIN_BUDGET), found.ip_header);
    let (Some(offered), Some(sum)) = (word(frame, found.value), word(frame, found.checksum)) else {
        return false;
    };
    if offered <= limit {
        return false;
    }
    let sum = corrected(sum, found.seen(offered), found.seen(limit));
    put(frame, found.value, limit) && put(frame, found.checksum, sum)
}

/// Where the parts of a SYN stand in its frame.
struct Found {
    ip_header: u16,
    value: usize,
    checksum: usize,
    /// True if the value stands across two words of the checksum.
    is_odd: bool,
}

impl Found {
    /// The value as the checksum sees it.
    fn seen(&self, value: u16) -> u16 {
        if self.is_odd { value.swap_bytes() } else { value }
    }
}

fn find(frame: &[u8]) -> Option<Found> {
    const SYN: u8 = 0b10;

    let packet = Packet::parse(Frame::plain(frame)).ok()?;
    let (ip, ip_header) = match &packet.network {
        Network::V4(ip) => (ip, 20),
        Network::V6(ip) => (ip, 40),
        Network::Other | Network::Broken => return None,
    };
    let Upper::Whole { at, bytes } = ip.upper else {
        return None;
    };
    let header = bytes.first_chunk::<20>()?;
    if ip.protocol != protocol::TCP || header[13] & SYN == 0 || !ip.rewritable {
        return None;
    }
    let options = bytes.get(20..usize::from(header[12] >> 4) * 4)?;
    let value = 20 + find_value(options)?;
    Some(Found {
        ip_header,
        value: at + value,
        checksum: at + 16,
        is_odd: value % 2 == 1,
    })
}

/// Where the value of the MSS option stands in `options` (RFC 9293, section 3.1).
fn find_value(options: &[u8]) -> Option<usize> {
    const END: u8 = 0;
    const NOTHING: u8 = 1;
    const MSS: u8 = 2;

    let mut at = 0;
    loop {
        let option = options.get(at..)?;
        match *option {
            [END, ..] | [] => return None,
            [NOTHING, ..] => at += 1,
            [MSS, 4, _, _, ..] => return Some(at + 2),
            [_, len, ..] if len >= 2 => at += usize::from(len),
            [_, ..] => return None,
        }
    }
}

/// The checksum after `old` has become `new` (RFC 1624, equation 3).
fn corrected(checksum: u16, old: u16, new: u16) -> u16 {
    let sum = u32::from(!checksum) + u32::from(!old) + u32::from(new);
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) as u16 + (folded >> 16) as u16)
}

fn put(frame: &mut [u8], at: usize, value: u16) -> bool {
    let Some(place) = frame.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) else {
        return false;
    };
    *place = value.to_be_bytes();
    true
}
