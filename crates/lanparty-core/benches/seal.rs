//! What sealing costs: 1350 bytes sealed and opened in place under one key, with allocations counted.

use divan::{AllocProfiler, Bencher, counter::BytesCount};
use lanparty_core::seal::aead::Key;
use lanparty_wire::{HEADER_LEN, TAG_LEN};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const LENGTH: usize = 1350;

fn main() {
    divan::main();
}

#[divan::bench]
fn seal(bencher: Bencher<'_, '_>) {
    let key = Key::new(&[7; 32]);
    let mut bytes = vec![1; LENGTH];
    bencher
        .counter(BytesCount::new(LENGTH))
        .bench_local(|| key.seal([0; 12], &[2; HEADER_LEN], &mut bytes));
}

/// The copy into the reused buffer is part of it, as it is part of what a node does.
#[divan::bench]
fn open(bencher: Bencher<'_, '_>) {
    let key = Key::new(&[7; 32]);
    let mut sealed = vec![1; LENGTH];
    let tag = key.seal([0; 12], &[2; HEADER_LEN], &mut sealed);
    sealed.extend_from_slice(&tag);
    let mut buffer = Vec::with_capacity(LENGTH + TAG_LEN);
    bencher.counter(BytesCount::new(LENGTH)).bench_local(|| {
        buffer.clear();
        buffer.extend_from_slice(&sealed);
        key.open([0; 12], &[2; HEADER_LEN], &mut buffer)
    });
}
