//! Packet sockets on a pair of virtual cards, with the kernel's own network stack on the same cards.

use std::{
    io::Write,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
};

use lanparty_wire::{EtherView, Frame, Mac, Offload, checksum::Sum, ethertype};

use super::{super::receive::receive_messages, *};
use crate::{
    device::FrameOrigin,
    testing::{Machine, in_namespace, ip, run, wait_for_link},
};

const HERE: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THERE: Mac = Mac([2, 0, 0, 0, 0, 2]);
const PATIENCE: Duration = Duration::from_secs(3);

#[test]
fn frames_go_both_ways_and_own_ones_do_not_come_back() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, mut to_lan) = open("lan0");
        let (mut from_host, mut to_host) = open("host0");
        for number in 0..3 {
            send(&mut to_host, &frame(THERE, HERE, number, 100)).await;
            send(&mut to_lan, &frame(HERE, Mac::BROADCAST, 10 + number, 100)).await;
        }
        // Whatever came back to the socket that sent it would be among these.
        let on_lan: Vec<_> = numbers(&mut from_lan, 3).await;
        assert_eq!(
            on_lan,
            [
                (0, FrameOrigin::Wire),
                (1, FrameOrigin::Wire),
                (2, FrameOrigin::Wire)
            ]
        );
        assert_eq!(
            numbers(&mut from_host, 3)
                .await
                .iter()
                .map(|n| n.0)
                .collect::<Vec<_>>(),
            [10, 11, 12]
        );
        send(&mut to_host, &frame(THERE, HERE, 99, 100)).await;
        assert_eq!(numbers(&mut from_lan, 1).await, [(99, FrameOrigin::Wire)]);
    });
}

#[test]
fn frames_for_strangers_are_captured_while_the_socket_is_open() {
    in_namespace(|| async {
        cable();
        let promiscuity = || {
            run("ip", "-d -o link show dev lan0")
                .split("promiscuity ")
                .nth(1)
                .unwrap()
                .as_bytes()[0]
        };
        let (mut from_lan, to_lan) = open("lan0");
        // A virtual card hands everything on, so what a real one is told has to be looked at.
        assert_eq!(promiscuity(), b'1');
        let (_, mut to_host) = open("host0");
        send(&mut to_host, &frame(THERE, Mac([2, 9, 9, 9, 9, 9]), 7, 100)).await;
        assert_eq!(numbers(&mut from_lan, 1).await, [(7, FrameOrigin::Wire)]);
        drop((from_lan, to_lan));
        assert_eq!(promiscuity(), b'0');
    });
}

#[test]
fn what_this_machine_sends_itself_is_reported_as_such() {
    in_namespace(|| async {
        cable();
        ip("addr add 10.9.0.1/24 dev lan0");
        let (mut from_lan, _) = open("lan0");
        let socket = UdpSocket::bind("10.9.0.1:0").unwrap();
        socket.set_broadcast(true).unwrap();
        socket.send_to(b"is there a server?", "10.9.0.255:27015").unwrap();
        let (bytes, origin, _) = find(&mut from_lan, |frame| {
            frame.bytes.ends_with(b"is there a server?")
        })
        .await;
        assert_eq!(origin, FrameOrigin::ThisHost);
        assert_eq!(EtherView::parse(&bytes).unwrap().source(), HERE);
    });
}

#[test]
fn vlan_tags_that_the_kernel_takes_off_are_back_in_place() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, _) = open("lan0");
        let (_, mut to_host) = open("host0");
        let mut tagged = frame(THERE, HERE, 5, 100);
        tagged.splice(12..12, [0x81, 0x00, 0xa0, 0x2a]);
        let mut twice = tagged.clone();
        twice.splice(12..12, [0x88, 0xa8, 0x00, 0x07]);
        for sent in [tagged, twice] {
            send(&mut to_host, &sent).await;
            let (bytes, _, offload) = find(&mut from_lan, |frame| frame.bytes.len() == sent.len()).await;
            assert_eq!(bytes, sent);
            assert_eq!(offload, Offload::None);
        }
    });
}

#[test]
fn short_frames_are_padded_and_long_ones_refused_alone() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, _) = open("lan0");
        let (_, mut to_host) = open("host0");
        let mut out = OutBatch::new();
        out.push(Frame::plain(&frame(THERE, HERE, 1, 20))).unwrap();
        out.push(Frame::plain(&frame(THERE, HERE, 2, 3000))).unwrap();
        out.push(Frame::plain(&frame(THERE, HERE, 3, 1514))).unwrap();
        assert_eq!(
            to_host.send(&mut out).await.unwrap(),
            Sent {
                accepted: 2,
                refused: 1,
                ..Sent::default()
            }
        );
        let mut arrived = Vec::new();
        let mut batch = Batch::new();
        while arrived.len() < 2 {
            timeout(PATIENCE, from_lan.recv(&mut batch))
                .await
                .expect("a frame")
                .unwrap();
            arrived.extend(
                batch
                    .iter()
                    .filter(|f| number(*f).is_some())
                    .map(|f| f.bytes.to_vec()),
            );
        }
        assert_eq!((arrived[0].len(), arrived[0][14]), (60, 1));
        assert!(arrived[0][20..].iter().all(|byte| *byte == 0));
        assert_eq!((arrived[1].len(), arrived[1][14]), (1514, 3));
    });
}

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
fn an_interface_that_goes_down_and_comes_up_is_found_again() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, mut to_lan) = open("lan0");
        ip("link set lan0 down");
        expect_down(&mut from_lan, &mut to_lan).await;
        assert!(matches!(
            PacketDevice::open("lan0"),
            Err(DeviceError::Down { .. })
        ));
        let returning = tokio::spawn(PacketDevice::open_when_ready("lan0"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        ip("link set lan0 up");
        let (mut from_lan, _) = returning.await.unwrap().unwrap().split();
        wait_for_link("host0");
        let (_, mut to_host) = open("host0");
        send(&mut to_host, &frame(THERE, HERE, 1, 100)).await;
        assert_eq!(numbers(&mut from_lan, 1).await, [(1, FrameOrigin::Wire)]);
    });
}

#[test]
fn an_interface_that_is_plugged_in_again_is_found_under_its_new_index() {
    in_namespace(|| async {
        cable();
        let device = PacketDevice::open("lan0").unwrap();
        let before = device.index();
        let (mut from_lan, mut to_lan) = device.split();
        ip("link del lan0");
        expect_down(&mut from_lan, &mut to_lan).await;
        let returning = tokio::spawn(PacketDevice::open_when_ready("lan0"));
        tokio::time::sleep(Duration::from_millis(100)).await;
        cable();
        let device = timeout(PATIENCE, returning).await.unwrap().unwrap().unwrap();
        assert_ne!(device.index(), before);
        let (mut from_lan, _) = device.split();
        let (_, mut to_host) = open("host0");
        send(&mut to_host, &frame(THERE, HERE, 1, 100)).await;
        assert_eq!(numbers(&mut from_lan, 1).await, [(1, FrameOrigin::Wire)]);
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

#[test]
fn frames_that_the_socket_could_not_hold_are_counted_as_overrun() {
    in_namespace(|| async {
        cable();
        let (mut from_lan, _) = open("lan0");
        let (_, mut to_host) = open("host0");
        let mut out = OutBatch::new();
        let bytes = frame(THERE, HERE, 1, 1514);
        let mut sent = 0;
        while sent < 20_000 {
            while out.push(Frame::plain(&bytes)).is_ok() {}
            sent += to_host.send(&mut out).await.unwrap().accepted;
            // Lets the kernel's softirqs and other tests have the processor.
            tokio::task::yield_now().await;
        }
        let lost = from_lan.losses().overrun;
        assert!(lost > 0);
        // The kernel forgets what it has told; we do not.
        assert_eq!(from_lan.losses().overrun, lost);
    });
}

/// Two cards, `lan0` and `host0`, joined by a cable and silent of their own.
fn cable() {
    ip("link add lan0 type veth peer name host0");
    for (name, mac) in [("lan0", HERE), ("host0", THERE)] {
        ip(&format!("link set {name} address {mac} addrgenmode none"));
        ip(&format!("link set {name} up"));
    }
    // Until the kernel has noticed the link, it throws away what is sent.
    for name in ["lan0", "host0"] {
        wait_for_link(name);
    }
}

fn open(name: &str) -> (PacketSource, PacketSink) {
    PacketDevice::open(name).unwrap().split()
}

/// A frame of an experimental type, told from others by its number.
fn frame(from: Mac, to: Mac, number: u8, len: usize) -> Vec<u8> {
    let mut bytes = vec![0xee; len];
    bytes[..6].copy_from_slice(&to.0);
    bytes[6..12].copy_from_slice(&from.0);
    bytes[12..14].copy_from_slice(&ethertype::LOCAL_EXPERIMENTAL.to_be_bytes());
    bytes[14] = number;
    bytes
}

fn number(frame: Frame<'_>) -> Option<u8> {
    let view = EtherView::parse(frame.bytes).ok()?;
    (view.type_or_length() == ethertype::LOCAL_EXPERIMENTAL).then(|| view.payload()[0])
}

async fn send(sink: &mut PacketSink, bytes: &[u8]) {
    let mut out = OutBatch::new();
    out.push(Frame::plain(bytes)).unwrap();
    assert_eq!(
        sink.send(&mut out).await.unwrap(),
        Sent {
            accepted: 1,
            ..Sent::default()
        }
    );
}

/// The next `count` of our numbered frames.
async fn numbers(source: &mut PacketSource, count: usize) -> Vec<(u8, FrameOrigin)> {
    let mut found = Vec::new();
    let mut batch = Batch::new();
    while found.len() < count {
        timeout(PATIENCE, source.recv(&mut batch))
            .await
            .expect("a frame")
            .unwrap();
        found.extend(
            batch
                .received()
                .filter_map(|r| Some((number(r.frame)?, r.origin))),
        );
    }
    found
}

/// The next frame that fits.
async fn find(
    source: &mut PacketSource,
    fits: impl Fn(Frame<'_>) -> bool,
) -> (Vec<u8>, FrameOrigin, Offload) {
    let mut batch = Batch::new();
    loop {
        timeout(PATIENCE, source.recv(&mut batch))
            .await
            .expect("a frame")
            .unwrap();
        if let Some(found) = batch.received().find(|received| fits(received.frame)) {
            return (found.frame.bytes.to_vec(), found.origin, found.frame.offload);
        }
    }
}

async fn expect_down(source: &mut PacketSource, sink: &mut PacketSink) {
    let mut batch = Batch::new();
    let down = loop {
        match timeout(PATIENCE, source.recv(&mut batch))
            .await
            .expect("an error")
        {
            Ok(()) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(down, DeviceError::Down { .. }), "{down:?}");
    let mut out = OutBatch::new();
    out.push(Frame::plain(&frame(HERE, THERE, 1, 100))).unwrap();
    assert!(matches!(sink.send(&mut out).await, Err(DeviceError::Down { .. })));
    assert!(out.is_empty());
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
