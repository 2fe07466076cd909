//! A TAP in a namespace, with the kernel's own network stack as the program that uses it.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use lanparty_wire::{EtherView, Frame, Offload, ethertype};
use tokio::time::timeout;

use super::*;
use crate::testing::{Machine, in_namespace, ip, run};

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);

#[test]
fn a_ping_into_the_tap_comes_out_as_frames_and_is_answered_by_frames() {
    in_namespace(|| async {
        let tap = plugged_in("lan0");
        ip("addr add 10.9.0.1/24 dev lan0");
        let mut ping = Command::new("ping")
            .args(["-n", "-c1", "-W3", "10.9.0.2"])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let (mut source, mut sink) = tap.split();
        let (mut batch, mut out) = (Batch::new(), OutBatch::new());
        while ping.try_wait().unwrap().is_none() {
            let Ok(result) = timeout(Duration::from_millis(50), source.recv(&mut batch)).await else {
                continue;
            };
            result.unwrap();
            for answer in batch.iter().filter_map(answer_like_a_host) {
                out.push(Frame::plain(&answer)).unwrap();
            }
            let count = out.len() as u32;
            assert_eq!(
                sink.send(&mut out).await.unwrap(),
                Sent {
                    accepted: count,
                    ..Sent::default()
                }
            );
        }
        assert!(ping.wait().unwrap().success());
    });
}

#[test]
fn a_tcp_stream_crosses_two_taps_in_super_frames_and_arrives_whole() {
    in_namespace(|| async {
        let other = Machine::new();
        let (left, right) = (
            Tap::create(&options("left", MAC)).unwrap(),
            Tap::create(&options("right", OTHER)).unwrap(),
        );
        ip(&format!("link set right netns {}", other.path));
        left.control().set_carrier(true).unwrap();
        right.control().set_carrier(true).unwrap();
        ip("link set left up");
        ip("addr add 10.9.0.1/24 dev left");
        let (ready, listening) = mpsc::channel();
        let (done, received) = mpsc::channel();
        other.start(move || {
            ip("link set right up");
            ip("addr add 10.9.0.2/24 dev right");
            let listener = TcpListener::bind("10.9.0.2:7000").unwrap();
            ready.send(()).unwrap();
            let mut bytes = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
            done.send(bytes).unwrap();
        });
        listening.recv().unwrap();
        let sent: Vec<u8> = (0..8 << 20)
            .map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let copy = sent.clone();
        // Threads of this one are in its namespace.
        thread::spawn(move || {
            TcpStream::connect("10.9.0.2:7000")
                .unwrap()
                .write_all(&copy)
                .unwrap()
        });

        let ((mut from_left, mut to_left), (mut from_right, mut to_right)) = (left.split(), right.split());
        let (mut there, mut back, mut out) = (Batch::new(), Batch::new(), OutBatch::new());
        let mut longest = 0;
        let result = loop {
            tokio::select! {
                result = from_left.recv(&mut there) => {
                    result.unwrap();
                    longest = longest.max(there.iter().filter_map(super_frame_len).max().unwrap_or(0));
                    assert_eq!(carry(&there, &mut out, &mut to_right).await.refused, 0);
                }
                result = from_right.recv(&mut back) => {
                    result.unwrap();
                    assert_eq!(carry(&back, &mut out, &mut to_left).await.refused, 0);
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            if let Ok(bytes) = received.try_recv() {
                break bytes;
            }
        };
        assert!(result == sent);
        assert!(longest > 16_000, "the longest super-frame had {longest} bytes");
        assert_eq!(from_left.losses(), SourceLosses::default());
    });
}

#[test]
fn a_tap_has_the_identity_it_was_given_and_leaves_with_its_owner() {
    in_namespace(|| async {
        let tap = Tap::create(&TapOptions {
            mtu: 1200,
            ..options("lan0", MAC)
        })
        .unwrap();
        let control = tap.control();
        assert_eq!(control.mac().unwrap(), MAC);
        let shown = run("ip", "-o link show dev lan0");
        assert!(
            shown.contains("mtu 1200") && shown.contains("02:00:00:00:00:01") && !shown.contains("UP"),
            "{shown}"
        );
        assert!(run("ip", "-o link show dev lan0").starts_with(&format!("{}:", control.index())));

        control.set_link(true).unwrap();
        assert!(run("ip", "-o link show dev lan0").contains("NO-CARRIER"));
        control.set_carrier(true).unwrap();
        assert!(run("ip", "-o link show dev lan0").contains("LOWER_UP"));

        assert!(matches!(
            Tap::create(&options("lan0", OTHER)),
            Err(DeviceError::Exists { .. })
        ));
        drop((tap, control));
        assert!(syscall::interface_index("lan0").is_err());
    });
}

#[test]
fn what_the_tap_cannot_take_is_counted_and_a_removed_tap_is_down() {
    in_namespace(|| async {
        let tap = plugged_in("lan0");
        let control = tap.control();
        let (mut source, mut sink) = tap.split();
        let mut out = OutBatch::new();
        out.push(Frame::plain(&[0; 5])).unwrap();
        out.push(Frame::plain(&[0; 60])).unwrap();
        out.push(Frame {
            bytes: &[0; 60],
            offload: Offload::TcpSegments {
                size: 1,
                header_len: 54,
            },
        })
        .unwrap();
        assert_eq!(
            sink.send(&mut out).await.unwrap(),
            Sent {
                accepted: 1,
                refused: 2,
                ..Sent::default()
            }
        );

        ip("link del lan0");
        let mut batch = Batch::new();
        let result = loop {
            // Frames that were on their way come first.
            match timeout(Duration::from_secs(3), source.recv(&mut batch))
                .await
                .unwrap()
            {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert!(matches!(result, DeviceError::Down { .. }), "{result:?}");
        assert!(matches!(control.set_link(true), Err(DeviceError::Down { .. })));
        out.push(Frame::plain(&[0; 60])).unwrap();
        assert!(matches!(sink.send(&mut out).await, Err(DeviceError::Down { .. })));
    });
}

fn options(name: &str, mac: Mac) -> TapOptions {
    TapOptions {
        name: name.to_owned(),
        mac,
        mtu: 1500,
    }
}

fn plugged_in(name: &str) -> Tap {
    let tap = Tap::create(&options(name, MAC)).unwrap();
    tap.control().set_carrier(true).unwrap();
    tap.control().set_link(true).unwrap();
    tap
}

async fn carry(batch: &Batch, out: &mut OutBatch, to: &mut TapSink) -> Sent {
    for frame in batch.iter() {
        out.push(frame).unwrap();
    }
    to.send(out).await.unwrap()
}

fn super_frame_len(frame: Frame<'_>) -> Option<usize> {
    match frame.offload {
        Offload::TcpSegments { size, header_len } => {
            assert!(header_len >= 54 && usize::from(header_len) + usize::from(size) <= 1514);
            Some(frame.bytes.len())
        }
        Offload::None | Offload::ChecksumNeeded { .. } | Offload::UdpSegments { .. } => None,
    }
}

/// 10.9.0.2, which answers ARP requests and pings.
fn answer_like_a_host(frame: Frame<'_>) -> Option<Vec<u8>> {
    let view = EtherView::parse(frame.bytes).unwrap();
    let mut answer = frame.bytes.to_vec();
    answer[..6].copy_from_slice(&MAC.0);
    answer[6..12].copy_from_slice(&OTHER.0);
    match view.type_or_length() {
        ethertype::ARP => {
            answer[21] = 2;
            answer[22..28].copy_from_slice(&OTHER.0);
            answer[28..32].copy_from_slice(&frame.bytes[38..42]);
            answer[32..38].copy_from_slice(&MAC.0);
            answer[38..42].copy_from_slice(&frame.bytes[28..32]);
        }
        ethertype::IPV4 if frame.bytes[23] == 1 => {
            answer[26..30].copy_from_slice(&frame.bytes[30..34]);
            answer[30..34].copy_from_slice(&frame.bytes[26..30]);
            answer[34] = 0;
            // The checksum of a request whose type 8 becomes 0 grows by 0x0800.
            let sum = u32::from(u16::from_be_bytes([answer[36], answer[37]])) + 0x0800;
            answer[36..38].copy_from_slice(&((sum + (sum >> 16)) as u16).to_be_bytes());
        }
        _ => return None,
    }
    Some(answer)
}
