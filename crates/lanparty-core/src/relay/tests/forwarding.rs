//! What members send: whom it reaches, and what it is held to.

use super::*;

#[test]
fn every_destination_reaches_whom_it_names() {
    let mut relay = Relay::new();
    let (a, b, c) = relay.three();
    let handle = GroupHandle::new(0xff00).unwrap();
    relay.rooms.set_group(&a.seat, handle, &[c.member.id]);
    let mut ingress = relay.ingress(&a);
    for (destination, reached) in [
        (Destination::Member(b.member.id), vec![b.member.id]),
        (Destination::Group(handle), vec![c.member.id]),
        (Destination::Flood, sorted([b.member.id, c.member.id])),
    ] {
        let bytes = datagram(&a, destination, Class::Interactive, &frame(1));
        assert_eq!(relay.forward(&mut ingress, &a, &bytes), Ok(reached));
    }
    assert_eq!(ingress.drops().total(), 0);
}

#[test]
fn a_group_belongs_to_its_owner_and_ends_with_it() {
    let mut relay = Relay::new();
    let (a, b, c) = relay.three();
    let handle = GroupHandle::new(0xff00).unwrap();
    relay.rooms.set_group(&a.seat, handle, &[c.member.id]);
    let mut ingress = relay.ingress(&b);
    let bytes = datagram(&b, Destination::Group(handle), Class::Bulk, &frame(2));
    assert_eq!(
        relay.forward(&mut ingress, &b, &bytes),
        Err(DropReason::UnknownDestination)
    );
}

#[test]
fn each_fault_has_its_reason_and_is_counted() {
    let mut relay = Relay::new();
    let (a, b, _) = relay.three();
    let to_b = Destination::Member(b.member.id);
    let good = datagram(&a, to_b, Class::Interactive, &frame(1));
    let with = |change: fn(&mut Vec<u8>)| {
        let mut bytes = good.clone();
        change(&mut bytes);
        bytes
    };
    let mut ingress = relay.ingress(&a);
    for (bytes, reason) in [
        (vec![0; 1301], DropReason::DatagramBudget),
        (vec![], DropReason::Malformed),
        (with(|bytes| bytes[0] = 0x40), DropReason::Malformed),
        (with(|bytes| bytes[1] |= 0x80), DropReason::Malformed),
        (with(|bytes| bytes[0] |= 2), DropReason::Malformed),
        (
            datagram(&b, to_b, Class::Bulk, &frame(1)),
            DropReason::SourceMismatch,
        ),
        (with(|bytes| bytes[1] |= 1), DropReason::WrongKey),
        (
            datagram(&a, Destination::Member(a.member.id), Class::Bulk, &frame(1)),
            DropReason::Reflection,
        ),
        (
            datagram(&a, to_b, Class::Bulk, &frame(2)),
            DropReason::ForgedSource,
        ),
        (datagram(&a, to_b, Class::Bulk, &[0; 9]), DropReason::Runt),
    ] {
        let before = ingress.drops().of(reason);
        assert_eq!(relay.forward(&mut ingress, &a, &bytes), Err(reason));
        assert_eq!(ingress.drops().of(reason), before + 1);
    }
    assert_eq!(ingress.drops().total(), 10);
    assert!(relay.forward(&mut ingress, &a, &good).is_ok());
}

#[test]
fn pieces_pass_unread_but_not_out_of_shape() {
    let mut relay = Relay::new();
    let (a, b, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let mut piece = |offset, total, len: usize| {
        let mut bytes = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &[]);
        bytes[0] |= 2;
        bytes.extend(FragmentHeader { offset, total }.encode());
        bytes.resize(bytes.len() + len, 0);
        relay.forward(&mut ingress, &a, &bytes)
    };
    assert!(piece(0, 1514, 757).is_ok());
    assert!(piece(757, 1514, 757).is_ok());
    assert_eq!(piece(757, 1514, 800), Err(DropReason::Malformed));
    assert_eq!(piece(0, 1514, 100), Err(DropReason::Malformed));
}

#[test]
fn a_second_copy_goes_no_further_and_is_no_drop() {
    let mut relay = Relay::new();
    let (a, b, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let urgent = datagram(
        &a,
        Destination::Member(b.member.id),
        Class::Interactive,
        &frame(1),
    );
    assert!(relay.forward(&mut ingress, &a, &urgent).is_ok());
    assert_eq!(
        relay.forward(&mut ingress, &a, &urgent),
        Err(DropReason::Duplicate)
    );
    assert_eq!((ingress.duplicates(), ingress.drops().total()), (1, 0));
}

#[test]
fn limits_count_by_class_and_a_flood_does_not_stop_the_neighbors() {
    let mut relay = Relay::new();
    let (a, _, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let mut sequence = 0_u32;
    let mut flood = |class| {
        let mut bytes = datagram(&a, Destination::Flood, class, &frame(1));
        sequence += 1;
        bytes[8..12].copy_from_slice(&sequence.to_be_bytes());
        relay.forward(&mut ingress, &a, &bytes)
    };
    let passed = (0..2000)
        .take_while(|_| flood(Class::Interactive).is_ok())
        .count();
    assert_eq!(passed, Limits::default().flood.burst.get() as usize);
    assert_eq!(flood(Class::Interactive), Err(DropReason::FloodRate));
    assert!(flood(Class::Neighbor).is_ok());
    let passed = (0..2000).take_while(|_| flood(Class::Neighbor).is_ok()).count();
    assert!(passed < 300);
    assert_eq!(flood(Class::Neighbor), Err(DropReason::NeighborRate));
}

#[test]
fn bandwidth_is_limited_and_comes_back_with_time() {
    let mut relay = Relay::new();
    relay.config.limits.bandwidth = Bandwidth::new(1_000_000, 200_000);
    let (a, b, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let mut whole = frame(1);
    whole.resize(1200, 0);
    let bytes = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &whole);
    let passed = (0..1000)
        .take_while(|_| relay.forward(&mut ingress, &a, &bytes).is_ok())
        .count();
    assert!((160..=170).contains(&passed), "{passed}");
    assert_eq!(ingress.drops().of(DropReason::BandwidthRate), 1);
    relay.instant += Duration::from_millis(10);
    let passed = (0..1000)
        .take_while(|_| relay.forward(&mut ingress, &a, &bytes).is_ok())
        .count();
    assert!((7..=9).contains(&passed), "{passed}");
}

#[test]
fn malformed_datagrams_add_up_within_a_minute_only() {
    let mut relay = Relay::new();
    let (a, _, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    for _ in 0..10 {
        let _ = relay.forward(&mut ingress, &a, &[1]);
    }
    assert!(!ingress.is_over_malformed_limit());
    relay.instant += Duration::from_secs(61);
    let _ = relay.forward(&mut ingress, &a, &[1]);
    assert_eq!(ingress.malformed(), 1);
    for _ in 0..10 {
        let _ = relay.forward(&mut ingress, &a, &[1]);
    }
    assert!(ingress.is_over_malformed_limit());
}

#[test]
fn a_dismissed_members_last_datagrams_go_nowhere() {
    let mut relay = Relay::new();
    let (a, _, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    relay
        .rooms
        .leave(NOW, relay.instant, &a.seat, LeaveReason::Malformed);
    let bytes = datagram(&a, Destination::Flood, Class::Bulk, &frame(1));
    assert_eq!(
        relay.forward(&mut ingress, &a, &bytes),
        Err(DropReason::UnknownSource)
    );
}

#[test]
fn nobody_lies_his_bulk_into_a_more_urgent_class() {
    let mut relay = Relay::new();
    let (a, b, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let bytes = datagram(&a, Destination::Member(b.member.id), Class::Neighbor, &frame(1));
    let roster = relay.roster();
    let forward = ingress.forward(relay.instant, &bytes, &roster).unwrap();
    assert!(forward.class < Class::Neighbor);
}

#[test]
fn without_the_guard_only_headers_and_limits_count() {
    let mut relay = Relay::new();
    relay.config.guard = false;
    let (a, b, _) = relay.three();
    let mut ingress = relay.ingress(&a);
    let forged = datagram(&a, Destination::Member(b.member.id), Class::Bulk, &frame(2));
    assert!(relay.forward(&mut ingress, &a, &forged).is_ok());
}

#[test]
fn budgets_are_the_smaller_side_for_others_and_the_larger_one_for_the_member() {
    let mut relay = Relay::new();
    let (a, _, _) = relay.three();
    let (news, _) = relay.rooms.set_budget(&a.seat, Some(1400), None).unwrap();
    assert_eq!(news, None);
    let (news, roster) = relay.rooms.set_budget(&a.seat, None, Some(1350)).unwrap();
    assert_eq!(news, Some(1350));
    assert_eq!(roster.entry(a.member.id).unwrap().ingress_budget, 1400);
}

proptest! {
    #[test]
    fn no_bytes_panic_and_what_passes_is_the_members_own(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut relay = Relay::new();
        let (a, _, _) = relay.three();
        let mut ingress = relay.ingress(&a);
        if relay.forward(&mut ingress, &a, &bytes).is_ok() {
            let (header, _) = Header::decode(&bytes).unwrap();
            prop_assert_eq!(header.source, a.member.id);
        }
    }

    #[test]
    fn ids_are_unique_in_a_room(count in 1_u32..60, seed: u64) {
        let mut relay = Relay::new();
        relay.random = SmallRng::seed_from_u64(seed);
        let mut ids: Vec<MemberId> = (0..count)
            .map(|n| {
                let mac = Mac([2, 0, 0, 0, 1, n as u8]);
                relay.join(n, Hello { mac: Some(mac), ..player(1) }).unwrap().member.id
            })
            .collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(ids.len(), count as usize);
    }
}
