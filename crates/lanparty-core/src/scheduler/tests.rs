use std::{collections::BTreeMap, time::Duration};

use proptest::prelude::*;

use super::*;

#[test]
fn the_urgent_go_first() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for class in [Class::Bulk, Class::Chatter, Class::Neighbor, Class::Interactive] {
        scheduler.push(now, class, 0, 100, class, never);
    }
    assert_eq!(pop_all(&mut scheduler), Class::BY_URGENCY);
}

#[test]
fn a_flood_of_the_urgent_starves_nobody() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for class in Class::BY_URGENCY {
        for _ in 0..10 {
            scheduler.push(now, class, 0, 1000, class, |_| {});
        }
    }
    let mut waited: BTreeMap<Class, usize> = BTreeMap::new();
    let mut served: BTreeMap<Class, usize> = BTreeMap::new();
    for _ in 0..1000 {
        let popped = scheduler.pop().unwrap().item;
        scheduler.push(now, popped, 0, 1000, popped, never);
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
        served[&Class::Neighbor] > 750,
        "the bound is for the others: {served:?}"
    );
    assert!(served[&Class::Bulk] >= 50, "{served:?}");
}

#[test]
fn an_urgent_packet_waits_for_one_frame_of_each_other_class_at_most() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for _ in 0..500 {
        scheduler.push(now, Class::Bulk, 1, 1514, Class::Bulk, never);
        scheduler.push(now, Class::Chatter, 1, 200, Class::Chatter, |_| {});
    }
    for _ in 0..400 {
        scheduler.push(now, Class::Interactive, 2, 100, Class::Interactive, never);
        let before = std::iter::from_fn(|| scheduler.pop())
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
        scheduler.push(now, Class::Bulk, 1, 1514, "heavy", never);
    }
    scheduler.push(now, Class::Bulk, 2, 200, "light", never);
    let before = std::iter::from_fn(|| scheduler.pop())
        .take_while(|popped| popped.item == "heavy")
        .count();
    assert!(before <= 1, "{before} heavy ones went before it");
}

#[test]
fn flows_share_by_bytes_and_not_by_packets() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    for _ in 0..600 {
        scheduler.push(now, Class::Bulk, 1, 1500, 1500, never);
    }
    for _ in 0..1400 {
        scheduler.push(now, Class::Bulk, 2, 300, 300, never);
    }
    let mut bytes = BTreeMap::from([(1500_usize, 0_usize), (300, 0)]);
    for _ in 0..600 {
        let size = scheduler.pop().unwrap().item;
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
        scheduler.push(now, Class::Bulk, 1, 1000, item, |item| dropped.push(item));
    }
    scheduler.push(now, Class::Bulk, 2, 100, 20, |item| dropped.push(item));
    scheduler.push(now, Class::Bulk, 3, 100, 30, |item| dropped.push(item));
    assert_eq!(dropped, [10], "by packets");
    scheduler.push(now, Class::Bulk, 3, 1900, 31, |item| dropped.push(item));
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
    scheduler.push(now, Class::Interactive, 1, 100, 0, never);
    let mut dropped = 0;
    for item in 1..1000 {
        scheduler.push(now, Class::Neighbor, 1, 100, item, |_| dropped += 1);
        scheduler.push(now, Class::Bulk, 1, 100, item, |_| dropped += 1);
    }
    assert_eq!(dropped, 2 * 999 - 8);
    assert_eq!(scheduler.backlog(Class::Interactive), (1, 100));
}

#[test]
fn what_is_larger_than_its_class_is_itself_what_goes() {
    let mut scheduler = Scheduler::new(small_bounds(4, 1000));
    let mut dropped = Vec::new();
    scheduler.push(start(), Class::Bulk, 1, 900, 1, never);
    scheduler.push(start(), Class::Bulk, 1, 1001, 2, |item| dropped.push(item));
    assert_eq!(dropped, [2]);
    assert_eq!(scheduler.len(), 1);
}

#[test]
fn a_packet_larger_than_a_turn_goes_all_the_same() {
    let mut scheduler = Scheduler::new(Bounds::default());
    scheduler.push(start(), Class::Bulk, 1, 60_000, 1, never);
    scheduler.push(start(), Class::Bulk, 2, 60_000, 2, never);
    assert_eq!(pop_all(&mut scheduler), [1, 2]);
}

#[test]
fn a_packet_knows_when_it_was_queued() {
    let mut scheduler = Scheduler::new(Bounds::default());
    let now = start();
    scheduler.push(now + Duration::from_millis(5), Class::Bulk, 1, 10, (), never);
    assert_eq!(scheduler.pop().unwrap().queued, now + Duration::from_millis(5));
}

#[test]
fn a_queue_at_rest_gives_its_memory_back() {
    let mut scheduler = Scheduler::new(Bounds::default());
    for item in 0..2000 {
        scheduler.push(start(), Class::Bulk, item as u8, 100, item, never);
    }
    pop_all(&mut scheduler);
    assert!(
        scheduler
            .classes
            .iter()
            .all(|queue| queue.slots.capacity() <= KEEP)
    );
}

#[test]
fn members_with_equal_flow_hashes_have_buckets_of_their_own() {
    let buckets: std::collections::BTreeSet<u8> = (1..=30)
        .map(|id| bucket(MemberId::new(id).unwrap(), 77))
        .collect();
    assert!(buckets.len() >= 28, "{} buckets for 30 members", buckets.len());
}

proptest! {
    /// Against a model that keeps every flow's packets in a plain list.
    #[test]
    fn nothing_is_lost_doubled_or_reordered_within_a_flow(
        steps in proptest::collection::vec((0..4_usize, 0..6_u8, 1..1600_usize, any::<bool>()), 1..400)
    ) {
        let mut scheduler = Scheduler::new(small_bounds(40, 30_000));
        let mut model: BTreeMap<(Class, u8), VecDeque<(u32, usize)>> = BTreeMap::new();
        let now = start();
        for (id, (class, flow, bytes, pop)) in steps.into_iter().enumerate() {
            let class = Class::BY_URGENCY[class];
            let id = id as u32;
            let mut dropped = Vec::new();
            model.entry((class, flow)).or_default().push_back((id, bytes));
            scheduler.push(now, class, flow, bytes, (flow, id), |victim| dropped.push(victim));
            for (flow, victim) in dropped {
                let head = model.get_mut(&(class, flow)).unwrap().pop_front();
                prop_assert_eq!(head.map(|(id, _)| id), Some(victim), "dropped from the head");
            }
            if pop && let Some(popped) = scheduler.pop() {
                let (flow, id) = popped.item;
                let head = model.get_mut(&(popped.class, flow)).unwrap().pop_front();
                prop_assert_eq!(head.map(|(id, _)| id), Some(id), "popped from the head");
            }
            for class in Class::BY_URGENCY {
                let left = model.iter().filter(|((of, _), _)| *of == class).flat_map(|(_, list)| list);
                let (packets, bytes) = left.fold((0, 0), |(n, sum), (_, bytes)| (n + 1, sum + bytes));
                prop_assert_eq!(scheduler.backlog(class), (packets, bytes));
                prop_assert!(packets <= 40 && bytes <= 30_000);
            }
        }
        let mut left = 0;
        scheduler.drain(|(flow, id)| {
            left += 1;
            let found = model.values_mut().find(|list| list.front().is_some_and(|&(head, _)| head == id));
            assert!(found.is_some_and(|list| list.pop_front().is_some()), "flow {flow} lost its order");
        });
        prop_assert!(model.values().all(VecDeque::is_empty), "{left} came out");
        prop_assert!(scheduler.is_empty());
    }
}

fn pop_all<T>(scheduler: &mut Scheduler<T>) -> Vec<T> {
    std::iter::from_fn(|| scheduler.pop().map(|popped| popped.item)).collect()
}

fn small_bounds(packets: usize, bytes: usize) -> Bounds {
    Bounds([Bound { packets, bytes }; Class::COUNT])
}

fn never<T>(_: T) {
    panic!("nothing had to go");
}

#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}
