//! What a super-frame costs on its way into the tunnel: sums, segments, the look for an MSS. `cargo bench -p lanparty-core`.

use bytes::BytesMut;
use divan::{AllocProfiler, Bencher, black_box, counter::BytesCount, counter::ItemsCount};
use lanparty_core::{mss, segment};
use lanparty_wire::{Frame, Offload, checksum::Sum};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

/// Segments of a full datagram.
const LARGEST: usize = 1386;

fn main() {
    divan::main();
}

#[divan::bench(args = [20, 1340, 65_495])]
fn checksum(bencher: Bencher<'_, '_>, len: usize) {
    let bytes = vec![0x5a; len];
    bencher
        .counter(BytesCount::new(len))
        .bench_local(|| Sum::new().add_bytes(black_box(&bytes)).checksum());
}

#[divan::bench]
fn cut_into_arena(bencher: Bencher<'_, '_>) {
    let bytes = super_frame();
    let mut arena = BytesMut::with_capacity(128 * 1024);
    bencher.counter(ItemsCount::new(count(&bytes))).bench_local(|| {
        arena.clear();
        for segment in segment::segments(frame(black_box(&bytes)), LARGEST).expect("a super-frame") {
            segment.append_to(&mut arena);
        }
        arena.len()
    });
}

#[divan::bench]
fn look_for_an_mss(bencher: Bencher<'_, '_>) {
    let mut bytes = super_frame();
    bytes.truncate(LARGEST);
    bencher.bench_local(|| mss::clamp(black_box(&mut bytes), 1400));
}

fn count(bytes: &[u8]) -> usize {
    (bytes.len() - 66).div_ceil(LARGEST - 66)
}

fn frame(bytes: &[u8]) -> Frame<'_> {
    Frame {
        bytes,
        offload: Offload::TcpSegments {
            size: 1448,
            header_len: 66,
        },
    }
}

/// 64 KiB of TCP over IPv4 with timestamps.
fn super_frame() -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0];
    bytes.extend([0x45, 0, 0xff, 0xff, 0, 1, 0x40, 0, 64, 6, 0, 0]);
    bytes.extend([10, 0, 0, 1, 10, 0, 0, 2]);
    bytes.extend([0x1b, 0x58, 0x1b, 0x59, 0, 0, 0, 1, 0, 0, 0, 1]);
    bytes.extend([0x80, 0x10, 0x20, 0, 0, 0, 0, 0]);
    bytes.extend([1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]);
    bytes.resize(14 + 65_535, 0x5a);
    bytes
}
