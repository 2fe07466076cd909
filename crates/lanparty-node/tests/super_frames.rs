//! What a device puts together, the core cuts into the same bytes: a frame that crosses two rooms, or a kernel that forwards it, is
//! not changed by having been a part of a super-frame. This is the only place that sees both.

use lanparty_core::segment::segments;
use lanparty_os::device::OutBatch;
use lanparty_wire::{Frame, checksum::Sum};

const ACK: u8 = 0x10;
const PSH: u8 = 0x08;

#[test]
fn cutting_a_super_frame_gives_the_segments_that_it_was_made_of() {
    let mut numbers = Numbers(1);
    let mut merged = 0;
    for round in 0..500 {
        let frames = stream(&mut numbers, round % 2 == 1);
        let mut out = OutBatch::new();
        for frame in &frames {
            out.push(Frame::plain(frame)).unwrap();
        }
        merged += frames.len() - out.iter().len();
        let mut cut = Vec::new();
        for frame in out.iter() {
            for segment in segments(frame, usize::MAX).unwrap() {
                let mut bytes = Vec::new();
                segment.append_to(&mut bytes);
                cut.push(bytes);
            }
        }
        assert!(cut == frames, "round {round}");
    }
    assert!(merged > 5000, "{merged}");
}

/// Successive segments of one flow, of one size but for a few, some pushed.
fn stream(numbers: &mut Numbers, is_v6: bool) -> Vec<Vec<u8>> {
    let size = 1 + numbers.below(1440);
    let mut sequence = numbers.next();
    let first = numbers.below(65_536);
    let segments = (0..60).map(|index| {
        let len = if numbers.below(20) == 0 {
            1 + numbers.below(size)
        } else {
            size
        };
        let flags = if numbers.below(20) == 0 { ACK | PSH } else { ACK };
        let payload: Vec<u8> = (0..len).map(|_| numbers.next() as u8).collect();
        let frame = segment(is_v6, (first + index) as u16, sequence, flags, &payload);
        sequence = sequence.wrapping_add(len as u32);
        frame
    });
    segments.collect()
}

fn segment(is_v6: bool, identification: u16, sequence: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let len = 32 + payload.len() as u16;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    let transport = if is_v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(len.to_be_bytes());
        frame.extend([6, 64]);
        for last in [1, 2] {
            frame.extend([0xfd, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
        }
        54
    } else {
        frame.extend([8, 0, 0x45, 0]);
        frame.extend((20 + len).to_be_bytes());
        frame.extend(identification.to_be_bytes());
        frame.extend([0x40, 0, 64, 6, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
        let sum = Sum::new().add_bytes(&frame[14..34]).checksum();
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        34
    };
    frame.extend([0x1b, 0x58, 0x1b, 0x59]);
    frame.extend(sequence.to_be_bytes());
    frame.extend([0, 0, 0, 1, 0x80, flags, 0x20, 0, 0, 0, 0, 0]);
    frame.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    frame.extend(payload);
    let addresses = if is_v6 { 22..54 } else { 26..34 };
    let sum = Sum::new().add_bytes(&frame[addresses]).add_word(6).add_word(len);
    let sum = sum.add_bytes(&frame[transport..]).checksum();
    frame[transport + 16..transport + 18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// A reproducible sequence of numbers (Marsaglia's xorshift).
struct Numbers(u32);

impl Numbers {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }
}
