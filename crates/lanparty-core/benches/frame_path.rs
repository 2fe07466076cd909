//! What one frame costs at each step of its way: switch, guard, fragments, scheduler; allocations are counted for each.
//! `cargo bench -p lanparty-core --bench frame_path`.

use std::time::{Duration, Instant};

use divan::{AllocProfiler, Bencher, black_box, counter::ItemsCount};
use lanparty_core::{
    fragment::{self, Reassembler},
    guard::{Guard, Limits, Origin},
    scheduler::{Bounds, FlowId, Scheduler},
    switch::{Forwarding, Port, Switch},
};
use lanparty_wire::{
    Class, Destination, DropCounters, Frame, Header, Kind, Mac, MemberId, control::Role, mtu,
};

#[global_allocator]
static ALLOCATIONS: AllocProfiler = AllocProfiler::system();

const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const OTHER: Mac = Mac([2, 0, 0, 0, 0, 2]);
/// What waits in the scheduler while packets pass through it.
const BACKLOG: u16 = 64;

fn main() {
    divan::main();
}

/// A full frame to another player, in a room of thirty.
#[divan::bench]
fn switch(bencher: Bencher<'_, '_>) {
    let mut switch = Switch::new(Role::Client, Some(OWN));
    for number in 2..32 {
        switch.add(
            member(number),
            Role::Client,
            Some(Mac([2, 0, 0, 0, 0, number as u8])),
        );
    }
    let (frame, now) = (udp_frame(1400), start());
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| switch.forward(now, Port::Device, Frame::plain(black_box(&frame))));
}

/// A player's frame: headers, source, filters, class and limits.
#[divan::bench(args = [64, 1400])]
fn guard(bencher: Bencher<'_, '_>, payload: usize) {
    let mut now = start();
    let origin = Origin::Member { mac: OWN };
    let mut guard = Guard::new(origin, mtu::DEFAULT_MTU, &Limits::default(), now);
    let frame = udp_frame(payload);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        // Within the limits, which are no part of what a frame costs.
        now += Duration::from_millis(1);
        guard
            .admit(now, Frame::plain(black_box(&frame)))
            .expect("an ordinary frame")
    });
}

/// A full frame for a leg that takes 1,162 bytes, cut in two and put together again.
#[divan::bench]
fn cut_and_reassemble(bencher: Bencher<'_, '_>) {
    let now = start();
    let mut sequence = 0;
    let payload = vec![7; 1514];
    let mut reassembler = Reassembler::new(1514);
    let mut drops = DropCounters::default();
    let mut datagram = Vec::new();
    let mut piece = Vec::new();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        sequence += 1;
        datagram.clear();
        datagram.extend_from_slice(&header(sequence).encode());
        datagram.extend_from_slice(&payload);
        let mut whole = 0;
        fragment::recut(&datagram, 1162, |head, body| {
            piece.clear();
            piece.extend_from_slice(head);
            piece.extend_from_slice(body);
            let (header, rest) = Header::decode(&piece).expect("a piece of our own");
            if let Ok(Some((_, payload))) = reassembler.insert(now, &header, rest, &mut drops) {
                whole = payload.len();
            }
        })
        .expect("a leg that takes pieces");
        assert_eq!(whole, payload.len());
    });
}

/// One packet in and one out, with others waiting in as many flows.
#[divan::bench(args = [1, 8, 64])]
fn scheduler(bencher: Bencher<'_, '_>, flows: u16) {
    let mut now = start();
    let mut scheduler = Scheduler::new(Bounds::default());
    let mut next = 0_u16;
    let mut push = |scheduler: &mut Scheduler<usize>, now| {
        next = next.wrapping_add(1);
        let class = if next.is_multiple_of(4) {
            Class::Interactive
        } else {
            Class::Bulk
        };
        let flow = FlowId::to(Destination::Member(member(2)), next % flows);
        scheduler.push(now, class, flow, 1400, usize::from(next), drop);
    };
    for _ in 0..BACKLOG {
        push(&mut scheduler, now);
    }
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        // 1.4 Gbit/s, at which nothing waits for as long as CoDel minds.
        now += Duration::from_micros(8);
        push(&mut scheduler, now);
        scheduler.pop(now, |_| true, drop)
    });
}

fn member(number: u16) -> MemberId {
    MemberId::new(number).expect("not zero")
}

fn header(sequence: u64) -> Header {
    Header {
        kind: Kind::Frame,
        fragment: false,
        congested: false,
        class: Class::Bulk,
        key_id: 0,
        flow: 1,
        source: member(1),
        destination: Destination::Member(member(2)),
        sequence,
    }
}

/// UDP over IPv4 between two players.
fn udp_frame(payload: usize) -> Vec<u8> {
    let total = u16::try_from(28 + payload).expect("a frame").to_be_bytes();
    let length = u16::try_from(8 + payload).expect("a frame").to_be_bytes();
    let mut bytes = [OTHER.0, OWN.0].concat();
    bytes.extend([8, 0, 0x45, 0, total[0], total[1], 0, 1, 0x40, 0, 64, 17, 0, 0]);
    bytes.extend([10, 73, 42, 60, 10, 73, 42, 61]);
    bytes.extend([0x69, 0x87, 0x69, 0x88, length[0], length[1], 0, 0]);
    bytes.resize(14 + 28 + payload, 0x5a);
    bytes
}

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
