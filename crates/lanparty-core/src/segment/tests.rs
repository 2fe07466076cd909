//! Super-frames in, finished frames out, checked by arithmetic that shares nothing with the code.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;
use crate::guard::crafted::*;

const TCP: u8 = 6;
const UDP: u8 = 17;

#[test]
fn a_finished_frame_stays_as_it_is() {
    let frame = v4(&ipv4(UDP, &[], &udp(1, 2, &[7; 3000])));
    assert_eq!(cut(Frame::plain(&frame), 100), Ok(vec![frame.clone()]));
}

#[test]
fn an_unfinished_checksum_is_finished() {
    for (header_len, protocol, offset, frame) in [
        (20, UDP, 6, v4(&ipv4(UDP, &[], &udp(1, 2, b"hello")))),
        (20, TCP, 16, v4(&ipv4(TCP, &[], &tcp((1, 2), ACK, &[], b"odd")))),
        (
            40,
            TCP,
            16,
            v6(&ipv6(TCP, &tcp((1, 2), ACK, &[1; 12], &[3; 500]))),
        ),
    ] {
        let frame = with_pseudo_sum(frame, header_len, protocol, offset);
        let start = (14 + header_len) as u16;
        let offload = Offload::ChecksumNeeded {
            start,
            offset: offset as u16,
        };
        let frames = cut(
            Frame {
                bytes: &frame,
                offload,
            },
            1500,
        )
        .unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(transport_checksum(&frames[0], header_len, protocol), 0);
        // Padding that a device has added is no part of it, and is all zeros.
        let padded = [&frame[..], &[0; 7]].concat();
        let frames = cut(
            Frame {
                bytes: &padded,
                offload,
            },
            1500,
        )
        .unwrap();
        assert_eq!(
            transport_checksum(&frames[0][..frame.len()], header_len, protocol),
            0
        );
    }
}

#[test]
fn a_checksum_that_comes_out_as_zero_is_sent_as_ones() {
    let mut frame = v4(&ipv4(UDP, &[], &udp(1, 2, &[0, 0])));
    let sum = !checksum(&[&[10, 0, 0, 1, 10, 0, 0, 9, 0, UDP, 0, 10][..], &frame[34..]].concat());
    frame[42..44].copy_from_slice(&(!sum).to_be_bytes());
    let frame = with_pseudo_sum(frame, 20, UDP, 6);
    let offload = Offload::ChecksumNeeded { start: 34, offset: 6 };
    let frames = cut(
        Frame {
            bytes: &frame,
            offload,
        },
        1500,
    )
    .unwrap();
    assert_eq!(frames[0][40..42], [0xff, 0xff]);
}

#[test]
fn a_tcp_checksum_that_comes_out_as_zero_stays_so() {
    let mut bytes = v4(&ipv4(TCP, &[], &tcp((1, 2), ACK, &[], &[0; 4])));
    let sum = transport_checksum(&bytes, 20, TCP);
    bytes[54..56].copy_from_slice(&sum.to_be_bytes());
    let frames = cut(tcp_super(&bytes, 400, 54), 1500).unwrap();
    assert_eq!(frames[0][50..52], [0, 0]);
    assert_eq!(transport_checksum(&frames[0], 20, TCP), 0);
}

#[test]
fn flags_and_numbers_are_those_of_single_segments() {
    let bytes = v4(&ipv4(
        TCP,
        &[],
        &tcp((1, 2), CWR | ACK | PSH | FIN, &[], &[9; 250]),
    ));
    let frames = cut(tcp_super(&bytes, 100, 54), 1500).unwrap();
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| (frame[47], identification(frame), sequence(frame)))
        .collect();
    assert_eq!(
        seen,
        [
            (CWR | ACK, 0x1234, 0xffff_ff00),
            (ACK, 0x1235, 0xffff_ff64),
            (ACK | PSH | FIN, 0x1236, 0xffff_ffc8),
        ]
    );
}

#[test]
fn segments_are_cut_to_the_budget_of_the_moment() {
    let bytes = v4(&ipv4(TCP, &[], &tcp((1, 2), ACK, &[], &[9; 1000])));
    let lens = |largest| -> Vec<usize> {
        cut(tcp_super(&bytes, 400, 54), largest)
            .unwrap()
            .iter()
            .map(Vec::len)
            .collect()
    };
    assert_eq!(lens(1500), [454, 454, 254]);
    assert_eq!(lens(354), [354, 354, 354, 154]);
    assert_eq!(
        cut(tcp_super(&bytes, 400, 54), 54),
        Err(DropReason::BadSuperFrame)
    );
    assert_eq!(cut(tcp_super(&bytes, 400, 54), 0), Err(DropReason::BadSuperFrame));
}

#[test]
fn datagrams_keep_their_boundaries() {
    let bytes = v6(&ipv6(UDP, &udp(1, 2, &[9; 1000])));
    let frames = cut(udp_super(&bytes, 400, 62), 100).unwrap();
    assert_eq!(frames.iter().map(Vec::len).collect::<Vec<_>>(), [462, 462, 262]);
    assert_eq!(word(&frames[2], 14 + 40 + 4), Some(208));
}

#[test]
fn a_super_frame_without_payload_is_one_segment() {
    let bytes = v4(&ipv4(TCP, &[], &tcp((1, 2), FIN | ACK, &[], &[])));
    let frames = cut(tcp_super(&bytes, 400, 54), 1500).unwrap();
    assert_eq!(frames.len(), 1);
    assert_eq!(
        (frames[0][47], transport_checksum(&frames[0], 20, TCP)),
        (FIN | ACK, 0)
    );
}

#[test]
fn what_contradicts_its_offload_is_refused_before_anything_is_sent() {
    let tcp4 = v4(&ipv4(TCP, &[], &tcp((1, 2), ACK, &[], &[9; 1000])));
    let fragment = v4(&fragment_v4(TCP, &[], 0x2000, &tcp((1, 2), ACK, &[], &[9; 1000])));
    let authenticated = [&[TCP, 4][..], &[0; 22], &tcp((1, 2), ACK, &[], &[9; 100])].concat();
    let mut routed = extension(TCP, 0, &tcp((1, 2), ACK, &[], &[9; 100]));
    routed[3] = 1;
    let unfinished = |start, offset| Frame {
        bytes: &tcp4,
        offload: Offload::ChecksumNeeded { start, offset },
    };
    for frame in [
        tcp_super(&tcp4, 0, 54),
        tcp_super(&tcp4, 400, 53),
        tcp_super(&tcp4, 400, 58),
        tcp_super(&tcp4, 400, u16::MAX),
        udp_super(&tcp4, 400, 42),
        tcp_super(&fragment, 400, 54),
        tcp_super(&v6(&ipv6(51, &authenticated)), 50, 98),
        tcp_super(&v6(&ipv6(43, &routed)), 50, 82),
        tcp_super(&ether(STATION, 0x1234, &tcp4[14..]), 400, 54),
        tcp_super(&tcp4[..40], 400, 54),
        tcp_super(&[], 400, 54),
        unfinished(34, 1100),
        unfinished(2000, 0),
        unfinished(u16::MAX, u16::MAX),
    ] {
        assert_eq!(
            cut(frame, 1500),
            Err(DropReason::BadSuperFrame),
            "{:?}",
            frame.offload
        );
    }
}

proptest! {
    #[test]
    fn segments_carry_the_payload_in_order_with_right_checksums(
        is_v6: bool,
        is_tcp: bool,
        options in 0usize..10,
        payload in proptest::collection::vec(any::<u8>(), 0..6000),
        size in 1u16..1500,
        largest in 110usize..1600,
    ) {
        let protocol = if is_tcp { TCP } else { UDP };
        let transport = if is_tcp {
            tcp((5000, 80), CWR | ACK | PSH, &vec![1; options * 4], &payload)
        } else {
            udp(5000, 80, &payload)
        };
        let transport_len = transport.len() - payload.len();
        let (network_len, bytes) = if is_v6 {
            (48, v6(&ipv6(60, &extension(protocol, 0, &transport))))
        } else {
            (24, v4(&ipv4(protocol, &[1; 4], &transport)))
        };
        let header_len = 14 + network_len + transport_len;
        let offload = if is_tcp {
            Offload::TcpSegments { size, header_len: header_len as u16 }
        } else {
            Offload::UdpSegments { size, header_len: header_len as u16 }
        };
        let room = if is_tcp { usize::from(size).min(largest.saturating_sub(header_len)) } else { size.into() };
        let frames = cut(Frame { bytes: &bytes, offload }, largest);
        if room == 0 {
            prop_assert_eq!(frames, Err(DropReason::BadSuperFrame));
            return Ok(());
        }
        let frames = frames.unwrap();
        prop_assert_eq!(frames.len(), payload.len().div_ceil(room).max(1));
        let mut carried = Vec::new();
        for (index, frame) in frames.iter().enumerate() {
            prop_assert!(!is_tcp || frame.len() <= largest);
            prop_assert_eq!(transport_checksum(frame, network_len, protocol), 0);
            prop_assert!(!is_tcp || seq(frame, network_len) == 0xffff_ff00_u32.wrapping_add(carried.len() as u32));
            let declared = usize::from(word(frame, if is_v6 { 18 } else { 16 }).unwrap());
            prop_assert_eq!(declared, frame.len() - 14 - if is_v6 { 40 } else { 0 });
            if !is_v6 {
                prop_assert_eq!(checksum(&frame[14..14 + network_len]), 0);
                prop_assert_eq!(identification(frame), 0x1234 + index as u16);
            }
            if !is_tcp {
                let udp_len = word(frame, 14 + network_len + 4).map(usize::from);
                prop_assert_eq!(udp_len, Some(frame.len() - 14 - network_len));
            }
            carried.extend_from_slice(&frame[header_len..]);
        }
        prop_assert_eq!(carried, payload);
    }

    #[test]
    fn no_bytes_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..200),
        (size, header_len) in (0u16..300, 0u16..300),
        (start, offset) in any::<(u16, u16)>(),
        largest in 0usize..300,
    ) {
        let ip = v4(&ipv4(TCP, &[], &bytes));
        for bytes in [&bytes, &ip] {
            for offload in [
                Offload::ChecksumNeeded { start, offset },
                Offload::ChecksumNeeded { start: size, offset: header_len },
                Offload::TcpSegments { size, header_len },
                Offload::UdpSegments { size, header_len },
            ] {
                let _ = cut(Frame { bytes, offload }, largest);
            }
        }
    }
}

fn tcp_super(bytes: &[u8], size: u16, header_len: u16) -> Frame<'_> {
    let offload = Offload::TcpSegments { size, header_len };
    Frame { bytes, offload }
}

fn udp_super(bytes: &[u8], size: u16, header_len: u16) -> Frame<'_> {
    let offload = Offload::UdpSegments { size, header_len };
    Frame { bytes, offload }
}

/// All segments, written behind each other into one buffer; what stood there before must not matter.
fn cut(frame: Frame<'_>, largest: usize) -> Result<Vec<Vec<u8>>, DropReason> {
    let mut arena = BytesMut::from(&b"before"[..]);
    let mut frames = Vec::new();
    for segment in segments(frame, largest)? {
        let begin = arena.len();
        segment.append_to(&mut arena);
        assert_eq!(segment.len(), arena.len() - begin);
        frames.push(arena[begin..].to_vec());
    }
    assert!(arena.starts_with(b"before"));
    Ok(frames)
}

/// As a kernel leaves it: the sum of the pseudo header in the checksum's place.
fn with_pseudo_sum(mut frame: Vec<u8>, header_len: usize, protocol: u8, offset: usize) -> Vec<u8> {
    let packet = &frame[14..];
    let addresses = if packet[0] >> 4 == 4 {
        &packet[12..20]
    } else {
        &packet[8..40]
    };
    let len = ((packet.len() - header_len) as u32).to_be_bytes();
    let sum = !checksum(&[addresses, &len[..], &[0, 0, 0, protocol]].concat());
    frame[14 + header_len + offset..][..2].copy_from_slice(&sum.to_be_bytes());
    frame
}

fn identification(frame: &[u8]) -> u16 {
    word(frame, 18).unwrap()
}

fn sequence(frame: &[u8]) -> u32 {
    seq(frame, 20)
}

fn seq(frame: &[u8], network_len: usize) -> u32 {
    u32::from_be_bytes(frame[14 + network_len + 4..][..4].try_into().unwrap())
}
