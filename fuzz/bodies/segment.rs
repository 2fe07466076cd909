//! Bytes as an unfinished frame or super-frame: what comes out is finished, in order, and nothing that the guard would not have
//! let through by itself.

use std::time::Instant;

use lanparty_core::{
    guard::{Guard, Limits, Origin},
    segment,
};
use lanparty_wire::{Frame, Mac, Offload};

const MEMBER: Mac = Mac([2, 0, 0, 0, 0, 1]);

pub fn run(data: &[u8]) {
    let [choice, a, b, c, d, e, f, bytes @ ..] = data else {
        return;
    };
    let mut bytes = bytes.to_vec();
    if let Some(source) = bytes.get_mut(6..12) {
        source.copy_from_slice(&MEMBER.0);
    }
    let word = |high: &u8, low: &u8| u16::from_be_bytes([*high, *low]);
    let (first, second, largest) = (word(a, b), word(c, d), usize::from(word(e, f)));
    let offload = match choice & 3 {
        0 => Offload::ChecksumNeeded {
            start: first,
            offset: second,
        },
        1 | 2 => Offload::TcpSegments {
            size: first,
            header_len: second,
        },
        _ => Offload::UdpSegments {
            size: first,
            header_len: second,
        },
    };
    let frame = Frame {
        bytes: &bytes,
        offload,
    };
    let Ok(cut) = segment::segments(frame, largest) else {
        return;
    };
    let written = |segment: segment::Segment<'_>| {
        let mut bytes = Vec::new();
        segment.append_to(&mut bytes);
        bytes
    };
    let segments: Vec<_> = cut.map(written).collect();
    if let Offload::ChecksumNeeded { .. } = offload {
        assert_eq!((segments.len(), segments[0].len()), (1, bytes.len()));
    } else {
        check_cut(&bytes, offload, usize::from(second), largest, &segments);
    }
    if admits(frame) {
        for segment in &segments {
            assert!(
                admits(Frame::plain(segment)),
                "a segment is refused whose super-frame passed"
            );
        }
    }
}

fn check_cut(bytes: &[u8], offload: Offload, header_len: usize, largest: usize, segments: &[Vec<u8>]) {
    let is_tcp = matches!(offload, Offload::TcpSegments { .. });
    let mut carried = Vec::new();
    for segment in segments {
        assert!(!is_tcp || segment.len() <= largest);
        assert!(has_right_checksum(segment, header_len, is_tcp));
        carried.extend_from_slice(&segment[header_len..]);
    }
    assert!(bytes[header_len..].starts_with(&carried));
}

fn has_right_checksum(segment: &[u8], header_len: usize, is_tcp: bool) -> bool {
    let network = network_header(segment);
    let packet = &segment[network..];
    let addresses = if packet[0] >> 4 == 4 {
        &packet[12..20]
    } else {
        &packet[8..40]
    };
    let least = network
        + if packet[0] >> 4 == 4 {
            usize::from(packet[0] & 15) * 4
        } else {
            40
        };
    let (protocol, last) = if is_tcp {
        (6, header_len - 20)
    } else {
        (17, header_len - 8)
    };
    // Behind IPv6's extension headers the transport header can begin anywhere before the payload.
    (least..=last).any(|start| {
        let transport = &segment[start..];
        let [high, low] = (transport.len() as u16).to_be_bytes();
        ones_sum(&[addresses, &[0, protocol, high, low], transport]) == 0xffff
    })
}

/// Where IP begins behind tags, LLC or SNAP.
fn network_header(frame: &[u8]) -> usize {
    let mut at = 12;
    loop {
        match frame[at..] {
            [0x81 | 0x91 | 0x92, 0, ..] | [0x88, 0xa8, ..] => at += 4,
            [0..=5, _, 6 | 7, ..] => return at + 5,
            [0..=5, ..] => at += 8,
            _ => return at + 2,
        }
    }
}

fn ones_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for (index, &byte) in part.iter().enumerate() {
            sum += u64::from(byte) << if index % 2 == 0 { 8 } else { 0 };
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[allow(clippy::disallowed_methods)]
fn admits(frame: Frame<'_>) -> bool {
    let now = Instant::now();
    let mut guard = Guard::new(Origin::Member { mac: MEMBER }, 1500, &Limits::default(), now);
    guard.admit(now, frame).is_ok()
}
