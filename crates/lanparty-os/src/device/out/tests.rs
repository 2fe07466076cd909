//! Frames into a batch, and out of it again byte by byte, checked by arithmetic that shares nothing with the code.

use lanparty_wire::ethertype;
use proptest::prelude::*;

use super::*;

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;
const ECE: u8 = 0x40;

#[test]
fn successive_segments_become_one_super_frame_that_a_kernel_can_cut() {
    for is_v6 in [false, true] {
        let mut flow = Flow::new(1, is_v6);
        let frames = [
            flow.next(ACK, 1000),
            flow.next(ACK, 1000),
            flow.next(ACK | PSH, 300),
        ];
        let out = pushed(&frames);
        let header_len = if is_v6 { 86 } else { 66 };
        let merged = out.iter().next().unwrap();
        let offload = Offload::TcpSegments {
            size: 1000,
            header_len,
        };
        assert_eq!((out.len(), out.iter().len(), merged.offload), (3, 1, offload));
        let header_len = usize::from(header_len);
        let payload: Vec<_> = frames.iter().flat_map(|frame| &frame[header_len..]).collect();
        assert!(merged.bytes[header_len..].iter().eq(payload));
        // As the sender's kernel would have handed it to its card.
        let whole = flow.with_payload(&frames[0], ACK | PSH, &merged.bytes[header_len..]);
        let sum_at = header_len - 32 + 16;
        assert_eq!(merged.bytes[..sum_at], whole[..sum_at]);
        let pseudo = pseudo_header(merged.bytes);
        assert_eq!(
            merged.bytes[sum_at..sum_at + 2],
            (!checksum(&pseudo)).to_be_bytes()
        );
        assert_eq!(taken_apart(&out), frames);
    }
}

#[test]
fn a_push_or_a_short_segment_is_the_last_and_a_longer_one_the_next() {
    let shape = |segments: &[(u8, usize)]| {
        let mut flow = Flow::new(1, false);
        let frames: Vec<_> = segments
            .iter()
            .map(|&(flags, len)| flow.next(flags, len))
            .collect();
        let out = pushed(&frames);
        assert_eq!(taken_apart(&out), frames);
        out.frames().map(|out| out.count()).collect::<Vec<_>>()
    };
    assert_eq!(shape(&[(ACK, 500), (ACK | PSH, 500), (ACK, 500)]), [2, 1]);
    assert_eq!(shape(&[(ACK | PSH, 500), (ACK, 500), (ACK, 500)]), [1, 2]);
    assert_eq!(shape(&[(ACK, 500), (ACK, 499), (ACK, 499)]), [2, 1]);
    assert_eq!(shape(&[(ACK, 500), (ACK, 501), (ACK, 501)]), [1, 2]);
    assert_eq!(shape(&[(ACK, 500), (ACK | FIN, 500), (ACK, 500)]), [1, 1, 1]);
    assert_eq!(shape(&[(ACK, 500), (ACK, 0), (ACK, 500)]), [1, 1, 1]);
}

#[test]
fn a_super_frame_ends_with_the_longest_packet_and_with_its_places() {
    for (size, count) in [(1448, 45), (100, MAX_SEGMENTS as u32)] {
        let mut flow = Flow::new(1, false);
        let frames: Vec<_> = (0..100).map(|_| flow.next(ACK, size)).collect();
        let out = pushed(&frames);
        let counts: Vec<_> = out.frames().map(|out| out.count()).collect();
        assert_eq!(counts[..1], [count]);
        assert!(out.iter().all(|frame| frame.bytes.len() <= 65_535 + 14));
        assert_eq!(taken_apart(&out), frames);
    }
}

#[test]
fn flows_grow_side_by_side_and_what_is_no_tcp_lets_them() {
    let mut flows: Vec<_> = (0..4).map(|number| Flow::new(number, number % 2 == 1)).collect();
    let mut frames = Vec::new();
    for _ in 0..10 {
        frames.extend(flows.iter_mut().map(|flow| flow.next(ACK, 700)));
        frames.push(datagram(&flows[0]));
    }
    let out = pushed(&frames);
    let counts: Vec<_> = out.frames().map(|out| out.count()).collect();
    assert_eq!(counts[..4], [10; 4]);
    assert_eq!(counts[4..], [1; 10]);
}

#[test]
fn the_oldest_flow_gives_way_to_one_too_many() {
    let mut flows: Vec<_> = (0..=MAX_OPEN as u8)
        .map(|number| Flow::new(number, false))
        .collect();
    let mut frames = Vec::new();
    for _ in 0..2 {
        frames.extend(flows.iter_mut().map(|flow| flow.next(ACK, 700)));
    }
    let counts: Vec<_> = pushed(&frames).frames().map(|out| out.count()).collect();
    // The first has lost its place to the last, and takes the second's when it comes again, and so on.
    assert_eq!(counts, [1; 2 * MAX_OPEN + 2]);
    let counts: Vec<_> = pushed(&frames[1..]).frames().map(|out| out.count()).collect();
    assert_eq!(counts[..MAX_OPEN], [1; MAX_OPEN]);
}

#[test]
fn whatever_differs_keeps_a_segment_alone_and_unchanged() {
    for is_v6 in [false, true] {
        for change in CHANGES {
            let mut flow = Flow::new(1, is_v6);
            let mut frames = [flow.next(ACK, 600), flow.next(ACK, 600)];
            let Some(changed) = change(&flow, &frames[1]) else {
                continue;
            };
            frames[1] = changed;
            let out = pushed(&frames);
            assert_eq!(out.iter().len(), 2);
            assert!(out.iter().all(|frame| frame.offload == Offload::None));
            assert_eq!(taken_apart(&out), frames);
        }
    }
}

#[test]
fn a_first_segment_with_a_wrong_checksum_is_continued_by_none() {
    for at in [24, 50, 100] {
        let mut flow = Flow::new(1, false);
        let mut frames = [flow.next(ACK, 600), flow.next(ACK, 600), flow.next(ACK, 600)];
        frames[0][at] ^= 0x10;
        let out = pushed(&frames);
        assert_eq!(out.frames().map(|out| out.count()).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(taken_apart(&out), frames);
    }
}

#[test]
fn a_full_batch_still_takes_what_continues_a_frame_in_it() {
    let mut flow = Flow::new(1, false);
    let mut out = OutBatch::new();
    for _ in 1..MAX_BATCH {
        out.push(Frame::plain(&datagram(&flow))).unwrap();
    }
    out.push(Frame::plain(&flow.next(ACK, 600))).unwrap();
    assert!(out.is_full());
    out.push(Frame::plain(&flow.next(ACK, 600))).unwrap();
    assert_eq!((out.len(), out.iter().len()), (MAX_BATCH + 1, MAX_BATCH));
    assert_eq!(out.push(Frame::plain(&datagram(&flow))), Err(PushError::Full));
    out.clear();
    assert!(out.is_empty());
    out.push(Frame::plain(&flow.next(ACK, 600))).unwrap();
    assert_eq!(out.iter().len(), 1);
}

#[test]
fn a_full_batch_and_an_endless_frame_are_refused() {
    let mut out = OutBatch::new();
    assert_eq!(
        out.push(Frame::plain(&vec![0; MAX_FRAME_LEN + 1])),
        Err(PushError::TooLong)
    );
    for _ in 0..MAX_BATCH {
        out.push(Frame::plain(&[0; 14])).unwrap();
    }
    assert_eq!(out.push(Frame::plain(&[0; 14])), Err(PushError::Full));
}

proptest! {
    #[test]
    fn everything_comes_out_as_it_went_in_and_flows_keep_their_order(
        steps in proptest::collection::vec((0u8..4, 0u8..24, 0usize..3), 0..200),
    ) {
        let mut flows: Vec<_> = (0..4).map(|number| Flow::new(number, number % 2 == 1)).collect();
        let frames: Vec<_> = steps
            .iter()
            .map(|&(number, kind, size)| some_frame(&mut flows[usize::from(number)], kind, [90, 600, 1400][size]))
            .collect();
        let mut arrived = Vec::new();
        let mut out = OutBatch::new();
        for frame in &frames {
            if out.push(Frame::plain(frame)).is_err() {
                arrived.extend(taken_apart(&out));
                out.clear();
                out.push(Frame::plain(frame)).unwrap();
            }
        }
        arrived.extend(taken_apart(&out));
        prop_assert_eq!(arrived.len(), frames.len());
        for number in 0..=u8::MAX {
            let of = |list: &[Vec<u8>]| -> Vec<_> {
                list.iter().filter(|frame| frame[5] == number).cloned().collect()
            };
            prop_assert!(of(&arrived) == of(&frames), "flow {}", number);
        }
    }

    #[test]
    fn no_bytes_panic_or_change(
        lists in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..120), 0..MAX_BATCH),
        is_ip: bool,
    ) {
        let frames: Vec<_> = lists
            .into_iter()
            .map(|bytes| if is_ip { [&[0; 12][..], &[8, 0, 0x45], &bytes].concat() } else { bytes })
            .collect();
        prop_assert_eq!(taken_apart(&pushed(&frames)), frames);
    }
}

/// A change that keeps a segment from continuing; `None` if the IP version has no such thing.
type ChangeOf = fn(&Flow, &[u8]) -> Option<Vec<u8>>;

const CHANGES: [ChangeOf; 20] = [
    // Ethernet: addresses, a tag.
    |_, frame| edited(frame, |bytes| bytes[11] ^= 1),
    |_, frame| edited(frame, |bytes| drop(bytes.splice(12..12, [0x81, 0, 0, 5]))),
    // Congestion was experienced; another hop count.
    |_, frame| repaired(frame, |bytes| bytes[15] ^= 3),
    |_, frame| repaired(frame, |bytes| bytes[if is_v6(frame) { 21 } else { 22 }] -= 1),
    // IPv4: may be fragmented, is a fragment, a reserved bit, another identification, a wrong header checksum, options.
    |_, frame| v4_only(frame, |bytes| bytes[20] ^= 0x40),
    |_, frame| v4_only(frame, |bytes| bytes[20] |= 0x20),
    |_, frame| v4_only(frame, |bytes| bytes[20] |= 0x80),
    |_, frame| v4_only(frame, |bytes| bytes[19] ^= 2),
    |_, frame| {
        (!is_v6(frame))
            .then(|| edited(frame, |bytes| bytes[25] ^= 1))
            .flatten()
    },
    |_, frame| {
        v4_only(frame, |bytes| {
            bytes[14] = 0x46;
            bytes.splice(34..34, [1; 4]);
            bytes[17] += 4;
        })
    },
    // IPv6: an extension header.
    |_, frame| {
        is_v6(frame).then(|| {
            let mut bytes = frame.to_vec();
            bytes.splice(54..54, [6, 0, 1, 4, 0, 0, 0, 0]);
            bytes[20] = 60;
            let len = (bytes.len() - 54) as u16;
            bytes[18..20].copy_from_slice(&len.to_be_bytes());
            bytes
        })
    },
    // TCP: port, sequence number, acknowledgement, reserved bits, flags, window, urgent pointer, timestamp.
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 1) ^= 1),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 7) ^= 1),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 11) ^= 1),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 12) |= 2),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 13) |= ECE),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 15) ^= 1),
    |_, frame| repaired(frame, |bytes| *tcp(bytes, 27) ^= 1),
    // A wrong checksum; padding behind the packet.
    |_, frame| edited(frame, |bytes| *tcp(bytes, 100) ^= 1),
    |_, frame| edited(frame, |bytes| bytes.push(0)),
];

const CHANGED_PORT: usize = 11;

/// A frame of the flow or beside it, by a number from 0 to 23.
fn some_frame(flow: &mut Flow, kind: u8, size: usize) -> Vec<u8> {
    let before = flow.clone();
    match kind {
        0..=12 => flow.next(ACK, size),
        13 => flow.next(ACK | PSH, size),
        14 => flow.next(ACK, size / 2),
        15 => flow.next(ACK, 0),
        16 => flow.next(ACK | FIN, size),
        17 => flow.next(SYN, 0),
        18 => datagram(flow),
        // Sent again.
        19 => before.clone().next(ACK, size),
        change => {
            let frame = flow.next(ACK, size);
            let at = (usize::from(change) * 7 + size + frame[20] as usize) % CHANGES.len();
            let mut changed = CHANGES[at](flow, &frame).unwrap_or(frame);
            // Another port is another flow.
            if at == CHANGED_PORT {
                changed[5] += 50;
            }
            changed
        }
    }
}

/// One direction of a TCP connection. The last byte of the destination's address is its number.
#[derive(Clone)]
struct Flow {
    number: u8,
    is_v6: bool,
    sequence: u32,
    identification: u16,
}

impl Flow {
    fn new(number: u8, is_v6: bool) -> Flow {
        Flow {
            number,
            is_v6,
            sequence: 0xffff_f000,
            identification: 0xfffe,
        }
    }

    /// The next segment, its checksums right, with timestamps.
    fn next(&mut self, flags: u8, payload: usize) -> Vec<u8> {
        let payload: Vec<u8> = (0..payload)
            .map(|at| (at as u32 ^ self.sequence.rotate_left(9)).wrapping_mul(0x9e37) as u8)
            .collect();
        let frame = self.build(flags, &payload);
        self.sequence = self.sequence.wrapping_add(payload.len() as u32);
        self.identification = self.identification.wrapping_add(1);
        frame
    }

    /// What `first` would be with other flags and payload.
    fn with_payload(&self, first: &[u8], flags: u8, payload: &[u8]) -> Vec<u8> {
        let sequence = &first[if self.is_v6 { 58 } else { 38 }..];
        let flow = Flow {
            sequence: u32::from_be_bytes(sequence[..4].try_into().unwrap()),
            identification: u16::from_be_bytes([first[18], first[19]]),
            ..self.clone()
        };
        flow.build(flags, payload)
    }

    fn build(&self, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut segment = [7000 + u16::from(self.number), 80].map(u16::to_be_bytes).concat();
        segment.extend(self.sequence.to_be_bytes());
        segment.extend([0, 0, 0, 9, 8 << 4, flags, 0x20, 0, 0, 0, 0, 0]);
        segment.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
        segment.extend(payload);
        let mut frame = self.packet(6, &segment);
        repair(&mut frame);
        frame
    }

    fn packet(&self, protocol: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, self.number, 2, 0, 0, 0, 1, 0];
        if self.is_v6 {
            frame.extend(ethertype::IPV6.to_be_bytes());
            frame.extend([0x60, 0, 0, 0]);
            frame.extend((payload.len() as u16).to_be_bytes());
            frame.extend([protocol, 64]);
            for last in [self.number, 200] {
                frame.extend([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
            }
        } else {
            frame.extend(ethertype::IPV4.to_be_bytes());
            frame.extend([0x45, 0]);
            frame.extend((20 + payload.len() as u16).to_be_bytes());
            frame.extend(self.identification.to_be_bytes());
            frame.extend([0x40, 0, 64, protocol, 0, 0]);
            frame.extend([10, 0, 0, self.number, 10, 0, 0, 200]);
        }
        frame.extend(payload);
        frame
    }
}

/// UDP between the hosts of a flow; its number is 100 more, since it is another flow.
fn datagram(flow: &Flow) -> Vec<u8> {
    let mut frame = flow.packet(17, &[0x1b, 0x58, 0x1b, 0x58, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame[5] += 100;
    frame
}

fn pushed(frames: &[Vec<u8>]) -> OutBatch {
    let mut out = OutBatch::new();
    for frame in frames {
        out.push(Frame::plain(frame)).unwrap();
    }
    out
}

/// The frames as they are sent when the kernel takes no super-frames.
fn taken_apart(out: &OutBatch) -> Vec<Vec<u8>> {
    out.frames()
        .flat_map(|out| {
            let segments: Vec<_> = out.segments().map(|parts| parts.concat()).collect();
            assert_eq!(
                segments.len(),
                if out.is_merged() { out.count() as usize } else { 0 }
            );
            if segments.is_empty() {
                vec![out.frame.bytes.to_vec()]
            } else {
                segments
            }
        })
        .collect()
}

fn is_v6(frame: &[u8]) -> bool {
    frame[12..14] == ethertype::IPV6.to_be_bytes()
}

/// A byte of the TCP header of an untagged frame without options in front of it.
fn tcp(frame: &mut [u8], at: usize) -> &mut u8 {
    let start = if is_v6(frame) { 54 } else { 34 };
    &mut frame[start + at]
}

fn edited(frame: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut bytes = frame.to_vec();
    // A frame may be too short for what is to be changed.
    if bytes.len() < 200 {
        return None;
    }
    edit(&mut bytes);
    Some(bytes)
}

/// Edited, with the checksums that belong to it.
fn repaired(frame: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    let mut bytes = edited(frame, edit)?;
    repair(&mut bytes);
    Some(bytes)
}

fn v4_only(frame: &[u8], edit: impl FnOnce(&mut Vec<u8>)) -> Option<Vec<u8>> {
    if is_v6(frame) {
        return None;
    }
    let mut bytes = edited(frame, edit)?;
    let header_len = usize::from(bytes[14] & 15) * 4;
    bytes[24..26].fill(0);
    let sum = checksum(&bytes[14..14 + header_len]);
    bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    Some(bytes)
}

/// Puts right checksums into a frame of IPv4 without options or IPv6 without extension headers.
fn repair(frame: &mut [u8]) {
    let transport = if is_v6(frame) {
        54
    } else {
        frame[24..26].fill(0);
        let sum = checksum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        34
    };
    frame[transport + 16..transport + 18].fill(0);
    let sum = checksum(&[&pseudo_header(frame), &frame[transport..]].concat());
    frame[transport + 16..transport + 18].copy_from_slice(&sum.to_be_bytes());
}

fn pseudo_header(frame: &[u8]) -> Vec<u8> {
    let (transport, addresses) = if is_v6(frame) { (54, 22..54) } else { (34, 26..34) };
    let len = (frame.len() - transport) as u32;
    [&frame[addresses], &len.to_be_bytes(), &[0, 0, 0, 6]].concat()
}

/// The internet checksum (RFC 1071), word by word.
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
