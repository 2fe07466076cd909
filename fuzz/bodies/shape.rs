//! Bytes as a frame of the LAN: what members get of it names no router and no name server, is as right as it was, and would not be changed
//! again.

use lanparty_core::{lan::shape::shape_frame, segment::segments};
use lanparty_wire::{Frame, Offload};

/// Options of DHCP that no member may see, whatever the table in the code under test says.
const FORBIDDEN: [u8; 10] = [3, 6, 15, 33, 44, 46, 119, 121, 249, 252];

const LARGEST: usize = 1514;

pub fn run(data: &[u8]) {
    let [choice, bytes @ ..] = data else {
        return;
    };
    let offload = match choice & 3 {
        0 => Offload::ChecksumNeeded { start: 34, offset: 6 },
        1 => Offload::UdpSegments {
            size: 300,
            header_len: 42,
        },
        _ => Offload::None,
    };
    let frame = Frame { bytes, offload };
    let Ok(shaped) = shape_frame(frame) else {
        return;
    };
    match (shaped, offload) {
        (Some(changed), _) => {
            assert!(changed.len() >= bytes.len());
            check(&changed);
        }
        (None, Offload::UdpSegments { .. }) => {
            // What cannot be cut goes to nobody.
            for segment in segments(frame, LARGEST).into_iter().flatten() {
                let mut finished = Vec::new();
                segment.append_to(&mut finished);
                check(&finished);
            }
        }
        (None, Offload::None | Offload::ChecksumNeeded { .. } | Offload::TcpSegments { .. }) => check(bytes),
    }
}

/// A frame that a member gets.
fn check(frame: &[u8]) {
    assert_eq!(shape_frame(Frame::plain(frame)), Ok(None), "shaped twice");
    if let Some(options) = plain_reply(frame) {
        check_options(options);
    }
    if let Some(lifetime) = plain_advertisement(frame) {
        assert_eq!(lifetime, [0, 0]);
    }
}

/// The options of a DHCP reply in an untagged IPv4 frame without IP options.
fn plain_reply(frame: &[u8]) -> Option<&[u8]> {
    let is_udp = frame.get(12..15)? == [8, 0, 0x45] && *frame.get(23)? == 17 && frame.get(20..22)? == [0, 0];
    let is_dhcp = frame.get(34..38)? == [0, 67, 0, 68] && *frame.get(42)? == 2;
    let has_options = frame.get(278..282)? == [99, 130, 83, 99];
    let end = 14 + usize::from(u16::from_be_bytes([*frame.get(16)?, *frame.get(17)?]));
    let end_of_datagram = 34 + usize::from(u16::from_be_bytes([*frame.get(38)?, *frame.get(39)?]));
    (is_udp && is_dhcp && has_options && end_of_datagram == end).then_some(())?;
    frame.get(282..end)
}

fn check_options(mut options: &[u8]) {
    loop {
        match *options {
            [] | [255, ..] => return,
            [0, ..] => options = &options[1..],
            [code, length, ..] => {
                assert!(!FORBIDDEN.contains(&code), "option {code} is left");
                let end = 2 + usize::from(length);
                assert!(end <= options.len(), "a cut option is left");
                options = &options[end..];
            }
            [_] => panic!("half an option is left"),
        }
    }
}

/// The router lifetime of an advertisement in an untagged IPv6 frame without extension headers.
fn plain_advertisement(frame: &[u8]) -> Option<&[u8]> {
    let length = usize::from(u16::from_be_bytes([*frame.get(18)?, *frame.get(19)?]));
    let is_advertisement = frame.get(12..14)? == [0x86, 0xdd]
        && frame.get(14)? >> 4 == 6
        && *frame.get(20)? == 58
        && *frame.get(54)? == 134
        && length >= 16
        && frame.len() >= 54 + length;
    is_advertisement.then_some(())?;
    frame.get(60..62)
}
