//! Test frames: UDP over IPv4 as games send it, with the frame's number in its payload.

use lanparty_wire::{Mac, ethertype};

use super::ledger::FrameId;

/// Where the number stands: behind the headers of any frame built here.
const OFFSET: usize = 46;
const MAGIC: [u8; 4] = *b"LPwd";
/// What stands behind the number: each byte tells its place.
static FILLER: [u8; 2048] = {
    let mut filler = [0; 2048];
    let mut at = 0;
    while at < filler.len() {
        filler[at] = at as u8;
        at += 1;
    }
    filler
};
/// The longest test frame.
pub const LONGEST: usize = FILLER.len();
/// The shortest test frame, which is the shortest frame on a wire.
pub const SHORTEST: usize = 60;

/// A frame of `length` bytes, or as near to it as [`SHORTEST`] and [`LONGEST`] allow.
pub fn build(source: Mac, destination: Mac, flow: u16, frame: FrameId, length: usize) -> Vec<u8> {
    let length = length.clamp(SHORTEST, LONGEST);
    let mut out = Vec::with_capacity(length);
    out.extend(destination.0);
    out.extend(source.0);
    out.extend(ethertype::IPV4.to_be_bytes());
    out.extend([0x45, 0]);
    out.extend(((length - 14) as u16).to_be_bytes());
    out.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    out.extend(address(source));
    out.extend(address(destination));
    out.extend((40_000 + flow).to_be_bytes());
    out.extend(27_015_u16.to_be_bytes());
    out.extend(((length - 34) as u16).to_be_bytes());
    out.extend([0; 2]);
    out.resize(OFFSET, 0);
    out.extend(MAGIC);
    out.extend(frame.0.to_be_bytes());
    out.extend(&FILLER[out.len()..length]);
    out
}

/// The number of a test frame; `None` for any other.
pub fn read(frame: &[u8]) -> Option<FrameId> {
    let stamp = frame.get(OFFSET..OFFSET + 12)?;
    let number = stamp.strip_prefix(&MAGIC)?;
    Some(FrameId(u64::from_be_bytes(number.try_into().ok()?)))
}

/// True if `frame` is byte for byte what [`build`] made.
pub fn is_intact(frame: &[u8]) -> bool {
    let range = OFFSET + 12..frame.len();
    FILLER.get(range.clone()) == frame.get(range)
}

fn address(mac: Mac) -> [u8; 4] {
    if mac.is_multicast() {
        return [255; 4];
    }
    [10, mac.0[3], mac.0[4], mac.0[5]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_and_damage_is_seen() {
        let mac = Mac([2, 0, 0, 0, 0, 1]);
        let mut frame = build(mac, Mac::BROADCAST, 3, FrameId(77), 900);
        assert_eq!(frame.len(), 900);
        assert_eq!(read(&frame), Some(FrameId(77)));
        assert!(is_intact(&frame));
        frame[800] ^= 1;
        assert!(!is_intact(&frame));
        assert_eq!(read(&[0; 60]), None);
    }
}
