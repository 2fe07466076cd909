//! What a frame costs on its way out of the tunnel: putting segments together, and the kernel's part of it. Needs root.
//! `cargo bench -p lanparty-os`.

use divan::{AllocProfiler, Bencher, counter::ItemsCount};
use lanparty_wire::{Frame, checksum::Sum};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Segments of a full datagram that make 64 KiB.
const COUNT: usize = 48;
const PAYLOAD: usize = 1320;

fn main() {
    divan::main();
}

#[divan::bench]
fn put_segments_together(bencher: Bencher<'_, '_>) {
    push(bencher, &stream());
}

#[divan::bench]
fn push_segments_that_do_not_follow(bencher: Bencher<'_, '_>) {
    push(bencher, &backwards());
}

#[divan::bench]
fn push_datagrams(bencher: Bencher<'_, '_>) {
    let mut frames = stream();
    for frame in &mut frames {
        frame[23] = 17;
        frame.truncate(106);
    }
    push(bencher, &frames);
}

fn push(bencher: Bencher<'_, '_>, frames: &[Vec<u8>]) {
    let mut out = lanparty_os::device::OutBatch::new();
    bencher.counter(ItemsCount::new(frames.len())).bench_local(|| {
        out.clear();
        for frame in frames {
            out.push(Frame::plain(divan::black_box(frame))).expect("room");
        }
        out.len()
    });
}

fn backwards() -> Vec<Vec<u8>> {
    stream().into_iter().rev().collect()
}

/// Successive segments of TCP over IPv4 with timestamps, their checksums right.
fn stream() -> Vec<Vec<u8>> {
    (0..COUNT).map(segment).collect()
}

fn segment(index: usize) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    let [a, b] = (52 + PAYLOAD as u16).to_be_bytes();
    bytes.extend([0x45, 0, a, b, 0, index as u8, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend([10, 9, 0, 2, 10, 9, 0, 1]);
    let header = Sum::new().add_bytes(&bytes[14..34]).checksum();
    bytes[24..26].copy_from_slice(&header.to_be_bytes());
    bytes.extend([0x1b, 0x58, 0x1b, 0x59]);
    bytes.extend(((index * PAYLOAD) as u32).to_be_bytes());
    bytes.extend([0, 0, 0, 1, 0x80, 0x10, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.resize(66 + PAYLOAD, 0x5a);
    let sum = Sum::new()
        .add_bytes(&bytes[26..34])
        .add_word(6)
        .add_word(32 + PAYLOAD as u16)
        .add_bytes(&bytes[34..]);
    bytes[50..52].copy_from_slice(&sum.checksum().to_be_bytes());
    bytes
}

#[cfg(target_os = "linux")]
mod kernel {
    use std::process::Command;

    use divan::{Bencher, counter::ItemsCount};
    use lanparty_os::device::{
        Device, FrameSink, OutBatch,
        packet::PacketDevice,
        tap::{Tap, TapOptions},
    };
    use lanparty_wire::{Frame, Mac};
    use nix::sched::{CloneFlags, unshare};

    #[divan::bench(args = [false, true])]
    fn write_to_the_tap(bencher: Bencher<'_, '_>, together: bool) {
        let runtime = namespace();
        let _entered = runtime.enter();
        let tap = Tap::create(&TapOptions {
            name: "lan0".to_owned(),
            mac: Mac([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
        });
        let tap = tap.expect("root");
        tap.control().set_carrier(true).expect("a TAP of ours");
        ip("link set lan0 up");
        send(bencher, &runtime, tap.split().1, together);
    }

    #[divan::bench(args = [false, true])]
    fn send_by_the_packet_socket(bencher: Bencher<'_, '_>, together: bool) {
        let runtime = namespace();
        let _entered = runtime.enter();
        ip("link add lan0 type veth peer name host0");
        ip("link set lan0 up");
        ip("link set host0 address 02:00:00:00:00:01 up");
        let card = PacketDevice::open("lan0").expect("root");
        send(bencher, &runtime, card.split().1, together);
    }

    /// The receiving stack has no address, so what is measured ends at its door.
    fn send(
        bencher: Bencher<'_, '_>,
        runtime: &tokio::runtime::Runtime,
        mut sink: impl FrameSink,
        together: bool,
    ) {
        let frames = if together {
            super::stream()
        } else {
            super::backwards()
        };
        let mut out = OutBatch::new();
        bencher.counter(ItemsCount::new(frames.len())).bench_local(|| {
            for frame in &frames {
                out.push(Frame::plain(frame)).expect("room");
            }
            let sent = runtime.block_on(sink.send(&mut out)).expect("a device");
            assert_eq!((sent.accepted, sent.recut), (frames.len() as u32, 0));
        });
    }

    /// A network of this thread's own.
    fn namespace() -> tokio::runtime::Runtime {
        unshare(CloneFlags::CLONE_NEWNET).expect("root");
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
    }

    fn ip(words: &str) {
        let status = Command::new("ip").args(words.split(' ')).status();
        assert!(status.expect("iproute2").success(), "ip {words}");
    }
}
