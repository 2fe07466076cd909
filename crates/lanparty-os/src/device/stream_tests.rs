//! A TCP stream of two kernels through both devices, whose frames come one by one and leave in super-frames.

use std::{
    fs,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

use lanparty_wire::{Frame, Mac, Offload};

use super::{
    Batch, Device, FrameSink, FrameSource, OutBatch,
    packet::PacketDevice,
    tap::{Tap, TapOptions},
};
use crate::{
    feature,
    testing::{Machine, in_namespace, ip, wait_for_link},
};

/// Bytes of the stream.
const STREAM: u32 = 16 << 20;

#[test]
fn a_stream_from_the_tap_reaches_a_host_on_the_lan_in_super_frames() {
    for card_has_offloads in [true, false] {
        for family in ["4", "6"] {
            in_namespace(|| async {
                let world = World::new();
                offloads("player", false);
                offloads("lan0", card_has_offloads);
                let received = world.listen_on_the_lan(family);
                send_from_here(world.lan_address(family));
                let seen = world.bridge(received, None).await;
                seen.check();
            });
        }
    }
}

#[test]
fn a_stream_from_the_lan_reaches_a_player_in_super_frames() {
    for tap_has_offloads in [true, false] {
        for family in ["4", "6"] {
            in_namespace(|| async {
                let world = World::new();
                offloads("player", tap_has_offloads);
                world.other.run(|| offloads("host0", false));
                let received = listen(world.player_address(family));
                let to = world.player_address(family);
                world.other.start(move || send_from_here(to));
                let seen = world.bridge(received, None).await;
                seen.check();
            });
        }
    }
}

#[test]
fn a_corrupt_segment_is_shown_to_the_receiver_and_sent_again() {
    in_namespace(|| async {
        let world = World::new();
        world.other.run(|| offloads("host0", false));
        let received = listen(world.player_address("4"));
        let to = world.player_address("4");
        world.other.start(move || send_from_here(to));
        let before = wrong_checksums();
        let seen = world.bridge(received, Some(500)).await;
        assert!(seen.corrupted > 0);
        assert_eq!(wrong_checksums() - before, seen.corrupted);
        seen.check();
    });
}

/// A player's namespace, which is ours, with the gateway's card in it, and a host on the LAN.
struct World {
    tap: Tap,
    card: PacketDevice,
    other: Machine,
}

/// What happened on the bridge.
#[derive(Default)]
struct Seen {
    pushed: usize,
    written: usize,
    corrupted: u64,
    recut: u32,
    arrived: Vec<u8>,
}

impl Seen {
    fn check(&self) {
        assert!(self.arrived == stream());
        assert!(
            self.written * 2 < self.pushed,
            "{} frames were written as {}",
            self.pushed,
            self.written
        );
        assert_eq!(self.recut, 0);
    }
}

impl World {
    fn new() -> World {
        let other = Machine::new();
        let tap = Tap::create(&TapOptions {
            name: "player".to_owned(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
        });
        let tap = tap.unwrap();
        tap.control().set_carrier(true).unwrap();
        ip("link set player up");
        ip("addr add 10.9.0.1/24 dev player");
        ip("addr add fd09::1/64 dev player nodad");
        ip("link add lan0 type veth peer name host0");
        ip("link set lan0 addrgenmode none up");
        ip(&format!("link set host0 netns {}", other.path));
        other.run(|| {
            ip("link set host0 up");
            ip("addr add 10.9.0.2/24 dev host0");
            ip("addr add fd09::2/64 dev host0 nodad");
        });
        wait_for_link("lan0");
        let card = PacketDevice::open("lan0").unwrap();
        World { tap, card, other }
    }

    fn player_address(&self, family: &str) -> &'static str {
        if family == "4" {
            "10.9.0.1:7000"
        } else {
            "[fd09::1]:7000"
        }
    }

    fn lan_address(&self, family: &str) -> &'static str {
        if family == "4" {
            "10.9.0.2:7000"
        } else {
            "[fd09::2]:7000"
        }
    }

    fn listen_on_the_lan(&self, family: &str) -> Receiver<Vec<u8>> {
        let (done, received) = channel();
        let address = self.lan_address(family);
        self.other.run(move || done.send(listen(address)).unwrap());
        received.recv().unwrap()
    }

    /// Carries frames both ways until the stream has arrived. One of `corrupt` frames with much payload gets a wrong byte.
    async fn bridge(self, received: Receiver<Vec<u8>>, corrupt: Option<usize>) -> Seen {
        let ((mut from_tap, mut to_tap), (mut from_card, mut to_card)) =
            (self.tap.split(), self.card.split());
        let (mut there, mut back, mut out) = (Batch::new(), Batch::new(), OutBatch::new());
        let mut seen = Seen::default();
        loop {
            tokio::select! {
                result = from_tap.recv(&mut there) => {
                    result.unwrap();
                    carry(&there, &mut out, &mut to_card, corrupt, &mut seen).await;
                }
                result = from_card.recv(&mut back) => {
                    result.unwrap();
                    carry(&back, &mut out, &mut to_tap, corrupt, &mut seen).await;
                }
                () = tokio::time::sleep(Duration::from_millis(20)) => {}
            }
            if let Ok(bytes) = received.try_recv() {
                seen.arrived = bytes;
                return seen;
            }
        }
    }
}

async fn carry(
    batch: &Batch,
    out: &mut OutBatch,
    sink: &mut impl FrameSink,
    corrupt: Option<usize>,
    seen: &mut Seen,
) {
    for frame in batch.iter() {
        // Acknowledgements and the host's own noise are not what is looked at.
        if frame.offload == Offload::None && frame.bytes.len() > 1000 {
            seen.pushed += 1;
            if corrupt.is_some_and(|every| seen.pushed.is_multiple_of(every)) {
                let mut bytes = frame.bytes.to_vec();
                bytes[800] ^= 0x40;
                seen.corrupted += 1;
                out.push(Frame::plain(&bytes)).unwrap();
                continue;
            }
        }
        out.push(frame).unwrap();
    }
    let long = |frame: &Frame<'_>| frame.bytes.len() > 1000;
    seen.written += out.iter().filter(long).count();
    let counted = out.len() as u32;
    let sent = sink.send(out).await.unwrap();
    assert_eq!(sent.accepted, counted, "{sent:?}");
    seen.recut += sent.recut;
}

/// Accepts one connection and tells what came.
fn listen(address: &str) -> Receiver<Vec<u8>> {
    let listener = TcpListener::bind(address).unwrap();
    let (done, received) = channel();
    // Threads of this one are in its namespace.
    thread::spawn(move || {
        let mut bytes = Vec::new();
        listener.accept().unwrap().0.read_to_end(&mut bytes).unwrap();
        done.send(bytes).unwrap();
    });
    received
}

fn send_from_here(to: &'static str) {
    thread::spawn(move || TcpStream::connect(to).unwrap().write_all(&stream()).unwrap());
}

fn stream() -> Vec<u8> {
    (0..STREAM)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// Whether a card finishes what the kernel begins. Without, frames reach and leave it one by one, with checksums that are looked at.
fn offloads(card: &str, on: bool) {
    for name in [
        "tx-checksum-ip-generic",
        "tx-tcp-segmentation",
        "tx-tcp6-segmentation",
    ] {
        // Without checksums there is no segmentation, and the kernel has switched it off already.
        if feature::read(card, name).unwrap() != Some(on) {
            feature::write(card, name, on).unwrap();
        }
    }
}

/// Segments that this namespace has refused for their checksum.
fn wrong_checksums() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/net/snmp").unwrap();
    let mut lines = text.lines().filter_map(|line| line.strip_prefix("Tcp: "));
    let (names, values) = (lines.next().unwrap(), lines.next().unwrap());
    let at = names.split(' ').position(|name| name == "InCsumErrors").unwrap();
    values.split(' ').nth(at).unwrap().parse().unwrap()
}
