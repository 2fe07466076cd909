//! Packet sockets on a pair of virtual cards, with the kernel's own network stack on the same cards.

#[path = "tests/offload.rs"]
mod offload;

use std::net::UdpSocket;

use lanparty_wire::{EtherView, Frame, Mac, Offload, ethertype};

use super::*;
use crate::{
    device::FrameOrigin,
    testing::{in_namespace, ip, run, wait_for_link},
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
