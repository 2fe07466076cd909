//! What the scheduler promises, in virtual time, and which test shows it:
//!
//! * nobody starves: `a_flood_of_the_urgent_starves_nobody`, `a_class_that_waits_gets_a_tenth_whatever_its_packets_are`;
//! * each class waits for a bounded time: `an_urgent_packet_waits_for_one_frame_of_each_other_class_at_most`, the bound for the others in
//!   `a_flood_of_the_urgent_starves_nobody`, and in time on a leg `queues::a_players_packets_leave_within_the_time_of_few_frames`;
//! * the order within a flow: `nothing_is_lost_doubled_or_reordered_within_a_flow`, `a_flow_that_changes_its_class_does_not_overtake_itself`;
//! * a flooder and a player share fairly: `queues::a_player_waits_for_one_frame_beside_a_flood_and_a_copy`,
//!   `what_a_member_sends_in_many_flows_takes_no_more_than_its_share`, `queues::greedy_senders_share_alike_whatever_their_round_trips`.

mod queues;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use proptest::prelude::*;

use lanparty_wire::{Destination, MemberId};

use super::*;

#[test]
fn the_urgent_go_first() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for class in [Class::Bulk, Class::Chatter, Class::Neighbor, Class::Interactive] {
        scheduler.push(now, class, flow(class as u16), 100, class, never);
    }
    assert_eq!(pop_all(&mut scheduler), Class::BY_URGENCY);
}

#[test]
fn a_flood_of_the_urgent_starves_nobody() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for id in 0..40 {
        let class = Class::BY_URGENCY[id % 4];
        scheduler.push(now, class, flow(id as u16), 1000, class, never);
    }
    let mut waited: BTreeMap<Class, usize> = BTreeMap::new();
    let mut served: BTreeMap<Class, usize> = BTreeMap::new();
    for id in 0..1000 {
        let popped = pop(&mut scheduler).unwrap().item;
        scheduler.push(now, popped, flow(100 + id), 1000, popped, never);
        *served.entry(popped).or_default() += 1;
        for class in Class::BY_URGENCY {
            let waits = waited.entry(class).or_default();
            *waits = if class == popped { 0 } else { *waits + 1000 };
            assert!(
                *waits <= PASS_OVER + 4 * 1000,
                "{class:?} was passed over for {waits} bytes"
            );
        }
    }
    assert!(
        served[&Class::Neighbor] > 700,
        "the bound is for the others: {served:?}"
    );
    assert!(served[&Class::Bulk] >= 50, "{served:?}");
}

#[test]
fn an_urgent_packet_waits_for_one_frame_of_each_other_class_at_most() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for _ in 0..500 {
        scheduler.push(now, Class::Bulk, flow(1), 1514, Class::Bulk, never);
        scheduler.push(now, Class::Chatter, flow(1), 200, Class::Chatter, |_| {});
    }
    for _ in 0..400 {
        scheduler.push(now, Class::Interactive, flow(2), 100, Class::Interactive, never);
        let before = std::iter::from_fn(|| pop(&mut scheduler))
            .take_while(|popped| popped.class != Class::Interactive)
            .count();
        assert!(before <= 2, "{before} went before it");
    }
}

#[test]
fn a_light_flow_is_not_behind_a_heavy_one() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for _ in 0..500 {
        scheduler.push(now, Class::Bulk, flow(1), 1514, "heavy", never);
    }
    scheduler.push(now, Class::Bulk, flow(2), 200, "light", never);
    let before = std::iter::from_fn(|| pop(&mut scheduler))
        .take_while(|popped| popped.item == "heavy")
        .count();
    assert!(before <= 1, "{before} heavy ones went before it");
}

#[test]
fn flows_share_by_bytes_and_not_by_packets() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for _ in 0..600 {
        scheduler.push(now, Class::Bulk, flow(1), 1500, 1500, never);
    }
    for _ in 0..1400 {
        scheduler.push(now, Class::Bulk, flow(2), 300, 300, never);
    }
    let mut bytes = BTreeMap::from([(1500_usize, 0_usize), (300, 0)]);
    for _ in 0..600 {
        let size = pop(&mut scheduler).unwrap().item;
        *bytes.entry(size).or_default() += size;
    }
    let (large, small) = (bytes[&1500], bytes[&300]);
    assert!(large.abs_diff(small) <= 2 * 1514, "{large} against {small}");
}

#[test]
fn a_full_class_takes_it_from_the_head_of_the_fattest_flow() {
    let mut scheduler = Scheduler::new(small_bounds(4, 4000));
    let now = start();
    let mut dropped = Vec::new();
    for item in [10, 11, 12] {
        scheduler.push(now, Class::Bulk, flow(1), 1000, item, |item| dropped.push(item));
    }
    scheduler.push(now, Class::Bulk, flow(2), 100, 20, |item| dropped.push(item));
    scheduler.push(now, Class::Bulk, flow(3), 100, 30, |item| dropped.push(item));
    assert_eq!(dropped, [10], "by packets");
    scheduler.push(now, Class::Bulk, flow(3), 1900, 31, |item| dropped.push(item));
    assert_eq!(dropped, [10, 11], "by bytes and packets");
    assert_eq!(scheduler.backlog(Class::Bulk), (4, 3100));
    let mut left = pop_all(&mut scheduler);
    left.sort();
    assert_eq!(left, [12, 20, 30, 31]);
}

#[test]
fn one_class_cannot_fill_anothers_room() {
    let mut scheduler = Scheduler::new(small_bounds(4, 4000));
    let now = start();
    scheduler.push(now, Class::Interactive, flow(1), 100, 0, never);
    let mut dropped = 0;
    for item in 1..1000 {
        scheduler.push(now, Class::Neighbor, flow(1), 100, item, |_| dropped += 1);
        scheduler.push(now, Class::Bulk, flow(2), 100, item, |_| dropped += 1);
    }
    assert_eq!(dropped, 2 * 999 - 8);
    assert_eq!(scheduler.backlog(Class::Interactive), (1, 100));
}

#[test]
fn what_is_larger_than_its_class_is_itself_what_goes() {
    let mut scheduler = Scheduler::new(small_bounds(4, 1000));
    let mut dropped = Vec::new();
    scheduler.push(start(), Class::Bulk, flow(1), 900, 1, never);
    scheduler.push(start(), Class::Bulk, flow(1), 1001, 2, |item| dropped.push(item));
    assert_eq!(dropped, [2]);
    assert_eq!(scheduler.len(), 1);
}

#[test]
fn a_packet_larger_than_a_turn_goes_all_the_same() {
    let mut scheduler = Scheduler::new(Bounds::default());
    scheduler.push(start(), Class::Bulk, flow(1), 60_000, 1, never);
    scheduler.push(start(), Class::Bulk, flow(2), 60_000, 2, never);
    assert_eq!(pop_all(&mut scheduler), [1, 2]);
}

#[test]
fn a_packet_knows_when_it_was_queued() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    scheduler.push(
        now + Duration::from_millis(5),
        Class::Bulk,
        flow(1),
        10,
        (),
        never,
    );
    assert_eq!(
        pop(&mut scheduler).unwrap().queued,
        now + Duration::from_millis(5)
    );
}

#[test]
fn a_queue_at_rest_gives_its_memory_back() {
    let mut scheduler = Scheduler::new(Bounds::default());
    for item in 0..2000 {
        scheduler.push(start(), Class::Bulk, flow(item), 100, item, never);
    }
    pop_all(&mut scheduler);
    assert!(scheduler.packets.capacity() <= packets::KEEP);
    assert!(scheduler.flows.capacity() <= packets::KEEP);
}

#[test]
fn what_a_member_sends_in_many_flows_takes_no_more_than_its_share() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    let (flooder, player) = (MemberId::new(7).unwrap(), MemberId::new(8).unwrap());
    for round in 0..4000_usize {
        let flow = FlowId::of(flooder, round as u8);
        scheduler.push(now, Class::Interactive, flow, 100, flooder, |_| {});
    }
    for _ in 0..50 {
        scheduler.push(
            now,
            Class::Interactive,
            FlowId::of(player, 3),
            100,
            player,
            |victim| {
                assert_eq!(
                    victim, flooder,
                    "it is the fattest member, with the thinnest flows"
                );
            },
        );
    }
    let first: Vec<MemberId> = (0..100).map(|_| pop(&mut scheduler).unwrap().item).collect();
    let players = first.iter().filter(|member| **member == player).count();
    assert!((40..=50).contains(&players), "{players} of 100");
}

#[test]
fn equal_flow_hashes_of_two_members_are_two_flows() {
    let ids = [1, 2].map(|id| FlowId::of(MemberId::new(id).unwrap(), 77));
    assert_ne!(ids[0], ids[1]);
    let mut scheduler = Scheduler::new(Bounds::default());
    for item in 0..6 {
        scheduler.push(start(), Class::Bulk, ids[item / 3], 1514, item, never);
    }
    assert_eq!(pop_all(&mut scheduler), [0, 3, 1, 4, 2, 5]);
}

#[test]
fn a_flow_that_changes_its_class_does_not_overtake_itself() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for (item, class) in [Class::Interactive, Class::Bulk, Class::Interactive]
        .into_iter()
        .enumerate()
    {
        scheduler.push(now, class, flow(1), 200, item, never);
    }
    assert_eq!(scheduler.backlog(Class::Bulk), (3, 600));
    scheduler.push(now, Class::Interactive, flow(2), 200, 9, never);
    assert_eq!(pop_all(&mut scheduler), [9, 0, 1, 2]);
    scheduler.push(now, Class::Interactive, flow(1), 200, 3, never);
    assert_eq!(
        pop(&mut scheduler).unwrap().class,
        Class::Interactive,
        "nothing of it waited"
    );
}

#[test]
fn who_builds_a_queue_is_not_interactive_whatever_he_says() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for item in 0..100 {
        scheduler.push(now, Class::Interactive, flow(1), 300, item, never);
    }
    assert_eq!(scheduler.backlog(Class::Interactive), (0, 0));
    scheduler.push(now, Class::Interactive, flow(2), 300, 1000, never);
    assert_eq!(pop(&mut scheduler).unwrap().item, 1000);
    assert!(pop_all(&mut scheduler).into_iter().eq(0..100), "in order");
}

#[test]
fn a_class_that_waits_gets_a_tenth_whatever_its_packets_are() {
    for length in [64, 700, 1514] {
        let mut scheduler = Scheduler::new(Bounds::default());
        let now = start();
        let mut bytes = BTreeMap::from([(Class::Bulk, 0), (Class::Neighbor, 0)]);
        for id in 0..20_000_u16 {
            scheduler.push(
                now,
                Class::Neighbor,
                flow(id),
                100,
                (Class::Neighbor, 100),
                |_| {},
            );
            scheduler.push(now, Class::Bulk, flow(1), length, (Class::Bulk, length), |_| {});
            let (class, length) = pop(&mut scheduler).unwrap().item;
            *bytes.entry(class).or_default() += length;
        }
        let share = bytes[&Class::Bulk] as f64 / bytes.values().sum::<usize>() as f64;
        assert!((0.085..0.1).contains(&share), "{share} with {length}");
    }
}

#[test]
fn nobody_is_given_what_he_has_sent_anew_by_now() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    let mut late = Vec::new();
    scheduler.push(now, Class::Interactive, flow(1), 100, 1, never);
    scheduler.push(now, Class::Bulk, flow(2), 100, 2, never);
    scheduler.push(now + MAX_AGE, Class::Interactive, flow(1), 100, 3, never);
    let then = now + MAX_AGE + Duration::from_millis(1);
    let left: Vec<i32> = std::iter::from_fn(|| scheduler.pop(then, |_| false, |item| late.push(item)))
        .map(|popped| popped.item)
        .collect();
    assert_eq!((late, left), (vec![1], vec![3, 2]));
}

proptest! {
    /// Against a model that keeps every flow's packets in a plain list.
    #[test]
    fn nothing_is_lost_doubled_or_reordered_within_a_flow(
        steps in proptest::collection::vec((0..4_usize, 0..6_u16, 1..1600_usize, 0..3_u8, 0..40_u64), 1..400)
    ) {
        let mut scheduler = Scheduler::new(small_bounds(40, 30_000));
        let mut model: BTreeMap<(u32, u16), VecDeque<(u32, usize)>> = BTreeMap::new();
        let mut now = start();
        for (id, (class, of, bytes, pops, pause)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(pause);
            let class = Class::BY_URGENCY[class];
            let lane = flow(of).lane(class) >> 24;
            let id = id as u32;
            let mut gone = Vec::new();
            model.entry((lane, of)).or_default().push_back((id, bytes));
            scheduler.push(now, class, flow(of), bytes, (lane, of, id), |victim| gone.push(victim));
            for _ in 0..pops {
                let popped = scheduler.pop(now, |_| id.is_multiple_of(2), |victim| gone.push(victim));
                gone.extend(popped.map(|popped| popped.item));
            }
            for (lane, of, id) in gone {
                let head = model.get_mut(&(lane, of)).unwrap().pop_front();
                prop_assert_eq!(head.map(|(id, _)| id), Some(id), "left or dropped from the head");
            }
            let left = model.values().flatten();
            let left = left.fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes));
            let queued = Class::BY_URGENCY.map(|class| scheduler.backlog(class));
            let sum = queued.iter().fold((0, 0), |(n, sum), (packets, bytes)| (n + packets, sum + bytes));
            prop_assert_eq!(sum, left);
            prop_assert_eq!(scheduler.is_empty(), left.0 == 0);
        }
        let mut left = 0;
        scheduler.drain(|(lane, of, id)| {
            left += 1;
            let head = model.get_mut(&(lane, of)).and_then(VecDeque::pop_front);
            assert_eq!(head.map(|(id, _)| id), Some(id), "flow {of} lost its order");
        });
        prop_assert!(model.values().all(VecDeque::is_empty), "{left} came out");
        prop_assert!(scheduler.is_empty());
    }
}

fn flow(number: u16) -> FlowId {
    FlowId::to(Destination::Flood, number)
}

fn pop<T>(scheduler: &mut Scheduler<T>) -> Option<Popped<T>> {
    scheduler.pop(start(), |_| panic!("no time has passed"), never)
}

fn pop_all<T>(scheduler: &mut Scheduler<T>) -> Vec<T> {
    std::iter::from_fn(|| pop(scheduler).map(|popped| popped.item)).collect()
}

fn small_bounds(packets: usize, bytes: usize) -> Bounds {
    Bounds([Bound { packets, bytes }; Class::COUNT])
}

fn never<T>(_: T) {
    panic!("nothing had to go");
}

/// The same for a whole test.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    static START: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    *START
}
