//! Blocks of a pcapng file (draft-ietf-opsawg-pcapng), in the machine's byte order as the format allows: one section, one Ethernet
//! interface, times in nanoseconds, and for each packet its direction and a comment.

use std::time::{SystemTime, UNIX_EPOCH};

const SECTION: u32 = 0x0a0d_0d0a;
const INTERFACE: u32 = 1;
const STATISTICS: u32 = 5;
const PACKET: u32 = 6;
const ETHERNET: u16 = 1;
/// The option that ends a list of options.
const END: u16 = 0;
const COMMENT: u16 = 1;

/// What stands at the beginning of a file.
pub(super) fn header() -> Vec<u8> {
    const RESOLUTION: u16 = 9;
    let mut file = Vec::new();
    block(&mut file, SECTION, |body| {
        body.extend(0x1a2b_3c4d_u32.to_ne_bytes());
        // Version 1.0, and a section of unknown length.
        body.extend([1_u16, 0].map(u16::to_ne_bytes).concat());
        body.extend((-1_i64).to_ne_bytes());
    });
    block(&mut file, INTERFACE, |body| {
        body.extend(ETHERNET.to_ne_bytes());
        // Reserved, and no limit to a packet's length.
        body.extend([0; 6]);
        option(body, RESOLUTION, &[9]);
        option(body, END, &[]);
    });
    file
}

/// A packet. *Inbound* is from the device's cable to us.
pub(super) fn packet(file: &mut Vec<u8>, time: SystemTime, inbound: bool, frame: &[u8], comment: &str) {
    const FLAGS: u16 = 2;
    let length = frame.len() as u32;
    block(file, PACKET, |body| {
        body.extend(0_u32.to_ne_bytes());
        body.extend(stamp(time));
        body.extend([length, length].map(u32::to_ne_bytes).concat());
        padded(body, frame);
        option(body, COMMENT, comment.as_bytes());
        let direction: u32 = if inbound { 1 } else { 2 };
        option(body, FLAGS, &direction.to_ne_bytes());
        option(body, END, &[]);
    });
}

/// What stands at the end: how many packets are missing, and why.
pub(super) fn statistics(file: &mut Vec<u8>, time: SystemTime, missing: u64, comment: &str) {
    const DROPPED_BY_SYSTEM: u16 = 7;
    block(file, STATISTICS, |body| {
        body.extend(0_u32.to_ne_bytes());
        body.extend(stamp(time));
        option(body, COMMENT, comment.as_bytes());
        option(body, DROPPED_BY_SYSTEM, &missing.to_ne_bytes());
        option(body, END, &[]);
    });
}

fn block(file: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = file.len();
    file.extend(kind.to_ne_bytes());
    file.extend([0; 4]);
    fill(file);
    let length = ((file.len() - start + 4) as u32).to_ne_bytes();
    file[start + 4..start + 8].copy_from_slice(&length);
    file.extend(length);
}

fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    // All of ours are far shorter than 64 KiB.
    body.extend([code, value.len() as u16].map(u16::to_ne_bytes).concat());
    padded(body, value);
}

fn padded(body: &mut Vec<u8>, bytes: &[u8]) {
    body.extend_from_slice(bytes);
    body.resize(body.len() + bytes.len().wrapping_neg() % 4, 0);
}

/// The upper half of a time stamp, then the lower one.
fn stamp(time: SystemTime) -> [u8; 8] {
    // A clock before 1970 is nobody's.
    let nanoseconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64);
    let halves = [(nanoseconds >> 32) as u32, nanoseconds as u32].map(u32::to_ne_bytes);
    let [[a, b, c, d], [e, f, g, h]] = halves;
    [a, b, c, d, e, f, g, h]
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::{process::Command, time::Duration};

    use super::*;

    #[test]
    fn blocks_have_their_length_at_both_ends_and_end_on_words() {
        let mut file = header();
        for length in 0..9 {
            packet(&mut file, UNIX_EPOCH, true, &vec![7; length], "passed");
        }
        statistics(&mut file, UNIX_EPOCH, 3, "left out");
        let (mut rest, mut kinds) = (&file[..], Vec::new());
        while !rest.is_empty() {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
            let length = word(4) as usize;
            assert_eq!((length % 4, word(length - 4) as usize), (0, length));
            kinds.push(word(0));
            rest = &rest[length..];
        }
        assert_eq!(kinds.len(), 12);
        assert_eq!(kinds[2..11], [PACKET; 9]);
    }

    /// tcpdump shares nothing with us. Where it is not installed the test of the lab, which needs it, tells.
    #[test]
    fn tcpdump_reads_what_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("written.pcapng");
        let mut file = header();
        let mut arp = [[0xff; 6], [2, 0, 0, 0, 0, 1]].concat();
        arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 10, 0, 0, 1]);
        arp.extend([0, 0, 0, 0, 0, 0, 10, 0, 0, 2]);
        let time = UNIX_EPOCH + Duration::new(1_700_000_000, 123_456_789);
        packet(&mut file, time, true, &arp, "from the device to the room: passed");
        std::fs::write(&path, file).unwrap();
        let Ok(output) = Command::new("tcpdump")
            .args(["-n", "-tt", "-r"])
            .arg(&path)
            .output()
        else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("1700000000.123456"), "{text}");
        assert!(text.contains("who-has 10.0.0.2 tell 10.0.0.1"), "{text}");
    }
}
