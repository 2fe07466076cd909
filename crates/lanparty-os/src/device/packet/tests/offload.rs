//! Super-frames and checksums that a kernel leaves to a card.

use std::{
    io::Write,
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use lanparty_wire::checksum::Sum;

use super::*;
use crate::{device::packet::receive::receive_messages, testing::Machine};

#[test]
fn a_super_frame_whose_segments_are_too_long_is_taken_apart_and_what_fits_is_sent() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, _) = open("lan0");
        let (_, mut to_host) = open("host0");
        let segments = [tcp_segment(0, 1000), tcp_segment(1000, 300)];
        let whole = Offload::TcpSegments {
            size: 1000,
            header_len: 54,
        };
        let mut out = OutBatch::new();
        for (mtu, expected, arrives) in [
            (1500, (2, 0, 0), (1354, whole)),
            (1000, (1, 1, 1), (354, Offload::None)),
        ] {
            ip(&format!("link set host0 mtu {mtu}"));
            for segment in &segments {
                out.push(Frame::plain(segment)).unwrap();
            }
            assert_eq!(out.iter().len(), 1);
            let sent = to_host.send(&mut out).await.unwrap();
            assert_eq!((sent.accepted, sent.refused, sent.recut), expected);
            let (bytes, _, offload) = find(&mut from_lan, |frame| frame.bytes.len() > 300).await;
            assert_eq!((bytes.len(), offload), arrives);
            assert!(bytes.ends_with(&segments[1][54..]));
            assert!(offload != Offload::None || bytes == segments[1]);
        }
    });
}

#[test]
fn a_tcp_stream_is_captured_in_super_frames_and_unfinished_checksums_are_named() {
    in_namespace(|| async {
        let other = Machine::new();
        ip("link add lan0 type veth peer name host0");
        ip(&format!("link set host0 netns {}", other.path));
        ip("link set lan0 up");
        ip("addr add 10.9.0.1/24 dev lan0");
        let (mut from_lan, _) = open("lan0");
        let (ready, listening) = mpsc::channel();
        other.start(move || {
            ip("link set host0 up");
            ip("addr add 10.9.0.2/24 dev host0");
            let listener = TcpListener::bind("10.9.0.2:7000").unwrap();
            ready.send(()).unwrap();
            std::io::copy(&mut listener.accept().unwrap().0, &mut std::io::sink()).unwrap();
        });
        listening.recv().unwrap();
        thread::spawn(|| {
            TcpStream::connect("10.9.0.2:7000")
                .unwrap()
                .write_all(&vec![7; 4 << 20])
                .unwrap()
        });
        let (bytes, origin, offload) = find(&mut from_lan, |frame| frame.bytes.len() > 16_000).await;
        assert_eq!(
            (origin, offload),
            (
                FrameOrigin::ThisHost,
                Offload::TcpSegments {
                    size: 1448,
                    header_len: 66
                }
            )
        );
        assert!(bytes[66..].iter().all(|byte| *byte == 7));
        let acknowledgement =
            |frame: Frame<'_>| frame.bytes.len() == 66 && frame.bytes[6..12] != bytes[6..12];
        let (_, origin, offload) = find(&mut from_lan, acknowledgement).await;
        assert_eq!(
            (origin, offload),
            (
                FrameOrigin::Wire,
                Offload::ChecksumNeeded {
                    start: 34,
                    offset: 16
                }
            )
        );
    });
}

#[test]
fn a_super_frame_that_is_injected_reaches_a_program_as_its_bytes() {
    in_namespace(|| async {
        let other = Machine::new();
        ip("link add lan0 type veth peer name host0");
        ip(&format!("link set lan0 address {HERE} up"));
        ip(&format!("link set host0 netns {}", other.path));
        let (ready, listening) = mpsc::channel();
        let (done, received) = mpsc::channel();
        other.start(move || {
            ip(&format!("link set host0 address {THERE} up"));
            ip("addr add 10.9.0.2/24 dev host0");
            wait_for_link("host0");
            let socket = UdpSocket::bind("10.9.0.2:7000").unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            ready.send(()).unwrap();
            let mut buffer = [0; 2000];
            done.send(
                (0..3)
                    .map(|_| socket.recv(&mut buffer).unwrap())
                    .collect::<Vec<_>>(),
            )
            .unwrap();
        });
        listening.recv().unwrap();
        wait_for_link("lan0");
        let (_, mut to_lan) = open("lan0");
        let bytes = udp_super_frame(2500);
        let mut out = OutBatch::new();
        out.push(Frame {
            bytes: &bytes,
            offload: Offload::UdpSegments {
                size: 1000,
                header_len: 42,
            },
        })
        .unwrap();
        assert_eq!(
            to_lan.send(&mut out).await.unwrap(),
            Sent {
                accepted: 1,
                ..Sent::default()
            }
        );
        let lens = tokio::task::spawn_blocking(move || received.recv().unwrap())
            .await
            .unwrap();
        assert_eq!(lens, [1000, 1000, 500]);
    });
}

#[test]
fn what_the_kernel_cannot_describe_is_counted_and_the_rest_goes_on() {
    in_namespace(|| async {
        cable();
        let device = PacketDevice::open("lan0").unwrap();
        let fd = device.0.fd.as_raw_fd();
        let (_, mut to_host) = open("host0");
        for number in 0..3 {
            send(&mut to_host, &frame(THERE, HERE, number, 100)).await;
        }
        // No room for a description has the same answer as no words for it: EINVAL, and the frame is gone.
        let mut too_small = [0u8; 4];
        let mut part = libc::iovec {
            iov_base: too_small.as_mut_ptr().cast(),
            iov_len: too_small.len(),
        };
        // SAFETY: `mmsghdr` is plain data and pointers, for which zeros are valid.
        let mut message: libc::mmsghdr = unsafe { mem::zeroed() };
        message.msg_hdr.msg_iov = &mut part;
        message.msg_hdr.msg_iovlen = 1;
        let mut losses = SourceLosses::default();
        let empty = receive_messages(fd, std::slice::from_mut(&mut message), &mut losses).unwrap_err();
        assert_eq!(empty.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(
            losses,
            SourceLosses {
                undescribed: 3,
                ..SourceLosses::default()
            }
        );

        send(&mut to_host, &frame(THERE, HERE, 7, 100)).await;
        assert_eq!(numbers(&mut device.split().0, 1).await, [(7, FrameOrigin::Wire)]);
    });
}

/// A segment of a stream from 10.9.0.1 to 10.9.0.2 with right checksums.
fn tcp_segment(sequence: u16, payload: u16) -> Vec<u8> {
    let mut bytes = frame(THERE, HERE, 0, 54 + usize::from(payload));
    bytes[12..14].copy_from_slice(&ethertype::IPV4.to_be_bytes());
    let ([a, b], identification) = ((40 + payload).to_be_bytes(), (sequence > 0) as u8);
    bytes[14..34].copy_from_slice(&[
        0x45,
        0,
        a,
        b,
        0,
        identification,
        0x40,
        0,
        64,
        6,
        0,
        0,
        10,
        9,
        0,
        1,
        10,
        9,
        0,
        2,
    ]);
    let header = Sum::new().add_bytes(&bytes[14..34]).checksum();
    bytes[24..26].copy_from_slice(&header.to_be_bytes());
    let [c, d] = sequence.to_be_bytes();
    bytes[34..54].copy_from_slice(&[
        0x1b, 0x58, 0x1b, 0x58, 0, 0, c, d, 0, 0, 0, 1, 0x50, 0x10, 0x20, 0, 0, 0, 0, 0,
    ]);
    let sum = Sum::new()
        .add_bytes(&bytes[26..34])
        .add_word(6)
        .add_word(20 + payload)
        .add_bytes(&bytes[34..]);
    bytes[50..52].copy_from_slice(&sum.checksum().to_be_bytes());
    bytes
}

/// UDP from 10.9.0.1 to 10.9.0.2 port 7000, its checksum holding the pseudo header's sum.
fn udp_super_frame(payload: u16) -> Vec<u8> {
    let mut bytes = frame(HERE, THERE, 0, 42 + usize::from(payload));
    bytes[12..14].copy_from_slice(&ethertype::IPV4.to_be_bytes());
    let total = (28 + payload).to_be_bytes();
    let header = [
        0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 2,
    ];
    bytes[14..34].copy_from_slice(&header);
    let sum = |bytes: &[u8]| {
        bytes
            .chunks(2)
            .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])))
            .sum::<u32>()
    };
    let fold = |sum: u32| ((sum & 0xffff) + (sum >> 16)) as u16;
    bytes[24..26].copy_from_slice(&(!fold(sum(&header))).to_be_bytes());
    let length = (8 + payload).to_be_bytes();
    bytes[34..42].copy_from_slice(&[0x1b, 0x58, 0x1b, 0x58, length[0], length[1], 0, 0]);
    let pseudo = sum(&header[12..20]) + 17 + u32::from(8 + payload);
    bytes[40..42].copy_from_slice(&fold(pseudo).to_be_bytes());
    bytes
}
